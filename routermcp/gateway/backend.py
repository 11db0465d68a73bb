"""The seam between the protocol and an application that offers tools, resources and prompts."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from routermcp_proto.versions import Revision

Result = Mapping[str, Any]
"""The result of a request, a JSON object as it is sent."""


class Listing(StrEnum):
    """The lists of a server; the value is the member of the result that holds the list."""

    TOOLS = "tools"
    RESOURCES = "resources"
    RESOURCE_TEMPLATES = "resourceTemplates"
    PROMPTS = "prompts"


class View(Protocol):
    """A part of what is offered, which is all that some clients see; equal ones show the same."""

    def __hash__(self) -> int: ...

    def shows_server(self, alias: str, /) -> bool:
        """Return whether a server is in it."""
        ...

    def shows(self, listing: Listing, alias: str, name: str, /) -> bool:
        """Return whether an entry is in it, which a server has or may have.

        Args:
            listing: The list of the entry.
            alias: The server.
            name: The name or URI of the entry at the server.
        """
        ...


class InputRequired(Exception):  # noqa: N818 - not a failure: the request comes again with the input
    """The client has to give input before the request can be answered.

    Raised by :meth:`Caller.ask` where the revision asks for input in a result; a backend
    does not catch it. A backend may raise it itself, to ask for several things at once: the
    request comes again with the answers, whatever the revision.

    Source: MCP 2026-07-28, ``InputRequiredResult``.

    Args:
        requests: Requests (``method`` and ``params``) by the key under which each is answered.
        state: Opaque text that comes back with the answers, None for none.
    """

    def __init__(self, requests: Mapping[str, Mapping[str, Any]], state: str | None = None) -> None:
        methods = ", ".join(str(request.get("method")) for request in requests.values())
        super().__init__(f"the client has to answer first: {methods}")
        self.requests = requests
        self.state = state


class Caller(Protocol):
    """The client that made a request, as a backend sees it."""

    @property
    def capabilities(self) -> Mapping[str, Any]:
        """The capabilities that the client declared."""
        ...

    @property
    def revision(self) -> Revision:
        """The revision of MCP that the request is written in."""
        ...

    @property
    def session_id(self) -> str | None:
        """The session of the handshake era that the request belongs to, None for none."""
        ...

    @property
    def user_id(self) -> str | None:
        """The user whom the request is for, None where it names none or its client may not name one."""
        ...

    @property
    def view(self) -> View | None:
        """The part of the backend that the client sees, None for the whole."""
        ...

    @property
    def owner(self) -> bytes:
        """Names the client by its credential and its user; empty where the transport knows neither."""
        ...

    @property
    def meta(self) -> Mapping[str, Any]:
        """The members of the request's ``_meta``, without those that the protocol itself uses."""
        ...

    @property
    def log_level(self) -> str | None:
        """The lowest level of which the client wants log messages, None for no messages."""
        ...

    @property
    def wants_progress(self) -> bool:
        """Whether the client asked for progress reports."""
        ...

    @property
    def input_responses(self) -> Mapping[str, Any] | None:
        """The client's answers to :class:`InputRequired`, by key; None in a first request."""
        ...

    @property
    def request_state(self) -> str | None:
        """The state of :class:`InputRequired` that came back with them."""
        ...

    def with_meta(self, members: Mapping[str, Any]) -> Caller:
        """Return the same caller with more members in ``meta``."""
        ...

    def header(self, name: str) -> str | None:
        """Return a header of the HTTP request, None without it or over another transport."""
        ...

    def with_input(self, responses: Mapping[str, Any] | None, state: str | None) -> Caller:
        """Return the same caller with other answers and another state, None for none."""
        ...

    async def report_progress(
        self, progress: float, *, total: float | None = None, message: str | None = None
    ) -> None:
        """Send a progress report, where the client asked for reports; else do nothing."""
        ...

    async def log(self, level: str, content: Any, *, logger: str | None = None) -> None:
        """Send a log message, where the client wants messages of that level; else do nothing."""
        ...

    async def ask(self, key: str, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask the client for input and return its answer.

        In the stateless era the request ends here and comes again with the answer: the backend
        then repeats its work up to the question.

        Args:
            key: Names the question among those of one request.
            method: ``elicitation/create``, ``sampling/createMessage`` or ``roots/list``.
            params: Its parameters.

        Raises:
            InputRequired: The request will come again; do not catch it.
            RPCError: The client cannot be asked that, or answered with an error.
        """
        ...


class Announce(Protocol):
    """Sends a notification to the clients that want it."""

    def __call__(
        self,
        method: str,
        params: Mapping[str, Any],
        session_id: str | None = None,
        server: str | None = None,
        /,
    ) -> None:
        """Send a notification.

        Args:
            method: The notification.
            params: Its parameters.
            session_id: The one session that it is for, "" for the clients without one, None for all clients.
            server: The server that it is about, which a client has to see; None for the whole backend.
        """
        ...


@runtime_checkable
class Changing(Protocol):
    """A backend whose lists or resources change while it is served.

    Attributes:
        on_changed: Called with a notification for clients. Set by the server of the backend.
    """

    on_changed: Announce


class Described(Protocol):
    """What the protocol has to know of a backend, or of the part of it that a client sees."""

    @property
    def instructions(self) -> str | None:
        """How to use it, for language models."""
        ...

    def input_schema(self, tool: str) -> Mapping[str, Any] | None:
        """Return the input schema of a tool, None where there is no such tool."""
        ...


class Viewed(Protocol):
    """A backend of which clients may see a part only."""

    def seen_by(self, view: View) -> Described:
        """Return the part that a view shows."""
        ...


class Backend(Described, Protocol):
    """An application that is served. Results are JSON objects, as they are sent.

    Every method may raise :class:`~routermcp.types.RPCError`, which becomes the error object
    of the answer; any other exception becomes an internal error without its text.
    """

    @property
    def server_info(self) -> Mapping[str, Any]:
        """Name and version, as ``Implementation``."""
        ...

    @property
    def capabilities(self) -> Mapping[str, Any]:
        """The ``ServerCapabilities`` of the application; methods of other areas are unknown."""
        ...

    async def list_page(self, listing: Listing, cursor: str | None, caller: Caller) -> Result:
        """Return the page of a list that begins at a cursor, the first one for None."""
        ...

    async def call_tool(self, name: str, arguments: Mapping[str, Any], caller: Caller) -> Result:
        """Run a tool and return its ``CallToolResult``."""
        ...

    async def read_resource(self, uri: str, caller: Caller) -> Result:
        """Return the ``ReadResourceResult`` of a resource."""
        ...

    async def get_prompt(self, name: str, arguments: Mapping[str, Any], caller: Caller) -> Result:
        """Return the ``GetPromptResult`` of a prompt."""
        ...

    async def complete(self, params: Mapping[str, Any], caller: Caller) -> Result:
        """Return the ``CompleteResult`` for an argument.

        Args:
            params: ``ref``, ``argument`` and perhaps ``context``, as the client sent them.
            caller: The client that asks.
        """
        ...

    async def subscribe(self, uri: str, caller: Caller) -> None:
        """Begin to announce changes of a resource; may be called again for the same one.

        Called only where the capabilities say ``resources.subscribe``.
        """
        ...

    async def unsubscribe(self, uri: str) -> None:
        """Stop announcing changes of a resource that no client subscribes to; may be called again."""
        ...

    async def end_session(self, session_id: str) -> None:
        """Release the resources of a session of the handshake era that has ended."""
        ...


class AccountMethods(Protocol):
    """Answers the requests of users about their accounts at the servers behind a gateway.

    A backend with servers that users sign in at has such an object as ``accounts``.
    """

    async def answer(self, method: str, params: Mapping[str, Any], caller: Caller) -> Result:
        """Answer one request."""
        ...

"""The callbacks of the application, which answer the server's requests and take its notifications."""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from routermcp_adapters.call.incoming import Reply, SessionRenewal
from routermcp_proto import types
from routermcp_proto.events import RequestReceived
from routermcp_proto.exceptions import (
    AuthorizationRequiredError,
    ConfigError,
    LocalProtocolError,
    MCPError,
    ResponseValidationError,
)
from routermcp_proto.names import SERVER_ID_KEY
from routermcp_proto.types.server_requests import ROLES

from ._capabilities import declared_by
from ._options import ElicitReply, Options, SampleReply
from ._settings import ClientSettings, check_http_client
from ._structured import problems_of

log = logging.getLogger("routermcp")

RequestT = TypeVar("RequestT", bound="types.WireModel")

OnProgress = Callable[["types.Progress"], Any]

RequestOf = Callable[[AuthorizationRequiredError], Any]
"""Returns the argument of ``on_authorization`` for an error."""


async def settled(value: Any) -> Any:
    """Return the result of a callback, awaited where the callback is async."""
    return await value if inspect.isawaitable(value) else value


class Callbacks:
    """Answers the server with the callbacks of the application.

    The capabilities of the client follow from the callbacks that it was given (:mod:`._capabilities`).

    Attributes:
        attends: Whether the session reads by itself what the server sends between calls.
        hears_changes: Whether to open the stream over HTTP on which a server announces changes.
        hears_lists: Whether to subscribe to the lists of a server that announces only what was asked for.
    """

    def __init__(self, options: Options | None = None) -> None:
        options = options or Options()
        self._on_elicitation = options.on_elicitation
        self._on_sampling = options.on_sampling
        self._on_roots = options.on_roots
        self._on_log = options.on_log
        self._on_notification = options.on_notification
        self._on_session_renewed = options.on_session_renewed
        self._on_authorization = options.on_authorization
        self._request_of: RequestOf | None = None
        self.attends = options.attend
        heard = (options.on_log, options.on_notification)
        self.hears_changes = options.attend and any(callback is not None for callback in heard)
        self.hears_lists = options.attend and options.on_notification is not None
        for name, callback in options.callbacks().items():
            if not callable(callback):
                raise ConfigError(f"{name} is a function, not {type(callback).__name__}")
        self._declared = declared_by(options)

    def capabilities(self) -> dict[str, Any]:
        """Return the capabilities to declare to the server."""
        return self._declared

    def of_session(self, request_of: RequestOf) -> Callbacks:
        """Return the callbacks as one session uses them.

        Args:
            request_of: Returns the argument of ``on_authorization`` for an error.
        """
        if self._on_authorization is None:
            return self
        own = copy.copy(self)
        own._request_of = request_of  # noqa: SLF001 - of a copy of ours
        return own

    async def authorize(self, required: AuthorizationRequiredError) -> bool:
        """Have the user sign in, or open all URLs that the server names; return whether the user agreed."""
        if required.elicitations and (self._on_elicitation or self._on_authorization):
            return await self._open_all(required.elicitations)
        if self._on_authorization is None or self._request_of is None:
            return False
        request = await settled(self._request_of(required))
        await settled(self._on_authorization(request))
        return True

    async def renewed(self, renewal: SessionRenewal) -> None:
        """Tell the application that a session was renewed."""
        if self._on_session_renewed is not None:
            await settled(self._on_session_renewed(renewal))

    def take_over(self, asked: RequestReceived, reply: Reply) -> bool:
        """Return False: :meth:`answer` answers, in the task of the call."""
        del asked, reply
        return False

    async def answer(self, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer a request of the server with the callback for it."""
        if method == "elicitation/create":
            return await self._elicit(_parse_server_request(types.ElicitRequest, method, params))
        if method == "sampling/createMessage" and self._on_sampling is not None:
            return _sampling_answer(
                await settled(
                    self._on_sampling(_parse_server_request(types.CreateMessageRequest, method, params))
                )
            )
        if method == "roots/list" and self._on_roots is not None:
            return _roots_answer(await settled(self._on_roots()))
        raise _no_callback_for(method)

    async def _open_all(self, elicitations: Sequence[Mapping[str, Any]]) -> bool:
        """Ask the user to open each URL, as in URL mode; return whether the user agreed to all."""
        for each in elicitations:
            answer = await self._elicit(
                _parse_server_request(types.ElicitRequest, "elicitation/create", each)
            )
            if answer["action"] != "accept":
                return False
        return True

    async def _elicit(self, request: types.ElicitRequest) -> Mapping[str, Any]:
        required = sign_in_of(request) if request.mode == "url" else None
        # Where both callbacks could answer, signing in at a server behind a gateway is for its own.
        if required is not None and (required.server_id is not None or self._on_elicitation is None):
            if await self.authorize(required):
                return {"action": "accept"}
            if self._on_elicitation is None:
                raise required
        if self._on_elicitation is None:
            raise _no_callback_for("elicitation/create")
        return _elicitation_answer(request, await settled(self._on_elicitation(request)))

    async def hear(self, method: str, params: Mapping[str, Any]) -> None:
        """Hand a notification to the callback for it."""
        if method == "notifications/message" and self._on_log is not None:
            try:
                message = types.LogMessage.model_validate(params)
            except ValidationError:
                log.warning("a malformed log message of the server was dropped")
                return
            await settled(self._on_log(message))
        elif self._on_notification is not None:
            await settled(self._on_notification(method, params))


def _no_callback_for(method: str) -> MCPError:
    return MCPError(f"the server asks for {method}, and no callback of this client answers that")


def sign_in_of(request: types.ElicitRequest) -> AuthorizationRequiredError | None:
    """Return a request to open a URL as an error, None where it has no URL."""
    if request.url is None:
        return None
    server_id = (request.meta or {}).get(SERVER_ID_KEY)
    return AuthorizationRequiredError(
        f"a user has to open a page first: {request.message}",
        url=request.url,
        server_id=server_id if isinstance(server_id, str) else None,
    )


def _parse_server_request(kind: type[RequestT], method: str, params: Mapping[str, Any]) -> RequestT:
    """Read the parameters of a request of the server.

    Raises:
        ResponseValidationError: They are not those of such a request.
    """
    try:
        return kind.model_validate(params)
    except ValidationError as error:
        problems = problems_of(error)
        raise ResponseValidationError(
            f"the server asks for {method} in a way that cannot be read: {'; '.join(problems)}",
            method=method,
            problems=problems,
        ) from error


def _sampling_answer(reply: SampleReply) -> Mapping[str, Any]:
    if isinstance(reply, types.CreateMessageResult):
        answer = reply.to_wire()
    elif isinstance(reply, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        answer = dict(reply)
    else:
        raise _wrong_return("on_sampling", "a CreateMessageResult or a dict", reply)
    if answer.get("role") not in ROLES:
        raise LocalProtocolError(f"on_sampling returns a role, which is {' or '.join(ROLES)}")
    missing = [name for name in ("content", "model") if name not in answer]
    if missing:
        raise LocalProtocolError(f"on_sampling returns {missing[0]}, which is missing")
    return answer


def _wrong_return(callback: str, expected: str, given: object) -> LocalProtocolError:
    return LocalProtocolError(f"{callback} returns {expected}, not {type(given).__name__}")


def _roots_answer(given: Any) -> Mapping[str, Any]:
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        raise _wrong_return("on_roots", "a list of URIs and Roots", cast("object", given))
    return {"roots": [_root_answer(each) for each in cast("Iterable[types.Root | str]", given)]}


def _root_answer(root: types.Root | str) -> Mapping[str, Any]:
    if isinstance(root, str):
        root = types.Root(uri=root)
    if not isinstance(root, types.Root):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise LocalProtocolError(f"on_roots returns a list of URIs and Roots, not {type(root).__name__}")
    if not root.uri.lower().startswith("file://"):
        raise LocalProtocolError(f"on_roots returns file:// URIs (MCP, Roots), not {root.uri!r:.80}")
    return root.to_wire()


def _elicitation_answer(request: types.ElicitRequest, reply: ElicitReply) -> Mapping[str, Any]:
    """Return a reply as it is sent; fields that it leaves open get the schema's defaults."""
    if reply is None:
        return {"action": "decline"}
    if isinstance(reply, types.ElicitResult):
        action, content = reply.action, reply.content
    elif isinstance(reply, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        action, content = "accept", dict(reply)
    else:
        raise _wrong_return("on_elicitation", "an ElicitResult, a dict or None", reply)
    if action != "accept" or request.mode == "url":
        return {"action": action}
    return {"action": action, "content": {**request.defaults(), **(content or {})}}


def progress_sink(on_progress: OnProgress | None) -> Callable[[types.Progress], Awaitable[None]] | None:
    """Return a progress callback, plain or async, as a coroutine function for the driver."""
    if on_progress is None:
        return None

    async def report(progress: types.Progress) -> None:
        await settled(on_progress(progress))

    return report


def plain_progress_sink(on_progress: OnProgress | None) -> Callable[[types.Progress], Awaitable[None]] | None:
    """Return a plain progress callback as a coroutine function for the driver.

    Raises:
        TypeError: It is a coroutine function.
    """
    if on_progress is None:
        return None
    _refuse_coroutine_function("on_progress", on_progress)
    return progress_sink(on_progress)


def accept_any(settings: ClientSettings) -> None:
    """Accept plain and async callbacks, and check that the HTTP client is an async one."""
    check_http_client(settings.http.http_client, "AsyncClient")


def accept_plain(settings: ClientSettings) -> None:
    """Refuse the callbacks that blocking code cannot call.

    Raises:
        TypeError: One is a coroutine function.
        ConfigError: The HTTP client or the token adapter is one for asynchronous code.
    """
    check_http_client(settings.http.http_client, "Client")
    if settings.oauth is not None and settings.oauth.awaited:
        raise ConfigError("the blocking client takes an adapter with plain methods, a TokenAdapter")
    options = settings.options
    callbacks = {**options.callbacks(), "api_key": settings.api_key, "headers": options.headers}
    for name, callback in callbacks.items():
        _refuse_coroutine_function(name, callback)


def _refuse_coroutine_function(name: str, callback: object) -> None:
    call: Any = getattr(callback, "__call__", None)  # noqa: B004 - the bound method, not whether there is one
    if inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(call):
        raise TypeError(f"{name} is a coroutine function; the blocking client takes plain functions")

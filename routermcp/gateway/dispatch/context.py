"""The client behind a request, and the messages to it while the request is worked on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, cast

from pydantic_core import from_json

from routermcp_proto import jsonrpc
from routermcp_proto.calls import Call
from routermcp_proto.error_codes import INTERNAL_ERROR, MISSING_CAPABILITY
from routermcp_proto.events import RequestReceived
from routermcp_proto.exceptions import InvalidRequestError, RPCError
from routermcp_proto.jsonrpc import RequestId
from routermcp_proto.names import LOG_LEVEL_KEY, LOG_LEVELS
from routermcp_proto.server_session import ServerSession
from routermcp_proto.session.request_meta import RESERVED_META
from routermcp_proto.types.base import WireModel
from routermcp_proto.types.meta import valid_members
from routermcp_proto.types.server_requests import missing_capabilities
from routermcp_proto.versions import Revision

from ..backend import InputRequired, View
from ..sessions.base import KeptSession

#: Seconds that a client may take to answer a question: it may be a person who answers.
INPUT_SECONDS = 300.0

#: Members of ``_meta`` that the protocol itself uses, hop by hop.
PROTOCOL_META = RESERVED_META | {LOG_LEVEL_KEY, "progressToken"}


#: Sends a message to the client before the answer to its request.
SendMessage = Callable[[bytes], Awaitable[None]]


class Sender(NamedTuple):
    """The sender of a request, as far as its transport knows it."""

    user_id: str | None = None
    """The user whom the request is for."""
    view: View | None = None
    """The part of the backend that it sees, None for the whole."""
    header: Callable[[str], str | None] | None = None
    """Returns a header of its HTTP request, None over another transport."""
    owner: bytes = b""
    """Names its credential and its user; empty over another transport."""


UNKNOWN_SENDER = Sender()
"""The sender of requests over a transport that knows nothing of it."""


class RequestContext:
    """The client behind one request; a :class:`~routermcp.gateway.backend.Caller`.

    Args:
        asked: The request.
        machine: The session machine that received it.
        session: The session that is kept of it, None in the stateless era.
        send: Sends a message to the client before the answer.
        sender: The sender of the request.

    Attributes:
        send: Sends a message to the client before the answer.
        user_id: The user whom the request is for.
        view: The part of the backend that the client sees, None for the whole.
        owner: Names the client by its credential and its user.
        capabilities: The capabilities that the client declared.
        revision: The revision of MCP that the request is written in.
        meta: The members of ``_meta``, without those that the protocol itself uses.
        session_id: The session of the handshake era that the request belongs to.
        wants_progress: Whether the client asked for progress reports.
        input_responses: The client's answers to earlier questions, by key.
        request_state: The state that came back with them.
    """

    def __init__(
        self,
        asked: RequestReceived,
        machine: ServerSession,
        session: KeptSession | None,
        send: SendMessage,
        sender: Sender = UNKNOWN_SENDER,
    ) -> None:
        meta: Any = asked.params.get("_meta")
        responses, state = asked.params.get("inputResponses"), asked.params.get("requestState")
        self.send = send
        self.user_id, self.view, self._header, self.owner = sender
        self.capabilities: Mapping[str, Any] = asked.capabilities
        self.revision: Revision = asked.revision
        self.meta: Mapping[str, Any] = {}
        if isinstance(meta, dict) and not PROTOCOL_META.issuperset(cast("dict[str, Any]", meta)):
            members = cast("dict[str, Any]", meta).items()
            self.meta = valid_members({key: value for key, value in members if key not in PROTOCOL_META})
        self.session_id: str | None = session.id if session is not None else None
        self.wants_progress: bool = asked.progress_token is not None
        self.input_responses = cast("dict[str, Any]", responses) if isinstance(responses, dict) else None
        self.request_state: str | None = state if isinstance(state, str) else None
        self._asked = asked
        self._machine = machine
        self._session = session
        self._sender = sender

    def with_meta(self, members: Mapping[str, Any]) -> RequestContext:
        """Return the same caller with more members in ``meta``."""
        meta: Any = self._asked.params.get("_meta")
        known = cast("dict[str, Any]", meta) if isinstance(meta, dict) else {}
        return self._with_params({**self._asked.params, "_meta": {**known, **members}})

    def header(self, name: str) -> str | None:
        """Return a header of the HTTP request, None without it or over another transport."""
        return self._header(name) if self._header is not None else None

    def with_input(self, responses: Mapping[str, Any] | None, state: str | None) -> RequestContext:
        """Return the same caller with other answers and another state, None for none."""
        return self._with_params({**self._asked.params, "inputResponses": responses, "requestState": state})

    def _with_params(self, params: Mapping[str, Any]) -> RequestContext:
        again = replace(self._asked, params=params)
        return RequestContext(again, self._machine, self._session, self.send, self._sender)

    async def report_progress(
        self, progress: float, *, total: float | None = None, message: str | None = None
    ) -> None:
        """Send a progress report, where the client asked for reports."""
        token = self._asked.progress_token
        if token is not None:
            report = self._machine.report_progress(token, progress, total=total, message=message)
            await self.send(report.payload)

    async def log(self, level: str, content: Any, *, logger: str | None = None) -> None:
        """Send a log message, where the client wants messages of that level."""
        wanted = self.log_level
        if wanted is None or LOG_LEVELS.index(level) < LOG_LEVELS.index(wanted):
            return
        params = {"level": level, "data": content, **({"logger": logger} if logger is not None else {})}
        await self.send(self._machine.start_notification("notifications/message", params).payload)

    @property
    def log_level(self) -> str | None:
        """The lowest level of which the client wants log messages."""
        if not self._asked.revision.stamps_requests:
            return self._session.log_level if self._session is not None else None
        level = cast("dict[str, Any]", self._asked.params["_meta"]).get(LOG_LEVEL_KEY)
        return level if level in LOG_LEVELS else None

    async def ask(self, key: str, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask the client for input and return its answer.

        Raises:
            InputRequired: The request will come again with the answer.
            RPCError: The client cannot be asked that, or answered with an error.
        """
        missing = missing_capabilities(method, params, self.capabilities)
        if missing is not None:
            raise RPCError(
                f"the client does not declare the capability {'.'.join(_path(missing))}",
                code=MISSING_CAPABILITY,
                data={"requiredCapabilities": missing},
            )
        if self._asked.revision.peer_requests:
            return await self._ask_now(method, params)
        answers = {**_answers_in(self.request_state), **(self.input_responses or {})}
        answer = answers.get(key)
        if not isinstance(answer, dict):
            raise InputRequired({key: {"method": method, "params": dict(params)}}, _state_with(answers))
        return cast("dict[str, Any]", answer)

    async def with_answers(self, required: InputRequired) -> RequestContext:
        """Ask the client all questions, and return the caller with the answers.

        Raises:
            RPCError: As :meth:`ask`.
        """
        answers: dict[str, Any] = {}
        for key, request in required.requests.items():
            answers[key] = await self.ask(key, request["method"], request.get("params") or {})
        return self.with_input(answers or None, required.state)

    async def _ask_now(self, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        session = self._session
        if session is None:
            raise InvalidRequestError(f"{method} needs a session, in which the client can answer")
        outgoing = self._machine.start_request(Call(method, params, WireModel, safe=False))
        request_id = cast("RequestId", outgoing.request_id)
        answer: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        session.answers[request_id] = answer
        try:
            async with asyncio.timeout(INPUT_SECONDS):
                await self.send(outgoing.payload)
                return await answer
        except TimeoutError:
            raise RPCError(f"the client did not answer {method}", code=INTERNAL_ERROR) from None
        finally:
            del session.answers[request_id]
            self._machine.abandon(request_id)


def _path(members: Mapping[str, Any]) -> list[str]:
    """Return the names that lead to the innermost member of an object."""
    return [each for name, inner in members.items() for each in (name, *_path(inner))]


def _state_with(answers: Mapping[str, Any]) -> str | None:
    """Write earlier answers into a state that the client sends back: it sends only new ones with it."""
    return jsonrpc.dumps(answers).decode() if answers else None


def _answers_in(state: str | None) -> dict[str, Any]:
    """Read them; they are the client's own words, so that it gains nothing by changing them."""
    try:
        value: Any = from_json(state or "{}")
    except ValueError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}

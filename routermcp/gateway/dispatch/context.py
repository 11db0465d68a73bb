"""Who made a request, and the way back to them while it is worked on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, cast

from pydantic_core import from_json

from routermcp_proto import jsonrpc
from routermcp_proto.calls import Call
from routermcp_proto.client_session import RESERVED_META
from routermcp_proto.error_codes import INTERNAL_ERROR, MISSING_CAPABILITY
from routermcp_proto.events import RequestReceived
from routermcp_proto.exceptions import InvalidRequestError, RPCError
from routermcp_proto.jsonrpc import RequestId
from routermcp_proto.names import LOG_LEVEL_KEY, LOG_LEVELS
from routermcp_proto.server_session import ServerSession
from routermcp_proto.types.base import WireModel
from routermcp_proto.versions import Revision

from ..backend import InputNeeded
from ..sessions.base import KeptSession

#: Seconds that a client may take to answer a question: it may be a person who answers.
INPUT_SECONDS = 300.0

#: Members of ``_meta`` that the protocol itself uses, hop by hop.
PROTOCOL_META = RESERVED_META | {LOG_LEVEL_KEY, "progressToken"}


_CAPABILITY_FOR = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}

#: Sends a message to the client before the answer to its request.
SendMessage = Callable[[bytes], Awaitable[None]]


class RequestContext:
    """The client behind one request; see :class:`~routermcp.gateway.backend.Caller`.

    Args:
        asked: The request.
        machine: The session machine that took it.
        session: The session that is kept of it, None in the stateless era.
        send: Sends a message to the client before the answer.
        user_id: Whom the request is for.

    Attributes:
        send: Sends a message to the client before the answer.
    """

    def __init__(
        self,
        asked: RequestReceived,
        machine: ServerSession,
        session: KeptSession | None,
        send: SendMessage,
        user_id: str | None = None,
    ) -> None:
        self.user_id = user_id
        self._asked = asked
        self._machine = machine
        self._session = session
        self.send = send

    @property
    def capabilities(self) -> Mapping[str, Any]:
        """What the client declared it can do."""
        return self._asked.capabilities

    @property
    def revision(self) -> Revision:
        """The revision of MCP that the request is written in."""
        return self._asked.revision

    @property
    def session_id(self) -> str | None:
        """The session of the handshake era that the request belongs to."""
        return self._session.id if self._session is not None else None

    @property
    def meta(self) -> Mapping[str, Any]:
        """What ``_meta`` holds beside what the protocol itself uses."""
        meta = self._asked.params.get("_meta")
        if not isinstance(meta, dict):
            return {}
        own = cast("dict[str, Any]", meta)
        return {key: value for key, value in own.items() if key not in PROTOCOL_META}

    @property
    def wants_progress(self) -> bool:
        """Whether the client asked for progress reports."""
        return self._asked.progress_token is not None

    @property
    def input_responses(self) -> Mapping[str, Any] | None:
        """The client's answers to what it was asked, by key."""
        responses = self._asked.params.get("inputResponses")
        return cast("dict[str, Any]", responses) if isinstance(responses, dict) else None

    @property
    def request_state(self) -> str | None:
        """The text that came back with them."""
        state = self._asked.params.get("requestState")
        return state if isinstance(state, str) else None

    def with_input(self, responses: Mapping[str, Any] | None, state: str | None) -> RequestContext:
        """Return the same caller with other answers and another text, None for none."""
        params = {**self._asked.params, "inputResponses": responses, "requestState": state}
        again = replace(self._asked, params=params)
        return RequestContext(again, self._machine, self._session, self.send, self.user_id)

    async def report_progress(
        self, progress: float, *, total: float | None = None, message: str | None = None
    ) -> None:
        """Tell how far the work is, where the client asked for that."""
        token = self._asked.progress_token
        if token is not None:
            report = self._machine.report_progress(token, progress, total=total, message=message)
            await self.send(report.payload)

    async def log(self, level: str, content: Any, *, logger: str | None = None) -> None:
        """Send a log message, where the client wants those of that level."""
        wanted = self.log_level
        if wanted is None or LOG_LEVELS.index(level) < LOG_LEVELS.index(wanted):
            return
        params = {"level": level, "data": content, **({"logger": logger} if logger is not None else {})}
        await self.send(self._machine.start_notification("notifications/message", params).payload)

    @property
    def log_level(self) -> str | None:
        """From which level on the client wants log messages."""
        if not self._asked.revision.stamps_requests:
            return self._session.log_level if self._session is not None else None
        level = cast("dict[str, Any]", self._asked.params["_meta"]).get(LOG_LEVEL_KEY)
        return level if level in LOG_LEVELS else None

    async def ask(self, key: str, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask the client for something and return its answer.

        Raises:
            InputNeeded: The request will come again with the answer.
            RPCError: The client cannot be asked that, or answered with an error.
        """
        capability = _CAPABILITY_FOR[method]
        if capability not in self.capabilities:
            raise RPCError(
                f"the client does not declare the capability {capability}",
                code=MISSING_CAPABILITY,
                data={"requiredCapabilities": {capability: {}}},
            )
        if self._asked.revision.peer_requests:
            return await self._ask_now(method, params)
        answers = {**_remembered(self.request_state), **(self.input_responses or {})}
        answer = answers.get(key)
        if not isinstance(answer, dict):
            raise InputNeeded({key: {"method": method, "params": dict(params)}}, _memory_of(answers))
        return cast("dict[str, Any]", answer)

    async def answering(self, needed: InputNeeded) -> RequestContext:
        """Ask for all that is needed, and return the caller as it comes again with the answers.

        Raises:
            RPCError: As :meth:`ask`.
        """
        answers: dict[str, Any] = {}
        for key, request in needed.requests.items():
            answers[key] = await self.ask(key, request["method"], request.get("params") or {})
        return self.with_input(answers, needed.state)

    async def _ask_now(self, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        session = self._session
        if session is None:
            raise InvalidRequestError("this needs a session, for the answer to come back in")
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


def _memory_of(answers: Mapping[str, Any]) -> str | None:
    """Write earlier answers into a text that the client sends back: it brings only new ones."""
    return jsonrpc.dumps(answers).decode() if answers else None


def _remembered(state: str | None) -> dict[str, Any]:
    """Read them; they are the client's own words, so that it gains nothing by changing them."""
    try:
        value: Any = from_json(state or "{}")
    except ValueError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}

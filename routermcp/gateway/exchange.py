"""One POST: the requests in it are worked on, and what they have to say goes out.

The answer is one JSON document when a single request is answered before there was anything
else to say. It becomes an event stream with the first progress report, log message or
question to the client, with several answers (a batch), or when the work takes so long that
somebody on the way might take the connection for dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic_core import from_json

from routermcp_proto import jsonrpc
from routermcp_proto.calls import Call
from routermcp_proto.client_session import RESERVED_META
from routermcp_proto.events import MessageReady, RequestReceived
from routermcp_proto.exceptions import InvalidParamsError, InvalidRequestError, LocalProtocolError, RPCError
from routermcp_proto.jsonrpc import ErrorObject, RequestId
from routermcp_proto.server_session import ServerSession
from routermcp_proto.types.base import WireModel
from routermcp_proto.versions import Revision

from .asgi import Receive, Reply, disconnected
from .backend import LOG_LEVEL_KEY, LOG_LEVELS, Backend, InputNeeded
from .dispatch import dispatch
from .sessions import KeptSession

logger = logging.getLogger("routermcp.gateway")

#: Seconds after which a silent stream gets a comment. Proxies commonly cut after 60 (nginx,
#: ``proxy_read_timeout``) or 30 (Heroku).
KEEP_ALIVE_SECONDS = 15.0

#: Seconds that a client may take to answer a question: it may be a person who answers.
INPUT_SECONDS = 300.0

#: Members of ``_meta`` that the protocol itself uses, hop by hop.
PROTOCOL_META = RESERVED_META | {LOG_LEVEL_KEY, "progressToken"}


MISSING_CAPABILITY = -32021
INTERNAL_ERROR = -32603

_CAPABILITY_FOR = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}

#: HTTP statuses that the stateless era gives to errors; all others travel with 200.
_STATUSES = {-32601: 404, MISSING_CAPABILITY: 400}


class HTTPCaller:
    """The client behind one request; see :class:`~routermcp.gateway.backend.Caller`."""

    def __init__(
        self,
        asked: RequestReceived,
        machine: ServerSession,
        session: KeptSession | None,
        reply: Reply,
        user_id: str | None = None,
    ) -> None:
        self.user_id = user_id
        self._asked = asked
        self._machine = machine
        self._session = session
        self._reply = reply

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

    async def report_progress(
        self, progress: float, *, total: float | None = None, message: str | None = None
    ) -> None:
        """Tell how far the work is, where the client asked for that."""
        token = self._asked.progress_token
        if token is not None:
            report = self._machine.report_progress(token, progress, total=total, message=message)
            await self._reply.event(report.payload)

    async def log(self, level: str, content: Any, *, logger: str | None = None) -> None:
        """Send a log message, where the client wants those of that level."""
        wanted = self.log_level
        if wanted is None or LOG_LEVELS.index(level) < LOG_LEVELS.index(wanted):
            return
        params = {"level": level, "data": content, **({"logger": logger} if logger is not None else {})}
        await self._reply.event(self._machine.start_notification("notifications/message", params).payload)

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

    async def _ask_now(self, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        session = self._session
        if session is None:
            raise InvalidRequestError("this needs a session, for the answer to come back in", code=-32600)
        outgoing = self._machine.start_request(Call(method, params, WireModel, safe=False))
        request_id = cast("RequestId", outgoing.request_id)
        answer: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        session.answers[request_id] = answer
        try:
            async with asyncio.timeout(INPUT_SECONDS):
                await self._reply.event(outgoing.payload)
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


class Exchange:
    """Works on the requests of one POST.

    Args:
        backend: Who answers.
        machine: The session machine that took the message.
        session: The session that is kept of it, None in the stateless era.
        reply: Where the answers go.
        user_id: Whom the requests are for.
    """

    def __init__(
        self,
        backend: Backend,
        machine: ServerSession,
        session: KeptSession | None,
        reply: Reply,
        user_id: str | None = None,
    ) -> None:
        self._backend = backend
        self._machine = machine
        self._session = session
        self._reply = reply
        self._user_id = user_id
        self._alone = True
        self._running = session.running if session is not None else {}

    async def run(
        self, ready: Sequence[MessageReady], asked: Sequence[RequestReceived], receive: Receive
    ) -> None:
        """Answer, and return when all was answered or the client is gone.

        Args:
            ready: Answers that the machine gave by itself.
            asked: Requests for the backend.
            receive: Tells when the client is gone, upon which the work is cancelled.
        """
        self._alone = len(ready) + len(asked) == 1
        for message in ready:
            payload = message.outgoing.payload
            if self._alone:
                await self._reply.json(payload, status_of(payload))
            else:
                await self._reply.event(payload)
        if not asked:
            await self._finish(bool(ready))
            return
        workers = {request.request_id: asyncio.create_task(self._serve(request)) for request in asked}
        self._running.update(workers)
        watcher = asyncio.create_task(disconnected(receive))
        try:
            await self._attend(set(workers.values()), watcher)
        finally:
            gone = watcher.done()
            for task in (*workers.values(), watcher):
                task.cancel()
            await asyncio.gather(*workers.values(), watcher, return_exceptions=True)
            self._forget(workers)
        for worker in workers.values():
            if not worker.cancelled():
                worker.result()
        if not gone:
            await self._finish(True)

    def _forget(self, workers: Mapping[RequestId, asyncio.Task[None]]) -> None:
        for request_id, worker in workers.items():
            if self._running.get(request_id) is not worker:
                continue  # withdrawn; its id may be in use again
            del self._running[request_id]
            with contextlib.suppress(LocalProtocolError):  # it was answered
                self._machine.refuse(request_id, ErrorObject(INTERNAL_ERROR, "cancelled"))

    async def _finish(self, answered: bool) -> None:
        if not answered:
            await self._reply.empty(202)
        elif not self._reply.complete:
            await self._reply.end()

    async def _attend(self, waiting: set[asyncio.Task[None]], watcher: asyncio.Task[None]) -> None:
        while waiting and not watcher.done():
            done, _ = await asyncio.wait(
                {*waiting, watcher}, timeout=KEEP_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            waiting -= done
            if not done and not self._reply.complete:
                await self._reply.keep_alive()

    async def _serve(self, asked: RequestReceived) -> None:
        payload, status = await self._answer(asked)
        if self._alone and not self._reply.streaming:
            await self._reply.json(payload, status)
        else:
            await self._reply.event(payload)

    async def _answer(self, asked: RequestReceived) -> tuple[bytes, int]:
        """Return the answer to a request and the HTTP status that goes with it."""
        caller = HTTPCaller(asked, self._machine, self._session, self._reply, self._user_id)
        try:
            if asked.method == "logging/setLevel" and self._session is not None:
                result = self._set_level(self._session, asked.params.get("level"))
            else:
                result = await dispatch(self._backend, asked, caller)
            return self._machine.answer(asked.request_id, result), 200
        except InputNeeded as needed:
            wanted: dict[str, Any] = {"resultType": "input_required", "inputRequests": needed.requests}
            if needed.state is not None:
                wanted["requestState"] = needed.state
            return self._machine.answer(asked.request_id, wanted), 200
        except RPCError as error:
            status = _STATUSES.get(error.code, 200) if asked.revision.stamps_requests else 200
            answer = ErrorObject(error.code, error.message, error.data)
            return self._machine.refuse(asked.request_id, answer), status
        except Exception:
            logger.exception("%s failed", asked.method)
            answer = ErrorObject(INTERNAL_ERROR, "internal error")
            return self._machine.refuse(asked.request_id, answer), 200

    @staticmethod
    def _set_level(session: KeptSession, level: Any) -> Mapping[str, Any]:
        if level not in LOG_LEVELS:
            raise InvalidParamsError(f"level is not one of {', '.join(LOG_LEVELS)}", code=-32602)
        session.log_level = level
        return {}


def status_of(payload: bytes) -> int:
    """Return the HTTP status for an answer that the machine gave by itself."""
    (message,) = jsonrpc.decode(payload)
    if not isinstance(message, jsonrpc.ErrorResponse):
        return 200
    return _STATUSES.get(message.error.code, 400)

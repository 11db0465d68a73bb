"""Requests on their way through the gateway, and the questions that come back the same way.

A server of the handshake era asks in the middle of its work and waits for the answer. A
client of that era is asked at once. A client of the stateless era gets the question as the
result of its request, and sends the request again with the answer; until then the server's
work is *parked*, under a text that only this client has.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any

from routermcp_proto.error_codes import INTERNAL_ERROR, INVALID_PARAMS
from routermcp_proto.exceptions import InvalidParamsError, RPCError
from routermcp_proto.names import LOG_LEVELS
from routermcp_proto.types import Progress

from ..backend import Caller, InputNeeded
from .sanitize import question

Result = Mapping[str, Any]

#: Requests whose client has been asked and has not answered yet.
MAX_PARKED = 1_000

#: Seconds for a client to come back with an answer: it may be a person who answers.
PARK_SECONDS = 300.0

#: Bytes of randomness in the text under which a request is parked.
TOKEN_BYTES = 32

current: ContextVar[ForwardedRequest | None] = ContextVar("routermcp_gateway_passing", default=None)
"""The request whose task this is."""


class ForwardedRequest:
    """One request that is being passed on to a server.

    Attributes:
        caller: Who made it; another one each time it comes again with an answer.
    """

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self._owner = (caller.user_id, caller.session_id)
        self._asked = 0
        self._open: dict[str, Mapping[str, Any]] = {}
        self._parkable: _Parkable | None = None

    def belongs_to(self, caller: Caller) -> bool:
        """Whether a caller is the one who began it."""
        return self._owner == (caller.user_id, caller.session_id)

    def is_of_session(self, other: ForwardedRequest) -> bool:
        """Whether two requests belong to the same session of a client."""
        return self._owner == other._owner and self._owner[1] is not None

    # ---- on the way back ------------------------------------------------------------------

    async def ask(self, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask the client and return its answer, however it travels.

        Raises:
            RPCError: The client cannot be asked that, or answered with an error.
        """
        params = question(params)
        self._asked += 1
        key = f"question-{self._asked}"
        while True:
            try:
                return await self.caller.ask(key, method, params)
            except InputNeeded as needed:
                parkable = self._parkable
                if parkable is None:
                    raise
                parkable.resumed.clear()
                self._open.update(needed.requests)
                parkable.turn.set()
            await parkable.resumed.wait()

    async def report_progress(self, progress: Progress) -> None:
        """Tell the client how far the work is, unless it is not there just now."""
        if not self._open:
            await self.caller.report_progress(
                progress.progress, total=progress.total, message=progress.message
            )

    async def log(self, level: str, content: Any, logger: str | None) -> None:
        """Pass a log message on to the client, unless it is not there just now."""
        if not self._open and level in LOG_LEVELS:
            await self.caller.log(level, content, logger=logger)

    # ---- parked ------------------------------------------------------------------------

    def begin(self, work: Callable[[ForwardedRequest], Awaitable[Result]]) -> None:
        """Start the work in a task of its own, which outlives the first request for it."""
        parkable = self._parkable = _Parkable()

        async def run() -> Result:
            try:
                return await work(self)
            finally:
                parkable.turn.set()

        parkable.task = asyncio.create_task(run())

    def resume(self, caller: Caller) -> None:
        """Go on with the request that brings the answer."""
        self.caller = caller
        self._open.clear()
        parkable = self._begun()
        if not parkable.task.done():
            parkable.turn.clear()
        parkable.resumed.set()

    async def outcome(self) -> Result:
        """Wait for the result.

        Raises:
            InputNeeded: The client has to be asked first; the work goes on then.
            RPCError: The work failed.
        """
        parkable = self._begun()
        try:
            await parkable.turn.wait()
            if self._open and not parkable.task.done():
                raise InputNeeded(dict(self._open))
            return await parkable.task
        except asyncio.CancelledError:
            await self.cancel()
            raise

    async def cancel(self) -> None:
        """Give the work up."""
        task = self._begun().task
        task.cancel()
        await asyncio.wait([task])

    def _begun(self) -> _Parkable:
        if self._parkable is None:
            raise AssertionError("begun before anybody waits for it")
        return self._parkable


class _Parkable:
    """Work that may have to wait for its client to come back."""

    task: asyncio.Task[Result]

    def __init__(self) -> None:
        self.turn = asyncio.Event()
        """Set when whoever waits for the work has something to do."""
        self.resumed = asyncio.Event()
        """Set when the client has come back."""


class SuspendedRequests:
    """The requests that wait for their clients to come back with an answer."""

    def __init__(self, seconds: float = PARK_SECONDS) -> None:
        self._seconds = seconds
        self._parked: dict[str, tuple[ForwardedRequest, asyncio.TimerHandle]] = {}
        self._dropping: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._parked)

    def __contains__(self, state: str | None) -> bool:
        return state in self._parked

    async def run(self, caller: Caller, work: Callable[[ForwardedRequest], Awaitable[Result]]) -> Result:
        """Begin the work, or go on with that for which an answer has come, up to the next question.

        Raises:
            InputNeeded: The client has to be asked first.
            RPCError: The work failed, or the answer is one to nothing.
        """
        state = caller.request_state
        if state is None:
            passing = ForwardedRequest(caller)
            passing.begin(work)
        else:
            passing = self._take(state, caller)
            passing.resume(caller)
        try:
            return await passing.outcome()
        except InputNeeded as needed:
            raise InputNeeded(needed.requests, await self._park(passing)) from None

    def _take(self, state: str, caller: Caller) -> ForwardedRequest:
        parked = self._parked.get(state)
        if parked is None or not parked[0].belongs_to(caller):
            raise InvalidParamsError(
                "the question was asked too long ago, or by another process; make the call again",
                code=INVALID_PARAMS,
            )
        del self._parked[state]
        parked[1].cancel()
        return parked[0]

    async def _park(self, passing: ForwardedRequest) -> str:
        if len(self._parked) >= MAX_PARKED:
            await passing.cancel()
            raise RPCError("too many questions wait for an answer", code=INTERNAL_ERROR)
        token = secrets.token_urlsafe(TOKEN_BYTES)
        timer = asyncio.get_running_loop().call_later(self._seconds, self._drop, token)
        self._parked[token] = (passing, timer)
        return token

    def _drop(self, token: str) -> None:
        passing, _ = self._parked.pop(token)
        task = asyncio.create_task(passing.cancel())
        self._dropping.add(task)
        task.add_done_callback(self._dropping.discard)

    async def close(self) -> None:
        """Give up all that is parked."""
        parked = list(self._parked.values())
        self._parked.clear()
        for passing, timer in parked:
            timer.cancel()
            await passing.cancel()

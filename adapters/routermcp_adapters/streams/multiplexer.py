"""One stream that many callers share, without a task of its own.

Whoever waits for an answer and finds nobody reading *leads*: it reads for all and puts
each event into the box of the call it belongs to. When the leader has its own answer, is
cancelled, or runs a callback of the user, the next one leads (leader/follower). So nothing
runs while nobody waits, and a client may be opened in one task and closed in another.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import NoReturn

from routermcp_proto.client_session import ClientSession
from routermcp_proto.events import (
    Connected,
    ConnectionFailed,
    ErrorReceived,
    Event,
    InputRequired,
    MessageReady,
    Outgoing,
    ProgressReceived,
    ResponseReceived,
    ResponseRejected,
)
from routermcp_proto.exceptions import TransportError
from routermcp_proto.handshake import Refused
from routermcp_proto.http.outcomes import Outcome
from routermcp_proto.jsonrpc import RequestId
from routermcp_proto.states import SessionState

from ..call.deadline import CallDeadline
from ..call.incoming import OnEvent
from ..concurrency.mutex import Mutex, Turn
from ..runtime import Event as Flag
from ..runtime import Runtime, StreamClosedError
from ..wire_log import enabled, wire
from .base import MessageStream

#: Seconds for the answer to the first question of the handshake. Some servers of the
#: handshake era answer nothing before ``initialize``, and are asked for that then
#: (MCP 2026-07-28, stdio, "Backward Compatibility").
PROBE_SECONDS = 3.0

#: Stands for the id of a request where somebody reads who has made none. Requests have numbers.
ATTENDANT = "attendant"

#: Bytes of a message that the log shows.
MAX_LOGGED = 2048

_OUTCOMES = (ResponseReceived, ErrorReceived, ResponseRejected, InputRequired)
_OF_A_CALL = (*_OUTCOMES, ProgressReceived)


class _Waiter:
    """One call that waits, with what has come for it."""

    __slots__ = ("box", "flag", "request_id")

    def __init__(self, request_id: RequestId) -> None:
        self.request_id = request_id
        self.box: deque[Event] = deque()
        self.flag: Flag | None = None


class Multiplexer:
    """The callers of one stream.

    Args:
        stream: The stream.
        session: Whose messages it carries.
        runtime: How to wait.
        place: Where the server is, for people.
    """

    def __init__(self, stream: MessageStream, session: ClientSession, runtime: Runtime, place: str) -> None:
        self._stream = stream
        self._session = session
        self._runtime = runtime
        self._place = place
        self._writing = Mutex(runtime)
        self._lock = threading.Lock()
        self._waiters: dict[RequestId, _Waiter] = {}
        self._leader: _Waiter | None = None
        self.broken: TransportError | None = None
        """Why the stream is of no more use, None while it is."""

    @property
    def busy(self) -> bool:
        """Whether anybody waits for an answer."""
        return bool(self._waiters)

    # ---- sending ---------------------------------------------------------------------

    async def send(self, outgoing: Outgoing) -> None:
        """Send a message.

        Raises:
            TransportError: The stream has failed.
        """
        turn = Turn(self._writing)
        try:
            await turn.begin()
            await self._send(outgoing)
        finally:
            try:
                turn.end()
            finally:  # Ctrl-C may have cut the first attempt short
                turn.end()

    async def _send(self, outgoing: Outgoing) -> None:
        if self.broken is not None:
            raise self._lost(not_run=True)
        if enabled():
            wire.debug("-> %.*r", MAX_LOGGED, outgoing.payload)
        try:
            await self._stream.send(outgoing.payload)
        except StreamClosedError as error:
            self.abort(error)
            raise self._lost(not_run=True) from error
        except OSError as error:
            if isinstance(error, TimeoutError) and error.errno is None:
                raise
            self.abort(error)
            raise self._lost() from error

    # ---- calls -----------------------------------------------------------------------

    async def exchange(self, outgoing: Outgoing, on_event: OnEvent) -> Outcome:
        """Send a request and wait for what comes of it.

        Args:
            outgoing: The request.
            on_event: Told of everything else that happens meanwhile.

        Raises:
            TransportError: The stream ended before the answer.
        """
        waiter = _Waiter(outgoing.request_id or 0)
        try:
            self._waiters[waiter.request_id] = waiter
            await self.send(outgoing)
            while True:
                event = await self._next(waiter)
                if isinstance(event, _OUTCOMES):
                    return event
                # A callback of the user may take its time, and make calls of its own.
                self._appoint()
                await on_event(event)
        finally:
            try:
                self._leave(waiter)
            finally:  # Ctrl-C may have cut the first attempt short
                self._leave(waiter)

    async def attend(self, on_event: OnEvent) -> NoReturn:
        """Read while no call does, until the stream ends.

        Raises:
            TransportError: It has ended.
        """
        waiter = _Waiter(ATTENDANT)
        try:
            self._waiters[waiter.request_id] = waiter
            while True:
                event = await self._next(waiter)
                self._appoint()
                await on_event(event)
        finally:
            try:
                self._leave(waiter)
            finally:  # Ctrl-C may have cut the first attempt short
                self._leave(waiter)

    async def shake_hands(self, outgoing: Outgoing, on_event: OnEvent, deadline: CallDeadline) -> None:
        """Take the steps that the session's machine asks for, until it is connected.

        Raises:
            MCPError: There is no agreement.
        """
        waiter = _Waiter(0)
        try:
            self._waiters[waiter.request_id] = waiter
            await self.send(outgoing)
            while True:
                event = await self._next_step(waiter, deadline)
                if isinstance(event, ConnectionFailed):
                    raise event.error
                if isinstance(event, Connected):
                    return
                if isinstance(event, MessageReady):
                    await self.send(event.outgoing)
                else:
                    await on_event(event)
        finally:
            try:
                self._leave(waiter)
            finally:  # Ctrl-C may have cut the first attempt short
                self._leave(waiter)

    async def _next_step(self, waiter: _Waiter, deadline: CallDeadline) -> Event:
        if self._session.state is not SessionState.PROBING or not deadline.has(PROBE_SECONDS):
            return await self._next(waiter)
        scope = deadline.runtime.deadline(deadline.runtime.now() + PROBE_SECONDS)
        try:
            async with scope:
                return await self._next(waiter)
        except TimeoutError:
            if not scope.expired:
                raise
            silence = TransportError(f"{self._place} did not answer server/discover", code="timeout")
            waiter.box.extend(self._session.refuse_handshake(Refused(None, silence)))
        return await self._next(waiter)

    def _leave(self, waiter: _Waiter) -> None:
        """Wait no longer, and let somebody else read; may be called again."""
        if self._leader is waiter:
            self._leader = None
        self._waiters.pop(waiter.request_id, None)
        self._appoint()

    # ---- reading ---------------------------------------------------------------------

    async def _next(self, waiter: _Waiter) -> Event:
        """Return the next event of a call, and read for all while nobody else does."""
        while not waiter.box:
            if self.broken is not None:
                raise self._lost()
            turn = self._take_lead(waiter)
            if turn is not None:
                await turn.wait()
                continue
            try:
                payload = await self._stream.receive()
            except OSError as error:
                if isinstance(error, TimeoutError) and error.errno is None:
                    raise
                if self.broken is None:
                    self.abort(error)
            else:
                try:
                    self._take(payload, waiter)
                except BaseException:
                    # Ctrl-C: whoever the message was for would wait for ever.
                    self.abort(OSError("a message was interrupted on its way to its call"))
                    raise
            finally:
                self._leader = None
        return waiter.box.popleft()

    def _take_lead(self, waiter: _Waiter) -> Flag | None:
        """Become the leader, or return the flag that is raised when there is something to do."""
        with self._lock:
            if self._leader is None:
                self._leader = waiter
                return None
            waiter.flag = self._runtime.event()
            if waiter.box or self.broken is not None:
                waiter.flag.set()
            return waiter.flag

    def _appoint(self) -> None:
        """See that somebody reads, where anybody waits."""
        with self._lock:
            if self._leader is not None:
                return
            for waiter in tuple(self._waiters.values()):
                if waiter.flag is not None and not waiter.box:
                    waiter.flag.set()
                    waiter.flag = None
                    return

    def _take(self, payload: bytes, reader: _Waiter) -> None:
        if not payload:
            self.abort(None)
            return
        if enabled():
            wire.debug("<- %.*r", MAX_LOGGED, payload)
        for event in self._session.receive_message(payload):
            target: _Waiter | None = reader
            if isinstance(event, _OF_A_CALL):
                target = self._waiters.get(event.request_id)
            if target is not None:
                self._put(target, event)

    def _put(self, waiter: _Waiter, event: Event) -> None:
        with self._lock:
            waiter.box.append(event)
            if waiter.flag is not None:
                waiter.flag.set()
                waiter.flag = None

    # ---- ending ----------------------------------------------------------------------

    async def aclose(self) -> None:
        """Close the stream in an orderly way."""
        self._break("the client was disconnected meanwhile")
        await self._stream.aclose()

    def abort(self, error: OSError | None) -> None:
        """Close the stream at once, and let everybody know.

        Args:
            error: Why, None for an orderly end by the server.
        """
        self._break(f"the connection to {self._place} ended" + (f": {error}" if error is not None else ""))
        self._stream.abort()

    def after_fork(self) -> None:
        """Leave the stream to the parent process, untouched; who was in the middle of a call is told."""
        self._lock = threading.Lock()
        self._writing = Mutex(self._runtime)
        self._leader = None
        self.broken = TransportError(
            f"the connection to {self._place} is the parent process's", code="closed"
        )

    def _break(self, why: str) -> None:
        if self.broken is None:
            self.broken = TransportError(why, code="closed")
        with self._lock:
            for waiter in tuple(self._waiters.values()):
                if waiter.flag is not None:
                    waiter.flag.set()
                    waiter.flag = None

    def _lost(self, *, not_run: bool = False) -> TransportError:
        broken = self.broken
        message = str(broken.args[0]) if broken is not None else f"the connection to {self._place} ended"
        return TransportError(message, code="closed", not_run=not_run)

"""One stream that many callers share, whichever of them reads.

Theory of operation (leader/follower: Schmidt et al., "Pattern-Oriented Software Architecture",
volume 2, 2000):

* Each call enters the table of waiters under its request id, sends its request and waits for its
  box to fill. A :class:`Mutex` orders the sends, because two messages must not mix.
* A waiter whose box is empty becomes the *leader* if there is none. The leader alone awaits
  ``receive``, gives each message to the session's machine, and puts each event into the box of
  the call whose request id it has. Events of no call (a notification, a request of the server) go
  to the leader's own box, and its callbacks handle them.
* All other waiters are *followers*. Each waits for an event (a flag) of its own, which is set when
  its box gets something, when the stream breaks, or when it is to lead.
* The leader steps down after each message. When it leaves (its answer has come, its deadline has
  passed, it was cancelled) or is about to run a callback of the user, which may take its time and
  make calls of its own, it wakes one follower whose box is empty, and that one leads.
* A follower that is woken only looks again: a box with an event is emptied first, a broken stream
  raises, and else it leads or waits once more. So a wake-up too many does no harm, and what must
  hold is one thing: while calls wait and none of them leads, a follower has been woken.

The *attendant* (:meth:`Multiplexer.attend`) makes no request. It leads only while no call waits or
all of them run callbacks, and steps aside at the first message that it reads while a call waits: such
a message goes to that call. After a call it rests for a moment, so that a burst of calls reads for
itself and wakes it once. No call depends on it, so its end needs no notice, and a client may be opened
in one task and closed in another.

Cancellation: ``receive`` of a stream loses nothing when it is cancelled, so a leader may be
cancelled there. Between ``receive`` and the boxes nothing is awaited; only Ctrl-C in blocking code
can come there, and it breaks the stream, since the message belongs to a call that would wait for
it for ever. Leaving goes by :func:`ensured`, for the same Ctrl-C.

Threads (blocking code): the lock guards the boxes' flags and who leads; a box is filled under the
lock and emptied without it by its one owner.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from routermcp_proto.client_session import ClientSession
from routermcp_proto.events import (
    Connected,
    ConnectionFailed,
    ErrorReceived,
    Event,
    InputRequired,
    LongListReceived,
    MessageReady,
    Outgoing,
    ProgressReceived,
    ResponseReceived,
    ResponseRejected,
)
from routermcp_proto.exceptions import TransportError
from routermcp_proto.http.outcomes import Outcome
from routermcp_proto.jsonrpc import RequestId
from routermcp_proto.redaction import redacted
from routermcp_proto.session.handshake import Refused
from routermcp_proto.states import SessionState

from ..call.deadline import PROBE_SHARE, CallDeadline
from ..call.incoming import OnEvent
from ..concurrency.ctrl_c import ensured
from ..concurrency.mutex import Mutex
from ..runtime import DeadlineScope, Runtime, StreamClosedError
from ..runtime import Event as Flag
from ..wire_log import MAX_LOGGED, enabled, wire
from .base import MessageStream

#: Seconds for the answer to the first request of the handshake. Some servers of the
#: handshake era answer nothing before ``initialize``, which is sent then
#: (MCP 2026-07-28, stdio, "Backward Compatibility").
PROBE_SECONDS = 3.0

#: The id of the attendant, which has made no request. Requests have numbers.
NO_REQUEST = "none"

#: Seconds that the attendant rests when it could lead again. Calls that follow one another
#: faster pay nothing for it; no server expects an answer sooner from a client that is idle.
REST_SECONDS = 0.02

#: Returns secrets that a server was sent.
Secrets = Callable[[], Sequence[str]]

#: Sends a request, and returns the outcome of one that was refused.
PostRequest = Callable[[Outgoing], Awaitable[Outcome | None]]

_OUTCOMES = (ResponseReceived, ErrorReceived, ResponseRejected, LongListReceived, InputRequired)
_OF_A_CALL = (*_OUTCOMES, ProgressReceived)


class _Waiter:
    """A call that waits, with the events that have come for it.

    Attributes:
        away: Whether it does not look into its box just now: it runs a callback, posts, or rests.
        posting: Limits the sending beside the stream, while that goes on.
    """

    __slots__ = ("away", "box", "flag", "posting", "request_id")

    def __init__(self, request_id: RequestId) -> None:
        self.request_id = request_id
        self.box: deque[Event] = deque()
        self.flag: Flag | None = None
        self.posting: DeadlineScope | None = None
        self.away = False


class Multiplexer:
    """Shares one stream between the calls of a session.

    Args:
        stream: The stream, which nothing else reads or writes.
        session: The machine whose messages it carries.
        runtime: Makes events and deadlines.
        place: The name of the server, for errors.
        probe_seconds: How long the server has to answer the first request of the handshake.
        secrets: Returns the secrets that the server was sent, which its errors must not repeat; for a
            stream that logs its messages itself.
    """

    def __init__(
        self,
        stream: MessageStream,
        session: ClientSession,
        runtime: Runtime,
        place: str,
        probe_seconds: float = PROBE_SECONDS,
        secrets: Secrets | None = None,
    ) -> None:
        self._stream = stream
        self._secrets = secrets
        self._session = session
        self._runtime = runtime
        self._place = place
        self._probe_seconds = probe_seconds
        self._writing = Mutex(runtime)
        self._lock = threading.Lock()
        self._waiters: dict[RequestId, _Waiter] = {}
        self._leader: _Waiter | None = None
        self._attendant: _Waiter | None = None
        self.broken: TransportError | None = None
        """Why the stream cannot be used any more, None while it can."""

    @property
    def busy(self) -> bool:
        """Whether a call waits for an answer."""
        return bool(self._waiters)

    # ---- sending ---------------------------------------------------------------------

    async def send(self, outgoing: Outgoing) -> None:
        """Send a message.

        Raises:
            TransportError: The stream has failed.
        """
        await self._writing.run(self._send, outgoing)

    async def _send(self, outgoing: Outgoing) -> None:
        if self.broken is not None:
            raise self._lost(not_run=True)
        if self._secrets is None and enabled():
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

    async def exchange(
        self, outgoing: Outgoing, on_event: OnEvent, post: PostRequest | None = None
    ) -> Outcome:
        """Send a request and wait for its outcome.

        Args:
            outgoing: The request.
            on_event: Handles all other events that come meanwhile.
            post: Sends the request beside the stream, which may take its time.

        Raises:
            TransportError: The stream ended before the answer.
        """
        waiter = _Waiter(outgoing.request_id or 0)
        leaving = ensured(self._leave, waiter)
        try:
            self._waiters[waiter.request_id] = waiter
            refused = await (self.send(outgoing) if post is None else self._post(waiter, outgoing, post))
            if refused is not None:
                return refused
            while True:
                event = await self._next(waiter)
                if isinstance(event, _OUTCOMES):
                    return event
                # A callback of the user may take its time, and make calls of its own.
                waiter.away = True
                self._wake_follower()
                await on_event(event)
                waiter.away = False
        finally:
            leaving.close()

    async def _post(self, waiter: _Waiter, outgoing: Outgoing, post: PostRequest) -> Outcome | None:
        """Send a request beside the stream, which others read meanwhile; its end ends the sending."""
        if self.broken is not None:
            raise self._lost(not_run=True)
        scope = waiter.posting = self._runtime.deadline(None)
        waiter.away = True
        try:
            self._wake_follower()
            async with scope:
                return await post(outgoing)
        except TimeoutError as error:
            if not scope.expired or self.broken is None:
                raise
            raise self._lost() from error
        finally:
            waiter.posting = None
            waiter.away = False

    async def attend(self, on_event: OnEvent) -> None:
        """Read the stream while no call does, until it ends.

        Args:
            on_event: Handles the events that belong to no call.

        Raises:
            TransportError: The stream has ended.
        """
        waiter = _Waiter(NO_REQUEST)
        leaving = ensured(self._leave, waiter)
        try:
            self._attendant = waiter
            while True:
                event = await self._next(waiter)
                self._wake_follower()
                await on_event(event)
        finally:
            leaving.close()

    async def handshake(self, outgoing: Outgoing, on_event: OnEvent, deadline: CallDeadline) -> None:
        """Send and receive what the session's machine asks for, until it is connected.

        Raises:
            MCPError: There is no agreement.
        """
        waiter = _Waiter(0)
        leaving = ensured(self._leave, waiter)
        try:
            self._waiters[waiter.request_id] = waiter
            await self.send(outgoing)
            while True:
                event = await self._next_of_handshake(waiter, deadline)
                if isinstance(event, ConnectionFailed):
                    raise event.error
                if isinstance(event, Connected):
                    return
                if isinstance(event, MessageReady):
                    await self.send(event.outgoing)
                else:
                    await on_event(event)
        finally:
            leaving.close()

    async def _next_of_handshake(self, waiter: _Waiter, deadline: CallDeadline) -> Event:
        if not self._session.probing or self._session.state is not SessionState.PROBING:
            return await self._next(waiter)
        scope = deadline.part(self._probe_seconds, PROBE_SHARE).scope
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
        """Leave the table of waiters, and let a follower lead; may be called again."""
        if self._leader is waiter:
            self._leader = None
        with self._lock:
            if self._attendant is waiter:
                self._attendant = None
            self._waiters.pop(waiter.request_id, None)
            # A question of the server that this call did not come to is still to be answered.
            while waiter.box and self._attendant is not None:
                if not isinstance(waiter.box[0], _OF_A_CALL):
                    _put(self._attendant, waiter.box[0])
                waiter.box.popleft()
        self._wake_follower()

    # ---- reading ---------------------------------------------------------------------

    async def _next(self, waiter: _Waiter) -> Event:
        """Return the next event of a call; lead while no other call does."""
        while not waiter.box:
            if self.broken is not None:
                raise self._lost()
            flag = self._lead_or_follow(waiter)
            if flag is not None:
                await self._follow(waiter, flag)
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
                    self._dispatch(payload, waiter)
                except BaseException:
                    # Ctrl-C: the call that the message belongs to would wait for ever.
                    self.abort(OSError("a message was interrupted on its way to its call"))
                    raise
            finally:
                self._leader = None
        return waiter.box.popleft()

    async def _follow(self, waiter: _Waiter, flag: Flag) -> None:
        if waiter is not self._attendant:
            await flag.wait()
            return
        self._wake_follower()  # the attendant may have led until now
        await flag.wait()
        await self._rest(waiter)

    def _lead_or_follow(self, waiter: _Waiter) -> Flag | None:
        """Become the leader, or return the flag that a follower has to wait for."""
        with self._lock:
            if self._leader is None and not (waiter is self._attendant and self._call_reads()):
                self._leader = waiter
                return None
            waiter.flag = self._runtime.event()
            if waiter.box or self.broken is not None:
                waiter.flag.set()
            return waiter.flag

    def _call_reads(self) -> bool:
        """Whether a call leads, or will as soon as it looks."""
        return not all(waiter.away for waiter in tuple(self._waiters.values()))

    async def _rest(self, attendant: _Waiter) -> None:
        """Leave the stream to calls for a moment, but neither an event nor its end."""
        with self._lock:
            if attendant.box or self.broken is not None:
                return
            flag = attendant.flag = self._runtime.event()
            attendant.away = True
        scope = self._runtime.deadline(self._runtime.now() + REST_SECONDS)
        try:
            async with scope:
                await flag.wait()
        except TimeoutError:
            if not scope.expired:
                raise
        finally:
            attendant.away = False

    def _wake_follower(self) -> None:
        """Wake a follower to lead, unless there is a leader; the attendant where no call will."""
        with self._lock:
            if self._leader is not None:
                return
            for waiter in tuple(self._waiters.values()):
                if waiter.flag is not None and not waiter.box:
                    _wake(waiter)
                    return
            attendant = self._attendant
            if attendant is not None and not attendant.away and not self._call_reads():
                _wake(attendant)

    def _dispatch(self, payload: bytes, reader: _Waiter) -> None:
        if not payload:
            self.abort(None)
            return
        if self._secrets is None and enabled():
            wire.debug("<- %.*r", MAX_LOGGED, payload)
        for received in self._session.receive_message(payload):
            event = received if self._secrets is None else redacted(received, self._secrets)
            with self._lock:
                target = self._target(event, reader)
                if target is not None:
                    _put(target, event)

    def _target(self, event: Event, reader: _Waiter) -> _Waiter | None:
        """Return the waiter that an event is for, None where it has left."""
        if isinstance(event, _OF_A_CALL):
            return self._waiters.get(event.request_id)
        if reader is self._attendant:
            # It belongs to a call, perhaps: then its callback's error and its time are that call's.
            for waiter in tuple(self._waiters.values()):
                if waiter.flag is not None:
                    return waiter
        return reader

    # ---- ending ----------------------------------------------------------------------

    async def aclose(self) -> None:
        """Close the stream in an orderly way."""
        self._break("the client was disconnected meanwhile")
        await self._stream.aclose()

    def abort(self, error: OSError | None) -> None:
        """Close the stream at once, and wake all calls.

        Args:
            error: Why, None for an orderly end by the server.
        """
        self._break(f"the connection to {self._place} ended" + (f": {error}" if error is not None else ""))
        self._stream.abort()

    def abandon(self) -> None:
        """Close the stream when garbage is collected: no call waits, and this thread may hold the lock."""
        if self.broken is None:
            self.broken = TransportError("the client was dropped without disconnect()", code="closed")
        self._stream.abort()

    def after_fork(self) -> None:
        """Leave the stream to the parent process, untouched; a call that goes on here raises."""
        self._lock = threading.Lock()
        self._writing = Mutex(self._runtime)
        self._leader = self._attendant = None
        self.broken = TransportError(
            f"the connection to {self._place} is the parent process's", code="closed"
        )

    def _break(self, why: str) -> None:
        if self.broken is None:
            self.broken = TransportError(why, code="closed")
        with self._lock:
            for waiter in tuple(self._waiters.values()):
                _wake(waiter)
                if waiter.posting is not None:
                    waiter.posting.move(float("-inf"))
            if self._attendant is not None:
                _wake(self._attendant)

    def _lost(self, *, not_run: bool = False) -> TransportError:
        broken = self.broken
        message = str(broken.args[0]) if broken is not None else f"the connection to {self._place} ended"
        return TransportError(message, code="closed", not_run=not_run)


def _put(waiter: _Waiter, event: Event) -> None:
    """Put an event into a box; the lock is held."""
    waiter.box.append(event)
    _wake(waiter)


def _wake(waiter: _Waiter) -> None:
    """Have a waiter look again; the lock is held."""
    if waiter.flag is not None:
        waiter.flag.set()
        waiter.flag = None

"""A session over one stream: the stdio of a child process, or a custom transport."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial
from typing import Any, Self

from routermcp_proto.client_session import ClientSession
from routermcp_proto.events import Outgoing
from routermcp_proto.exceptions import ConfigError, MCPError, TransportError
from routermcp_proto.http.outcomes import Outcome
from routermcp_proto.session.handshake import Agreement
from routermcp_proto.states import SessionState
from routermcp_proto.versions import LATEST_HANDSHAKE, Era

from ..call.attendant import Attendant
from ..call.deadline import CallDeadline
from ..call.incoming import CANCEL_SECONDS, IncomingHandler, OnEvent, ProgressSink, Responder
from ..concurrency.single_flight import SingleFlight
from ..concurrency.unclosed import UnclosedGuard
from ..limits import PoolStats
from ..logs import log
from ..runtime import Runtime
from .base import Transport
from .multiplexer import PROBE_SECONDS, Multiplexer, PostRequest, Secrets

#: Seconds for closing a stream in an orderly way: more than the steps of stdio take together.
CLOSE_SECONDS = 6.0


class StreamSession:
    """Carries the messages of one session over a stream of its own.

    The stream is opened with the handshake. One that has ended is opened anew for the next
    call, so that the client survives a restart of the server.

    Args:
        transport: Opens the stream.
        session: The machine whose messages it carries.
        responder: Answers the server.
        probe_seconds: See :class:`Multiplexer`.
        attends: Whether the stream is read between calls too.
        secrets: See :class:`Multiplexer`.
    """

    def __init__(
        self,
        transport: Transport,
        session: ClientSession,
        responder: Responder,
        probe_seconds: float = PROBE_SECONDS,
        attends: bool = False,
        secrets: Secrets | None = None,
    ) -> None:
        self._transport = transport
        self._secrets = secrets
        self._session = session
        self._incoming = IncomingHandler(session, responder, transport)
        self._probe_seconds = probe_seconds
        # None where no stream may be opened: not connected, or on the way to be disconnected.
        self._runtime: Runtime | None = None
        self._multiplexer: Multiplexer | None = None
        self._attends = attends
        self._attendant: Attendant | None = None
        self._lock = threading.Lock()
        self._guard = UnclosedGuard(self)
        self._flight = SingleFlight()
        self._probed = False
        self._retries = 0
        self._opened = 0
        self._loss: str | None = None

    @property
    def session(self) -> ClientSession:
        """The machine whose messages these are."""
        return self._session

    @property
    def place(self) -> str:
        """The transport's name for its server."""
        return str(self._transport)

    @property
    def session_id(self) -> str | None:
        """None: a stream is a session, which needs no name."""
        return None

    def open(self, runtime: Runtime) -> Runtime:
        """Note the runtime; the stream is opened with the handshake."""
        self._runtime = runtime
        # The stream closes by itself. The guard must not refer to it: it may lead to the tasks that
        # wait for it, and they to the client.
        self._guard.resources = ()
        return runtime

    def close(self) -> None:
        """Close the stream at once, ready to be opened again."""
        self._guard.resources = None
        self._runtime = None
        multiplexer, attendant = self._multiplexer, self._attendant
        if attendant is not None:
            attendant.cancel()
        if multiplexer is not None:
            multiplexer.abort(None)
        with self._lock:
            self._forget()
            self._multiplexer = None
        self._loss = None  # what follows is no renewal

    def after_fork(self) -> None:
        """Leave the stream and the session to the parent process; calls in the child open their own."""
        self._lock = threading.Lock()
        self._flight = SingleFlight()
        if self._multiplexer is not None:
            self._multiplexer.after_fork()
            self._multiplexer = None
        self._attendant = None
        self._session.restart()
        self._forget()
        if self._runtime is not None and not self._runtime.survives_fork:
            self._guard.resources = None
            self._runtime = None

    def _forget(self) -> None:
        if self._session.state is SessionState.READY:
            self._session.expire()
        else:
            self._session.fail_handshake()

    async def connect(self, deadline: CallDeadline) -> Self:
        """Open the stream and do the handshake, once for all callers that ask at the same time."""
        if self._session.server is None:
            await self._flight.run(deadline.runtime, lambda: self._agree(deadline))
        return self

    async def renew(
        self, deadline: CallDeadline, session_id: str | None, agreement: Agreement | None
    ) -> None:
        """Repeat the handshake, unless another caller has done so since this one looked."""
        del session_id
        if self._session.agreement is agreement:
            if agreement is not None and agreement.revision.era is Era.HANDSHAKE:
                self._loss = "the server has forgotten the session"
            self._forget()
        await self.connect(deadline)

    async def _agree(self, deadline: CallDeadline) -> None:
        if self._session.server is not None:
            return
        try:
            await self._handshake(deadline, None)
        except TransportError as error:
            if error.code != "closed" or not self._probed:
                raise
            # Some servers of the handshake era end when their first request is not initialize.
            log.info("%s ended on server/discover; trying initialize", self.place)
            await self._handshake(deadline, LATEST_HANDSHAKE.name)

    async def _handshake(self, deadline: CallDeadline, known: str | None) -> None:
        session = self._session
        self._probed = False
        multiplexer = await self._open_stream(deadline.runtime)
        on_event = self._handler(multiplexer, deadline, None)
        try:
            outgoing = session.start_handshake(known)
            self._probed = session.state is SessionState.PROBING
            await multiplexer.handshake(outgoing, on_event, deadline)
            await self._listen(multiplexer)
        except BaseException as error:
            self._probed = self._probed and session.state is SessionState.PROBING
            session.fail_handshake()
            if not isinstance(error, MCPError) or isinstance(error, TransportError):
                self._drop(multiplexer)
            raise
        if self._attends:
            self._begin_attending(multiplexer, deadline)

    async def _listen(self, multiplexer: Multiplexer) -> None:
        """Have the server announce changes of its lists; they come with the messages of no call.

        The subscription ends with the stream, so that no call has to wait for its answer.
        """
        outgoing = self._session.start_listening()
        if outgoing is not None:
            self._session.abandon(outgoing.request_id or 0)
            await multiplexer.send(outgoing)

    def _begin_attending(self, multiplexer: Multiplexer, deadline: CallDeadline) -> None:
        with self._lock:
            if self._multiplexer is not multiplexer:
                return  # it was closed meanwhile
            self._attendant = Attendant(
                self._incoming,
                deadline,
                multiplexer.attend,
                multiplexer.send,
                multiplexer.abandon,
                self.place,
            )
            self._attendant.start()

    async def _open_stream(self, runtime: Runtime) -> Multiplexer:
        multiplexer = self._multiplexer
        if multiplexer is not None and multiplexer.broken is None:
            return multiplexer
        if not self._may_open():
            raise stream_disconnected()
        try:
            stream = await self._transport.open(runtime)
        except OSError as error:
            if isinstance(error, TimeoutError) and error.errno is None:
                raise
            raise TransportError(
                f"cannot connect to {self.place}: {error}", code="connect", not_run=True
            ) from error
        self._opened += 1
        multiplexer = Multiplexer(
            stream, self._session, runtime, self.place, self._probe_seconds, self._secrets
        )
        with self._lock:
            if self._may_open():
                self._multiplexer = multiplexer
                return multiplexer
        multiplexer.abort(None)
        raise stream_disconnected()

    def _may_open(self) -> bool:
        return self._runtime is not None

    def _drop(self, multiplexer: Multiplexer) -> None:
        """Drop a stream that has ended, so that the next call opens another."""
        if self._runtime is None:
            # It is being closed, and in an orderly way.
            return
        multiplexer.abort(None)
        with self._lock:
            if self._multiplexer is multiplexer:
                if self._session.state is SessionState.READY:
                    self._loss = str(multiplexer.broken)
                self._forget()
                self._multiplexer = None

    def take_loss(self) -> str | None:
        """Return how a stream ended that was opened anew since the last question."""
        loss, self._loss = self._loss, None
        return loss

    async def farewell(self, runtime: Runtime, everything: bool = False) -> None:
        """Close the stream in an orderly way."""
        del everything
        with self._lock:
            self._runtime, multiplexer = None, self._multiplexer
            attendant, self._attendant = self._attendant, None
        if multiplexer is None:
            return
        try:
            async with runtime.deadline(runtime.now() + CLOSE_SECONDS):
                if attendant is not None:
                    attendant.cancel()
                await multiplexer.aclose()
                if attendant is not None:
                    await attendant.stop()
        except (OSError, MCPError) as error:
            log.debug("%s was not disconnected in an orderly way: %s", self.place, error)

    async def prepare(self, headers: Mapping[str, str] | None) -> Any:
        """Refuse headers, which only HTTP has."""
        # The player of a recording of a server over HTTP takes its calls as they are.
        if headers and not getattr(self._transport, "ignores_headers", False):
            raise ConfigError(f"headers= travel over HTTP only, and {self.place} is not reached by it")

    async def deliver(
        self, outgoing: Outgoing, extra: Any, on_progress: ProgressSink | None, deadline: CallDeadline
    ) -> Outcome | None:
        """Send a request, and return its outcome."""
        multiplexer, session = self._multiplexer, self._session
        try:
            if multiplexer is None:
                raise stream_disconnected()
            on_event = self._handler(multiplexer, deadline, on_progress)
            return await multiplexer.exchange(outgoing, on_event, self._post(extra, deadline))
        except BaseException:
            number = outgoing.request_id
            cancel = session.abandon(number, "the caller gave up") if number is not None else None
            if multiplexer is not None and multiplexer.broken is None and cancel is not None:
                async with deadline.runtime.shield(CANCEL_SECONDS):
                    await self._cancel(multiplexer, cancel)
            if multiplexer is not None and multiplexer.broken is not None:
                self._drop(multiplexer)
            raise

    def _post(self, extra: Any, deadline: CallDeadline) -> PostRequest | None:
        """Return what sends a request beside the stream, None where it goes over the stream."""
        del extra, deadline
        return None

    async def notify(self, outgoing: Outgoing, extra: Any) -> None:
        """Send a notification."""
        del extra
        multiplexer = self._multiplexer
        if multiplexer is None:
            raise stream_disconnected()
        await multiplexer.send(outgoing)

    async def _cancel(self, multiplexer: Multiplexer, cancel: Outgoing) -> None:
        try:
            await multiplexer.send(cancel)
        except TransportError as error:
            log.debug("%s could not be told that a call was cancelled: %s", self.place, error)

    async def attend(self, deadline: CallDeadline) -> None:
        """Read the stream while no call does, until it ends."""
        multiplexer, attendant = self._multiplexer, self._attendant
        if multiplexer is None:
            raise stream_disconnected()
        try:
            if attendant is not None:
                await attendant.wait()  # it reads for all
            await multiplexer.attend(self._handler(multiplexer, deadline, None))
        except BaseException:
            if multiplexer.broken is not None:
                self._drop(multiplexer)
            raise

    def _handler(
        self, multiplexer: Multiplexer, deadline: CallDeadline, on_progress: ProgressSink | None
    ) -> OnEvent:
        return partial(self._incoming.handle, deadline, multiplexer.send, on_progress)

    def note_retry(self) -> None:
        """Count that a request is sent again."""
        self._retries += 1

    def stats(self) -> PoolStats:
        """Return the counts of a pool with one connection."""
        multiplexer = self._multiplexer
        is_open = multiplexer is not None and multiplexer.broken is None
        busy = multiplexer.busy if multiplexer is not None else False
        return PoolStats(
            open=int(is_open),
            idle=int(is_open and not busy),
            in_use=int(is_open and busy),
            waiting=0,
            reused=0,
            opened=self._opened,
            retries=self._retries,
        )


def stream_disconnected() -> TransportError:
    """Return the error of a call whose client was disconnected."""
    return TransportError("the client was disconnected meanwhile", code="closed", not_run=True)

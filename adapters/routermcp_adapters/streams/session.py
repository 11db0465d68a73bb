"""Carrying a session's messages over one stream: a child's stdio, or a transport of the user's."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial

from routermcp_proto.client_session import ClientSession
from routermcp_proto.events import Outgoing
from routermcp_proto.exceptions import ConfigError, MCPError, TransportError
from routermcp_proto.handshake import Agreement
from routermcp_proto.http.outcomes import Outcome
from routermcp_proto.states import SessionState
from routermcp_proto.versions import LATEST_HANDSHAKE

from ..call.deadline import CallDeadline
from ..call.incoming import CANCEL_SECONDS, IncomingHandler, OnEvent, OnProgress, Responder
from ..concurrency import fork, unclosed
from ..concurrency.single_flight import SingleFlight
from ..limits import PoolStats
from ..runtime import Runtime
from ..wire_log import log
from .base import Transport
from .multiplexer import Multiplexer

#: Seconds that closing a stream in an orderly way may take, above the bounds of stdio's steps.
FAREWELL_SECONDS = 6.0


class StreamSession:
    """The way of one session over a stream of its own.

    The stream is opened with the handshake. One that has ended is opened anew for the next
    call, so that a server which was restarted is found again.

    Args:
        transport: Opens the stream.
        session: The machine whose messages it carries.
        responder: Answers the server.
    """

    session_id = None

    def __init__(self, transport: Transport, session: ClientSession, responder: Responder) -> None:
        self._transport = transport
        self._session = session
        self._incoming = IncomingHandler(session, responder, transport)
        # None where no stream may be opened: not connected, or on the way to be disconnected.
        self._runtime: Runtime | None = None
        self._channel: Multiplexer | None = None
        self._lock = threading.Lock()
        self._watch = unclosed.UnclosedGuard(self, unclosed.caller())
        self._flight = SingleFlight()
        self._probed = False
        self._retries = 0
        self._opened = 0

    @property
    def session(self) -> ClientSession:
        """The machine whose messages these are."""
        return self._session

    @property
    def place(self) -> str:
        """The transport's name for its server."""
        return str(self._transport)

    def open(self, runtime: Runtime) -> Runtime:
        """Note the runtime; the stream is opened with the handshake."""
        self._runtime = runtime
        # A stream may lead to the tasks that wait for it, and they to the client.
        self._watch.holdings = unclosed.SelfClosing()
        fork.watch(self)
        return runtime

    def close(self) -> None:
        """Close the stream at once, ready to be opened again."""
        self._watch.holdings = None
        self._runtime = None
        channel = self._channel
        if channel is not None:
            channel.abort(None)
        with self._lock:
            self._forget()
            self._channel = None

    def after_fork(self) -> None:
        """Leave the stream and the session to the parent process; what goes on here opens its own."""
        self._lock = threading.Lock()
        self._flight = SingleFlight()
        if self._channel is not None:
            self._channel.after_fork()
            self._channel = None
        self._session.restart()
        self._forget()
        if self._runtime is not None and not self._runtime.survives_fork:
            self._watch.holdings = None
            self._runtime = None

    def _forget(self) -> None:
        if self._session.state is SessionState.READY:
            self._session.expire()
        else:
            self._session.fail_handshake()

    async def connect(self, deadline: CallDeadline) -> None:
        """Open the stream and agree with the server, once for all who ask at the same time."""
        if self._session.server is None:
            await self._flight.run(deadline.runtime, lambda: self._agree(deadline))

    async def renew(
        self, deadline: CallDeadline, session_id: str | None, agreement: Agreement | None
    ) -> None:
        """Agree anew, unless somebody has done so since the caller looked."""
        del session_id
        if self._session.agreement is agreement:
            self._forget()
        await self.connect(deadline)

    async def _agree(self, deadline: CallDeadline) -> None:
        if self._session.server is not None:
            return
        try:
            await self._shake_hands(deadline, None)
        except TransportError as error:
            if error.code != "closed" or not self._probed:
                raise
            # Some servers of the handshake era end when they are asked something else first.
            log.info("%s ended when it was asked what it speaks; trying initialize", self.place)
            await self._shake_hands(deadline, LATEST_HANDSHAKE.name)

    async def _shake_hands(self, deadline: CallDeadline, known: str | None) -> None:
        session = self._session
        self._probed = False
        channel = await self._open_channel(deadline.runtime)
        on_event = self._handler(channel, deadline, None)
        try:
            outgoing = session.start_handshake(known)
            self._probed = session.state is SessionState.PROBING
            await channel.shake_hands(outgoing, on_event, deadline)
        except BaseException as error:
            self._probed = self._probed and session.state is SessionState.PROBING
            session.fail_handshake()
            if not isinstance(error, MCPError) or isinstance(error, TransportError):
                self._drop(channel)
            raise

    async def _open_channel(self, runtime: Runtime) -> Multiplexer:
        channel = self._channel
        if channel is not None and channel.broken is None:
            return channel
        if not self._may_open():
            raise _disconnected()
        try:
            stream = await self._transport.open(runtime)
        except OSError as error:
            if isinstance(error, TimeoutError) and error.errno is None:
                raise
            raise TransportError(
                f"cannot connect to {self.place}: {error}", code="connect", not_run=True
            ) from error
        self._opened += 1
        channel = Multiplexer(stream, self._session, runtime, self.place)
        with self._lock:
            if self._may_open():
                self._channel = channel
                return channel
        channel.abort(None)
        raise _disconnected()

    def _may_open(self) -> bool:
        return self._runtime is not None

    def _drop(self, channel: Multiplexer) -> None:
        """Let go of a stream that has ended, so that the next call opens another."""
        if self._runtime is None:
            # It is being closed, and in an orderly way.
            return
        channel.abort(None)
        with self._lock:
            if self._channel is channel:
                self._forget()
                self._channel = None

    async def farewell(self, runtime: Runtime, everything: bool = False) -> None:
        """Close the stream in an orderly way."""
        del everything
        with self._lock:
            self._runtime, channel = None, self._channel
        if channel is None:
            return
        try:
            async with runtime.deadline(runtime.now() + FAREWELL_SECONDS):
                await channel.aclose()
        except (OSError, MCPError) as error:
            log.debug("%s was not left in an orderly way: %s", self.place, error)

    async def prepare(self, headers: Mapping[str, str] | None) -> None:
        """Refuse headers, which only HTTP has."""
        if headers:
            raise ConfigError(f"headers= travel over HTTP only, and {self.place} is not reached by it")

    async def deliver(
        self, outgoing: Outgoing, extra: None, on_progress: OnProgress | None, deadline: CallDeadline
    ) -> Outcome | None:
        """Carry a request there, and return what came of it."""
        del extra
        channel, session = self._channel, self._session
        try:
            if channel is None:
                raise _disconnected()
            return await channel.exchange(outgoing, self._handler(channel, deadline, on_progress))
        except BaseException:
            word = (
                session.abandon(outgoing.request_id, "the caller gave up")
                if outgoing.request_id is not None
                else None
            )
            if channel is not None and channel.broken is None and word is not None:
                async with deadline.runtime.shield(CANCEL_SECONDS):
                    await self._mention(channel, word)
            if channel is not None and channel.broken is not None:
                self._drop(channel)
            raise

    async def _mention(self, channel: Multiplexer, word: Outgoing) -> None:
        try:
            await channel.send(word)
        except TransportError as error:
            log.debug("a cancelled call was not mentioned to %s: %s", self.place, error)

    async def attend(self, deadline: CallDeadline) -> None:
        """Read the stream while no call does."""
        channel = self._channel
        if channel is None:
            raise TransportError("the client was disconnected meanwhile", code="closed", not_run=True)
        try:
            await channel.attend(self._handler(channel, deadline, None))
        except BaseException:
            if channel.broken is not None:
                self._drop(channel)
            raise

    def _handler(
        self, channel: Multiplexer, deadline: CallDeadline, on_progress: OnProgress | None
    ) -> OnEvent:
        return partial(self._incoming.handle, deadline, channel.send, on_progress)

    def note_retry(self) -> None:
        """Count that a request is sent again."""
        self._retries += 1

    def stats(self) -> PoolStats:
        """Return what the one stream is doing."""
        channel = self._channel
        is_open = channel is not None and channel.broken is None
        busy = channel.busy if channel is not None else False
        return PoolStats(
            open=int(is_open),
            idle=int(is_open and not busy),
            in_use=int(is_open and busy),
            waiting=0,
            reused=0,
            opened=self._opened,
            retries=self._retries,
        )


def _disconnected() -> TransportError:
    return TransportError("the client was disconnected meanwhile", code="closed", not_run=True)

"""The event stream that a client opens with GET, on which a server of the handshake era may ask and notify.

A server may ask for input on this stream although the question belongs to a call whose answer
travels on another one, and drops the question while no client has opened the stream. So a
client that can answer questions opens it when it connects. A call that waits for its answer reads
it too; between calls the session's attendant does (:meth:`ServerStream.watch`).

Of several calls one *leads* and reads the server stream beside its own; the others are
woken when it has its answer, and the next one leads (leader/follower).

Source: https://modelcontextprotocol.io/specification/2025-11-25/basic/transports,
"Listening for Messages from the Server".
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable

from routermcp_proto.events import Event, HTTPRedirected, HTTPRefused, Outgoing
from routermcp_proto.exceptions import MCPError
from routermcp_proto.http.binding import HTTPBinding
from routermcp_proto.http.exchange import MCPExchange
from routermcp_proto.http.headers import HeaderBlock
from routermcp_proto.http.outcomes import OUTCOMES

from ..call.incoming import OnEvent
from ..logs import log
from ..runtime import ByteStream, Runtime
from ..runtime import Event as Flag
from .connect import is_deadline
from .connection import PooledConnection
from .pool import ConnectionPool

#: Seconds to wait for the server to accept the stream. Calls may be made without; this only
#: makes sure that a question asked at once finds a client that listens.
OPENING_SECONDS = 0.5

#: Seconds from one attempt to open a stream to the next, where the server has closed it. They double
#: with each stream that brings nothing, up to the second number: some servers end each at once.
REOPENING_SECONDS = 1.0
LONGEST_REOPENING_SECONDS = 60.0


ExtraHeaders = Callable[[], Awaitable[HeaderBlock | None]]


class Reader:
    """One call among those that could read the server stream."""

    def __init__(self, stream: ServerStream, flag: Flag) -> None:
        self._stream = stream
        self.flag = flag

    @property
    def leads(self) -> bool:
        """Whether this call reads the server stream now."""
        return self._stream.leader is self

    async def receive(self, runtime: Runtime, own: ByteStream, on_event: OnEvent) -> bytes:
        """Wait for data of the call's own stream, and handle what comes on the server stream meanwhile."""
        while True:
            data = own.receive_nowait()
            if data is not None:
                return data
            shared = self._stream.stream if self.leads else None
            if shared is not None:
                events = self._stream.read()
                for event in events:
                    await on_event(event)
                if events:
                    continue
                shared = self._stream.stream
            try:
                await runtime.wait_any(
                    [own] if shared is None else [own, shared], self.flag if not self.leads else None
                )
            except OSError as error:
                # The server stream is closed when the session is renewed, which is no loss of this call.
                if is_deadline(error) or shared is None or shared is self._stream.stream:
                    raise


class ServerStream:
    """The server stream of one session.

    Args:
        binding: The session and its requests.
    """

    __slots__ = (
        "_binding",
        "_connection",
        "_exchange",
        "_extra_headers",
        "_fruitless",
        "_lock",
        "_opened_at",
        "_opening",
        "_pool",
        "_readers",
        "_wake",
        "wanted",
    )

    def __init__(self, binding: HTTPBinding) -> None:
        self._binding = binding
        self._extra_headers: ExtraHeaders | None = None
        self._lock = threading.Lock()
        self._readers: list[Reader] = []
        self._pool: ConnectionPool | None = None
        self._connection: PooledConnection | None = None
        self._exchange: MCPExchange | None = None
        self._opened_at = 0.0
        self._fruitless = 0
        """Streams that have ended one after the other and brought nothing."""
        self._opening: object | None = None
        """Stands for the attempt to open the stream that is under way; :meth:`close` calls it off."""
        self.wanted = False
        """Whether the session has such a stream, be it open or to be opened again."""
        self._wake: Flag | None = None

    @property
    def leader(self) -> Reader | None:
        """The call that reads the stream."""
        return self._readers[0] if self._readers else None

    @property
    def stream(self) -> ByteStream | None:
        """The connection's stream, while it is open."""
        return self._connection.stream if self._connection is not None else None

    async def open(self, runtime: Runtime, pool: ConnectionPool | None, extra_headers: ExtraHeaders) -> None:
        """Open the stream, where the session's revision has one and the client can answer on it.

        A server that does not offer it is left alone.

        Args:
            runtime: How to wait.
            pool: Where connections come from, None for a client that has no streams.
            extra_headers: Asked for headers that are not fixed, whenever the stream is opened.
        """
        self.close()
        self._fruitless = 0
        self._pool, self.wanted = pool, pool is not None and self._binding.listens
        if pool is None or not self.wanted:
            return
        # Not kept by a session without a stream, of which an application may have ten thousand.
        self._extra_headers = extra_headers
        await self._reopen(runtime, pool)
        until = runtime.now() + OPENING_SECONDS
        async with runtime.shield(OPENING_SECONDS):
            while self._connection is not None and self._exchange is not None and not self._exchange.accepted:
                if runtime.now() >= until:
                    break
                try:
                    await runtime.wait_any([self._connection.stream], None)
                except OSError as error:
                    if is_deadline(error):
                        raise
                    break  # it was closed meanwhile
                self.read()

    async def _reopen(self, runtime: Runtime, pool: ConnectionPool) -> None:
        """Open the stream, unless another call is about to; what is closed meanwhile stays closed."""
        with self._lock:
            if self._opening is not None:
                return
            opening = self._opening = object()
            self._opened_at = runtime.now()
            exchange = self._exchange or self._binding.exchange(Outgoing(b""))
        try:
            connection = await self._request(pool, exchange)
            with self._lock:
                # Else the session was closed, or renewed and has a stream of its own.
                if self._opening is opening:
                    self._connection, self._exchange, connection = connection, exchange, None
            if connection is not None:
                pool.discard(connection)
        finally:
            with self._lock:
                if self._opening is opening:
                    self._opening = None

    async def _request(self, pool: ConnectionPool, exchange: MCPExchange) -> PooledConnection | None:
        """Ask for the stream, and return the connection on which it will come, None where there is none."""
        headers = await self._extra_headers() if self._extra_headers is not None else None
        request = self._binding.resume(exchange.last_event_id, headers)
        exchange.resume()
        exchange.secrets = request.secrets
        try:
            connection = await pool.lease(self._binding.endpoint, control=True)
        except MCPError:
            return None
        try:
            connection.reader.start(request.method)
            connection.drained = False
            await connection.stream.send_all(request.to_bytes())
        except OSError:
            pool.discard(connection)
            return None
        except BaseException:
            pool.discard(connection)
            raise
        return connection

    async def reader(self, runtime: Runtime) -> Reader | None:
        """Return a reader that may :meth:`enter`, None where there is no stream to read."""
        if not self.wanted or self._pool is None:
            return None
        if self._connection is None and not self._pause(runtime.now()):
            await self._reopen(runtime, self._pool)
        if self._connection is None:
            return None
        return Reader(self, runtime.event())

    def _pause(self, now: float) -> float:
        """Return the seconds until the stream may be opened again."""
        if self._opening is not None:
            return REOPENING_SECONDS
        between = min(REOPENING_SECONDS * 2 ** min(self._fruitless, 10), LONGEST_REOPENING_SECONDS)
        return max(0.0, self._opened_at + between - now)

    async def watch(self, runtime: Runtime, on_event: OnEvent) -> None:
        """Read the stream whenever no call does, until the server does not offer it any more."""
        try:
            while self.wanted and self._pool is not None:
                if self._connection is None:
                    await runtime.sleep(self._pause(runtime.now()))
                    await self.reader(runtime)
                    continue
                with self._lock:
                    flag = self._wake = runtime.event()
                    stream = None if self._readers else self.stream
                try:
                    await runtime.wait_any([] if stream is None else [stream], flag)
                except OSError as error:
                    if is_deadline(error):
                        raise
                    if self.stream is stream:
                        self._drop()  # it was closed meanwhile
                    continue
                # A call that began meanwhile reads for itself, so that its questions reach it.
                for event in [] if self._readers else self.read():
                    await on_event(event)
        finally:
            self._wake = None

    def _wake_watch(self) -> None:
        if self._wake is not None:
            self._wake.set()

    def enter(self, reader: Reader) -> None:
        """Let a call read along."""
        with self._lock:
            self._readers.append(reader)
            self._wake_watch()

    def leave(self, reader: Reader) -> None:
        """Let a call go, and wake the one that leads now."""
        with self._lock:
            if reader in self._readers:
                self._readers.remove(reader)
            leader = self.leader
            if leader is None:
                self._wake_watch()
        if leader is not None:
            leader.flag.set()

    def read(self) -> list[Event]:
        """Return the events that have come, without waiting."""
        events: list[Event] = []
        broken: MCPError | None = None
        with self._lock:  # a call that begins may read beside the attendant
            connection, exchange = self._connection, self._exchange
            if connection is None or exchange is None:
                return events
            data = connection.stream.receive_nowait()
            if data is None:
                return events
            before = exchange.last_event_id
            try:
                events = connection.take(data, exchange)
            except MCPError as error:
                broken = error
            ended = connection.drained or broken is not None
            if ended:
                self._connection = None
            if exchange.last_event_id != before or any(not isinstance(event, OUTCOMES) for event in events):
                self._fruitless = 0
            elif ended:
                self._fruitless += 1
        if ended:
            log.debug("the server stream has ended: %s", broken)
            self._discard(connection)
        if any(isinstance(event, HTTPRefused | HTTPRedirected) for event in events):
            # The server does not offer the stream (405, or 404 and 400 of older ones).
            self.close()
        return events

    def _drop(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            self._discard(connection)

    def _discard(self, connection: PooledConnection) -> None:
        if self._pool is not None:
            self._pool.discard(connection)

    def after_fork(self) -> None:
        """Leave the stream to the parent process."""
        self._lock = threading.Lock()
        self._readers = []
        self._pool = None
        self.wanted = False
        self._exchange = self._opening = None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.stream.abort()

    def close(self) -> None:
        """Close the stream for good."""
        self.wanted = False
        with self._lock:
            self._exchange = self._opening = None
        self._drop()
        self._wake_watch()

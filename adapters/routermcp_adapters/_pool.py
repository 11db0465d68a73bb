"""Keep-alive connections, shared by all sessions of a client.

A connection is in exactly one place: with the exchange that leased it, idle in the pool,
or closed. One that comes back while the last bytes of its answer are still on the way
rests in the pool too; whether they have come by then is seen when it is wanted again. So
nobody waits for the end of an event stream whose answer is known.

One lock guards the lists; it is never held while anything waits.
"""

from __future__ import annotations

import ssl
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from routermcp_proto.events import Event as ProtocolEvent
from routermcp_proto.exceptions import RemoteProtocolError, TransportError
from routermcp_proto.http.direct_reader import DirectResponseReader
from routermcp_proto.http.exchange import MCPExchange
from routermcp_proto.http.reader import (
    NEED_DATA,
    BodyData,
    EndOfBody,
    NeedData,
    ResponseHead,
)
from routermcp_proto.http.url import EndpointURL

from . import _wire
from ._dial import Resolver, dial
from ._gc_pause import PAUSE_SIZE, paused
from .runtime import ByteStream, Event, Runtime

#: Connections in all. Gateways commonly allow a client a hundred; more callers wait in turn.
MAX_CONNECTIONS = 100

#: Connections that rest. Enough for the usual bursts of one process.
MAX_IDLE = 20

#: Seconds that one may rest: well under the 60 s after which load balancers drop it silently.
IDLE_LIFETIME = 30.0

#: Reads of an answer's remains when a connection is wanted again. The last chunk of an
#: event stream is a few bytes; whoever sends more than this is still talking.
MAX_REMAINS = 4


@dataclass(slots=True, eq=False)
class Connection:
    """A stream with the reader of its answers."""

    stream: ByteStream
    reader: DirectResponseReader
    idle_since: float = 0.0
    drained: bool = field(default=True)
    """Whether the last answer was read to its end."""

    def take(self, data: bytes, exchange: MCPExchange) -> list[ProtocolEvent]:
        """Feed bytes of the answer through the reader to the exchange, and return what they mean.

        Raises:
            RemoteProtocolError: They are not an HTTP answer, or not one that MCP allows.
        """
        events: list[ProtocolEvent] = []
        logging_wire = _wire.enabled()
        self.reader.receive_data(data)
        while (item := self._next()) is not NEED_DATA:
            if logging_wire:
                _wire.log_item(item)
            if exchange.finished:
                pass
            elif exchange.size < PAUSE_SIZE:
                events += exchange.receive(item)
            else:
                with paused():
                    events += exchange.receive(item)
            if self.drained:
                break
        return events

    def _next(self) -> ResponseHead | BodyData | EndOfBody | NeedData:
        item = self.reader.next_event()
        if type(item) is EndOfBody:
            self.drained = True
        return item

    def fresh(self) -> bool:
        """Say whether another request may be sent: the last answer is complete, nothing else came."""
        for _ in range(MAX_REMAINS):
            data = self.stream.receive_nowait()
            if data is None:
                return self.drained
            if not data or self.drained:
                return False
            try:
                self.reader.receive_data(data)
                self._skip()
            except RemoteProtocolError:
                return False
            if self.drained and not self.reader.reusable:
                return False
        return False

    def _skip(self) -> None:
        while type(self._next()) is BodyData:
            pass


class ConnectionPool:
    """The connections to one origin.

    Args:
        runtime: How to wait.
        endpoint: Where they lead.
        tls: Makes the TLS context, when the first connection needs one.
        resolver: Looks names up.
        max_connections: Connections in all, the control lane aside.
    """

    def __init__(
        self,
        runtime: Runtime,
        endpoint: EndpointURL,
        tls: Callable[[], ssl.SSLContext],
        resolver: Resolver,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self._runtime = runtime
        self._endpoint = endpoint
        self._tls = tls
        self._resolver = resolver
        self._max = max_connections
        self._lock = threading.Lock()
        self._idle: deque[Connection] = deque()
        self._leased: set[Connection] = set()
        self._control: set[Connection] = set()
        self._dialling = 0
        self._waiting: deque[Event] = deque()
        self._closed = False

    async def lease(self, *, control: bool = False) -> Connection:
        """Return a connection for one exchange, an idle one if there is, else a new one.

        Args:
            control: Do not wait for a place: answers to the peer must get through when all
                places are taken by calls that wait for them.

        Raises:
            TransportError: No connection could be opened.
        """
        while True:
            connection = self.lease_idle(control=control)
            if connection is not None:
                return connection
            with self._lock:
                if self._closed:
                    raise TransportError("the client was disconnected meanwhile", code="closed", not_run=True)
                if control or len(self._leased) + self._dialling < self._max:
                    self._dialling += 1
                    break
                turn = self._runtime.event()
                self._waiting.append(turn)
            try:
                await turn.wait()
            except BaseException:
                self._give_up(turn)
                raise
        return await self._dial(control)

    def lease_idle(self, *, control: bool = False) -> Connection | None:
        """Return an idle connection that can be used at once, or None."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
                self._lane(control).add(connection)
            young = connection.idle_since + IDLE_LIFETIME > self._runtime.now()
            if young and connection.fresh():
                return connection
            self.discard(connection)

    def _lane(self, control: bool) -> set[Connection]:
        return self._control if control else self._leased

    async def _dial(self, control: bool) -> Connection:
        try:
            tls = self._tls() if self._endpoint.tls else None
            connection = Connection(
                await dial(self._runtime, self._resolver, self._endpoint, tls), DirectResponseReader()
            )
        except BaseException:
            with self._lock:
                self._dialling -= 1
                self._wake_next()
            raise
        with self._lock:
            self._dialling -= 1
            self._lane(control).add(connection)
        return connection

    def _give_up(self, turn: Event) -> None:
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
            else:
                self._wake_next()

    def _wake_next(self) -> None:
        if self._waiting:
            self._waiting.popleft().set()

    def release(self, connection: Connection) -> None:
        """Take a connection back after an exchange that has its outcome."""
        keep = connection.reader.reusable if connection.drained else True
        with self._lock:
            known = self._forget(connection)
            keep = keep and known and not self._closed and len(self._idle) < MAX_IDLE
            if keep:
                connection.idle_since = self._runtime.now()
                self._idle.append(connection)
            self._wake_next()
        if not keep:
            connection.stream.abort()

    def discard(self, connection: Connection) -> None:
        """Close a connection whose exchange was broken off."""
        connection.stream.abort()
        with self._lock:
            self._forget(connection)
            self._wake_next()

    def _forget(self, connection: Connection) -> bool:
        lane = self._control if connection in self._control else self._leased
        known = connection in lane
        lane.discard(connection)
        return known

    def close(self) -> None:
        """Close all connections, those in use as well."""
        with self._lock:
            self._closed = True
            connections = [*self._idle, *self._leased, *self._control]
            self._idle.clear()
            while self._waiting:
                self._waiting.popleft().set()
        for connection in connections:
            connection.stream.abort()

"""Carrying HTTP exchanges over pooled connections, and naming what goes wrong.

The receive loop stands once, in :meth:`PooledTransport.run`: send, then read until the
exchange has its outcome. Everything that breaks it off closes the connection at once,
which is also how a stateless server learns that its client gave up.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Awaitable, Callable
from functools import partial

from routermcp_proto.events import Event
from routermcp_proto.exceptions import RemoteProtocolError, TransportError
from routermcp_proto.http.exchange import MCPExchange
from routermcp_proto.http.fetching import HTTPExchange
from routermcp_proto.http.headers import HTTPRequest
from routermcp_proto.http.outcomes import OUTCOMES, Outcome
from routermcp_proto.http.url import EndpointURL
from routermcp_proto.redaction import hide_in

from .. import wire_log
from ..concurrency import fork
from ..concurrency.unclosed import UnclosedGuard
from ..limits import PoolLimits, PoolStats
from ..runtime import Runtime, StreamClosedError
from .base import ResponseStream, SharedTransport
from .connect import is_deadline
from .connection import PooledConnection
from .context import ExchangeContext
from .pool import ConnectionPool


class PooledTransport(SharedTransport):
    """The connections of a client, shared by its sessions.

    Args:
        endpoint: Where the MCP server is.
        tls: Makes the TLS context, when it is first needed.
        limits: How many connections, for how long.
    """

    def __init__(
        self, endpoint: EndpointURL, tls: Callable[[], ssl.SSLContext], limits: PoolLimits | None = None
    ) -> None:
        super().__init__(endpoint)
        self._tls = tls
        self._limits = limits or PoolLimits()
        self._pool: ConnectionPool | None = None
        self._guard = UnclosedGuard(self)
        fork.watch(self)
        self._answered = False
        self._before = (0, 0)

    def open(self, runtime: Runtime, user: object) -> Runtime:
        """Take the connections into use for one more session; see :meth:`SharedTransport.open`."""
        with self._gate:
            bound = super().open(runtime, user)
            if self._pool is None:
                self._make_pool(bound)
            return bound

    def _make_pool(self, runtime: Runtime) -> None:
        self._pool = ConnectionPool(runtime, self._tls, self.resolver, self._limits)
        self._guard.resources = [self._pool.holdings()]

    def after_fork(self) -> None:
        """Leave the connections to the parent process, unsent; what goes on here opens its own."""
        self._lock, self._gate = threading.Lock(), threading.RLock()
        self._resolver = None
        self.forget_background_tasks()
        pool, runtime = self._pool, self._runtime
        if pool is not None:
            self._guard.resources = None
            self._pool, self._before = None, self._counted(pool)
            pool.drop()
        if runtime is not None and runtime.survives_fork and self._users:
            self._make_pool(runtime)
        else:
            self._users.clear()

    def _counted(self, pool: ConnectionPool) -> tuple[int, int]:
        return self._before[0] + pool.reused, self._before[1] + pool.opened

    def close_all(self) -> None:
        """Close the connections, in spite of their users."""
        self._users.clear()
        pool = self._pool
        if pool is None:
            return
        self._guard.resources = None
        self._pool, self._before = None, self._counted(pool)
        try:
            pool.close()
        except BaseException:
            pool.close()  # Ctrl-C has cut it short
            raise

    def stats(self) -> PoolStats:
        """Return what the connections are doing, and what they have done."""
        pool = self._pool
        idle, in_use, waiting = pool.counts() if pool is not None else (0, 0, 0)
        reused, opened = self._before
        if pool is not None:
            reused, opened = reused + pool.reused, opened + pool.opened
        return PoolStats(idle + in_use, idle, in_use, waiting, reused, opened, self._retries)

    def pool(self) -> ConnectionPool:
        """Return the connections.

        Raises:
            TransportError: The client is disconnected.
        """
        if self._pool is None:
            raise TransportError("the client is disconnected", code="closed", not_run=True)
        return self._pool

    async def run(
        self, request: HTTPRequest, exchange: HTTPExchange, context: ExchangeContext
    ) -> Outcome | None:
        """Carry one exchange over a connection of the pool; see :meth:`HTTPTransport.run`."""
        pool = self.pool()
        if context.destination is None:
            connection = await pool.lease(self.endpoint, control=context.control)
        else:
            endpoint, admit = context.destination.endpoint, context.destination.admit
            connection = await pool.lease(endpoint, control=context.control, admit=admit)
        outcome: Outcome | None = None
        try:
            await self._send(connection, request, exchange)
            while outcome is None and not exchange.finished:
                for event in await self._receive(connection, exchange, context):
                    if isinstance(event, OUTCOMES):
                        outcome = event
                    else:
                        await context.on_event(event)
        except BaseException:
            # Cancellation, a deadline, Ctrl-C, an error of a callback: nothing may use this
            # connection again, and nothing is awaited on the way out.
            pool.discard(connection)
            raise
        self._answered = True
        pool.release(connection)
        return outcome

    async def open_stream(
        self, request: HTTPRequest, exchange: MCPExchange, context: ExchangeContext
    ) -> ResponseStream | Outcome:
        """Open a stream over a connection of its own; see :meth:`HTTPTransport.open_stream`."""
        pool = self.pool()
        connection = await pool.lease(self.endpoint, control=True)
        receive = partial(self._receive, connection, exchange, context)
        try:
            await self._send(connection, request, exchange)
            events: list[Event] = []
            while not events and not exchange.streams:
                events = await receive()
        except BaseException:
            pool.discard(connection)
            raise
        self._answered = True
        if events and isinstance(events[0], OUTCOMES):
            pool.discard(connection)
            return events[0]
        return _PooledStream(connection, receive, events)

    async def _send(self, connection: PooledConnection, request: HTTPRequest, exchange: HTTPExchange) -> None:
        if wire_log.enabled():
            wire_log.log_request(request)
        exchange.secrets, exchange.sent = request.secrets, True
        connection.reader.start(request.method)
        connection.drained = False
        try:
            await connection.stream.send_all(request.to_bytes())
        except StreamClosedError as error:
            message = f"{connection.endpoint} closed the connection before anything was sent"
            raise TransportError(message, code="closed", not_run=True) from error
        except OSError as error:
            if is_deadline(error):
                raise
            raise self._lost(connection, error) from error

    async def _receive(
        self, connection: PooledConnection, exchange: HTTPExchange, context: ExchangeContext
    ) -> list[Event]:
        """Wait for a piece of the answer, and return the events in it."""
        reader = context.reader
        try:
            if reader is not None and self._runtime is not None:
                data = await reader.receive(self._runtime, connection.stream, context.on_event)
            else:
                data = await connection.stream.receive_some()
        except OSError as error:
            if is_deadline(error):
                raise
            raise self._lost(connection, error) from error
        try:
            return connection.take(data, exchange)
        except RemoteProtocolError as error:
            hide_in(error, exchange.secrets())
            raise self._translated(connection, error, data) from error

    def _lost(self, connection: PooledConnection, error: OSError) -> TransportError:
        message = f"the connection to {connection.endpoint} broke: {error}{self._perhaps_tls(connection)}"
        return TransportError(message, code="closed")

    def _perhaps_tls(self, connection: PooledConnection) -> str:
        """Guess what is wrong with a peer that hangs up on plain HTTP and has never answered."""
        return "" if connection.endpoint.tls or self._answered else "; if it speaks TLS, use https:// instead"

    def _translated(
        self, connection: PooledConnection, error: RemoteProtocolError, data: bytes
    ) -> TransportError:
        endpoint = connection.endpoint
        if not data:
            message = (
                f"{endpoint} closed the connection before it had answered{self._perhaps_tls(connection)}"
            )
            return TransportError(message, code="closed")
        if data[:2] == b"\x15\x03" and not endpoint.tls:
            return TransportError(
                f"{endpoint} speaks TLS: use https:// instead of http://", code="protocol", not_run=True
            )
        return TransportError(f"{endpoint} did not answer in MCP's way: {error}", code="protocol")


class _PooledStream:
    """An event stream over a connection that takes no place in the pool.

    The pool forgets the connection when it is garbage, so that closing the stream takes no lock.
    """

    def __init__(
        self, connection: PooledConnection, receive: Callable[[], Awaitable[list[Event]]], begun: list[Event]
    ) -> None:
        self._connection = connection
        self._receive = receive
        self._begun = begun

    async def receive(self) -> list[Event]:
        begun, self._begun = self._begun, []
        return begun or await self._receive()

    def abort(self) -> None:
        self._connection.stream.abort()

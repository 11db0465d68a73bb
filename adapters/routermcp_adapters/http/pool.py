"""The keep-alive pool: the connections that all sessions of a client share.

A connection is in exactly one place: leased to an exchange, idle in the pool, or closed.

* **Lease.** An exchange that needs a connection takes a *place*, of which there are
  ``max_connections``, and in it the idle connection that has rested least, else a new one. A
  :class:`PooledConnection` without a stream is a place whose connection is still to be opened:
  it holds the place while :func:`.connect.dial` waits, outside of the lock.
* **Queue.** A caller that finds no place waits in the order of arrival. The place goes from hand
  to hand: the caller that frees it gives it to the first waiter (``_serve``), so a newcomer can't
  overtake. Answers to the server and DELETE take no place (the *control* lane): all places may
  be held by calls that wait for just these.
* **Release.** A connection comes back as soon as the outcome is known, perhaps before the last
  bytes of its response: it rests in the pool while these arrive, and is examined when it is
  wanted again. So no call waits for the end of an event stream whose answer it has.
* **Expiry.** There is no timer. An idle connection that is too old, closed by the peer or out of
  step is dropped when a lease meets it, or a release finds it at the old end.

The pool refers to leased connections weakly. A holder that is torn away before it can give its
connection back (Ctrl-C in blocking code) lets it become garbage, which closes it and frees its
place (``_on_abandoned``). Garbage is collected at any moment, in any thread, with the lock held by
that thread too, so the finalizer takes no lock for certain: it sets the mark ``_abandoned`` and
tries. Each method that leases or frees ends with ``_settle``, which serves the waiters while
the mark is set. Where Ctrl-C cuts that short, the exception handler of the same method settles
again; the invariant is that no place is free while a caller waits for one.

One lock guards the lists; it is never held while anything waits.
"""

from __future__ import annotations

import ssl
import threading
import weakref
from collections import deque
from collections.abc import Callable

from routermcp_proto.exceptions import TransportError
from routermcp_proto.http.url import EndpointURL
from routermcp_proto.value_class import value_class

from ..limits import PoolLimits
from ..runtime import Event, Runtime
from .connect import Admit, Resolver, dial
from .connection import FRESH, TALKING, USELESS, Condition, Origin, PooledConnection

#: Seconds for which the end of an answer may be on the way. A server that keeps an event
#: stream open after the answer holds a connection that no call can use.
TALKING_SECONDS = 5.0

Ref = weakref.ref[PooledConnection]


class _LeaseRequest:
    """One caller in the queue."""

    __slots__ = ("connection", "endpoint", "flag", "queued")

    def __init__(self, endpoint: EndpointURL, flag: Event) -> None:
        self.endpoint = endpoint
        self.flag = flag
        self.connection: PooledConnection | None = None
        """What it was given: an idle connection, or one that is still to be opened."""
        self.queued = True
        """Whether it may still be in the queue, which is long: False once it was taken out."""


@value_class
class Holdings:
    """The connections of a pool.

    Attributes:
        runtime: The event loop that they belong to, None for none.
    """

    runtime: Runtime | None
    idle: deque[PooledConnection]
    leased: dict[Ref, Origin]
    control: dict[Ref, Origin]

    def close(self, *, everything: bool) -> None:
        """Close all connections, or only those that can't be in use any more."""
        if not everything and self.runtime is not None and not self.runtime.over:
            return
        if everything or self.runtime is not None:
            for ref in (*self.leased, *self.control):
                connection = ref()
                if connection is not None:
                    connection.stream.abort()
        while self.idle:
            self.idle.popleft().stream.abort()


class ConnectionPool:
    """The connections of a client.

    Args:
        runtime: How to wait.
        tls: Makes the TLS context, when the first connection needs one.
        resolver: Looks names up.
        limits: How many connections, for how long.
    """

    def __init__(
        self,
        runtime: Runtime,
        tls: Callable[[], ssl.SSLContext],
        resolver: Resolver,
        limits: PoolLimits | None = None,
    ) -> None:
        self._runtime = runtime
        self._tls = tls
        self._resolver = resolver
        self._limits = limits or PoolLimits()
        self._lock = threading.Lock()
        self._idle: deque[PooledConnection] = deque()
        self._leased: dict[Ref, Origin] = {}
        self._control: dict[Ref, Origin] = {}
        self._waiting: deque[_LeaseRequest] = deque()
        self._abandoned = False
        """Whether a place may have got free that no waiter has been given yet."""
        self._unswept = 0
        """Callers who came to the queue since the last sweep, which looks at each place."""
        self._closed = False
        self.reused = 0
        """Leases of a connection that was there already."""
        self.opened = 0
        """Connections that were opened."""

    # ---- leasing ---------------------------------------------------------------------

    async def lease(
        self, endpoint: EndpointURL, *, control: bool = False, admit: Admit | None = None
    ) -> PooledConnection:
        """Return a connection for one exchange, an idle one if there is, else a new one.

        Args:
            endpoint: Where it has to lead.
            control: Do not wait for a place: answers to the peer must get through when all
                places are taken by calls that wait for them.
            admit: Asked for each address that the connection may lead to.

        Raises:
            TransportError: No connection could be opened.
        """
        connection = self._admit(endpoint, control)
        if connection is None:
            connection = await self._queue(endpoint)
        if connection.is_open:
            if admit is None or connection.admitted(admit):
                return connection
            self.discard(connection)
            return await self.lease(endpoint, control=control, admit=admit)
        try:
            tls = self._tls() if endpoint.tls else None
            connection.stream, connection.addresses = await dial(
                self._runtime, self._resolver, endpoint, tls, admit
            )
        except BaseException:
            self.discard(connection)
            raise
        connection.opened_at = self._runtime.now()
        with self._lock:
            self.opened += 1
            closed = self._closed
        self._settle()
        if closed:
            self.discard(connection)
            raise TransportError("the client was disconnected meanwhile", code="closed", not_run=True)
        return connection

    def _admit(self, endpoint: EndpointURL, control: bool) -> PooledConnection | None:
        """Give out a connection if there is a place. One that others wait for is never free: they have it."""
        connection: PooledConnection | None = None
        with self._lock:
            if self._closed:
                raise TransportError("the client was disconnected meanwhile", code="closed", not_run=True)
            if control:
                connection = self._give(endpoint, self._control)
            elif self._has_place(endpoint):
                connection = self._give(endpoint, self._leased)
        self._settle()
        return connection

    def _has_place(self, endpoint: EndpointURL) -> bool:
        leased, limits = self._leased, self._limits
        if len(leased) >= limits.max_connections:
            return False
        if limits.max_connections_per_origin >= limits.max_connections:
            return True
        origin = endpoint.origin
        there = sum(1 for other in tuple(leased.values()) if other == origin)
        return there < limits.max_connections_per_origin

    def _give(self, endpoint: EndpointURL, lane: dict[Ref, Origin]) -> PooledConnection:
        connection = self._take_idle(endpoint.origin)
        if connection is None:
            connection = PooledConnection(endpoint, self._on_abandoned)
            self._make_room()
        else:
            self.reused += 1
        lane[connection.ref] = connection.origin
        return connection

    def _make_room(self) -> None:
        """Let a resting connection go for one that is about to be opened."""
        if self._idle and len(self._idle) + len(self._leased) >= self._limits.max_connections:
            self._idle.popleft().stream.abort()

    def _take_idle(self, origin: Origin) -> PooledConnection | None:
        """Take the connection that has rested least; drop those on the way that are of no use."""
        now, idle = self._runtime.now(), self._idle
        index = len(idle)
        while index:
            index -= 1
            connection = idle[index]
            if connection.origin != origin:
                continue
            condition = self._examine(connection, now)
            if condition is TALKING:
                continue
            del idle[index]
            if condition is FRESH:
                return connection
            connection.stream.abort()
        return None

    def _examine(self, connection: PooledConnection, now: float) -> Condition:
        if self._expired(connection, now):
            return USELESS
        condition = connection.examine()
        if condition is TALKING and now - connection.idle_since > TALKING_SECONDS:
            return USELESS
        return condition

    def _expired(self, connection: PooledConnection, now: float) -> bool:
        limits = self._limits
        return (
            now - connection.idle_since > limits.idle_expiry / 1000
            or now - connection.opened_at > limits.max_lifetime / 1000
        )

    # ---- waiting -----------------------------------------------------------------------

    async def _queue(self, endpoint: EndpointURL) -> PooledConnection:
        waiter = _LeaseRequest(endpoint, self._runtime.event())
        try:
            with self._lock:
                self._unswept += 1
                if self._unswept >= len(self._leased) or not self._waiting:
                    self._sweep()
                self._waiting.append(waiter)
                self._serve()
            self._settle()
            await waiter.flag.wait()
        except BaseException:
            self._withdraw(waiter)
            raise
        if waiter.queued:
            with self._lock:
                self._take_out(waiter)
        connection, waiter.connection = waiter.connection, None
        if connection is None:
            raise TransportError("the client was disconnected meanwhile", code="closed", not_run=True)
        return connection

    def _withdraw(self, waiter: _LeaseRequest) -> None:
        with self._lock:
            self._take_out(waiter)
            connection, waiter.connection = waiter.connection, None
        if connection is None:
            self._settle()
        elif connection.is_open:
            self.release(connection)
        else:
            self.discard(connection)

    def _take_out(self, waiter: _LeaseRequest) -> None:
        if waiter.queued and waiter in self._waiting:
            self._waiting.remove(waiter)

    def _serve(self) -> None:
        """Give free places to the waiters, in their order; the lock is held."""
        waiting, passed = self._waiting, 0
        while passed < len(waiting):
            waiter = waiting[passed]
            if waiter.connection is None:
                if len(self._leased) >= self._limits.max_connections:
                    return
                if not self._has_place(waiter.endpoint):
                    passed += 1
                    continue
                waiter.connection = self._give(waiter.endpoint, self._leased)
            # It stays in the queue until it has been told: Ctrl-C may come at any of these.
            waiter.flag.set()
            del waiting[passed]
            waiter.queued = False

    def _on_abandoned(self, ref: Ref) -> None:
        """Free the place of a connection that is garbage; any thread may be anywhere meanwhile."""
        try:
            self._control.pop(ref, None)
            self._leased.pop(ref, None)
        except TypeError:
            return  # torn away before it was in use: it has no hash, and no place
        self._abandoned = True
        self._settle()

    def _settle(self) -> None:
        """Serve the waiters while a place may be free.

        The lock may be held by this thread, where garbage is collected, or by another one; then
        its holder settles after letting go of it.
        """
        while self._abandoned:
            taken: list[bool] = []
            try:
                # Taking the lock and noting it is one call, so that Ctrl-C cannot come between.
                taken.extend(map(self._lock.acquire, (False,)))
                if not taken[0]:
                    return
                self._abandoned = False
                self._serve()
            except BaseException:
                self._abandoned = True
                raise
            finally:
                if taken and taken[0]:
                    self._lock.release()

    def _sweep(self) -> None:
        """Free the places of connections whose finalizer Ctrl-C has cut short."""
        self._unswept = 0
        for lane in (self._leased, self._control):
            for ref in [ref for ref in lane if ref() is None]:
                lane.pop(ref, None)

    # ---- giving back -------------------------------------------------------------------

    def release(self, connection: PooledConnection) -> None:
        """Take a connection back after an exchange that has its outcome."""
        keep = connection.reader.reusable if connection.drained else True
        surplus: PooledConnection | None = None
        try:
            with self._lock:
                if self._waiting:
                    self._abandoned = True
                known = self._forget(connection)
                if keep and known and not self._closed:
                    connection.idle_since = self._runtime.now()
                    self._idle.append(connection)
                    if len(self._idle) > self._limits.max_idle or self._expired(
                        self._idle[0], connection.idle_since
                    ):
                        surplus = self._idle.popleft()
                else:
                    surplus = connection
            if surplus is not None:
                surplus.stream.abort()
            self._settle()
        except BaseException:
            self._settle()  # Ctrl-C has cut it short
            raise

    def discard(self, connection: PooledConnection) -> None:
        """Close a connection whose exchange was broken off."""
        try:
            connection.stream.abort()
            with self._lock:
                if self._waiting:
                    self._abandoned = True
                self._forget(connection)
            self._settle()
        except BaseException:
            self._settle()  # Ctrl-C has cut it short
            raise

    def _forget(self, connection: PooledConnection) -> bool:
        ref = connection.ref
        return self._leased.pop(ref, None) is not None or self._control.pop(ref, None) is not None

    def close(self) -> None:
        """Close all connections, those in use as well."""
        with self._lock:
            self._closed = True
            held = [ref() for ref in (*self._leased, *self._control)]
            connections = [*self._idle, *(connection for connection in held if connection is not None)]
            self._idle.clear()
            for waiter in self._waiting:
                waiter.flag.set()
            self._waiting.clear()
        for connection in connections:
            connection.stream.abort()

    def holdings(self) -> Holdings:
        """Return the connections, to be closed without the pool."""
        runtime = None if self._runtime.survives_fork else self._runtime
        return Holdings(runtime, self._idle, self._leased, self._control)

    def drop(self) -> None:
        """Let go of all connections in a child process, whose parent goes on using them.

        No lock is taken: a thread that is not there any more may hold it.
        """
        self._lock = threading.Lock()
        held = [ref() for ref in (*self._leased, *self._control)]
        for connection in (*self._idle, *held):
            if connection is not None:
                connection.stream.abort()

    # ---- looking on ----------------------------------------------------------------------

    def counts(self) -> tuple[int, int, int]:
        """Return how many connections rest, how many are in use, and how many callers wait."""
        with self._lock:
            self._sweep()
            counts = len(self._idle), len(self._leased) + len(self._control), len(self._waiting)
        self._settle()
        return counts

"""Transports of HTTP exchanges, and what the sessions of one client share of them."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar

from routermcp_proto.events import Event
from routermcp_proto.exceptions import TransportError
from routermcp_proto.http.exchange import MCPExchange
from routermcp_proto.http.fetching import Fetched, FetchExchange, HTTPExchange, fetch_request
from routermcp_proto.http.headers import HTTPRequest
from routermcp_proto.http.outcomes import Outcome
from routermcp_proto.http.url import EndpointURL
from routermcp_proto.oauth.urls import admits
from routermcp_proto.session.handshake import Agreement

from ..concurrency.background import BackgroundTask
from ..limits import PoolStats
from ..runtime import Runtime
from .connect import Admit, Resolver, conceding, widest
from .context import Destination, ExchangeContext, ignore
from .pool import ConnectionPool

T = TypeVar("T")

#: Seconds that the end of a client waits for its background tasks: what an authorization
#: server takes on a bad day.
BACKGROUND_SECONDS = 5.0


class ResponseStream(Protocol):
    """An event stream that a response has begun."""

    async def receive(self) -> list[Event]:
        """Wait for data and return the events in it; a receive that is cancelled loses nothing.

        Raises:
            TransportError: The connection failed, or the stream was not one of MCP.
        """
        ...

    def abort(self) -> None:
        """Close it at once, without waiting for a lock; may be called again."""
        ...


class EndpointMemory:
    """What the sessions of a client share about their server."""

    def __init__(self) -> None:
        self.legacy_sse_until = 0.0
        """Until when the server is taken for one that speaks HTTP+SSE, in the runtime's clock."""
        self.protocol: str | None = None
        """The revision of the handshake era that worked last, which spares the probe."""
        self.protocol_until = 0.0
        """Until when that is taken for granted, in the runtime's clock."""
        self.agreement: Agreement | None = None
        """A public answer to ``server/discover``."""
        self.fresh_until = 0.0
        """Until when that answer may be used, in the runtime's clock."""
        self.known: Agreement | None = None
        """The last agreement, whether its answer may be used again or not; most servers give the same to all
        users, and sessions share it in memory."""


class HTTPTransport(ABC):
    """Sends HTTP exchanges for a session.

    Args:
        endpoint: The MCP server.
    """

    def __init__(self, endpoint: EndpointURL) -> None:
        self.endpoint = endpoint

    @abstractmethod
    async def run(
        self, request: HTTPRequest, exchange: HTTPExchange, context: ExchangeContext
    ) -> Outcome | None:
        """Carry one exchange and return its outcome.

        Args:
            request: The request to send.
            exchange: Reads the response.
            context: What the exchange serves.

        Returns:
            The outcome, or None where only ``context.on_event`` learned of it (the handshake).

        Raises:
            TransportError: The connection failed, or the answer was not one of MCP.
        """

    @abstractmethod
    async def open_stream(
        self, request: HTTPRequest, exchange: MCPExchange, context: ExchangeContext
    ) -> ResponseStream | Outcome:
        """Send a request for an event stream that stays open, beside the limit of connections.

        Args:
            request: The request to send.
            exchange: Reads the response.
            context: What the exchange serves.

        Returns:
            The stream, once the head of the response has come; the outcome where it is none.

        Raises:
            TransportError: As :meth:`run`.
        """

    async def credentials(self, method: str, url: str) -> Mapping[str, str]:
        """Return the headers that authorize a request, none where the transport adds none."""
        del method, url
        return {}


class SharedTransport(HTTPTransport):
    """The connections of a client, which its sessions share.

    Args:
        endpoint: The MCP server.
        background_seconds: The longest that the end of the client waits for background tasks.
    """

    def __init__(self, endpoint: EndpointURL, background_seconds: float = BACKGROUND_SECONDS) -> None:
        super().__init__(endpoint)
        self.memory = EndpointMemory()
        self.background_seconds = background_seconds
        self._runtime: Runtime | None = None
        self._users: set[object] = set()
        self._background_tasks: set[BackgroundTask[Any]] = set()
        self._lock = threading.Lock()
        self._gate = threading.RLock()
        """Held while a user of the connections comes or goes."""
        self._retries = 0
        self._resolver: Resolver | None = None

    @abstractmethod
    def close_all(self) -> None:
        """Close the connections, in spite of their users."""

    @abstractmethod
    def stats(self) -> PoolStats:
        """Return counts of the connections and of what they have done."""

    def pool(self) -> ConnectionPool | None:
        """Return the pool, None where an HTTP client of the user's has its own.

        Raises:
            TransportError: The client is disconnected.
        """
        return None

    @property
    def runtime(self) -> Runtime:
        """The runtime that the connections are bound to.

        Raises:
            TransportError: The client is disconnected.
        """
        if self._runtime is None:
            raise TransportError("the client is disconnected", code="closed", not_run=True)
        return self._runtime

    @property
    def resolver(self) -> Resolver:
        """Looks names up."""
        if self._resolver is None:
            self._resolver = Resolver()
        return self._resolver

    def open(self, runtime: Runtime, user: object) -> Runtime:
        """Take the connections into use for one more user.

        Args:
            runtime: Where the caller runs.
            user: The session that uses them until :meth:`close`.

        Returns:
            The runtime they are bound to: the given one, unless they are in use already.

        Raises:
            ConfigError: They are in use in another event loop.
        """
        with self._gate:
            if self._runtime is not None and self._users and self._runtime.over:
                self.close_all()
            if self._runtime is not None and self._users:
                self._runtime.check()
            else:
                self._runtime = runtime
                # Its clock may be another one: that of trio begins anew with each run.
                self.memory.fresh_until = 0.0
                self._resolver = None
            self._users.add(user)
            return self._runtime

    def close(self, user: object) -> None:
        """Give the connections back; they close with their last user."""
        with self._gate:
            self._users.discard(user)
            if not self._users:
                self.close_all()

    def start_background(
        self, work: Callable[[], Awaitable[T]], clean_up: Callable[[], Awaitable[object]]
    ) -> BackgroundTask[T]:
        """Start work that runs to its end and keeps the connections open meanwhile.

        Args:
            work: The coroutine function to run.
            clean_up: Runs after it, in the caller or, if that has given up, in the task.

        Raises:
            OSError: Too much such work is waiting.
            TransportError: The client is disconnected.
        """
        task = BackgroundTask(self.runtime, work, clean_up, self._ended)
        self._background_tasks.add(task)
        self._users.add(task)
        try:
            task.start()
        except BaseException:
            self._ended(task)
            raise
        return task

    def _ended(self, task: BackgroundTask[Any]) -> None:
        with self._gate:
            self._background_tasks.discard(task)
            if task in self._users:
                self.close(task)

    async def finish(self, user: object, everything: bool) -> None:
        """Do what has to be awaited before :meth:`close` (of one user) or :meth:`close_all`."""
        others = self._users - self._background_tasks - {user}
        if self._runtime is None or not self._background_tasks or (others and not everything):
            return
        scope = self._runtime.deadline(self._runtime.now() + self.background_seconds)
        try:
            async with scope:
                for task in tuple(self._background_tasks):
                    await task.wait()
        except TimeoutError:
            if not scope.expired:
                raise

    def forget_background_tasks(self) -> None:
        """Leave the background tasks to the parent process."""
        self._users -= self._background_tasks
        self._background_tasks.clear()

    async def fetch(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        max_size: int,
        *,
        private: bool = False,
        named_by: str = "",
    ) -> Fetched:
        """Make a request to any server, without logging it or following redirects.

        A document of others may have named the URL, so an address is refused that cannot be reached
        from where the servers are that named it: a server of the open Internet leads to no address in
        a private network, one of the network to none of this machine. Judged are the connections that
        were made to these servers, and the address that is judged is the one that is connected to.

        Args:
            method: The method.
            url: The URL, of any server.
            headers: The headers.
            body: The body.
            max_size: Bytes of the longest answer.
            private: Whether an address in a private network is admitted all the same.
            named_by: The URL of the authorization server that named it, empty for the MCP server.

        Raises:
            TransportError: There was no answer, or it was too long.
            LocalProtocolError: It cannot be sent.
        """
        endpoint = EndpointURL.parse(url)
        admit = await self._admission(named_by)
        if private and admit is not None:
            admit = conceding(endpoint, admit)
        request, exchange = fetch_request(method, endpoint, headers, body), FetchExchange(max_size)

        context = ExchangeContext(ignore, control=True, destination=Destination(endpoint, admit))
        outcome = await self.run(request, exchange, context)
        if not isinstance(outcome, Fetched):
            raise TransportError(f"{endpoint} gave no answer", code="protocol")
        return outcome

    async def _admission(self, named_by: str) -> Admit | None:
        if self.endpoint.unix or self._runtime is None:
            return None
        peer = self.resolver.peer(self.endpoint)
        if peer is None:
            # Nothing was said by the server yet: the URL is one of an earlier time, which was judged then.
            own = await self.resolver.addresses(self._runtime, self.endpoint.host, self.endpoint.port)
            peer = widest(own)
        named = self.resolver.peer(EndpointURL.parse(named_by)) if named_by else None
        return partial(admits, peer if named is None else min(peer, named))

    def note_retry(self) -> None:
        """Count that a request is sent again."""
        with self._lock:
            self._retries += 1

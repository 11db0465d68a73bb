"""What carries HTTP exchanges, seen from a session: our own sockets, or an HTTP client that was brought."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from routermcp_proto.events import (
    Event,
)
from routermcp_proto.exceptions import TransportError
from routermcp_proto.handshake import Agreement
from routermcp_proto.http.fetching import Fetched, FetchExchange, HTTPExchange, fetch_request
from routermcp_proto.http.headers import HTTPRequest
from routermcp_proto.http.outcomes import Outcome
from routermcp_proto.http.url import EndpointURL
from routermcp_proto.oauth.urls import admits, is_private
from routermcp_proto.types import InitializeResult

from ..call.deadline import CallDeadline
from ..call.incoming import OnEvent
from ..concurrency.background import BackgroundTask
from ..limits import PoolStats
from ..runtime import Runtime
from .connect import Admit, Resolver
from .pool import ConnectionPool
from .server_stream import Reader

T = TypeVar("T")

#: Seconds that the end of a client waits for its background tasks: what an authorization
#: server takes on a bad day.
BACKGROUND_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another place than the MCP server."""

    endpoint: EndpointURL
    admit: Admit | None
    """Asked for each of its addresses."""


class EndpointMemory:
    """What the sessions of a client share about their server."""

    def __init__(self) -> None:
        self.protocol: str | None = None
        """The revision of the handshake era that worked last, which spares the probe."""
        self.agreement: Agreement | None = None
        """A public answer to ``server/discover``."""
        self.fresh_until = 0.0
        """Until when that answer may be used, in the runtime's clock."""
        self.server: InitializeResult | None = None
        """What a server of the handshake era said last; most say the same to everybody."""


class HTTPTransport(ABC):
    """Carries the exchanges of a session.

    Args:
        endpoint: Where the MCP server is.
        memory: What is known of it.
    """

    def __init__(self, endpoint: EndpointURL, memory: EndpointMemory) -> None:
        self.endpoint = endpoint
        self.memory = memory

    @abstractmethod
    def open(self, runtime: Runtime, user: object) -> Runtime:
        """Take the connections into use for one more session.

        Args:
            runtime: Where the caller runs.
            user: Whoever uses them from now on, for :meth:`close`.

        Returns:
            The runtime they are bound to: the given one, unless they are in use already.

        Raises:
            ConfigError: They are in use elsewhere.
        """

    @abstractmethod
    def close(self, user: object) -> None:
        """Give the connections back; they close with their last user."""

    @abstractmethod
    def close_all(self) -> None:
        """Close the connections, whoever uses them."""

    async def finish(self, user: object, everything: bool) -> None:
        """Do what has to be awaited before :meth:`close` (of one user) or :meth:`close_all`."""
        del user, everything

    def pool(self) -> ConnectionPool | None:
        """Return our own connections, None where they are somebody else's.

        Raises:
            TransportError: The client is disconnected.
        """
        return None

    @abstractmethod
    async def run(
        self,
        request: HTTPRequest,
        exchange: HTTPExchange,
        on_event: OnEvent,
        *,
        control: bool = False,
        turn: Reader | None = None,
        deadline: CallDeadline | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> Outcome | None:
        """Carry one exchange and return its outcome.

        Args:
            request: What to send.
            exchange: Reads what comes back.
            on_event: Told of everything else that happens meanwhile.
            control: Do not wait for calls that may be waiting for this.
            turn: Read the session's shared stream too, when it is the caller's turn.
            deadline: The caller's deadline, which stands still while a user is asked; None where
                nobody may be asked.
            elsewhere: Where it goes, None for the MCP server.

        Returns:
            The outcome, or None where only ``on_event`` learned of it (the handshake).

        Raises:
            TransportError: The connection failed, or the answer was not one of MCP.
        """

    async def credentials(self, method: str, url: str) -> Mapping[str, str]:
        """Return the headers by which a request is let in, where somebody sees to that."""
        del method, url
        return {}

    @abstractmethod
    async def mention(self, request: HTTPRequest) -> None:
        """Send a message whose answer nobody waits for, if that takes no time."""

    @abstractmethod
    def stats(self) -> PoolStats:
        """Return what the connections are doing, and what they have done."""

    @abstractmethod
    def note_retry(self) -> None:
        """Count that a request is sent again."""


class SharedTransport(HTTPTransport):
    """Carries the exchanges of a client and its sessions.

    Args:
        endpoint: Where the MCP server is.
    """

    def __init__(self, endpoint: EndpointURL) -> None:
        super().__init__(endpoint, EndpointMemory())
        self._runtime: Runtime | None = None
        self._users: set[object] = set()
        self._background_tasks: set[BackgroundTask[Any]] = set()
        self._lock = threading.Lock()
        self._gate = threading.RLock()
        """Held by whoever takes the connections into use or gives them back."""
        self._retries = 0
        self._resolver: Resolver | None = None

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
        """Take the connections into use for one more session; see :meth:`HTTPTransport.open`."""
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
        """Wait for what must not be cut off, where the connections are about to close."""
        others = self._users - self._background_tasks - {user}
        if self._runtime is None or not self._background_tasks or (others and not everything):
            return
        scope = self._runtime.deadline(self._runtime.now() + BACKGROUND_SECONDS)
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
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, max_size: int
    ) -> Fetched:
        """Make a request to any server, of which nothing is logged; redirects are not followed.

        A document of others may have named the URL, so it does not lead into a private network
        unless the MCP server is in one itself.

        Args:
            method: Its method.
            url: Where it goes.
            headers: Its headers.
            body: Its body.
            max_size: Bytes of the longest answer.

        Raises:
            TransportError: There was no answer, or it was too long.
            LocalProtocolError: It cannot be sent.
        """
        endpoint = EndpointURL.parse(url)
        admit = None if endpoint.same_origin(self.endpoint) else await self._admission()
        request, exchange = fetch_request(method, endpoint, headers, body), FetchExchange(max_size)

        async def ignore(_: Event) -> None:
            raise AssertionError("an answer that is read whole has one event")

        outcome = await self.run(
            request, exchange, ignore, control=True, elsewhere=Elsewhere(endpoint, admit)
        )
        if not isinstance(outcome, Fetched):
            raise TransportError(f"{endpoint} gave no answer", code="protocol")
        return outcome

    async def _admission(self) -> Admit | None:
        if self.endpoint.unix or self._runtime is None:
            return None
        own = await self.resolver.addresses(self._runtime, self.endpoint.host, self.endpoint.port)
        return None if any(is_private(str(where[0])) for _, where in own) else admits

    def note_retry(self) -> None:
        """Count that a request is sent again."""
        with self._lock:
            self._retries += 1

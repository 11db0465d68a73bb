"""Carrying a session's messages over Streamable HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from routermcp_proto.client_session import ClientSession
from routermcp_proto.events import Outgoing
from routermcp_proto.handshake import Agreement
from routermcp_proto.http.binding import HTTPBinding, user_headers
from routermcp_proto.http.headers import HeaderBlock
from routermcp_proto.http.outcomes import Outcome
from routermcp_proto.retry import RetryPolicy

from ..call.deadline import CallDeadline
from ..call.incoming import IncomingHandler, ProgressSink, Responder
from ..concurrency import fork
from ..limits import PoolStats
from ..runtime import Runtime
from .base import HTTPTransport
from .handshake import HTTPHandshake
from .request import Delivery, Link
from .server_stream import ServerStream

Credentials = Callable[[], Awaitable[Mapping[str, str]]]


class HTTPSession:
    """The way of one session over connections that it may share with others.

    Args:
        transport: The connections.
        binding: How the session's messages become requests.
        responder: Answers the server.
        retry: How often a step of the handshake is tried.
        credentials: Asked for headers before each attempt, where some of them are not fixed.
        gateway: The peer is a RouterMCP gateway, by its URL.
    """

    def __init__(
        self,
        transport: HTTPTransport,
        binding: HTTPBinding,
        responder: Responder,
        retry: RetryPolicy,
        credentials: Credentials | None = None,
        gateway: bool = False,
    ) -> None:
        self._transport = transport
        self._binding = binding
        self._credentials = credentials
        self._listener = ServerStream(binding, self._prepare_stream)
        incoming = IncomingHandler(binding.session, responder, binding.endpoint)
        self._link = Link(transport, binding, incoming, self._listener)
        self._connector = HTTPHandshake(binding, transport, retry, self.prepare, self._listener, gateway)

    @property
    def session(self) -> ClientSession:
        """The machine whose messages these are."""
        return self._binding.session

    @property
    def place(self) -> str:
        """The URL, without its query."""
        return str(self._transport.endpoint)

    @property
    def session_id(self) -> str | None:
        """The ``Mcp-Session-Id`` in force."""
        return self._binding.session_id

    def open(self, runtime: Runtime) -> Runtime:
        """Take the connections into use."""
        fork.watch(self)
        return self._transport.open(runtime, self)

    def close(self) -> None:
        """Give the connections back."""
        self._listener.close()
        self._connector.forget()
        self._transport.close(self)

    def after_fork(self) -> None:
        """Leave the session to the parent process."""
        self._listener.after_fork()
        self._connector.after_fork()
        self._binding.restart()

    async def connect(self, deadline: CallDeadline) -> None:
        """Agree with the server, once for all who ask at the same time."""
        await self._connector.connect(deadline)

    async def renew(
        self, deadline: CallDeadline, session_id: str | None, agreement: Agreement | None
    ) -> None:
        """Agree anew, unless somebody has done so since the caller looked."""
        await self._connector.renew(deadline, session_id, agreement)

    async def farewell(self, runtime: Runtime, everything: bool = False) -> None:
        """End the session at the server with DELETE, where it has one."""
        await self._connector.farewell(runtime)
        await self._transport.finish(self, everything)

    def stats(self) -> PoolStats:
        """Return what the connections are doing, those of other sessions included."""
        return self._transport.stats()

    def note_retry(self) -> None:
        """Count that a request is sent again."""
        self._transport.note_retry()

    async def prepare(self, headers: Mapping[str, str] | None = None) -> HeaderBlock | None:
        """Collect the headers that are not the same for all requests."""
        if self._credentials is None:
            return user_headers(headers) if headers else None
        return user_headers({**await self._credentials(), **(headers or {})})

    async def _prepare_stream(self) -> HeaderBlock | None:
        """Collect the headers of the shared stream, which is read past the exchanges."""
        given = await self.prepare()
        admission = await self._transport.credentials("GET", self._binding.endpoint.url)
        if not admission or (given is not None and given.get(b"authorization") is not None):
            return given
        return user_headers(admission) if given is None else given + user_headers(admission)

    async def attend(self, deadline: CallDeadline) -> None:
        """Read the shared stream while no call does."""
        link = self._link

        async def answer(outgoing: Outgoing) -> None:
            await link.post(outgoing, await self.prepare())

        on_event = partial(link.incoming.handle, deadline, answer, None)
        await self._listener.watch(deadline.runtime, on_event)

    async def deliver(
        self,
        outgoing: Outgoing,
        extra: HeaderBlock | None,
        on_progress: ProgressSink | None,
        deadline: CallDeadline,
    ) -> Outcome | None:
        """Carry a request there and back, over redirects and cut streams."""
        return await Delivery(self._link, outgoing, extra, on_progress, deadline).run()

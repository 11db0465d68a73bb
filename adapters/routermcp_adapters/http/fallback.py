"""The choice between Streamable HTTP and HTTP+SSE, the transport before it.

A server that refuses the POST of ``initialize`` with 4xx may speak only the older one. Then its URL
answers GET with an event stream that begins with the event ``endpoint``.

Source: https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#backwards-compatibility
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from routermcp_proto.client_session import ClientSession
from routermcp_proto.events import Outgoing
from routermcp_proto.exceptions import TransportError, causes
from routermcp_proto.http.outcomes import Outcome
from routermcp_proto.session.handshake import Agreement

from ..call.deadline import CallDeadline
from ..call.incoming import ProgressSink
from ..call.transport import SessionTransport
from ..concurrency.single_flight import SingleFlight
from ..limits import PoolStats
from ..logs import log
from ..runtime import Runtime
from .base import EndpointMemory
from .handshake import PROTOCOL_SECONDS
from .legacy_sse import LegacySSESession
from .session import HTTPSession

#: Refusals that say nothing about the transport: credentials are needed, or patience.
_NOT_ABOUT_THE_TRANSPORT = frozenset({401, 407, 408, 429})


class FallbackSession:
    """The transport of one session over HTTP, of either kind.

    Args:
        http: The session over Streamable HTTP.
        make_legacy: Makes the session over HTTP+SSE.
        memory: What is known of the server.
        legacy: Whether the user says that the server speaks HTTP+SSE.
    """

    # An application may have a session for each of ten thousand users.
    __slots__ = (
        "__weakref__",
        "_active",
        "_flight",
        "_http",
        "_legacy",
        "_make_legacy",
        "_memory",
        "_only_legacy",
    )

    def __init__(
        self,
        http: HTTPSession,
        make_legacy: Callable[[HTTPSession], LegacySSESession],
        memory: EndpointMemory,
        *,
        legacy: bool = False,
    ) -> None:
        self._http = http
        self._make_legacy = make_legacy
        self._memory = memory
        self._only_legacy = legacy
        self._legacy: LegacySSESession | None = None
        self._active: SessionTransport = http
        self._flight = SingleFlight()

    @property
    def session(self) -> ClientSession:
        """The machine whose messages these are."""
        return self._http.session

    @property
    def place(self) -> str:
        """The URL, without its query."""
        return self._http.place

    @property
    def session_id(self) -> str | None:
        """By which name the server knows the session."""
        return self._active.session_id

    def open(self, runtime: Runtime) -> Runtime:
        """Take the connections into use."""
        return self._http.open(runtime)

    def close(self) -> None:
        """Give the connections back."""
        legacy, self._legacy, self._active = self._legacy, None, self._http
        if legacy is not None:
            legacy.close()
        self._http.close()

    def after_fork(self) -> None:
        """Leave the session to the parent process, and forget the handshake that a caller makes there."""
        self._flight = SingleFlight()
        self._http.after_fork()
        if self._legacy is not None:
            self._legacy.after_fork()

    async def connect(self, deadline: CallDeadline) -> SessionTransport:
        """Agree with the server, once for all callers at the same time, over the transport that it has."""
        if self.session.server is None:
            await self._flight.run(deadline.runtime, lambda: self._agree(deadline))
        return self._active

    async def _agree(self, deadline: CallDeadline) -> None:
        if self.session.server is None and (self._only_legacy or self._knows_legacy(deadline.runtime)):
            await self._go_on_with_legacy(deadline)
        if self.session.server is None:
            refused = await self._try_http(deadline)
            if refused is not None:
                await self._try_legacy(deadline, refused)

    async def _go_on_with_legacy(self, deadline: CallDeadline) -> None:
        """Speak the older transport, as before; do nothing where the server has another one by now."""
        try:
            await self._connect_legacy(deadline)
        except TransportError as error:
            if self._only_legacy or not (_is_refusal(error) or error.code == "protocol"):
                raise
            self._memory.legacy_sse_until = 0.0

    async def _try_http(self, deadline: CallDeadline) -> TransportError | None:
        """Speak Streamable HTTP; return the refusal of a server that may have another transport."""
        try:
            self._active = await self._http.connect(deadline)
        except TransportError as error:
            if not _is_refusal(error):
                raise
            return error
        return None

    def _knows_legacy(self, runtime: Runtime) -> bool:
        # The clock may be another one since: that of trio begins anew with each run.
        return 0 < self._memory.legacy_sse_until - runtime.now() <= PROTOCOL_SECONDS

    async def _try_legacy(self, deadline: CallDeadline, refused: TransportError) -> None:
        """Speak the older transport, if the server has it.

        Raises:
            TransportError: It has none of the two; the error is that of Streamable HTTP.
        """
        try:
            await self._connect_legacy(deadline)
        except TransportError as error:
            if self._knows_legacy(deadline.runtime) or error.status_code in _NOT_ABOUT_THE_TRANSPORT:
                raise
            # The failures that came first stay its causes.
            *_, first = causes(refused)
            first.__cause__ = error
            raise refused from refused.__cause__
        log.info("%s speaks HTTP+SSE, the transport before Streamable HTTP", self.place)

    async def _connect_legacy(self, deadline: CallDeadline) -> None:
        legacy = self._legacy
        if legacy is None:
            legacy = self._legacy = self._make_legacy(self._http)
            legacy.open(deadline.runtime)
        self._active = await legacy.connect(deadline)

    async def renew(
        self, deadline: CallDeadline, session_id: str | None, agreement: Agreement | None
    ) -> None:
        """Agree anew, unless another caller has done so in the meantime."""
        await self._active.renew(deadline, session_id, agreement)

    def take_loss(self) -> str | None:
        """Return how a session ended that was renewed since the last question."""
        legacy = self._legacy
        lost = legacy.take_loss() if legacy is not None else None
        return self._http.take_loss() or lost

    async def farewell(self, runtime: Runtime, everything: bool = False) -> None:
        """Tell the server that the session is over."""
        if self._legacy is not None:
            await self._legacy.farewell(runtime, everything)
        await self._http.farewell(runtime, everything)

    async def prepare(self, headers: Mapping[str, str] | None) -> Any:
        """Collect what one attempt takes along besides the message."""
        return await self._active.prepare(headers)

    async def deliver(
        self, outgoing: Outgoing, extra: Any, on_progress: ProgressSink | None, deadline: CallDeadline
    ) -> Outcome | None:
        """Carry a request there, and return what came of it."""
        return await self._active.deliver(outgoing, extra, on_progress, deadline)

    async def notify(self, outgoing: Outgoing, extra: Any) -> None:
        """Send a notification."""
        await self._active.notify(outgoing, extra)

    async def attend(self, deadline: CallDeadline) -> None:
        """Hear what the server says that belongs to no call, while no call reads it."""
        await self._active.attend(deadline)

    def stats(self) -> PoolStats:
        """Return what the connections are doing, and what they have done."""
        return self._http.stats()

    def note_retry(self) -> None:
        """Count that a request is sent again."""
        self._http.note_retry()


def _is_refusal(error: TransportError) -> bool:
    """Whether a server that answered so may speak the other transport."""
    status = error.status_code or 0
    return 400 <= status < 500 and status not in _NOT_ABOUT_THE_TRANSPORT

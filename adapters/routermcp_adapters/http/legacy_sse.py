"""Sessions over HTTP+SSE, the transport before Streamable HTTP.

All messages of the server come on one event stream, which the calls of a session share as they share
the pipes of a child process. What they send goes in a POST each, in the caller's own task.

Source: https://modelcontextprotocol.io/specification/2024-11-05/basic/transports#http-with-sse
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from routermcp_proto.client_session import ClientSession
from routermcp_proto.events import (
    EndpointReceived,
    Event,
    HTTPRedirected,
    HTTPRefused,
    Outgoing,
    PayloadReceived,
)
from routermcp_proto.exceptions import TransportError
from routermcp_proto.http.binding import MAX_REDIRECTS, HTTPBinding
from routermcp_proto.http.headers import HeaderBlock
from routermcp_proto.http.legacy_sse import LegacySSEExchange
from routermcp_proto.http.outcomes import OUTCOMES, Outcome, refusal_error
from routermcp_proto.retry import RetryPolicy
from routermcp_proto.session.handshake import Agreement
from routermcp_proto.versions import LATEST_HANDSHAKE

from ..call.deadline import PROBE_SHARE, CallDeadline
from ..call.incoming import Responder
from ..call.retries import seconds_to_retry
from ..limits import PoolStats
from ..runtime import Runtime
from ..streams.multiplexer import PostRequest
from ..streams.session import StreamSession, stream_disconnected
from .base import HTTPTransport, ResponseStream, SharedTransport
from .context import ExchangeContext, accepted, ignore
from .handshake import PROTOCOL_SECONDS

#: Seconds for the first event of a server that may speak another transport. A server of this one
#: sends it at once; the server stream of Streamable HTTP is silent.
ENDPOINT_SECONDS = 5.0

#: Collects the headers of one request that are not fixed, those of its caller among them.
Prepare = Callable[[Mapping[str, str] | None], Awaitable[HeaderBlock | None]]


class LegacySSEStream:
    """The event stream of one session, and the posts that belong to it.

    Args:
        binding: Writes the requests; leads to the event stream at first, to the endpoint for messages then.
        sender: Sends the requests.
        prepare: Asked for headers that are not fixed.
        opening: Returns the deadline of the call that opens the session, None once it is open.
    """

    def __init__(
        self,
        binding: HTTPBinding,
        sender: HTTPTransport,
        prepare: Prepare,
        opening: Callable[[], CallDeadline | None],
    ) -> None:
        self._binding = binding
        self._sender = sender
        self._prepare = prepare
        self._opening = opening
        self._place = str(binding.endpoint)
        self._exchange = LegacySSEExchange(binding.session)
        self._posted = binding.exchange(Outgoing(b""))
        self._stream: ResponseStream | None = None
        self._payloads: deque[bytes] = deque()
        self._runtime: Runtime | None = None

    @property
    def endpoint(self) -> str:
        """The target that messages are posted to, by which the server knows the session."""
        return self._binding.endpoint.target

    def secrets(self) -> Sequence[str]:
        """Return the secrets that the server was sent."""
        return (*self._exchange.secrets(), *self._posted.secrets())

    async def open(self, deadline: CallDeadline) -> None:
        """Open the event stream and wait for the endpoint that it names.

        Raises:
            TransportError: It was refused, or is not that of an HTTP+SSE server.
        """
        self._runtime = deadline.runtime
        context = ExchangeContext(ignore, deadline, control=True)
        for _ in range(MAX_REDIRECTS + 1):
            request = self._binding.resume("", await self._prepare(None))
            self._exchange = LegacySSEExchange(self._binding.session)
            opened = await self._sender.open_stream(request, self._exchange, context)
            if not isinstance(opened, HTTPRedirected):
                break
            self._binding.follow_or_raise(opened, get=True)
        else:
            raise TransportError(f"{self._place} redirects in circles", code="redirect")
        if isinstance(opened, HTTPRefused):
            raise refusal_error(opened, self._place)
        if isinstance(opened, OUTCOMES):
            raise self._unlike("it answered GET without an event stream")
        self._stream = opened
        try:
            await self._find_endpoint(opened)
        except BaseException:
            self.abort()
            raise

    async def _find_endpoint(self, stream: ResponseStream) -> None:
        while not self._exchange.finished:
            events = await stream.receive()
            for event in events[:1]:
                if not isinstance(event, EndpointReceived):
                    raise self._unlike("its event stream does not begin with an endpoint")
                self._binding.post_to_or_raise(event.url)
                self._keep(events)
                return
        raise self._unlike("its event stream ended without an endpoint")

    def _unlike(self, why: str) -> TransportError:
        return TransportError(f"{self._place} is no server of HTTP+SSE: {why}", code="protocol", not_run=True)

    def _keep(self, events: list[Event]) -> None:
        self._payloads.extend(event.payload for event in events if isinstance(event, PayloadReceived))

    async def receive(self) -> bytes:
        """Return the next message, ``b""`` at the end of the stream."""
        stream = self._stream
        while not self._payloads and stream is not None and not self._exchange.finished:
            try:
                self._keep(await stream.receive())
            except TransportError as error:
                raise OSError(str(error)) from error
        return self._payloads.popleft() if self._payloads else b""

    async def send(self, payload: bytes) -> None:
        """Post a message of the handshake, or one that has no answer.

        Raises:
            TransportError: It was refused.
        """
        await self.notify(Outgoing(payload), await self._prepare(None))

    async def notify(self, outgoing: Outgoing, extra: HeaderBlock | None) -> None:
        """Post a message that has no answer, past the calls that wait for a connection.

        Raises:
            TransportError: It cannot be sent (``interrupted``): the call that it is about may have run.
        """
        opening = self._opening()
        try:
            posting = self.post(extra, ExchangeContext(ignore, opening, control=True), outgoing)
            if opening is None and self._runtime is not None:
                posting = accepted(self._runtime, posting, lambda: self._posted.sent)
            refused = await posting
            if isinstance(refused, HTTPRefused):
                raise refusal_error(refused, self._place)
        except TransportError as error:
            if opening is not None:
                raise
            what = outgoing.method or "a message without an answer"
            raise TransportError(f"{what} cannot be sent: {error}", code="interrupted") from error

    async def post(
        self, extra: HeaderBlock | None, context: ExchangeContext, outgoing: Outgoing
    ) -> Outcome | None:
        """Post a message, and return the refusal where it was refused.

        Raises:
            TransportError: It cannot be sent.
        """
        binding = self._binding
        for _ in range(MAX_REDIRECTS + 1):
            # The answer comes on the event stream.
            exchange = self._posted = binding.exchange(outgoing._replace(request_id=None))
            outcome = await self._sender.run(binding.post(outgoing, extra), exchange, context)
            if not isinstance(outcome, HTTPRedirected):
                return outcome if isinstance(outcome, HTTPRefused) else None
            binding.follow_or_raise(outcome)
        raise TransportError(f"{self._place} redirects in circles", code="redirect")

    async def aclose(self) -> None:
        """Close the stream, which ends the session at the server."""
        self.abort()

    def abort(self) -> None:
        """Close the stream at once."""
        if self._stream is not None:
            self._stream.abort()


class LegacySSETransport:
    """Opens the event streams of one session.

    Args:
        shared: The connections, and what is known of the server.
        make_binding: Makes what writes the requests of one event stream.
        sender: Sends the requests.
        prepare: Asked for headers that are not fixed.
        sure: Whether the user says that the server is one of HTTP+SSE.
    """

    def __init__(
        self,
        shared: SharedTransport,
        make_binding: Callable[[], HTTPBinding],
        sender: HTTPTransport,
        prepare: Prepare,
        *,
        sure: bool = False,
    ) -> None:
        self._shared = shared
        self._make_binding = make_binding
        self._sender = sender
        self._prepare = prepare
        self._sure = sure
        self.opening: CallDeadline | None = None
        """The deadline of the call that opens a session, None while none does."""
        self.stream: LegacySSEStream | None = None
        """The stream that was opened last."""

    def secrets(self) -> Sequence[str]:
        """Return the secrets that the server was sent."""
        return self.stream.secrets() if self.stream is not None else ()

    async def open(self, runtime: Runtime) -> LegacySSEStream:
        """Open an event stream, and remember that the server has one.

        Raises:
            TransportError: The server is none of HTTP+SSE, or cannot be reached.
        """
        stream = LegacySSEStream(self._make_binding(), self._sender, self._prepare, lambda: self.opening)
        deadline = self.opening or CallDeadline(runtime, 0, 0)
        if self._sure:
            await stream.open(deadline)
        else:
            await self._try(stream, deadline.part(ENDPOINT_SECONDS, PROBE_SHARE))
        self._shared.memory.legacy_sse_until = runtime.now() + PROTOCOL_SECONDS
        self.stream = stream
        return stream

    async def _try(self, stream: LegacySSEStream, part: CallDeadline) -> None:
        try:
            async with part.scope:
                await stream.open(part)
        except TimeoutError as error:
            if not part.scope.expired:
                raise
            message = f"the event stream of {self} did not name an endpoint"
            raise TransportError(message, code="timeout", not_run=True) from error

    def __str__(self) -> str:
        """Return the URL, without its query."""
        return str(self._shared.endpoint)


class LegacySSESession(StreamSession):
    """The transport of one session over HTTP+SSE.

    Args:
        shared: The connections.
        transport: Opens the event streams.
        session: The machine whose messages they carry.
        prepare: Asked for headers that are not fixed.
        responder: Answers the server.
        retry: How often opening the session is tried.
        attends: Whether the stream is read between calls too.
    """

    def __init__(
        self,
        shared: SharedTransport,
        transport: LegacySSETransport,
        session: ClientSession,
        prepare: Prepare,
        responder: Responder,
        retry: RetryPolicy,
        *,
        attends: bool = False,
    ) -> None:
        super().__init__(transport, session, responder, attends=attends, secrets=transport.secrets)
        self._shared = shared
        self._sse = transport
        self._headers = prepare
        self._retry = retry

    @property
    def session_id(self) -> str | None:
        """The target that messages are posted to, by which the server knows the session."""
        stream = self._sse.stream
        return stream.endpoint if stream is not None else None

    def open(self, runtime: Runtime) -> Runtime:
        """Note the runtime; the connections warn by themselves where they are not closed."""
        bound = super().open(runtime)
        self._guard.resources = None
        return bound

    async def renew(
        self, deadline: CallDeadline, session_id: str | None, agreement: Agreement | None
    ) -> None:
        """Open another stream, unless another caller has done so: a session is as old as its stream."""
        multiplexer = self._multiplexer
        if self._session.agreement is agreement and self.session_id == session_id and multiplexer is not None:
            self._drop(multiplexer)
            self._loss = "the server has forgotten the session"
        await self.connect(deadline)

    async def _agree(self, deadline: CallDeadline) -> None:
        attempt = 1
        while self._session.server is None:
            try:
                await self._handshake(deadline, LATEST_HANDSHAKE.name)
            except TransportError as error:
                wait = seconds_to_retry(error, attempt, self._retry, deadline)
                if wait is None:
                    raise
            else:
                break
            attempt += 1
            self.note_retry()
            await deadline.runtime.sleep(wait)

    async def _handshake(self, deadline: CallDeadline, known: str | None) -> None:
        self._sse.opening = deadline
        try:
            await super()._handshake(deadline, known)
        finally:
            self._sse.opening = None

    async def prepare(self, headers: Mapping[str, str] | None) -> HeaderBlock | None:
        """Collect the headers that are not the same for all requests."""
        return await self._headers(headers)

    def _post(self, extra: HeaderBlock | None, deadline: CallDeadline) -> PostRequest | None:
        stream = self._sse.stream
        return partial(stream.post, extra, ExchangeContext(ignore, deadline)) if stream is not None else None

    async def notify(self, outgoing: Outgoing, extra: HeaderBlock | None) -> None:
        """Send a notification, with the headers of its caller."""
        stream = self._sse.stream
        if stream is None:
            raise stream_disconnected()
        await stream.notify(outgoing, extra)

    def note_retry(self) -> None:
        """Count that a request is sent again."""
        self._shared.note_retry()

    def stats(self) -> PoolStats:
        """Return counts of the connections, those of other sessions included."""
        return self._shared.stats()

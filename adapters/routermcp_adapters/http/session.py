"""One MCP session over Streamable HTTP: its transport.

A message goes out in a POST of its own, in the caller's task, over redirects; a response
stream that is cut is resumed with GET. :mod:`.handshake` opens and renews the session,
:mod:`.server_stream` reads what the server sends outside of any response.

Source: https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#streamable-http
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Self

from routermcp_proto.client_session import ClientSession
from routermcp_proto.events import HTTPRedirected, HTTPRefused, Outgoing, StreamEnded
from routermcp_proto.exceptions import MCPError, TransportError
from routermcp_proto.http.binding import MAX_REDIRECTS, HTTPBinding, user_headers
from routermcp_proto.http.exchange import MCPExchange
from routermcp_proto.http.headers import HeaderBlock
from routermcp_proto.http.outcomes import Outcome, refusal_error
from routermcp_proto.retry import RetryPolicy
from routermcp_proto.session.handshake import Agreement
from routermcp_proto.versions import CancelBy

from ..call.attendant import Attendant, weak_method
from ..call.deadline import CallDeadline
from ..call.incoming import IncomingHandler, OnEvent, ProgressSink, Responder
from ..concurrency.ctrl_c import ensured
from ..limits import PoolStats
from ..logs import log
from ..runtime import Runtime
from .base import HTTPTransport, SharedTransport
from .context import CONTROL, ExchangeContext, accepted
from .handshake import HTTPHandshake
from .server_stream import ServerStream
from .subscription import ListSubscription

#: Times that an event stream is resumed without a single new event. Servers may close and
#: let the client poll for as long as a tool runs; one that never has anything new is dead.
MAX_FRUITLESS_RESUMES = 100

#: Milliseconds before a cut stream is resumed, where the server did not say (the value that
#: the HTML standard suggests is "a few seconds"; MCP servers that close on purpose do say).
DEFAULT_RESUME_MS = 1000

#: Seconds for telling the server of a call that was given up: a new connection with TLS to another
#: continent. Over a connection that is there it takes one round trip.
CANCEL_POST_SECONDS = 0.5

Credentials = Callable[[], Awaitable[Mapping[str, str]]]


class HTTPSession:
    """The transport of one session, over connections that it may share with other sessions.

    Args:
        shared: The connections.
        binding: Turns the session's messages into requests.
        responder: Answers the server.
        retry: How often a step of the handshake is tried.
        credentials: Asked for headers before each attempt, where some of them are not fixed.
        gateway: The peer is a RouterMCP gateway, by its URL.
        sender: Sends the exchanges, None for ``shared`` itself.
        attends: Whether the server stream is read between calls too.
    """

    # An application may have a session for each of ten thousand users.
    __slots__ = (
        "__weakref__",
        "_attendant",
        "_attends",
        "_binding",
        "_credentials",
        "_handshake",
        "_incoming",
        "_sender",
        "_shared",
        "_stream",
        "_subscription",
    )

    def __init__(
        self,
        shared: SharedTransport,
        binding: HTTPBinding,
        responder: Responder,
        retry: RetryPolicy,
        credentials: Credentials | None = None,
        gateway: bool = False,
        sender: HTTPTransport | None = None,
        *,
        attends: bool = False,
    ) -> None:
        self._shared = shared
        self._attends = attends
        self._attendant: Attendant | None = None
        self._subscription: ListSubscription | None = None
        self._sender: HTTPTransport = sender or shared
        self._binding = binding
        self._credentials = credentials
        self._incoming = IncomingHandler(binding.session, responder, binding.endpoint)
        self._stream = ServerStream(binding)
        self._handshake = HTTPHandshake(shared, binding, retry, self, gateway)

    @property
    def session(self) -> ClientSession:
        """The machine whose messages these are."""
        return self._binding.session

    @property
    def place(self) -> str:
        """The URL, without its query."""
        return str(self._shared.endpoint)

    @property
    def session_id(self) -> str | None:
        """The ``Mcp-Session-Id`` in force."""
        return self._binding.session_id

    # ---- the life of the session -----------------------------------------------------------

    def open(self, runtime: Runtime) -> Runtime:
        """Take the connections into use."""
        return self._shared.open(runtime, self)

    def close(self) -> None:
        """Give the connections back."""
        self._stop_attending()
        self._handshake.forget()
        self._handshake.take_loss()  # what follows is no renewal
        self._shared.close(self)

    def after_fork(self) -> None:
        """Leave the session to the parent process."""
        self._attendant = self._subscription = None
        self._stream.after_fork()
        self._handshake.after_fork()
        self._binding.restart()

    async def connect(self, deadline: CallDeadline) -> Self:
        """Agree with the server, once for all callers at the same time."""
        await self._handshake.connect(deadline)
        self._begin_attending(deadline)
        return self

    def _begin_attending(self, deadline: CallDeadline) -> None:
        """Have the server heard between calls, where it has a stream for that and it was not begun."""
        if not self._attends or (self._attendant is not None and not self._attendant.ended):
            return
        runtime, stream, subscription = deadline.runtime, self._stream, None
        if self.session.listens and self._shared.pool() is not None:
            headers = weak_method(self.prepare)
            subscription = ListSubscription(runtime, self._binding, self._sender, headers)
        if not stream.wanted and subscription is None:
            return
        self._subscription = subscription
        self._attendant = Attendant(
            self._incoming,
            deadline,
            partial(_watch, runtime, stream, subscription),
            weak_method(self._post_between_calls),
            None,
            self.place,
        )
        self._attendant.start()

    def _stop_attending(self) -> Attendant | None:
        """Have the attendant end soon, and return it."""
        attendant, self._attendant = self._attendant, None
        if attendant is not None:
            attendant.cancel()
        self._stream.close()
        if self._subscription is not None:
            self._subscription.close()
        return attendant

    async def renew(
        self, deadline: CallDeadline, session_id: str | None, agreement: Agreement | None
    ) -> None:
        """Agree anew, unless another caller has done so in the meantime."""
        await self._handshake.renew(deadline, session_id, agreement)
        self._begin_attending(deadline)

    def take_loss(self) -> str | None:
        """Return how a session ended that was renewed since the last question."""
        return self._handshake.take_loss()

    async def farewell(self, runtime: Runtime, everything: bool = False) -> None:
        """End the session at the server with DELETE, where it has one."""
        attendant = self._stop_attending()
        if attendant is not None:
            await attendant.stop()
        if self._binding.sessionful:
            await self._handshake.end(runtime, self._sender)
        await self._shared.finish(self, everything)

    def stats(self) -> PoolStats:
        """Return counts of the connections, those of other sessions included."""
        return self._shared.stats()

    def note_retry(self) -> None:
        """Count that a request is sent again."""
        self._shared.note_retry()

    # ---- headers -----------------------------------------------------------------------------

    async def prepare(self, headers: Mapping[str, str] | None = None) -> HeaderBlock | None:
        """Collect the headers that are not the same for all requests."""
        if self._credentials is None:
            return user_headers(headers) if headers else None
        return user_headers({**await self._credentials(), **(headers or {})})

    async def _stream_headers(self) -> HeaderBlock | None:
        """Collect the headers of the server stream, which is opened without the sender."""
        given = await self.prepare()
        credentials = await self._sender.credentials("GET", self._binding.endpoint.url)
        if not credentials or (given is not None and given.get(b"authorization") is not None):
            return given
        return user_headers(credentials) if given is None else given + user_headers(credentials)

    # ---- messages ----------------------------------------------------------------------------

    async def notify(self, outgoing: Outgoing, extra: HeaderBlock | None) -> None:
        """Send a notification, past the calls that wait for a connection."""
        await self._post(extra, outgoing)

    async def deliver(
        self,
        outgoing: Outgoing,
        extra: HeaderBlock | None,
        on_progress: ProgressSink | None,
        deadline: CallDeadline,
    ) -> Outcome | None:
        """Send a request and return its outcome, over redirects and cut streams.

        Raises:
            MCPError: The answer was lost, was none of MCP, or a callback of the user failed.
        """
        stream, runtime = self._stream, deadline.runtime
        on_event = partial(self._incoming.handle, deadline, partial(self._post, extra), on_progress)
        exchange = self._binding.exchange(outgoing)
        try:
            reader = await stream.reader(runtime) if stream.wanted else None
            context = ExchangeContext(on_event, deadline, reader)
            if reader is None:
                return await self._exchange(exchange, outgoing, extra, context)
            leaving = ensured(stream.leave, reader)
            try:
                stream.enter(reader)
                return await self._exchange(exchange, outgoing, extra, context)
            finally:
                leaving.close()
        except BaseException as error:
            running = exchange.sent and not isinstance(error, TransportError)
            await self._give_up(outgoing, extra, runtime, running)
            raise

    async def attend(self, deadline: CallDeadline) -> None:
        """Read the server stream while no call does."""
        on_event = partial(self._incoming.handle, deadline, self._post_between_calls, None)
        await self._stream.watch(deadline.runtime, on_event)

    async def _post_between_calls(self, outgoing: Outgoing) -> None:
        await self._post(await self.prepare(), outgoing)

    async def open_stream(self, runtime: Runtime) -> None:
        """Open the server stream, where the session has one."""
        # The attendant reads it, and must not keep this session alive.
        await self._stream.open(runtime, self._shared.pool(), weak_method(self._stream_headers))

    async def send(
        self, outgoing: Outgoing, extra: HeaderBlock | None, context: ExchangeContext
    ) -> Outcome | None:
        """Send a message of the handshake and return the outcome; see :meth:`_exchange`."""
        return await self._exchange(self._binding.exchange(outgoing), outgoing, extra, context)

    async def _exchange(
        self, exchange: MCPExchange, outgoing: Outgoing, extra: HeaderBlock | None, context: ExchangeContext
    ) -> Outcome | None:
        """Send a message and return the outcome, over redirects and cut streams.

        Raises:
            TransportError: The answer was lost, or was none of MCP.
        """
        binding, redirects = self._binding, 0
        while redirects <= MAX_REDIRECTS:
            try:
                outcome = await self._sender.run(binding.post(outgoing, extra), exchange, context)
                cut = _stream_cut() if isinstance(outcome, StreamEnded) else None
            except TransportError as error:
                outcome, cut = None, error
            if cut is not None:
                outcome = await self._resume(cut, exchange, extra, context)
            if not isinstance(outcome, HTTPRedirected):
                return outcome
            binding.follow_or_raise(outcome)
            exchange.restart()
            redirects += 1
        raise TransportError(f"{self._shared.endpoint} redirects in circles", code="redirect")

    async def _resume(
        self, cut: TransportError, exchange: MCPExchange, extra: HeaderBlock | None, context: ExchangeContext
    ) -> Outcome | None:
        """Resume the event stream of a response with GET, as often as it is cut.

        Raises:
            TransportError: It cannot be resumed.
        """
        revision, fruitless = self.session.revision, 0
        while (
            cut.code in ("closed", "connect")
            and exchange.last_event_id
            and fruitless <= MAX_FRUITLESS_RESUMES
            and revision is not None
            and revision.resumable_streams
            and context.deadline is not None
        ):
            before = exchange.last_event_id
            exchange.resume()
            delay = exchange.retry if exchange.retry is not None else DEFAULT_RESUME_MS
            await context.deadline.runtime.sleep(delay / 1000)
            try:
                outcome = await self._sender.run(self._binding.resume(before, extra), exchange, context)
            except TransportError as error:
                cut = _not_resumed(str(error), error)
                if error.code not in ("closed", "connect"):
                    break
            else:
                if isinstance(outcome, HTTPRefused | HTTPRedirected):
                    raise _not_resumed(f"the server answered HTTP {outcome.status}")
                if not isinstance(outcome, StreamEnded):
                    return outcome
                cut = _stream_cut()
            fruitless = fruitless + 1 if exchange.last_event_id == before else 0
        raise cut

    async def _post(self, extra: HeaderBlock | None, outgoing: Outgoing) -> None:
        """Send a message that has no answer, past the calls that wait for a connection.

        Raises:
            TransportError: It cannot be sent (``interrupted``): the call that it is about may have run.
        """
        exchange, request = self._binding.exchange(outgoing), self._binding.post(outgoing, extra)
        try:
            sending = self._sender.run(request, exchange, CONTROL)
            outcome = await accepted(self._shared.runtime, sending, lambda: exchange.sent)
        except TransportError as error:
            what = outgoing.method or "the answer that the server waits for"
            message = f"{what} cannot be sent: {error}"
            raise TransportError(message, code="interrupted") from error
        if isinstance(outcome, HTTPRefused):
            log.warning("%s", refusal_error(outcome, self._shared.endpoint))

    async def _give_up(
        self, outgoing: Outgoing, extra: HeaderBlock | None, runtime: Runtime, running: bool
    ) -> None:
        """Stop waiting for an answer, and tell the server where its era has a message for that.

        The message takes no place in the pool. Its HTTP answer is waited for, because servers drop
        a request whose client hangs up at once.

        Source: https://modelcontextprotocol.io/specification/2025-11-25/basic/utilities/cancellation
        """
        session, request_id = self.session, outgoing.request_id
        word = session.abandon(request_id, "the caller gave up") if request_id is not None else None
        revision = session.revision
        if not running or word is None or revision is None:
            return
        if revision.http_cancel is CancelBy.NOTIFICATION:
            async with runtime.shield(CANCEL_POST_SECONDS):
                try:
                    await self._post(extra, word)
                except MCPError as error:
                    # The caller has an outcome already, which this must not replace.
                    log.debug("%s", error)


async def _watch(
    runtime: Runtime, stream: ServerStream, subscription: ListSubscription | None, on_event: OnEvent
) -> None:
    """Read the stream of the session's era, which may change when the session is renewed."""
    while True:
        if stream.wanted:
            await stream.watch(runtime, on_event)
        elif subscription is not None and subscription.wanted:
            await subscription.watch(on_event)
        else:
            return


def _stream_cut() -> TransportError:
    return TransportError("the event stream ended without the answer", code="closed")


def _not_resumed(why: str, cause: TransportError | None = None) -> TransportError:
    """Return the error for a stream that could not be resumed.

    The request itself was delivered before, whatever became of the GET: so the error never says
    that nothing has run, and has no status by which the request would be sent again.
    """
    error = TransportError(f"the event stream was cut and could not be resumed: {why}", code="closed")
    error.__cause__ = cause
    return error

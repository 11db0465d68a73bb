"""Opening a session, renewing one that the server has forgotten, and taking leave."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from routermcp_proto.events import (
    ConnectionFailed,
    Event,
    HTTPRedirected,
    HTTPRefused,
    MessageDropped,
    MessageReady,
    Outgoing,
    StreamEnded,
)
from routermcp_proto.exceptions import GatewayError, MCPError, OAuthError, TransportError
from routermcp_proto.handshake import Agreement, Refused
from routermcp_proto.http.binding import MAX_REDIRECTS, HTTPBinding
from routermcp_proto.http.headers import HeaderBlock
from routermcp_proto.http.outcomes import ABOUT_THE_MOMENT, Outcome, refusal_error, rpc_error
from routermcp_proto.retry import RETRYABLE_STATUSES, RetryPolicy
from routermcp_proto.states import SessionState
from routermcp_proto.versions import Era

from ..call.deadline import CallDeadline
from ..concurrency.single_flight import SingleFlight
from ..runtime import Runtime
from ..wire_log import log
from .base import HTTPTransport
from .request import ignore
from .server_stream import ServerStream

#: Seconds that ending a session at the server may take; the server forgets it anyway.
FAREWELL_SECONDS = 2.0

ExtraHeaders = Callable[[], Awaitable[HeaderBlock | None]]


class HTTPHandshake:
    """Makes and remakes the agreement of one session with its server.

    Args:
        binding: The session and how it travels.
        transport: The connections.
        retry: How often a step is tried.
        extra_headers: Asked for headers that are not fixed.
        listener: The stream to open once there is a session.
        gateway: The peer is a RouterMCP gateway, by its URL.
    """

    # An application may have a session for each of ten thousand users.
    __slots__ = (
        "_binding",
        "_extra_headers",
        "_flight",
        "_gateway",
        "_listener",
        "_retry",
        "_session",
        "_transport",
    )

    def __init__(
        self,
        binding: HTTPBinding,
        transport: HTTPTransport,
        retry: RetryPolicy,
        extra_headers: ExtraHeaders,
        listener: ServerStream,
        gateway: bool = False,
    ) -> None:
        self._binding = binding
        self._session = binding.session
        self._transport = transport
        self._retry = retry
        self._extra_headers = extra_headers
        self._listener = listener
        self._gateway = gateway
        self._flight = SingleFlight()

    async def connect(self, deadline: CallDeadline) -> None:
        """Agree with the server, once for all who ask at the same time.

        Raises:
            MCPError: There is no agreement.
        """
        if self._session.server is None:
            await self._flight.run(deadline.runtime, lambda: self._agree(deadline))

    async def renew(
        self, deadline: CallDeadline, session_id: str | None, agreement: Agreement | None
    ) -> None:
        """Agree anew, unless somebody has done so since the caller looked.

        Args:
            deadline: The caller's deadline.
            session_id: The session id that the server did not know.
            agreement: The agreement that was in force then.
        """
        if self._session.agreement is agreement and self._binding.session_id == session_id:
            log.info("%s has forgotten the session; opening a new one", self._transport.endpoint)
            memory = self._transport.memory
            if agreement is not None and memory.agreement is agreement:
                memory.agreement = None
            self._binding.expire()
        await self.connect(deadline)

    async def _agree(self, deadline: CallDeadline) -> None:
        if self._session.server is not None:
            return
        memory = self._transport.memory
        if (
            memory.agreement is not None
            and memory.fresh_until > deadline.runtime.now()
            and self._session.adopts(memory.agreement)
        ):
            self._session.adopt(memory.agreement)
            return
        try:
            await self._handshake(deadline, memory.protocol)
        except MCPError as error:
            if memory.protocol is None or isinstance(error, TransportError | OAuthError):
                raise
            # The server has changed since: find out again what it speaks.
            memory.protocol = None
            await self._handshake(deadline, None)
        self._remember(deadline.runtime)
        await self._listener.open(deadline.runtime, self._transport.pool())

    def _remember(self, runtime: Runtime) -> None:
        memory, agreement = self._transport.memory, self._session.agreement
        if agreement is None:
            return
        if agreement.revision.era is Era.HANDSHAKE:
            memory.protocol = agreement.revision.name
            if memory.server is not None:
                self._session.recognize(memory.server)
            memory.server = self._session.server
        found = agreement.discovered
        if found is not None and found.cacheScope == "public" and found.ttlMs > 0:
            memory.agreement, memory.fresh_until = agreement, runtime.now() + found.ttlMs / 1000

    async def _handshake(self, deadline: CallDeadline, protocol: str | None) -> None:
        """Take the steps that the session's machine asks for, until it is connected."""
        try:
            todo = [self._session.start_handshake(protocol)]
            while todo:
                outgoing = todo.pop(0)
                for event in await self._step_with_retries(outgoing, deadline):
                    if isinstance(event, ConnectionFailed):
                        raise event.error
                    if isinstance(event, MessageReady):
                        todo.append(event.outgoing)
        except BaseException:
            # Ready or not: what has not been told to the server is agreed upon by one side only.
            self.forget()
            raise

    async def _step_with_retries(self, outgoing: Outgoing, deadline: CallDeadline) -> list[Event]:
        attempt = 1
        while True:
            try:
                return await self._step(outgoing, deadline)
            except TransportError as error:
                error.attempts = attempt
                if attempt >= self._retry.attempts or not self._retry.allows(
                    error, repeatable=True, gateway=False
                ):
                    raise
                wait = self._retry.wait(
                    attempt, retry_after=error.retry_after, random=deadline.runtime.random()
                )
                if not deadline.has(wait):
                    raise
            attempt += 1
            self._transport.note_retry()
            await deadline.runtime.sleep(wait)

    async def _step(self, outgoing: Outgoing, deadline: CallDeadline) -> list[Event]:
        """Send one message of the handshake and return what follows from the answer."""
        events: list[Event] = []

        async def keep(event: Event) -> None:
            if isinstance(event, MessageDropped):
                log.warning("a message of %s was dropped: %s", self._transport.endpoint, event.problem)
            events.append(event)

        extra = await self._extra_headers()
        for _ in range(MAX_REDIRECTS + 1):
            exchange = self._binding.exchange(outgoing)
            outcome = await self._transport.run(
                self._binding.post(outgoing, extra), exchange, keep, deadline=deadline
            )
            if isinstance(outcome, HTTPRedirected):
                self._binding.follow_or_raise(outcome)
                continue
            events += self._judge(outgoing, outcome)
            return events
        raise TransportError(f"{self._transport.endpoint} redirects in circles", code="redirect")

    def _judge(self, outgoing: Outgoing, outcome: Outcome | None) -> list[Event]:
        if isinstance(outcome, StreamEnded):
            raise TransportError("the event stream ended without the answer", code="closed")
        if not isinstance(outcome, HTTPRefused):
            return []
        cause: MCPError = refusal_error(outcome, self._transport.endpoint)
        if outgoing.request_id is None:
            log.warning("%s", cause)
            return []
        if self._gateway and outcome.addressed and outcome.status not in RETRYABLE_STATUSES:
            # The gateway's own word is final: it is about the key or the project, not the revision.
            self._raise_gateway_error(outgoing, outcome)
        if outcome.status in ABOUT_THE_MOMENT:
            raise cause
        if outcome.error is not None:
            cause = rpc_error(
                outcome.error, method=outgoing.method, about=outgoing.method, gateway=False, refused=outcome
            )
        return self._session.refuse_handshake(Refused(outcome.error, cause))

    @staticmethod
    def _raise_gateway_error(outgoing: Outgoing, refused: HTTPRefused) -> None:
        if refused.error is None:
            return
        method = outgoing.method
        error = rpc_error(refused.error, method=method, about=method, gateway=True, refused=refused)
        if isinstance(error, GatewayError):
            raise error

    async def farewell(self, runtime: Runtime) -> None:
        """Tell the server that the session is over, for a bounded time and whatever it says."""
        self._listener.close()
        if not self._binding.sessionful:
            return
        exchange = self._binding.exchange(Outgoing(b""))
        try:
            async with runtime.deadline(runtime.now() + FAREWELL_SECONDS):
                request = self._binding.delete(await self._extra_headers())
                if request is None:
                    return
                await self._transport.run(request, exchange, ignore, control=True)
        except (MCPError, TimeoutError) as error:
            log.debug("the session was not ended at %s: %s", self._transport.endpoint, error)

    def after_fork(self) -> None:
        """Wait for nobody who is connecting in the parent process."""
        self._flight = SingleFlight()

    def forget(self) -> None:
        """Get ready to connect again.

        State:
            The session is NEW.
        """
        if self._session.state is SessionState.READY:
            self._binding.expire()
        else:
            self._session.fail_handshake()
        self._binding.session_id = None

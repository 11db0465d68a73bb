"""The handshake of an HTTP session: opening it, renewing it when the server has forgotten it, ending it."""

from __future__ import annotations

from typing import Protocol

from routermcp_proto.events import (
    ConnectionFailed,
    Event,
    HTTPRefused,
    MessageDropped,
    MessageReady,
    Outgoing,
)
from routermcp_proto.exceptions import GatewayError, MCPError, OAuthError, TransportError, causes
from routermcp_proto.http.binding import HTTPBinding
from routermcp_proto.http.headers import HeaderBlock
from routermcp_proto.http.outcomes import ABOUT_THE_MOMENT, Outcome, refusal_error, rpc_error
from routermcp_proto.retry import RETRYABLE_STATUSES, RetryPolicy
from routermcp_proto.session.handshake import Agreement, Refused
from routermcp_proto.states import SessionState
from routermcp_proto.versions import Era

from ..call.deadline import PROBE_SHARE, CallDeadline
from ..call.retries import seconds_to_retry
from ..concurrency.single_flight import SingleFlight
from ..logs import DropLog, log
from ..runtime import Runtime
from .base import HTTPTransport, SharedTransport
from .context import CONTROL, ExchangeContext

#: Seconds that ending a session at the server may take; the server forgets it anyway.
DELETE_SECONDS = 2.0

#: Seconds that a server may take to answer a probe, before it is asked in the older way. Those that
#: answer at all answer at once; some servers of the handshake era answer nothing before ``initialize``.
HTTP_PROBE_SECONDS = 2.0

#: Seconds that a server may take to respond to ``notifications/initialized``. Some never do, as nothing
#: was asked: by then they have it.
INITIALIZED_SECONDS = 2.0

#: Seconds for which it is remembered that a server speaks a revision of the handshake era: it may be
#: upgraded, or have been slow only once.
PROTOCOL_SECONDS = 600.0

#: Messages that one step of a handshake may lead to: one follows from an answer, the others are answers to
#: requests of the server, which may come without end.
MAX_HANDSHAKE_MESSAGES = 100

#: Refusals of a probe that say nothing about the server: credentials are needed, or patience.
_NOT_ABOUT_THE_PROBE = frozenset({401, 407, 429})


class HandshakeOwner(Protocol):
    """The session that a handshake is for."""

    async def prepare(self) -> HeaderBlock | None:
        """Collect the headers that are not the same for all requests."""
        ...

    async def send(
        self, outgoing: Outgoing, extra: HeaderBlock | None, context: ExchangeContext
    ) -> Outcome | None:
        """Send a message and return its outcome."""
        ...

    async def open_stream(self, runtime: Runtime) -> None:
        """Open the server stream, where the session has one."""
        ...


class HTTPHandshake:
    """Makes and remakes the agreement of one session with its server.

    Args:
        shared: The connections, and what is known of the server.
        binding: The session and its requests.
        retry: How often a step is tried.
        owner: The session that the handshake is for.
        gateway: The peer is a RouterMCP gateway, by its URL.
    """

    # An application may have a session for each of ten thousand users.
    __slots__ = (
        "_binding",
        "_flight",
        "_gateway",
        "_loss",
        "_owner",
        "_retry",
        "_session",
        "_shared",
    )

    def __init__(
        self,
        shared: SharedTransport,
        binding: HTTPBinding,
        retry: RetryPolicy,
        owner: HandshakeOwner,
        gateway: bool = False,
    ) -> None:
        self._shared = shared
        self._binding = binding
        self._session = binding.session
        self._retry = retry
        self._owner = owner
        self._gateway = gateway
        self._flight = SingleFlight()
        self._loss: str | None = None

    async def connect(self, deadline: CallDeadline) -> None:
        """Agree with the server, once for all callers at the same time.

        Raises:
            MCPError: There is no agreement.
        """
        if self._session.server is None:
            await self._flight.run(deadline.runtime, lambda: self._agree(deadline))

    async def renew(
        self, deadline: CallDeadline, session_id: str | None, agreement: Agreement | None
    ) -> None:
        """Agree anew, unless another caller has done so in the meantime.

        Args:
            deadline: The caller's deadline.
            session_id: The session id that the server did not know.
            agreement: The agreement that was in force then.
        """
        if self._session.agreement is agreement and self._binding.session_id == session_id:
            if agreement is not None and agreement.revision.era is Era.HANDSHAKE:
                self._loss = "the server has forgotten the session"
            memory = self._shared.memory
            if agreement is not None and memory.agreement is agreement:
                memory.agreement = None
            self._binding.expire()
        await self.connect(deadline)

    def take_loss(self) -> str | None:
        """Return how a session ended that was renewed, once; see :class:`SessionTransport`."""
        loss, self._loss = self._loss, None
        return loss

    async def _agree(self, deadline: CallDeadline) -> None:
        if self._session.server is not None:
            return
        memory = self._shared.memory
        if (
            memory.agreement is not None
            and memory.fresh_until > deadline.runtime.now()
            and self._session.adopts(memory.agreement)
        ):
            self._session.adopt(memory.agreement)
            return
        if not 0 < memory.protocol_until - deadline.runtime.now() <= PROTOCOL_SECONDS:
            memory.protocol = None  # too old, or learned by another clock: that of trio begins anew
        try:
            await self._handshake(deadline, memory.protocol)
        except MCPError as error:
            if memory.protocol is None or isinstance(error, TransportError | OAuthError):
                raise
            # The server has changed since: find out again what it speaks.
            memory.protocol = None
            await self._handshake(deadline, None)
        self._remember(deadline.runtime)
        await self._owner.open_stream(deadline.runtime)

    def _remember(self, runtime: Runtime) -> None:
        memory = self._shared.memory
        if memory.known is not None:
            self._session.recognize(memory.known)
        memory.known = agreement = self._session.agreement
        if agreement is None:
            return
        if agreement.revision.era is Era.HANDSHAKE:
            if memory.protocol is None:
                memory.protocol_until = runtime.now() + PROTOCOL_SECONDS
            memory.protocol = agreement.revision.name
        found = agreement.discovered
        if found is not None and found.cacheScope == "public" and found.ttlMs > 0:
            memory.agreement, memory.fresh_until = agreement, runtime.now() + found.ttlMs / 1000

    async def _handshake(self, deadline: CallDeadline, protocol: str | None) -> None:
        """Take the steps that the session's machine asks for, until it is connected."""
        failures: list[TransportError] = []
        try:
            todo = [self._session.start_handshake(protocol)]
            while todo:
                outgoing = todo.pop(0)
                for event in await self._step_with_retries(outgoing, deadline, failures):
                    if isinstance(event, ConnectionFailed):
                        raise event.error
                    if isinstance(event, MessageReady):
                        todo.append(event.outgoing)
        except BaseException as error:
            # Ready or not: what has not been told to the server is agreed upon by one side only.
            self.forget()
            if isinstance(error, MCPError) and failures:
                *_, first = causes(error)
                first.__cause__ = failures[-1] if first is not failures[-1] else None
            raise

    async def _step_with_retries(
        self, outgoing: Outgoing, deadline: CallDeadline, failures: list[TransportError]
    ) -> list[Event]:
        """Send one message of the handshake; a failed probe is an answer too, which is noted.

        Raises:
            MCPError: The step failed.
        """
        attempt = 1
        while True:
            try:
                if outgoing.request_id is None:
                    return await self._brief_step(outgoing, deadline, INITIALIZED_SECONDS) or []
                if self._session.probing:
                    return await self._probe(outgoing, deadline)
                return await self._step(outgoing, deadline)
            except TransportError as error:
                wait = seconds_to_retry(error, attempt, self._retry, deadline)
                if (
                    self._session.probing
                    and not error.not_run
                    and error.status_code not in _NOT_ABOUT_THE_PROBE
                ):
                    failures.append(error)
                    return self._session.refuse_handshake(Refused(None, error))
                if wait is None:
                    raise
            attempt += 1
            self._shared.note_retry()
            await deadline.runtime.sleep(wait)

    async def _probe(self, outgoing: Outgoing, deadline: CallDeadline) -> list[Event]:
        """Send a probe and return what follows from the answer.

        Raises:
            MCPError: There was no answer in time, or the step failed.
        """
        events = await self._brief_step(outgoing, deadline, HTTP_PROBE_SECONDS)
        if events is None:
            raise TransportError(f"{self._shared.endpoint} did not answer server/discover", code="timeout")
        return events

    async def _brief_step(
        self, outgoing: Outgoing, deadline: CallDeadline, seconds: float
    ) -> list[Event] | None:
        """Take a step with a share of the time that the call has left; None where the server is silent."""
        part = deadline.part(seconds, PROBE_SHARE)
        try:
            async with part.scope:
                return await self._step(outgoing, part)
        except TimeoutError:
            if not part.scope.expired:
                raise
            return None

    async def _step(self, outgoing: Outgoing, deadline: CallDeadline) -> list[Event]:
        """Send one message of the handshake and return what follows from the answer."""
        events: list[Event] = []
        dropped = DropLog(self._shared.endpoint)

        async def keep(event: Event) -> None:
            if isinstance(event, MessageDropped):
                dropped.note(event.problem)
            elif isinstance(event, ConnectionFailed | MessageReady):
                if len(events) == MAX_HANDSHAKE_MESSAGES:
                    problem = f"asks for more than {MAX_HANDSHAKE_MESSAGES} answers before it is connected"
                    raise TransportError(f"{self._shared.endpoint} {problem}", code="protocol")
                events.append(event)

        extra = await self._owner.prepare()
        outcome = await self._owner.send(outgoing, extra, ExchangeContext(keep, deadline))
        return events + self._judge(outgoing, outcome)

    def _judge(self, outgoing: Outgoing, outcome: Outcome | None) -> list[Event]:
        if not isinstance(outcome, HTTPRefused):
            return []
        cause: MCPError = refusal_error(outcome, self._shared.endpoint)
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

    async def end(self, runtime: Runtime, sender: HTTPTransport) -> None:
        """End the session at the server with DELETE, for a bounded time and whatever the answer is."""
        exchange = self._binding.exchange(Outgoing(b""))
        try:
            async with runtime.deadline(runtime.now() + DELETE_SECONDS):
                request = self._binding.delete(await self._owner.prepare())
                if request is not None:
                    await sender.run(request, exchange, CONTROL)
        except (MCPError, TimeoutError) as error:
            log.debug("the session was not ended at %s: %s", self._shared.endpoint, error)

    def after_fork(self) -> None:
        """Forget the handshake that a caller makes in the parent process."""
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

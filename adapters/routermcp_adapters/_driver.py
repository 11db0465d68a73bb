"""The driver: what a call does from its first byte to its one outcome.

Layers of one call, outermost first:

1. :meth:`Driver.call` sets the deadline and turns its end into an error.
2. :meth:`Driver._rounds` answers requests for input and sends the call again with them.
3. :meth:`Driver._tries` repeats what may be repeated (:class:`RetryPolicy`).
4. :meth:`Driver._attempt` renews a session that the server has forgotten, and the
   knowledge of a tool whose headers have changed.
5. :meth:`Driver._deliver` carries the message, follows redirects, resumes cut streams.

It knows no MCP method; what a message means is the session's to say.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from routermcp_proto import calls
from routermcp_proto.calls import Call
from routermcp_proto.events import (
    ErrorReceived,
    Event,
    HTTPRedirected,
    HTTPRefused,
    InputRequired,
    MessageDropped,
    MessageReady,
    NotificationReceived,
    ProgressReceived,
    RequestReceived,
    ResponseReceived,
    ResponseRejected,
    StreamEnded,
)
from routermcp_proto.exceptions import MCPError, ResponseValidationError, TransportError
from routermcp_proto.handshake import STATELESS_ERRORS
from routermcp_proto.http.binding import MAX_REDIRECTS, HTTPBinding, user_headers
from routermcp_proto.http.exchange import MCPExchange
from routermcp_proto.http.headers import HeaderBlock, HTTPRequest
from routermcp_proto.http.outcomes import refusal, rpc_error, session_unknown
from routermcp_proto.jsonrpc import ErrorObject
from routermcp_proto.outgoing import Outgoing
from routermcp_proto.timers import RetryPolicy, deadline_after
from routermcp_proto.types import InitializeResult, WireModel
from routermcp_proto.versions import LATEST, CancelBy

from ._clock import CallClock
from ._connector import Connector
from ._listening import Listener, Turn
from ._transport import HTTPTransport, Outcome
from ._wire import log
from .runtime import Runtime

T = TypeVar("T")
ResultT = TypeVar("ResultT", bound=WireModel)

HEADER_MISMATCH = -32020
UNSUPPORTED_VERSION = -32022

#: Times that one call may be asked for input. A form of ten pages fits; a server that asks
#: for ever is stopped.
MAX_INPUT_ROUNDS = 32

#: Times that an event stream is resumed without a single new event. Servers may close and
#: let the client poll for as long as a tool runs; one that never has anything new is dead.
MAX_FRUITLESS_RESUMES = 100

#: Pages of one list. 10,000 pages of ten tools are the 100,000 that routermcp is built for.
MAX_PAGES = 10_000

#: Milliseconds before a cut stream is resumed, where the server did not say (the value that
#: the HTML standard suggests is "a few seconds"; MCP servers that close on purpose do say).
DEFAULT_RESUME_DELAY = 1000

#: Seconds for the last word to the server of a call that was cancelled.
CANCEL_SECONDS = 0.1


class Responder(Protocol):
    """Whoever answers the server and hears its notifications: the user's callbacks."""

    async def answer(self, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer a request of the server."""
        ...

    async def hear(self, method: str, params: Mapping[str, Any]) -> None:
        """Take a notification of the server."""
        ...


@dataclass(frozen=True, slots=True)
class DriverSettings:
    """What holds for all calls of a session."""

    retry: RetryPolicy
    interaction_timeout: int
    gateway: bool
    trust_annotations: bool
    credentials: Callable[[], Awaitable[Mapping[str, str]]] | None
    """Asked for headers before each attempt, where some of them are not fixed."""


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What holds for one call."""

    timeout: int
    headers: Mapping[str, str] | None = None
    meta: Mapping[str, Any] | None = None
    on_progress: Callable[[Any], Awaitable[None]] | None = None
    repeatable: bool = False


class Driver:
    """Drives one MCP session over HTTP.

    Args:
        transport: The connections, shared with other sessions.
        binding: How the session's messages become requests.
        responder: Answers the server.
        settings: What holds for all calls.
    """

    def __init__(
        self, transport: HTTPTransport, binding: HTTPBinding, responder: Responder, settings: DriverSettings
    ) -> None:
        self._transport = transport
        self._binding = binding
        self._session = binding.session
        self._responder = responder
        self._settings = settings
        self._runtime: Runtime | None = None
        self._listener = Listener(binding, self._extra_headers)
        self._connector = Connector(binding, transport, settings.retry, self._extra_headers, self._listener)

    # ---- the public face -------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether calls may be made."""
        return self._runtime is not None and self._session.server is not None

    @property
    def server(self) -> InitializeResult | None:
        """What the server said about itself, None before the handshake."""
        return self._session.server

    @property
    def sign_of_life(self) -> str:
        """The method by which to see that the server answers."""
        revision = self._session.revision
        return revision.sign_of_life if revision is not None else LATEST.sign_of_life

    @property
    def gateway(self) -> bool:
        """Whether the peer is a RouterMCP gateway, by its URL or its own word."""
        server = self._session.server
        return self._settings.gateway or (server is not None and server.serverInfo.name == "RouterMCP")

    async def connect(self, runtime: Runtime, timeout: int) -> InitializeResult:
        """Open the session, or wait for who is opening it.

        Args:
            runtime: Where the session will live.
            timeout: Milliseconds, 0 for no limit.

        Raises:
            MCPError: There is no agreement with the server.
        """
        if self._runtime is None:
            self._runtime = self._transport.open(runtime, self)
        else:
            self._runtime.check()
        try:
            await self._limited(
                "connect", timeout, lambda clock: self._connector.connect(self._runtime_in_use(), clock)
            )
        except BaseException:
            if self._session.server is None:
                self._leave()
            raise
        server = self._session.server
        if server is None:
            raise TransportError("the client was disconnected meanwhile", code="closed", not_run=True)
        return server

    async def disconnect(self) -> None:
        """End the session at the server, and give the connections back."""
        runtime = self._runtime
        if runtime is None:
            return
        runtime.check()
        try:
            await self._connector.farewell(runtime)
        finally:
            self._leave()

    def _leave(self) -> None:
        if self._runtime is not None:
            self._runtime = None
            self._listener.close()
            self._connector.forget()
            self._transport.close(self)

    def _runtime_in_use(self) -> Runtime:
        runtime = self._runtime
        if runtime is None:
            raise TransportError(
                "the client is not connected: use it in a with block, or call connect() first",
                code="closed",
                not_run=True,
            )
        runtime.check()
        return runtime

    async def call(self, call: Call[ResultT], options: CallOptions) -> ResultT:
        """Make a call and return its result.

        Raises:
            MCPError: It failed; see :mod:`routermcp_proto.exceptions`.
        """
        return await self._limited(
            describe(call), options.timeout, lambda clock: self._rounds(call, options, clock)
        )

    async def collect(self, call: Call[Any], options: CallOptions) -> list[Any]:
        """Make a call for a page, and for all pages after it, and return their entries.

        Raises:
            MCPError: One of them failed, or they have no end.
        """
        return await self._limited(
            describe(call), options.timeout, lambda clock: self._pages(call, options, clock)
        )

    async def _pages(self, call: Call[Any], options: CallOptions, clock: CallClock) -> list[Any]:
        entries: list[Any] = []
        seen: set[str] = set()
        for _ in range(MAX_PAGES):
            page = await self._rounds(call, options, clock)
            entries += getattr(page, call.items or "")
            cursor: str | None = page.nextCursor
            if not cursor:
                return entries
            if cursor in seen:
                problem = (
                    f"{call.method}: the server leads in a circle, it gave the cursor {cursor[:80]!r} twice"
                )
                raise ResponseValidationError(problem, method=call.method)
            seen.add(cursor)
            call = call.at_cursor(cursor)
        problem = f"{call.method}: the server has more than {MAX_PAGES} pages; use the *_page method"
        raise ResponseValidationError(problem, method=call.method)

    async def _limited(self, about: str, timeout: int, work: Callable[[CallClock], Awaitable[T]]) -> T:
        runtime = self._runtime_in_use()
        at = deadline_after(runtime.now(), timeout)
        clock = CallClock(runtime, runtime.deadline(at), at, self._settings.interaction_timeout)
        try:
            async with clock.scope:
                return await work(clock)
        except TimeoutError as error:
            if not clock.scope.expired:
                raise
            raise self._timed_out(about, timeout, clock) from error

    def _timed_out(self, about: str, timeout: int, clock: CallClock) -> TransportError:
        where = self._transport.endpoint
        if clock.interacting:
            waited = self._settings.interaction_timeout
            message = f"{about} at {where}: nobody answered within interaction_timeout={waited} ms"
        else:
            message = (
                f"{about} at {where} took longer than timeout={timeout} ms; give more, or 0 for no limit"
            )
        return TransportError(message, code="timeout")

    # ---- rounds, tries, attempts -------------------------------------------------------

    async def _rounds(self, call: Call[ResultT], options: CallOptions, clock: CallClock) -> ResultT:
        current = call
        for _ in range(MAX_INPUT_ROUNDS):
            outcome = await self._tries(current, options, clock)
            if type(outcome) is ResponseReceived:
                for warning in outcome.warnings:
                    log.warning("%s: %s", call.method, warning)
                return outcome.value
            wanted = cast("InputRequired", outcome)
            changes: dict[str, Any] = {}
            if wanted.requests:
                changes["inputResponses"] = await self._gather_input(wanted, clock)
            if wanted.state is not None:
                changes["requestState"] = wanted.state
            current = call.with_params(**changes)
        raise TransportError(
            f"{describe(call)}: the server asked for input {MAX_INPUT_ROUNDS} times and still has no answer",
            code="protocol",
        )

    async def _gather_input(self, wanted: InputRequired, clock: CallClock) -> dict[str, Any]:
        answers: dict[str, Any] = {}
        for key, request in wanted.requests.items():
            method, params = (
                str(request.get("method")),
                cast("Mapping[str, Any]", request.get("params") or {}),
            )

            async def ask(method: str = method, params: Mapping[str, Any] = params) -> Mapping[str, Any]:
                return await self._responder.answer(method, params)

            answers[key] = await clock.interact(ask)
        return answers

    async def _tries(self, call: Call[Any], options: CallOptions, clock: CallClock) -> Outcome:
        policy, runtime = self._settings.retry, self._runtime_in_use()
        attempt = 1
        while True:
            try:
                return await self._attempt(call, options, clock)
            except TransportError as error:
                error.attempts = attempt
                repeatable = self._repeatable(call, options)
                if attempt >= policy.attempts or not policy.allows(
                    error, repeatable=repeatable, gateway=self.gateway
                ):
                    raise _explained(error, call, repeatable) from error.__cause__
                wait = policy.wait(attempt, retry_after=error.retry_after, random=runtime.random())
                if not clock.has(wait):
                    raise
                log.info("%s failed (%s); trying again in %.0f ms", call.method, error, wait * 1000)
            attempt += 1
            await runtime.sleep(wait)

    def _repeatable(self, call: Call[Any], options: CallOptions) -> bool:
        if call.safe or options.repeatable:
            return True
        if not self._settings.trust_annotations or call.named_by is None:
            return False
        facts = self._session.tool_facts(str(call.params[call.named_by]))
        return facts is not None and facts.repeatable

    async def _attempt(self, call: Call[Any], options: CallOptions, clock: CallClock) -> Outcome:
        renewed = relisted = False
        while True:
            session_id, agreement = self._binding.session_id, self._session.agreement
            if agreement is None:
                await self._connector.connect(self._runtime_in_use(), clock)
                continue
            extra = await self._extra_headers(options.headers)
            outgoing = self._session.start_request(
                call, meta=options.meta, progress=options.on_progress is not None
            )
            outcome = await self._deliver(outgoing, extra, options, clock)
            if isinstance(outcome, ResponseReceived | InputRequired):
                return outcome
            if isinstance(outcome, ResponseRejected):
                raise outcome.error
            error, refused = _error_of(outcome)
            if (
                refused is not None and session_id is not None and not renewed and session_unknown(refused)
            ) or (error is not None and error.code == UNSUPPORTED_VERSION and not renewed):
                renewed = True
                await self._connector.renew(self._runtime_in_use(), clock, session_id, agreement)
            elif (
                error is not None
                and error.code == HEADER_MISMATCH
                and call.named_by == "name"
                and not relisted
            ):
                relisted = True
                await self._relist(options, clock)
            else:
                raise self._failure(call, outcome)

    async def _relist(self, options: CallOptions, clock: CallClock) -> None:
        """Learn the tools again: the headers that one of them declares have changed."""
        await self._pages(calls.list_tools(), CallOptions(0, options.headers), clock)

    def _failure(self, call: Call[Any], outcome: Outcome | None) -> MCPError:
        error, refused = _error_of(outcome)
        if error is not None and (refused is None or _answers_the_call(refused)):
            return rpc_error(
                error, method=call.method, about=describe(call), gateway=self.gateway, refused=refused
            )
        if refused is not None:
            return refusal(refused, self._transport.endpoint)
        return TransportError(f"{describe(call)}: the server gave no answer", code="protocol")

    # ---- delivering one message --------------------------------------------------------

    async def _extra_headers(self, headers: Mapping[str, str] | None = None) -> HeaderBlock | None:
        credentials = self._settings.credentials
        if credentials is None:
            return user_headers(headers) if headers else None
        return user_headers({**await credentials(), **(headers or {})})

    async def _deliver(
        self, outgoing: Outgoing, extra: HeaderBlock | None, options: CallOptions, clock: CallClock
    ) -> Outcome | None:
        async def on_event(event: Event) -> None:
            await self._on_event(event, options, clock, extra)

        try:
            turn = await self._listener.attend(self._runtime_in_use())
            if turn is None:
                return await self._carry(outgoing, extra, on_event, None)
            with turn:
                return await self._carry(outgoing, extra, on_event, turn)
        except BaseException as error:
            await self._give_up(outgoing, isinstance(error, TransportError))
            raise

    async def _carry(
        self,
        outgoing: Outgoing,
        extra: HeaderBlock | None,
        on_event: Callable[[Event], Awaitable[None]],
        turn: Turn | None,
    ) -> Outcome | None:
        for _ in range(MAX_REDIRECTS + 1):
            request, exchange = self._binding.post(outgoing, extra), self._binding.exchange(outgoing)
            outcome = await self._run_or_resume(request, exchange, extra, on_event, turn)
            if not isinstance(outcome, HTTPRedirected):
                return outcome
            self._binding.follow_or_raise(outcome)
        raise TransportError(f"{self._transport.endpoint} redirects in circles", code="redirect")

    async def _run_or_resume(
        self,
        request: HTTPRequest,
        exchange: MCPExchange,
        extra: HeaderBlock | None,
        on_event: Callable[[Event], Awaitable[None]],
        turn: Turn | None,
    ) -> Outcome | None:
        """Carry an exchange, and go on with a GET as often as its event stream is cut."""
        revision, runtime = self._session.revision, self._runtime_in_use()
        resumable = revision is not None and revision.resumable_streams
        fruitless = 0
        while True:
            before = exchange.last_event_id
            try:
                outcome = await self._transport.run(request, exchange, on_event, turn=turn)
                if not isinstance(outcome, StreamEnded):
                    return outcome
                cut = TransportError("the event stream ended without the answer", code="closed")
            except TransportError as error:
                if not (resumable and exchange.last_event_id) or error.code not in ("closed", "connect"):
                    raise
                cut = error
            fruitless = fruitless + 1 if exchange.last_event_id == before else 0
            if not (resumable and exchange.last_event_id) or fruitless > MAX_FRUITLESS_RESUMES:
                raise cut
            exchange.resume()
            delay = exchange.retry if exchange.retry is not None else DEFAULT_RESUME_DELAY
            await runtime.sleep(delay / 1000)
            request = self._binding.resume(exchange.last_event_id, extra)

    async def _give_up(self, outgoing: Outgoing, failed: bool) -> None:
        """Stop waiting for an answer; where the era has a way to, tell the server."""
        if outgoing.request_id is None:
            return
        word = self._session.abandon(outgoing.request_id, "the caller gave up")
        revision, runtime = self._session.revision, self._runtime
        if failed or word is None or revision is None or runtime is None:
            return
        if revision.http_cancel is CancelBy.NOTIFICATION:
            async with runtime.shield(CANCEL_SECONDS):
                await self._transport.mention(self._binding.post(word))

    # ---- what happens meanwhile --------------------------------------------------------

    async def _on_event(
        self, event: Event, options: CallOptions, clock: CallClock, extra: HeaderBlock | None
    ) -> None:
        if isinstance(event, ProgressReceived):
            if options.on_progress is not None:
                await options.on_progress(event.progress)
        elif isinstance(event, NotificationReceived):
            await self._responder.hear(event.method, event.params)
        elif isinstance(event, RequestReceived):
            await self._answer_peer(event, clock, extra)
        elif isinstance(event, MessageReady):
            await self._post(event.outgoing, extra)
        elif isinstance(event, MessageDropped):
            log.warning("a message of %s was dropped: %s", self._transport.endpoint, event.problem)

    async def _answer_peer(self, asked: RequestReceived, clock: CallClock, extra: HeaderBlock | None) -> None:
        """Let the user's callback answer; its own error reaches the caller, and the server hears of it."""

        async def ask() -> Mapping[str, Any]:
            return await self._responder.answer(asked.method, asked.params)

        try:
            payload = self._session.answer(asked.request_id, await clock.interact(ask))
        except Exception:
            failed = ErrorObject(-32603, "the client could not answer")
            await self._post(Outgoing(self._session.refuse(asked.request_id, failed)), extra)
            raise
        await self._post(Outgoing(payload), extra)

    async def _post(self, outgoing: Outgoing, extra: HeaderBlock | None) -> None:
        """Send a message that has no answer, past the calls that wait for a connection."""

        async def ignore(event: Event) -> None:
            del event

        exchange = self._binding.exchange(outgoing)
        outcome = await self._transport.run(
            self._binding.post(outgoing, extra), exchange, ignore, control=True
        )
        if isinstance(outcome, HTTPRefused):
            log.warning("%s", refusal(outcome, self._transport.endpoint))


def describe(call: Call[Any]) -> str:
    """Name a call for people, for example ``tools/call 'add'``."""
    return f"{call.method} {str(call.params[call.named_by])[:200]!r}" if call.named_by else call.method


def _error_of(outcome: Outcome | None) -> tuple[ErrorObject | None, HTTPRefused | None]:
    if isinstance(outcome, ErrorReceived):
        return outcome.error, None
    if isinstance(outcome, HTTPRefused):
        return outcome.error, outcome
    return None, None


def _answers_the_call(refused: HTTPRefused) -> bool:
    """Whether the JSON-RPC error in a refusal is the server's answer rather than a proxy's remark."""
    if refused.error is None or refused.status in (429, 502, 503, 504):
        return False
    return refused.addressed or refused.error.code in STATELESS_ERRORS


def _explained(error: TransportError, call: Call[Any], repeatable: bool) -> TransportError:
    """Say of a lost answer that the tool may have run, and how to have it repeated."""
    if repeatable or error.not_run or error.code != "closed":
        return error
    lost = TransportError(
        f"{describe(call)}: the answer was lost, and the call may have run: {error.args[0]}; "
        "it was not repeated: pass retry=True if running it twice does no harm",
        code="interrupted",
    )
    lost.attempts = error.attempts
    return lost

"""The driver: what a call does from its first byte to its one outcome.

Layers of one call, outermost first:

1. :meth:`Driver.call` sets the deadline and turns its end into an error.
2. :meth:`Driver._rounds` answers requests for input and sends the call again with them.
3. :meth:`Driver._tries` repeats what may be repeated (:class:`RetryPolicy`).
4. :meth:`Driver._attempt` renews a session that the server has forgotten, and the
   knowledge of a tool whose headers have changed.
5. A :class:`SessionTransport` carries the message there and back.

It knows no MCP method; what a message means is the session's to say.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, TypeVar

from routermcp_proto import calls, types
from routermcp_proto.calls import Call
from routermcp_proto.events import (
    InputRequired,
    LongListReceived,
    ResponseReceived,
    ResponseRejected,
)
from routermcp_proto.exceptions import (
    AuthorizationRequiredError,
    LocalProtocolError,
    MCPError,
    ResponseValidationError,
    TransportError,
)
from routermcp_proto.http.lost_session import Verdict
from routermcp_proto.jsonrpc import ErrorObject
from routermcp_proto.retry import POLL, RetryPolicy
from routermcp_proto.session.handshake import Agreement
from routermcp_proto.value_class import value_class
from routermcp_proto.versions import LATEST, Revision

from ..concurrency.gc_pause import collect_new, paused
from ..limits import PoolStats
from ..logs import log
from ..runtime import Runtime
from .deadline import CallDeadline
from .incoming import ProgressSink, Responder, SessionRenewal
from .lifetime import SessionLifetime
from .questions import Question, ask_to_sign_in, questions_in, urls_of
from .refusals import Remedy, describe_call, failure_of, remedy_for
from .retries import explained_loss, lost_with_session
from .session_probe import verdict_on
from .transport import SessionTransport

T = TypeVar("T")
ResultT = TypeVar("ResultT", bound="types.WireModel")


#: Pages of one list. 10,000 pages of ten tools are the 100,000 that routermcp is built for.
MAX_PAGES = 10_000

#: Times that one call may be asked for input. A form of ten pages fits; a server that asks
#: for ever is stopped.
MAX_INPUT_ROUNDS = 32


#: Characters of an error of the server that the time-out of a call quotes.
MAX_QUOTED = 300

#: What a server answers to a call that it understood.
_ANSWERS = (ResponseReceived, LongListReceived, InputRequired)


@value_class
class DriverSettings:
    """What holds for all calls of a session."""

    retry: RetryPolicy
    interaction_timeout: int
    gateway: bool
    user_id: str | None = None
    """Whose calls these are."""


@value_class
class CallOptions:
    """What holds for one call."""

    timeout: int
    headers: Mapping[str, str] | None = None
    meta: Mapping[str, Any] | None = None
    on_progress: ProgressSink | None = None
    repeatable: bool = False
    max_timeout: int | None = None
    """Milliseconds for the call where each progress report begins ``timeout`` anew, 0 for no limit;
    None where none does."""
    capabilities: Mapping[str, Any] | None = None
    """What to declare for this call instead of the session's own, where requests say that."""


class Driver(SessionLifetime):
    """Drives one MCP session.

    Args:
        transport: Carries its messages.
        responder: Answers the server.
        settings: What holds for all calls.
    """

    # An application may have a session for each of ten thousand users.
    __slots__ = ("_active", "_responder", "_session", "_settings")

    def __init__(self, transport: SessionTransport, responder: Responder, settings: DriverSettings) -> None:
        super().__init__(transport)
        self._active = transport
        """Carries the messages: the transport, or one that it has found to be right for the server."""
        self._session = transport.session
        self._responder = responder
        self._settings = settings

    # ---- the public face -------------------------------------------------------------

    def stats(self) -> PoolStats:
        """Return what the connections are doing, and what they have done."""
        return self._transport.stats()

    @property
    def connected(self) -> bool:
        """Whether calls may be made."""
        return self._runtime is not None and self._session.server is not None

    @property
    def server(self) -> types.InitializeResult | None:
        """What the server said about itself, None before the handshake."""
        return self._session.server

    @property
    def revision(self) -> Revision:
        """The revision of MCP that was agreed on, the latest before that."""
        return self._session.revision or LATEST

    @property
    def place(self) -> str:
        """Where the server is, for people."""
        return self._transport.place

    @property
    def sign_of_life(self) -> str:
        """The method by which to see that the server answers."""
        return self.revision.sign_of_life

    @property
    def gateway(self) -> bool:
        """Whether the peer is a RouterMCP gateway, by its URL or its own word."""
        server = self._session.server
        return self._settings.gateway or (server is not None and server.serverInfo.name == "RouterMCP")

    def _runtime_in_use(self) -> Runtime:
        runtime = self._runtime
        if runtime is None:
            raise LocalProtocolError("not connected: use the client in a with block, or call connect() first")
        runtime.check()
        return runtime

    # The coroutines of the inner functions are handed on: each that waits for another costs every call 1 %.

    def call(self, call: Call[ResultT], options: CallOptions) -> Coroutine[Any, Any, ResultT]:
        """Make a call and return its result.

        Raises:
            MCPError: It failed; see :mod:`routermcp_proto.exceptions`.
        """
        work = partial(self._rounds, call, options)
        return self._limited(call, options.timeout, work, options.max_timeout)

    def ask(
        self, call: Call[Any], options: CallOptions
    ) -> Coroutine[Any, Any, ResponseReceived | InputRequired]:
        """Make one round of a call: a request for input is returned, not answered.

        Raises:
            MCPError: It failed.
        """
        return self._limited(call, options.timeout, partial(self._tries, call, options))

    async def notify(self, call: Call[Any], options: CallOptions) -> None:
        """Send a notification: a call that has no answer.

        Raises:
            MCPError: It could not be sent.
        """
        await self._limited(call, options.timeout, partial(self._notify, call, options))

    async def _notify(self, call: Call[Any], options: CallOptions, deadline: CallDeadline) -> None:
        extra = await self._active.prepare(options.headers)
        if self._session.agreement is None:
            await self._open_session(deadline)
        outgoing = self._session.start_notification(call.method, call.params)
        await self._active.notify(outgoing, extra)

    async def attend(self) -> None:
        """Read what the server sends outside of any call, while no call is under way.

        Returns when the server has no way to say such things.

        Raises:
            MCPError: The server was lost.
        """
        runtime = self._runtime_in_use()
        deadline = CallDeadline(runtime, 0, self._settings.interaction_timeout)
        async with deadline.scope:
            await self._active.attend(deadline)

    async def collect(self, call: Call[Any], options: CallOptions) -> list[Any]:
        """Make a call for a page, and for all pages after it, and return their entries.

        Raises:
            MCPError: One of them failed, or they have no end.
        """
        entries: list[Any] = []
        await self.each_page(call, options, entries.extend)
        return entries

    async def each_page(
        self, call: Call[Any], options: CallOptions, take: Callable[[list[Any]], object]
    ) -> None:
        """Make a call for a page, and for all pages after it, and hand on the entries of each.

        Raises:
            MCPError: One of them failed, or they have no end.
        """
        work = partial(self._pages, call, options, take)
        await self._limited(call, options.timeout, work, options.max_timeout)

    async def _pages(
        self,
        call: Call[Any],
        options: CallOptions,
        take: Callable[[list[Any]], object],
        deadline: CallDeadline,
    ) -> None:
        seen: set[str] = set()
        call = call.within(self._session.list_budget())
        for _ in range(MAX_PAGES):
            page = await self._rounds(call, options, deadline)
            take(getattr(page, call.items or ""))
            cursor: str | None = page.nextCursor
            if not cursor:
                return
            if cursor in seen:
                log.warning(
                    "%s: the list ends here: the server leads in a circle, it gave the cursor %.80r twice",
                    call.method,
                    cursor,
                )
                return
            seen.add(cursor)
            call = call.at_cursor(cursor)
        problem = f"{call.method}: the server has more than {MAX_PAGES} pages; use the *_page method"
        raise ResponseValidationError(problem, method=call.method)

    async def _limited(
        self,
        about: Call[Any] | None,
        timeout: int,
        work: Callable[[CallDeadline], Awaitable[T]],
        max_timeout: int | None = None,
    ) -> T:
        runtime = self._runtime_in_use()
        deadline = CallDeadline(runtime, timeout, self._settings.interaction_timeout, max_timeout)
        unclaimed = self._session.unclaimed_error
        try:
            async with deadline.scope:
                return await work(deadline)
        except TimeoutError as error:
            if not deadline.scope.expired:
                raise
            reported = self._session.unclaimed_error
            raise self._timed_out(about, deadline, reported if reported is not unclaimed else None) from error

    def _timed_out(
        self,
        about: Call[Any] | None,
        deadline: CallDeadline,
        reported: ErrorObject | None,
    ) -> TransportError:
        what, where = describe_call(about) if about is not None else "connect", self._transport.place
        if deadline.interacting:
            waited = self._settings.interaction_timeout
            message = f"{what} at {where}: nobody answered within interaction_timeout={waited} ms"
        else:
            passed = deadline.describe()
            message = f"{what} at {where} {passed}; give more, or 0 for no limit"
        if reported is not None:
            message += (
                f"; the server also reported, without naming a request: "
                f"{reported.message[:MAX_QUOTED]} (code {reported.code})"
            )
        return TransportError(message, code="timeout")

    async def _open(self, timeout: int) -> None:
        await self._limited(None, timeout, self._sign_in_and_open)

    async def _sign_in_and_open(self, deadline: CallDeadline) -> None:
        """Open the session, at a second try where the user has to sign in first."""
        try:
            await self._open_session(deadline)
        except AuthorizationRequiredError as error:
            required = error
        else:
            return
        await ask_to_sign_in(self._responder, required, self._settings.user_id, deadline)
        await self._open_session(deadline)

    async def _open_session(self, deadline: CallDeadline) -> None:
        self._active = await self._transport.connect(deadline)
        await self._report_loss(deadline)

    async def _report_loss(self, deadline: CallDeadline) -> None:
        """Tell the application of a renewed session, before the call that renewed it goes on in it.

        Raises:
            Exception: That of the application's callback; the call fails with it.
        """
        reason = self._transport.take_loss()
        if reason is None:
            return
        place = self._transport.place
        log.warning("%s: %s; it was renewed, and what the server kept in it may be lost", place, reason)
        renewal = SessionRenewal(place, reason, self._settings.user_id)
        try:
            await deadline.interact(lambda: self._responder.renewed(renewal))
        except TransportError as error:
            # As an error of this call it could have the call repeated.
            raise MCPError(f"on_session_renewed failed: {error}") from error

    # ---- rounds, tries, attempts -------------------------------------------------------

    async def _rounds(self, call: Call[ResultT], options: CallOptions, deadline: CallDeadline) -> ResultT:
        current, asked, pauses = call, 0, 0
        opened: set[str] = set()
        required: AuthorizationRequiredError | None = None
        while asked < MAX_INPUT_ROUNDS:
            if required is not None:
                await ask_to_sign_in(self._responder, required, self._settings.user_id, deadline, opened)
            try:
                outcome = await self._tries(current, options, deadline)
            except AuthorizationRequiredError as error:
                if required is not None:
                    raise
                # Not in here, so that this refusal is no context of what comes next.
                required = error
                continue
            required = None
            if isinstance(outcome, ResponseReceived):
                for warning in outcome.warnings:
                    log.warning("%s: %s", call.method, warning)
                return outcome.value
            changes: dict[str, Any] = {}
            if outcome.requests:
                asked, pauses = asked + 1, 0
                questions = questions_in(outcome, self._session.capabilities)
                opened |= urls_of(questions)
                changes["inputResponses"] = await self._gather_input(questions, deadline)
            else:
                # The server is not done, for example because a page is still open. The deadline ends this.
                pauses += 1
                random = deadline.runtime.random()
                await deadline.runtime.sleep(POLL.wait(pauses, retry_after=None, random=random))
            if outcome.state is not None:
                changes["requestState"] = outcome.state
            current = call.with_params(**changes)
        raise TransportError(
            f"{describe_call(call)}: the server asked for input {MAX_INPUT_ROUNDS} times and gave no answer",
            code="protocol",
        )

    async def _gather_input(
        self, questions: Mapping[str, Question], deadline: CallDeadline
    ) -> dict[str, Any]:
        answers: dict[str, Any] = {}
        for key, (method, params) in questions.items():

            async def ask(method: str = method, params: Mapping[str, Any] = params) -> Mapping[str, Any]:
                return await self._responder.answer(method, params)

            answers[key] = await deadline.interact(ask)
        return answers

    async def _tries(
        self, call: Call[Any], options: CallOptions, deadline: CallDeadline
    ) -> ResponseReceived | InputRequired:
        policy, runtime = self._settings.retry, deadline.runtime
        attempt = 1
        while True:
            try:
                outcome = await self._attempt(call, options, deadline)
                return (
                    await self._read(outcome, deadline) if isinstance(outcome, LongListReceived) else outcome
                )
            except TransportError as error:
                error.attempts = attempt
                repeatable = self._repeatable(call, options)
                if attempt >= policy.attempts or not policy.allows(
                    error, repeatable=repeatable, gateway=self.gateway
                ):
                    raise explained_loss(error, describe_call(call), repeatable) from error.__cause__
                wait = policy.wait(attempt, retry_after=error.retry_after, random=runtime.random())
                if not deadline.has(wait):
                    raise
                log.info("%s failed (%s); trying again in %.0f ms", call.method, error, wait * 1000)
            attempt += 1
            self._transport.note_retry()
            await runtime.sleep(wait)

    def _repeatable(self, call: Call[Any], options: CallOptions) -> bool:
        if call.safe or options.repeatable:
            return True
        if not self._settings.retry.trust_annotations or call.named_by is None:
            return False
        facts = self._session.tool_facts(str(call.params[call.named_by]))
        return facts is not None and facts.repeatable

    async def _attempt(
        self, call: Call[Any], options: CallOptions, deadline: CallDeadline
    ) -> ResponseReceived | LongListReceived | InputRequired:
        tried: set[Remedy] = set()
        extends = options.max_timeout is not None
        on_progress = _extending_deadline(options.on_progress, deadline) if extends else options.on_progress
        while True:
            active = self._active
            extra = await active.prepare(options.headers)
            session_id, agreement = active.session_id, self._session.agreement
            if agreement is None:
                await self._open_session(deadline)
                continue
            try:
                outgoing = self._session.start_request(
                    call,
                    meta=options.meta,
                    progress=on_progress is not None,
                    capabilities=options.capabilities,
                )
            except LocalProtocolError:
                if self._session.agreement is agreement:
                    raise
                # Another thread has found the session expired a moment ago.
                continue
            outcome = await active.deliver(outgoing, extra, on_progress, deadline)
            if isinstance(outcome, _ANSWERS):
                return outcome
            if isinstance(outcome, ResponseRejected):
                raise outcome.error
            verdict = await verdict_on(outcome, active, session_id, agreement, extra, deadline)
            remedy = remedy_for(call, outcome, verdict, self.revision)
            failure = failure_of(call, outcome, place=self.place, gateway=self.gateway)
            if remedy is None or remedy in tried:
                raise failure
            tried.add(remedy)
            if verdict is Verdict.LOST and not self._repeatable(call, options):
                raise await lost_with_session(failure, self._renew(deadline, session_id, agreement))
            if remedy is Remedy.RENEW_SESSION:
                await self._renew(deadline, session_id, agreement)
            else:
                await self._pages(calls.list_tools(), CallOptions(0, options.headers), len, deadline)

    async def _renew(self, deadline: CallDeadline, session_id: str | None, agreement: Agreement) -> None:
        await self._transport.renew(deadline, session_id, agreement)
        await self._report_loss(deadline)

    async def _read(self, arrived: LongListReceived, deadline: CallDeadline) -> ResponseReceived:
        """Read a long list, and let other work have its turn after each slice."""
        with paused():
            while True:
                try:
                    next(arrived.reading)
                except StopIteration as done:
                    outcome: ResponseReceived | ResponseRejected = done.value
                    break
                collect_new()
                await deadline.runtime.sleep(0)
        if isinstance(outcome, ResponseRejected):
            raise outcome.error
        return outcome


def _extending_deadline(on_progress: ProgressSink | None, deadline: CallDeadline) -> ProgressSink:
    """Return a progress callback that extends the deadline first."""

    async def report(progress: types.Progress) -> None:
        deadline.extend()
        if on_progress is not None:
            await on_progress(progress)

    return report

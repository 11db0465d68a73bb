"""Delivering one message: there and back, over redirects and cut streams."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from routermcp_proto.events import (
    Event,
    HTTPRedirected,
    HTTPRefused,
    Outgoing,
    StreamEnded,
)
from routermcp_proto.exceptions import TransportError
from routermcp_proto.http.binding import MAX_REDIRECTS, HTTPBinding
from routermcp_proto.http.exchange import MCPExchange
from routermcp_proto.http.headers import HeaderBlock, HTTPRequest
from routermcp_proto.http.outcomes import Outcome, refusal_error
from routermcp_proto.versions import CancelBy

from ..call.deadline import CallDeadline
from ..call.incoming import CANCEL_SECONDS, IncomingHandler, ProgressSink
from ..wire_log import log
from .base import HTTPTransport
from .server_stream import Reader, ServerStream

#: Times that an event stream is resumed without a single new event. Servers may close and
#: let the client poll for as long as a tool runs; one that never has anything new is dead.
MAX_FRUITLESS_RESUMES = 100

#: Milliseconds before a cut stream is resumed, where the server did not say (the value that
#: the HTML standard suggests is "a few seconds"; MCP servers that close on purpose do say).
DEFAULT_RESUME_DELAY = 1000


async def ignore(event: Event) -> None:
    """Take an event that is of no interest."""
    del event


@dataclass(frozen=True, slots=True)
class Link:
    """What the messages of one session travel by, and who answers the server."""

    transport: HTTPTransport
    binding: HTTPBinding
    incoming: IncomingHandler
    listener: ServerStream

    async def post(self, outgoing: Outgoing, extra: HeaderBlock | None) -> None:
        """Send a message that has no answer, past the calls that wait for a connection.

        Raises:
            TransportError: It cannot be sent (``interrupted``): the call that it is about may have run.
        """
        exchange, request = self.binding.exchange(outgoing), self.binding.post(outgoing, extra)
        try:
            outcome = await self.transport.run(request, exchange, ignore, control=True)
        except TransportError as error:
            message = f"the server waits for an answer that cannot be sent: {error}"
            raise TransportError(message, code="interrupted") from error
        if isinstance(outcome, HTTPRefused):
            log.warning("%s", refusal_error(outcome, self.transport.endpoint))


class Delivery:
    """One request on its way.

    Args:
        link: What it travels by.
        outgoing: The message.
        extra: Headers of this call.
        on_progress: Called with each progress report, where the caller wants them.
        deadline: Until when.
    """

    __slots__ = ("_deadline", "_extra", "_link", "_on_event", "_outgoing")

    def __init__(
        self,
        link: Link,
        outgoing: Outgoing,
        extra: HeaderBlock | None,
        on_progress: ProgressSink | None,
        deadline: CallDeadline,
    ) -> None:
        self._link = link
        self._outgoing = outgoing
        self._extra = extra
        self._deadline = deadline
        self._on_event = partial(link.incoming.handle, deadline, self._post, on_progress)

    async def run(self) -> Outcome | None:
        """Deliver the message and return what came of it.

        Raises:
            TransportError: The answer was lost, or was none of MCP.
        """
        try:
            turn = await self._link.listener.attend(self._deadline.runtime)
            if turn is None:
                return await self._carry(None)
            try:
                turn.begin()
                return await self._carry(turn)
            finally:
                try:
                    turn.end()
                finally:  # Ctrl-C may have cut the first attempt short
                    turn.end()
        except BaseException as error:
            await self._give_up(isinstance(error, TransportError))
            raise

    async def _carry(self, turn: Reader | None) -> Outcome | None:
        binding = self._link.binding
        for _ in range(MAX_REDIRECTS + 1):
            exchange = binding.exchange(self._outgoing)
            outcome = await self._run_or_resume(binding.post(self._outgoing, self._extra), exchange, turn)
            if not isinstance(outcome, HTTPRedirected):
                return outcome
            binding.follow_or_raise(outcome)
        raise TransportError(f"{self._link.transport.endpoint} redirects in circles", code="redirect")

    async def _run_or_resume(
        self, request: HTTPRequest, exchange: MCPExchange, turn: Reader | None
    ) -> Outcome | None:
        """Carry an exchange, and go on with a GET as often as its event stream is cut."""
        link = self._link
        revision = link.binding.session.revision
        resumable = revision is not None and revision.resumable_streams
        resumed, fruitless = False, 0
        while True:
            before = exchange.last_event_id
            try:
                outcome = await link.transport.run(
                    request, exchange, self._on_event, turn=turn, deadline=self._deadline
                )
                if not isinstance(outcome, StreamEnded):
                    break
                cut = TransportError("the event stream ended without the answer", code="closed")
            except TransportError as error:
                cut = _not_resumed(str(error), error) if resumed else error
                if error.code not in ("closed", "connect"):
                    raise cut  # noqa: B904 - it is the error itself, or has it as its cause
            fruitless = fruitless + 1 if exchange.last_event_id == before else 0
            if not (resumable and exchange.last_event_id) or fruitless > MAX_FRUITLESS_RESUMES:
                raise cut
            exchange.resume()
            delay = exchange.retry if exchange.retry is not None else DEFAULT_RESUME_DELAY
            await self._deadline.runtime.sleep(delay / 1000)
            request, resumed = link.binding.resume(exchange.last_event_id, self._extra), True
        if resumed and isinstance(outcome, HTTPRefused | HTTPRedirected):
            raise _not_resumed(f"the server answered HTTP {outcome.status}")
        return outcome

    async def _give_up(self, failed: bool) -> None:
        """Stop waiting for an answer; where the era has a way to, tell the server."""
        binding = self._link.binding
        request_id, revision = self._outgoing.request_id, binding.session.revision
        word = binding.session.abandon(request_id, "the caller gave up") if request_id is not None else None
        if failed or word is None or revision is None:
            return
        if revision.http_cancel is CancelBy.NOTIFICATION:
            async with self._deadline.runtime.shield(CANCEL_SECONDS):
                await self._link.transport.mention(binding.post(word, self._extra))

    async def _post(self, outgoing: Outgoing) -> None:
        await self._link.post(outgoing, self._extra)


def _not_resumed(why: str, cause: TransportError | None = None) -> TransportError:
    """Say that a stream could not be resumed.

    Whatever became of the GET, the request itself was delivered before: so the error never says
    that nothing has run, and has no status by which the request would be sent again.
    """
    error = TransportError(f"the event stream was cut and could not be resumed: {why}", code="closed")
    error.__cause__ = cause
    return error

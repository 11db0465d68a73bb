"""The stream on which a server of the stateless era announces changes of its lists.

It is the answer to ``subscriptions/listen``, which stays open. It takes no place in the pool, and
exists only where the application wants to hear of changes. What happens while there is no stream is
not announced later: the specification has no way to ask for it.

Source: https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/subscriptions
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from routermcp_proto.events import HTTPRefused, Outgoing, ResponseReceived, StreamEnded
from routermcp_proto.exceptions import TransportError
from routermcp_proto.http.binding import HTTPBinding
from routermcp_proto.http.headers import HeaderBlock
from routermcp_proto.http.outcomes import Outcome
from routermcp_proto.retry import RETRYABLE_STATUSES

from ..call.incoming import OnEvent
from ..logs import log
from ..runtime import ByteStream, Runtime
from .base import HTTPTransport
from .connect import is_deadline
from .context import ExchangeContext

#: Seconds before a stream that has ended is opened again: at first, and at most, since a server that
#: is gone for long is not to be asked each second. A stream that lasted for longer than the longest
#: pause begins anew.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0

#: Refusals that may be over by the next attempt; 401 where the token is renewed meanwhile.
_FOR_NOW = RETRYABLE_STATUSES | {401}


class ListSubscription:
    """The subscription of one session.

    Args:
        runtime: Where the session lives.
        binding: The session and its requests.
        sender: Sends them.
        extra_headers: Asked for headers that are not fixed.
        first_pause: Seconds before a stream that has ended is opened again.
    """

    def __init__(
        self,
        runtime: Runtime,
        binding: HTTPBinding,
        sender: HTTPTransport,
        extra_headers: Callable[[], Awaitable[HeaderBlock | None]],
        first_pause: float = FIRST_PAUSE_SECONDS,
    ) -> None:
        self._runtime = runtime
        self._binding = binding
        self._sender = sender
        self._extra_headers = extra_headers
        self._first_pause = first_pause
        self._over = False
        self._closing = runtime.event()

    @property
    def wanted(self) -> bool:
        """Whether there is something to subscribe to, and the server did not refuse it."""
        return not self._over and self._binding.session.listens

    async def watch(self, on_event: OnEvent) -> None:
        """Keep the stream open, until it is closed or the server refuses it."""
        runtime, pause = self._runtime, self._first_pause
        while self.wanted and (outgoing := self._binding.session.start_listening()) is not None:
            began = runtime.now()
            try:
                outcome = await self._listen(outgoing, on_event)
                self._over = self._over or not _ended(outcome)
            except TransportError as error:
                log.debug("%s is not heard for now: %s", self._binding.endpoint, error)
            finally:
                self._binding.session.abandon(outgoing.request_id or 0)
            if self._over:
                return
            if runtime.now() - began > LONGEST_PAUSE_SECONDS:
                pause = self._first_pause
            await runtime.wait_ready([], [], self._closing, pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _listen(self, outgoing: Outgoing, on_event: OnEvent) -> Outcome | None:
        request = self._binding.post(outgoing, await self._extra_headers())
        context = ExchangeContext(on_event, reader=self, control=True)
        return await self._sender.run(request, self._binding.exchange(outgoing), context)

    async def receive(self, runtime: Runtime, own: ByteStream, on_event: OnEvent) -> bytes:
        """Wait for data of the stream, or for :meth:`close`: blocking code cannot cancel a wait.

        Raises:
            TransportError: The stream is closed.
        """
        del on_event
        try:
            while (data := own.receive_nowait()) is None:
                if self._over:
                    raise TransportError("the subscription has ended", code="closed")
                await runtime.wait_any([own], self._closing)
        except OSError as error:
            if is_deadline(error):
                raise
            raise TransportError(f"the stream broke: {error}", code="closed") from error
        return data

    def close(self) -> None:
        """Close the stream, which ends the subscription, and open none again."""
        self._over = True
        self._closing.set()


def _ended(outcome: Outcome | None) -> bool:
    """Return whether a subscription has ended that may be made again, and was not refused."""
    if isinstance(outcome, HTTPRefused):
        return outcome.status in _FOR_NOW
    return isinstance(outcome, ResponseReceived | StreamEnded)

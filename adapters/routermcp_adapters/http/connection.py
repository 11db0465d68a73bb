"""One connection: a stream, the reader of its answers, and whether it may be used again."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from enum import Enum

from routermcp_proto.events import Event
from routermcp_proto.exceptions import RemoteProtocolError
from routermcp_proto.http.fast_reader import DirectResponseReader
from routermcp_proto.http.fetching import HTTPExchange
from routermcp_proto.http.reader import NEED_DATA, BodyData, EndOfBody
from routermcp_proto.http.url import EndpointURL

from .. import wire_log
from ..concurrency.gc_pause import PAUSE_SIZE, paused
from ..runtime import Address, ByteStream
from .connect import Admit, Origin

#: Reads of an answer's remains when a connection is wanted again. The last chunk of an
#: event stream is a few bytes; a server that sends more than this is still talking.
MAX_REMAINS = 4


class Condition(Enum):
    """What can be said of a connection that rests."""

    FRESH = "can be used"
    TALKING = "the end of the last answer is still on the way"
    USELESS = "closed by the peer, or out of step"


#: Read once: Python 3.11 asks the metaclass for each member that is named.
FRESH, TALKING, USELESS = Condition


class PooledConnection:
    """A place in the pool, and the stream that fills it once it is open.

    Args:
        endpoint: Where it leads.
        on_abandoned: Called with :attr:`ref` when the connection is garbage.
    """

    __slots__ = (
        "__weakref__",
        "addresses",
        "drained",
        "endpoint",
        "idle_since",
        "opened_at",
        "origin",
        "reader",
        "ref",
        "stream",
    )

    def __init__(
        self, endpoint: EndpointURL, on_abandoned: Callable[[weakref.ref[PooledConnection]], None]
    ) -> None:
        self.endpoint = endpoint
        self.origin: Origin = endpoint.origin
        self.ref: weakref.ref[PooledConnection] = weakref.ref(self, on_abandoned)
        self.stream: ByteStream = _NOT_OPEN
        self.addresses: list[Address] = []
        """The addresses of which it leads to one."""
        self.reader = DirectResponseReader()
        self.opened_at = 0.0
        self.idle_since = 0.0
        self.drained = True
        """Whether the last answer was read to its end."""

    def __del__(self) -> None:
        # Whoever held it was torn away, by Ctrl-C for example, perhaps while it was being made:
        # the descriptor goes with it.
        getattr(self, "stream", _NOT_OPEN).abort()

    @property
    def is_open(self) -> bool:
        """Whether there is a stream."""
        return self.stream is not _NOT_OPEN

    def admitted(self, admit: Admit) -> bool:
        """Return whether a request may go where it leads."""
        return all(admit(str(where[0])) for _, where in self.addresses)

    def take(self, data: bytes, exchange: HTTPExchange) -> list[Event]:
        """Feed bytes of the answer through the reader to the exchange, and return what they mean.

        Raises:
            RemoteProtocolError: They are not an HTTP answer, or not one that MCP allows.
        """
        self.reader.receive_data(data)
        if exchange.size + len(data) < PAUSE_SIZE:
            return self._take(exchange)
        with paused():
            return self._take(exchange)

    def _take(self, exchange: HTTPExchange) -> list[Event]:
        events: list[Event] = []
        logging_wire = wire_log.enabled() and not exchange.private
        while (item := self.reader.next_event()) is not NEED_DATA:
            if type(item) is EndOfBody:
                self.drained = True
            if logging_wire:
                wire_log.log_item(item, exchange)
            if not exchange.finished:
                events += exchange.receive(item)
            if self.drained:
                break
        if logging_wire:
            wire_log.log_refusals(events)
        return events

    def examine(self) -> Condition:
        """Say whether another request may be sent: the last answer is complete, nothing else came."""
        remains = 0
        while remains < MAX_REMAINS:
            remains += 1
            data = self.stream.receive_nowait()
            if data is None:
                return FRESH if self.drained else TALKING
            if not data:
                return USELESS
            try:
                self.reader.receive_data(data)
                self._skip()
            except RemoteProtocolError:
                return USELESS
            if self.drained and not self.reader.reusable:
                return USELESS
        return USELESS

    def _skip(self) -> None:
        while type(item := self.reader.next_event()) is BodyData:
            pass
        if type(item) is EndOfBody:
            self.drained = True


class _NotOpen:
    """The stream of a connection that is not open yet."""

    async def send_all(self, data: bytes) -> None:
        del data
        raise OSError("the connection is not open")

    async def receive_some(self) -> bytes:
        raise OSError("the connection is not open")

    def receive_nowait(self) -> bytes | None:
        return b""

    async def aclose(self) -> None:
        pass

    def abort(self) -> None:
        pass


_NOT_OPEN = _NotOpen()

"""uvicorn's protocol with bounds on what a client may send and leave unsent.

uvicorn itself waits for ever for a request that was begun, and over httptools it keeps a head of any
length.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from enum import Enum
from typing import Any, cast

from .write_coalescing import GatheringProtocol

#: Bytes of the longest head of a request, with its URL; also of what a chunked body may hold beside
#: its content. What h11 has as default; a head of a browser is a few kilobytes.
MAX_HEAD = 64 * 1024

#: Seconds for the head of a request to arrive: it is one packet, or a few.
HEAD_SECONDS = 10.0

#: Seconds between two pieces of a body: more than a network that still works loses.
BODY_SECONDS = 30.0

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"

#: Whether requests are read by httptools. h11, which is there otherwise, bounds heads by itself.
_CALLS_BACK = hasattr(GatheringProtocol, "on_headers_complete")


class _Stage(Enum):
    """What the client has to send next."""

    HEAD = "head"
    BODY = "body"
    NOTHING = "nothing"


class BoundedProtocol(GatheringProtocol):
    """HTTP as uvicorn serves it, for clients that mean no good.

    A connection without a request under way is closed when the place is needed: the one that was silent
    the longest, among those of the address that has the most.

    Attributes:
        head_seconds: Seconds for the head of a request to arrive.
        body_seconds: Seconds between two pieces of a body.
    """

    head_seconds = HEAD_SECONDS
    body_seconds = BODY_SECONDS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection, in place of an idle one where there are too many."""
        super().connection_made(transport)
        self._stage = _Stage.HEAD if _CALLS_BACK else _Stage.NOTHING
        self._unread = 0
        self._timer: asyncio.TimerHandle | None = None
        self._began = self._heard = self.loop.time()
        self._watch()
        limit = self.config.limit_concurrency
        # One request is refused where as many connections as the limit are open, its own included.
        if limit is not None and len(self.connections) >= limit:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        self._heard = self.loop.time()
        self._unread += len(data)
        super().data_received(data)
        if _CALLS_BACK and self._unread > MAX_HEAD and not self.transport.is_closing():
            self._refuse()
        elif self._stage is not _Stage.NOTHING:
            self._watch()

    def _refuse(self) -> None:
        if self.idle:
            self.transport.write(_TOO_LARGE)
        self.transport.close()

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        cycle: Any = self.cycle
        return cycle is None or cycle.response_complete

    def _make_room(self) -> None:
        others = [each for each in cast("set[Any]", self.connections) if each is not self and each.idle]
        if others:
            held = Counter(each.address for each in others)
            first = max(others, key=lambda each: (held[each.address], -each.heard_at))
            first.transport.abort()
            self.connections.discard(first)

    @property
    def address(self) -> str | None:
        """The address of the client, None where it has none."""
        return self.client[0] if self.client else None

    @property
    def heard_at(self) -> float:
        """When something last came, on the clock of the event loop."""
        return self._heard

    # ---- time --------------------------------------------------------------------------------

    def _watch(self) -> None:
        if self._timer is None and self._stage is not _Stage.NOTHING:
            self._timer = self.loop.call_at(self._due(), self._look)

    def _due(self) -> float:
        if self._stage is _Stage.HEAD:
            return self._began + self.head_seconds
        return self._heard + self.body_seconds

    def _look(self) -> None:
        self._timer = None
        if self._stage is _Stage.BODY and self.flow.read_paused:
            self._heard = self.loop.time()  # it is the gateway that does not read
        if self._stage is not _Stage.NOTHING and self.loop.time() >= self._due():
            self.transport.close()
        else:
            self._watch()

    # ---- what httptools calls ------------------------------------------------------------------

    # uvicorn's protocol over h11, which is the one that type checkers see, has no such methods.

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        super().on_message_begin()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        if self._stage is not _Stage.HEAD:
            self._stage, self._began = _Stage.HEAD, self._heard

    def on_headers_complete(self) -> None:
        """Note that a head has ended."""
        self._stage, self._unread = _Stage.BODY, 0
        super().on_headers_complete()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]

    def on_body(self, body: bytes) -> None:
        """Note that a piece of a body has come."""
        self._unread = 0
        super().on_body(body)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]

    def on_message_complete(self) -> None:
        """Note that a request is complete."""
        self._stage, self._unread = _Stage.NOTHING, 0
        super().on_message_complete()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]

    # ---- end -----------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """Tell the application that the server ends, and close the connection after its response."""
        app = cast("Any", self).app  # whatever application uvicorn serves
        begin = getattr(app, "begin_shutdown", None)
        if begin is not None:
            begin()
        super().shutdown()

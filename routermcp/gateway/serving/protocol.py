"""uvicorn's protocol with bounds on what a client may send, leave unsent, leave unread, and hold.

uvicorn itself waits for ever for a request that was begun, and over httptools it keeps a head of any
length.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from enum import Enum
from typing import Any, cast

from .bounds import DEFAULT_BOUNDS, ConnectionBounds, source_of
from .slow_readers import ReadingProtocol

#: Bytes of the longest head of a request, with its URL; also of what a chunked body may hold beside
#: its content. What h11 has as default; a head of a browser is a few kilobytes.
MAX_HEAD = 64 * 1024

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Stage(Enum):
    """What the client has to send next."""

    HEAD = "head"
    BODY = "body"
    NOTHING = "nothing"


class BoundedProtocol(ReadingProtocol):
    """HTTP as uvicorn serves it, for clients that mean no good.

    A connection without a request under way is closed when the place is needed: the one that was silent
    the longest, among those of the address that has the most. An address that has its share gets a new
    connection in place of an idle one of its own, or else a 503 on it.

    One of uvicorn's two protocols stands beside it in the classes that serve.

    Args:
        bounds: What connections may take.

    Attributes:
        source: What the connection is counted by.
        stage: What the client has to send next.
        unread: Bytes of a head, or of what frames a body, that are not understood yet.
    """

    def __init__(self, *args: Any, bounds: ConnectionBounds = DEFAULT_BOUNDS, **more: Any) -> None:
        super().__init__(*args, bounds=bounds, **more)
        self.stage = Stage.HEAD
        self.unread = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection, in place of an idle one where there are too many."""
        super().connection_made(transport)
        self._began = self._heard = self.loop.time()
        self.source = source_of(self.client[0]) if self.client else None
        self._watch()
        share = self._bounds.share_of(self.source)
        if len(self.connections) > share:
            self._keep_to_share(share)
        # One request is refused where as many connections as the limit are open, its own included.
        if len(self.connections) >= self._bounds.connections:
            _close_one(self._others())

    def _others(self) -> list[Any]:
        return [each for each in cast("set[Any]", self.connections) if each is not self]

    def _keep_to_share(self, share: int) -> None:
        own = [each for each in self._others() if each.source == self.source]
        if len(own) >= share and not _close_one(own):
            self.limit_concurrency = 0  # uvicorn refuses what comes on this connection

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        self._heard = self.loop.time()
        if self.unread + len(data) <= MAX_HEAD:
            self.unread += len(data)
            super().data_received(data)
        else:
            self._receive_in_pieces(data)
        if self.stage is not Stage.NOTHING:
            self._watch()

    def _receive_in_pieces(self, data: bytes) -> None:
        """Take much at once: no more of it than a head may have, until it turns out to be none."""
        while data and not self.transport.is_closing():
            room = MAX_HEAD - self.unread
            piece, data = data[:room], data[room:]
            self.unread += len(piece)
            super().data_received(piece)
            if self.unread >= MAX_HEAD:
                self._refuse()

    def _refuse(self) -> None:
        if self.idle:
            self.transport.write(_TOO_LARGE)
        self.transport.close()

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        cycle: Any = self.cycle
        return cycle is None or cycle.response_complete

    @property
    def heard_at(self) -> float:
        """When something last came, on the clock of the event loop."""
        return self._heard

    # ---- time --------------------------------------------------------------------------------

    def _watch(self) -> None:
        if self._timer is None and self.stage is not Stage.NOTHING:
            self._timer = self.loop.call_at(self._due(), self._look)

    def _due(self) -> float:
        if self.stage is Stage.HEAD:
            return self._began + self._bounds.head_seconds
        return self._heard + self._bounds.body_seconds

    def _look(self) -> None:
        self._timer = None
        if self.stage is Stage.BODY and self.flow.read_paused:
            self._heard = self.loop.time()  # it is the gateway that does not read
        if self.stage is not Stage.NOTHING and self.loop.time() >= self._due():
            self.transport.close()
        else:
            self._watch()

    def head_begins(self) -> None:
        """Note that a head begins: from now on its time runs."""
        self.stage, self._began = Stage.HEAD, self.loop.time()

    # ---- what httptools calls ------------------------------------------------------------------

    # uvicorn's protocol over h11, which is the one that type checkers see, has no such methods.

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        super().on_message_begin()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        if self.stage is not Stage.HEAD:
            self.head_begins()

    def on_headers_complete(self) -> None:
        """Note that a head has ended."""
        self.stage, self.unread = Stage.BODY, 0
        super().on_headers_complete()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]

    def on_body(self, body: bytes) -> None:
        """Note that a piece of a body has come."""
        self.unread = 0
        super().on_body(body)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]

    def on_message_complete(self) -> None:
        """Note that a request is complete."""
        self.stage, self.unread = Stage.NOTHING, 0
        super().on_message_complete()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]

    # ---- end -----------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """Tell the application that the server ends, and close the connection after its response."""
        app = cast("Any", self).app  # whatever application uvicorn serves
        begin = getattr(app, "begin_shutdown", None)
        if begin is not None:
            begin()
        super().shutdown()


def _close_one(connections: Iterable[Any]) -> bool:
    """Close the connection that is needed the least; return whether one was idle."""
    idle = [each for each in connections if each.idle]
    if not idle:
        return False
    held = Counter(each.source for each in idle)
    first = max(idle, key=lambda each: (held[each.source], -each.heard_at))
    first.transport.abort()
    first.connections.discard(first)
    return True

"""The bounded protocol over h11, whose state tells which part of a request comes next."""

from __future__ import annotations

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from .protocol import BoundedProtocol, Stage


class BoundedH11Protocol(BoundedProtocol, H11Protocol):
    """HTTP over h11, for machines that httptools is not built for."""

    def handle_events(self) -> None:
        """Read what has come, and note what has to come next."""
        super().handle_events()
        stage = self._next_stage()
        self.unread = 0 if stage is Stage.NOTHING else len(self.conn.trailing_data[0])
        if stage is Stage.HEAD and self.stage is not Stage.HEAD:
            self.head_begins()
        self.stage = stage

    def _next_stage(self) -> Stage:
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            return Stage.BODY
        # Between two requests nothing is due, until a byte of the second has come.
        begun = self.stage is Stage.HEAD or bool(self.conn.trailing_data[0])
        return Stage.HEAD if state is h11.IDLE and begun else Stage.NOTHING

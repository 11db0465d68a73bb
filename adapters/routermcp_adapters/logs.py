"""The loggers of routermcp."""

from __future__ import annotations

import logging

from routermcp_proto.exceptions import printable


class PrintableFilter(logging.Filter):
    """Makes messages safe for a terminal: they quote servers, and Python prints warnings by itself.

    A message is one line, so that no server writes a line of its own into a log.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace a message that holds control characters or line breaks."""
        message = record.getMessage()
        shown = printable(message).replace("\n", "\\n")
        if shown != message:
            record.msg, record.args = shown, ()
        return True


_printable = PrintableFilter()


def get_logger(name: str) -> logging.Logger:
    """Return a logger of routermcp, whose messages are safe for a terminal."""
    logger = logging.getLogger(name)
    logger.addFilter(_printable)
    return logger


log = get_logger("routermcp")

#: Messages that a server sent in vain and that are logged one by one; a server may send them without end.
MAX_DROPPED_LOGGED = 20


class DropLog:
    """Warns of the messages of a server that are dropped: of the first ones, then of every tenfold number.

    Args:
        place: The server.
    """

    __slots__ = ("_count", "_place")

    def __init__(self, place: object) -> None:
        self._place = place
        self._count = 0

    def note(self, problem: str) -> None:
        """Note a message that is dropped, and why."""
        self._count += 1
        if self._count <= MAX_DROPPED_LOGGED:
            log.warning("a message of %s was dropped: %s", self._place, problem)
        elif str(self._count).strip("0") == "1":
            log.warning("%d messages of %s were dropped, the last: %s", self._count, self._place, problem)

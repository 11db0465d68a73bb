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

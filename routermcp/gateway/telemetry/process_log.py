"""What a process that serves writes to standard error: one form for a single process and for every worker."""

from __future__ import annotations

import json
import logging
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType

#: How a record of the log is written as text, and how what the program says of itself is.
LOG_TEXT = logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s")
TOLD_TEXT = logging.Formatter("routermcp: %(message)s")


def write_to_stderr(lines: str) -> None:
    """Write whole lines at once, so that those of several workers do not mix."""
    sys.stderr.write(lines)
    sys.stderr.flush()


class JSONFormatter(logging.Formatter):
    """Writes a record as one JSON object, a traceback within it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object, without the end of its line."""
        members = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            members["exception"] = self.formatException(record.exc_info)
        return json.dumps(members)


class _StderrHandler(logging.Handler):
    """Writes to what is standard error by then."""

    def __init__(self, text: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(text)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            write_to_stderr(self.format(record) + "\n")
        except Exception:  # noqa: BLE001 - as every handler: what goes on matters more than its log
            self.handleError(record)


_logged, _told = _StderrHandler(LOG_TEXT), _StderrHandler(TOLD_TEXT)
_program = logging.getLogger("routermcp.program")
_program.setLevel(logging.INFO)
_program.propagate = False
_program.addHandler(_told)


def tell(message: str) -> None:
    """Say what the program does: where it listens, that it has read its configuration again."""
    _program.info("%s", message)


def log_to_stderr(*, debug: bool, as_json: bool = False) -> None:
    """Have the log written to standard error, unless the process has its own way.

    Args:
        debug: Write details, too.
        as_json: Write one JSON object a line, also of warnings of Python and of errors that nothing handles.
    """
    if not logging.root.handlers:
        logging.root.addHandler(_logged)
        logging.root.setLevel(logging.DEBUG if debug else logging.WARNING)
    for handler, text in ((_logged, LOG_TEXT), (_told, TOLD_TEXT)):
        handler.setFormatter(JSONFormatter() if as_json else text)
    if as_json:
        logging.captureWarnings(capture=True)
        sys.excepthook, threading.excepthook = _log_unhandled, _log_unhandled_in_thread


def _log_unhandled(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    _program.critical("%s", error or kind.__name__, exc_info=(kind, error, traceback))


def _log_unhandled_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        _log_unhandled(args.exc_type, args.exc_value, args.exc_traceback)

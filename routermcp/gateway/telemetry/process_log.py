"""The log of a process that serves: one form for a single process and for each of several workers."""

from __future__ import annotations

import logging
import sys


def log_to_stderr(*, debug: bool) -> None:
    """Have the log written to standard error."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if debug else logging.WARNING,
        format="%(asctime)s %(name)s %(levelname)s %(message)s",
    )

"""Running the rows of a page with one client, each in a process of its own.

The processes are children of one that has imported the client already, which takes longer than most rows.
A client that hangs, dies or is unusable afterwards spoils no other row.
"""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Callable, Sequence
from typing import Any

Finding = dict[str, Any]
"""What became of one row with one client."""

#: The most bytes of a finding: far less than a pipe holds, so that it is written at once.
_FINDING_BYTES = 16 * 1024


def run_rows(rows: Sequence[str], run: Callable[[str], Finding], lost: Finding, seconds: float) -> None:
    """Run rows one after the other, and print the name and the finding of each as a line of JSON.

    Args:
        rows: Their names.
        run: Returns the finding of a row.
        lost: The finding of a row whose process did not end in time, or died.
        seconds: How long one row may take.
    """
    for row in rows:
        print(json.dumps([row, _run_row(row, run, seconds) or lost]), flush=True)


def _run_row(row: str, run: Callable[[str], Finding], seconds: float) -> Finding | None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, json.dumps(run(row)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    try:
        ready, _, _ = select.select([reading], [], [], seconds)
        data = os.read(reading, _FINDING_BYTES) if ready else b""
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return json.loads(data) if data else None

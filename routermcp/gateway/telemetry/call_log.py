"""One line for each call: who called which tool of which server, how long it took, how it ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from routermcp_proto.exceptions import printable

from .records import CallRecord

#: Seconds that lines are gathered before they are written, with one system call for all of them.
GATHER_SECONDS = 0.1

#: Lines that are gathered at most.
MAX_LINES = 1_000

#: Characters of a name in a line: tools have 128, URIs of resources more.
MAX_SUBJECT = 200


class CallLog:
    """Writes the lines. Runs in an event loop.

    Args:
        write: Takes whole lines.
        server_of: Returns the alias of the server of a request, None where it has none.
        as_json: Whether each line is a JSON object.
        now: Returns the time.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        server_of: Callable[[CallRecord], str | None],
        *,
        as_json: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._write = write
        self._server_of = server_of
        self._line = _json_line if as_json else _text_line
        self._now = now
        self._lines: list[str] = []

    def add(self, record: CallRecord) -> None:
        """Note a request that has ended; its line is written shortly after."""
        if not self._lines:
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self.flush)
        self._lines.append(self._line(self._now(), record, self._server_of(record)))
        if len(self._lines) >= MAX_LINES:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered."""
        if self._lines:
            text = "".join(self._lines)
            self._lines.clear()
            self._write(text)


def _json_line(now: datetime, record: CallRecord, server: str | None) -> str:
    members: dict[str, Any] = {
        "time": now.isoformat(timespec="milliseconds"),
        "method": record.method,
        "subject": record.subject[:MAX_SUBJECT],
        "server": server,
        "user": record.user_id,
        "milliseconds": round(record.seconds * 1000, 1),
        "outcome": record.outcome,
        "code": record.code,
    }
    return json.dumps(members) + "\n"


def _text_line(now: datetime, record: CallRecord, server: str | None) -> str:
    # Each call has one, so the members are not put together first.
    line = f"time={now.isoformat(timespec='milliseconds')} method={record.method}"
    line += f" subject={record.subject[:MAX_SUBJECT]}"
    if server is not None:
        line += f" server={server}"
    if record.user_id is not None:
        line += f" user={record.user_id}"
    line += f" milliseconds={record.seconds * 1000:.1f} outcome={record.outcome}"
    if record.code is not None:
        line += f" code={record.code}"
    if not line.isprintable():  # the subject and the user are the client's words: one call, one line
        line = printable(line).replace("\n", " ").replace("\t", " ")
    return line + "\n"

"""One line for each call: who called which tool of which server, how long it took, how it ended.

With the audit, one for each event of :mod:`.audit` too.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from .audit import MAX_DETAIL, AuditedEvent, Details, event_line, one_line, plain
from .records import CallRecord

#: Seconds that lines are gathered before they are written, with one system call for all of them.
GATHER_SECONDS = 0.1

#: Lines that are gathered at most.
MAX_LINES = 1_000

#: Characters of the arguments in a line, as JSON.
MAX_ARGUMENTS = 2_000

_Entry = tuple[float, CallRecord, str | None, str | None]
"""When a request ended, what is known of it, the alias of its server, and its arguments where they show."""


class CallLog:
    """Writes the lines. Runs in an event loop.

    Args:
        write: Takes whole lines.
        server_of: Returns the alias of the server of a request, None where it has none.
        as_json: Whether each line is a JSON object.
        arguments: Whether the lines have the arguments of calls.
        clock: Returns the time, in seconds since 1970.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        server_of: Callable[[CallRecord], str | None],
        *,
        as_json: bool = False,
        arguments: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._write = write
        self._server_of = server_of
        self._as_json = as_json
        self._arguments = arguments
        self._clock = clock
        self._entries: list[str | _Entry] = []

    def add(self, record: CallRecord, arguments: Any = None) -> None:
        """Note a request that has ended; its line is written shortly after."""
        shown = _shown(arguments) if self._arguments and arguments else None
        self._add((self._clock(), record, self._server_of(record), shown))

    def add_event(self, event: AuditedEvent, details: Details) -> None:
        """Note an event of the audit; its line is written shortly after."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        self._add(event_line(now, event, details, as_json=self._as_json))

    def _add(self, entry: str | _Entry) -> None:
        if not self._entries:
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self.flush)
        self._entries.append(entry)
        if len(self._entries) >= MAX_LINES:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered."""
        if self._entries:
            # One after the other here, the lines take a fraction of what each takes beside its call.
            line = _json_line if self._as_json else _text_line
            text = "".join([each if isinstance(each, str) else line(*each) for each in self._entries])
            self._entries.clear()
            self._write(text)


def _shown(arguments: Any) -> str:
    return json.dumps(arguments, default=str)[:MAX_ARGUMENTS]


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    """Return a second as it begins a time of ISO 8601: many calls end in the same one."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _iso_time(now: float) -> str:
    seconds, milliseconds = divmod(int(now * 1000), 1000)
    return f"{_second(seconds)}.{milliseconds:03d}+00:00"


def _json_line(now: float, record: CallRecord, server: str | None, arguments: str | None) -> str:
    members: dict[str, Any] = {
        "time": _iso_time(now),
        "method": record.method,
        "subject": record.subject[:MAX_DETAIL],
        "server": server,
        "user": record.user_id,
        "milliseconds": round(record.seconds * 1000, 1),
        "outcome": record.outcome,
        "code": record.code,
    }
    if arguments is not None:
        members["arguments"] = arguments
    return json.dumps(members) + "\n"


def _text_line(now: float, record: CallRecord, server: str | None, arguments: str | None) -> str:
    # Each call has one, so the members are not put together first.
    method, subject, user_id, seconds, outcome, code = record
    line = f"time={_iso_time(now)} method={method} subject={plain(subject[:MAX_DETAIL])}"
    if server is not None:
        line += f" server={server}"
    if user_id is not None:
        line += f" user={plain(user_id)}"
    line += f" milliseconds={seconds * 1000:.1f} outcome={outcome}"
    if code is not None:
        line += f" code={code}"
    if arguments is not None:  # the client's words, as the subject and the user are: one call, one line
        line += f" arguments={arguments if arguments.isprintable() else one_line(arguments)}"
    return line + "\n"

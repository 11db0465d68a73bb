"""The calls of a recording that is played, and the errors of a client that makes others."""

from __future__ import annotations

import difflib
import itertools
import json
import threading
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

from routermcp_proto.redaction import HIDDEN

from .recording_file import ReplayMismatchError, read_recording, redacted_message
from .replay_script import Script, ScriptReader, arguments_of, request_name, without_retries

#: Lines of a difference that an error shows: those of a few dozen arguments.
MAX_DIFFERENCE_LINES = 60

#: Unused calls that an error names.
MAX_NAMED = 10


class Replay:
    """The calls of a recording, and which of them were made again.

    Args:
        path: The file.
        strict: Calls have to come in the recorded order.
        public: Names whose values an error may show.

    Raises:
        RecordingError: The file is missing or no recording.
    """

    def __init__(self, path: Path, *, strict: bool, public: Collection[str] = ()) -> None:
        self.path = path
        self.strict = strict
        self.public = public
        self.mismatch: ReplayMismatchError | None = None
        """The first mismatch, which a client may have caught."""
        self._lock = threading.Lock()
        self._opened = itertools.count(1)
        readers: dict[int, ScriptReader] = {}
        for recorded in read_recording(path):
            readers.setdefault(recorded.session, ScriptReader()).take(recorded)
        self._sessions = {number: reader.housekeeping for number, reader in readers.items()}
        self.scripts = [script for reader in readers.values() for script in without_retries(reader.scripts)]

    def next_session(self) -> int:
        """Return the number of the session that is opened next."""
        return next(self._opened)

    def housekeeping(self, session: int, method: str) -> Mapping[str, Any] | None:
        """Return the answer to a request that clients make by themselves, None where none was recorded."""
        own = self._sessions.get(session, {})
        if own:
            return own.get(method)
        # A session of the stateless era needs no handshake of its own, but its player has one.
        return next((each[method] for each in self._sessions.values() if method in each), None)

    def take(self, session: int, message: Mapping[str, Any]) -> Script:
        """Return the recorded call that is made again now.

        Raises:
            ReplayMismatchError: There is none.
        """
        method, params = str(message.get("method")), arguments_of(message)
        with self._lock:
            script = self._next(session) if self.strict else self._equal(method, params)
            if script is None or not matches(script, method, params):
                raise self.note(self._problem(session, method, params, script))
            script.used = True
            return script

    def unused(self) -> list[Script]:
        """Return the calls that were not made again."""
        return [script for script in self.scripts if not script.used]

    def note(self, problem: str) -> ReplayMismatchError:
        """Return the error of a mismatch, and keep the first one."""
        error = ReplayMismatchError(f"{self.path}: {problem}")
        self.mismatch = self.mismatch or error
        return error

    def _next(self, session: int) -> Script | None:
        return next((each for each in self.unused() if each.session == session), None)

    def _equal(self, method: str, params: Mapping[str, Any]) -> Script | None:
        return next((each for each in self.unused() if matches(each, method, params)), None)

    def _problem(self, session: int, method: str, params: Mapping[str, Any], expected: Script | None) -> str:
        made = request_name(method, params)
        if expected is not None:
            where = f"the next recorded call is {expected.name} (line {expected.line})"
            difference = self._difference(
                {"method": expected.method, "params": expected.params},
                {"method": method, "params": dict(params)},
                expected.line,
            )
            return f"{where}, and the client made {made}{difference}"
        count = sum(matches(each, method, params) for each in self.scripts)
        if self.strict:
            total = sum(each.session == session for each in self.scripts)
            return f"all {total} calls of session {session} were made, and the client made one more: {made}"
        if count:
            return f"{made} was recorded {count} times, and the client made it once more"
        close = next((each for each in self.unused() if each.name == made), None)
        if close is None:
            return f"no recorded call is {made}"
        difference = self._difference(close.params, dict(params), close.line)
        return f"no recorded call is {made} with these arguments; the closest is{difference}"

    def _difference(self, recorded: Any, made: Any, line: int) -> str:
        """Return the lines in which two values differ; that of the client may hold secrets."""
        lines = list(
            difflib.unified_diff(
                _lines(recorded),
                _lines(redacted_message(made, (), self.public)),
                f"recorded (line {line})",
                "made now",
                lineterm="",
            )
        )
        if len(lines) > MAX_DIFFERENCE_LINES:
            lines[MAX_DIFFERENCE_LINES:] = ["[more lines differ]"]
        return "\n" + "\n".join(lines)

    def check_answer(self, script: Script, recorded: Mapping[str, Any], made: Mapping[str, Any]) -> None:
        """Check that a question of the server was answered as it was when it was recorded.

        Raises:
            ReplayMismatchError: It was not.
        """
        old, new = ({key: each.get(key) for key in ("result", "error")} for each in (recorded, made))
        if self.strict and not _same(old, new):
            difference = self._difference(old, new, script.line)
            raise self.note(f"a question during {script.name} was answered in another way{difference}")

    def check_all_used(self) -> None:
        """Check that every recorded call was made again.

        Raises:
            ReplayMismatchError: Some were not, or there was a mismatch that the client has caught.
        """
        if self.mismatch is not None:
            raise self.mismatch
        unused = self.unused()
        if unused:
            counts = Counter(f"{script.name} (line {script.line})" for script in unused)
            named = ", ".join(itertools.islice(counts, MAX_NAMED))
            more = f" and {len(unused) - MAX_NAMED} more" if len(unused) > MAX_NAMED else ""
            raise ReplayMismatchError(f"{self.path}: recorded and not made now: {named}{more}")


def _lines(value: Any) -> list[str]:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).split("\n")


def matches(script: Script, method: str, params: Mapping[str, Any]) -> bool:
    """Return whether a call is the recorded one."""
    return script.method == method and _same(script.params, params)


def _same(recorded: Any, made: Any) -> bool:
    """Return whether a value is the recorded one; what was hidden in the recording may be anything."""
    if isinstance(recorded, dict) and isinstance(made, dict):
        left, right = cast("dict[str, Any]", recorded), cast("dict[str, Any]", made)
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(recorded, list) and isinstance(made, list):
        items, others = cast("list[Any]", recorded), cast("list[Any]", made)
        return len(items) == len(others) and all(map(_same, items, others))
    if isinstance(recorded, str) and isinstance(made, str) and HIDDEN in recorded:
        return _fits(recorded.split(HIDDEN), made)
    # In Python, unlike in JSON, true is 1.
    return recorded == made and isinstance(recorded, bool) == isinstance(made, bool)


def _fits(parts: list[str], text: str) -> bool:
    """Return whether a text has these parts in this order: the first begins it, and the last ends it."""
    first, *middle, last = parts
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True

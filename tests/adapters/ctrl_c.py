"""KeyboardInterrupt wherever CPython looks at signals.

CPython runs signal handlers between two instructions, and only at some of them: where a
function begins, where a loop turns, and after a call has returned. These points are counted
while something is done; then it is done again and again, with KeyboardInterrupt at each of them.
"""

from __future__ import annotations

import contextlib
import dis
import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, ClassVar, Self

from hypothesis import settings

import routermcp_adapters

FOLDER = Path(routermcp_adapters.__file__).parent

#: The code that is interrupted: all of the adapters.
FILES = {str(path) for path in FOLDER.rglob("*.py")} | {contextlib.__file__}

#: Instructions after which CPython looks at signals.
LOOKS = {"RESUME", "JUMP_BACKWARD", "CALL", "CALL_FUNCTION_EX", "CALL_KW"}

#: A call of a coroutine function does not look: the coroutine begins when it is awaited.
NO_LOOK_BEFORE = "GET_AWAITABLE"

#: Examples from which on a run is the long one, which interrupts everywhere.
LONG = 1000

#: In CI every so many points, another first one for each test: a prime, so that loops do not hide any.
STRIDE = 11


class Instructions:
    """The instructions of one function, and who handles what is raised at each of them."""

    def __init__(self, code: CodeType) -> None:
        read = dis.Bytecode(code)
        self.names = {item.offset: item.opname for item in read}
        self._handlers = [(entry.start, entry.end, entry.target) for entry in read.exception_entries]

    def looks_between(self, before: int, after: int) -> bool:
        """Whether CPython looks at signals after the one and before the other, with the same handler."""
        looks = self.names[before] in LOOKS and self.names[after] != NO_LOOK_BEFORE
        return looks and self._handler(before) == self._handler(after)

    def _handler(self, offset: int) -> int | None:
        return next((target for start, end, target in self._handlers if start <= offset < end), None)


class CtrlC:
    """Raises KeyboardInterrupt at the n-th point at which CPython would, and counts the points."""

    _known: ClassVar[dict[CodeType, Instructions]] = {}

    def __init__(self, at: int = -1) -> None:
        self.at = at
        self.points = 0
        self.where = ""

    def __enter__(self) -> Self:
        sys._getframe().f_trace_opcodes = True  # what CPython 3.12 looks for when tracing begins
        sys.settrace(self._on_call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _on_call(self, frame: FrameType, kind: str, _: object) -> Any:
        code = frame.f_code
        if code.co_filename not in FILES:
            return None
        instructions = self._known.get(code)
        if instructions is None:
            instructions = self._known[code] = Instructions(code)
        last = frame.f_lasti

        def on_opcode(frame: FrameType, kind: str, _: object) -> Any:
            nonlocal last
            if kind == "opcode":
                before, last = last, frame.f_lasti
                if instructions.looks_between(before, last):
                    self._look(frame)
            return on_opcode

        frame.f_trace = on_opcode  # CPython 3.13 traces instructions only where this is set before the next
        frame.f_trace_opcodes = True
        return on_opcode

    def _look(self, frame: FrameType) -> None:
        self.points += 1
        if self.points - 1 == self.at:
            self.where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}"
            sys.settrace(None)
            raise KeyboardInterrupt


def points(count: int, first: int) -> range:
    """The points to interrupt at: all in the long run, some in CI."""
    return range(count) if settings().max_examples >= LONG else range(first % STRIDE, count, STRIDE)

"""Ctrl-C at a prompt: it ends what runs, or drops a line, and not the program.

A user presses it more than once. The second one may come while a call is being cancelled, or between two
commands, where KeyboardInterrupt would end the program.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Generator
from types import FrameType
from typing import TypeVar

T = TypeVar("T")


class CtrlC:
    """What the first Ctrl-C ends; others are dropped until the next thing runs."""

    def __init__(self) -> None:
        self._ends_something = False

    def ends(self, run: Callable[[], T], otherwise: T) -> T:
        """Run something, and return what it does, or something else where Ctrl-C ended it.

        What runs may run something else in the same way, which Ctrl-C then ends alone.
        """
        before = self._ends_something
        try:
            try:
                self._ends_something = True
                result = run()
                self._ends_something = False
            except KeyboardInterrupt:
                return otherwise
            return result
        finally:
            self._ends_something = before

    def pressed(self, _number: int, _frame: FrameType | None) -> None:
        """Handle SIGINT.

        Raises:
            KeyboardInterrupt: Something runs, and this is the first one for it.
        """
        if self._ends_something:
            self._ends_something = False
            raise KeyboardInterrupt


@contextlib.contextmanager
def taking_ctrl_c() -> Generator[CtrlC]:
    """Handle SIGINT while the block runs, where a user types and it is not ignored or handled already."""
    ctrl_c = CtrlC()
    before = signal.getsignal(signal.SIGINT)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not (sys.stdin.isatty() and in_main_thread and before is signal.default_int_handler):
        yield ctrl_c
        return
    signal.signal(signal.SIGINT, ctrl_c.pressed)
    try:
        yield ctrl_c
    finally:
        signal.signal(signal.SIGINT, before)

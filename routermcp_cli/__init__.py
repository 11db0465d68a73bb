"""The program ``routermcp``: it is ready for signals before it imports anything large.

It is a package of its own, as ``import routermcp`` takes a fifth of a second, and Ctrl-C meanwhile would be a
traceback.
"""

from __future__ import annotations

import os
import signal
import sys

#: The exit code after Ctrl-C, as shells have it.
INTERRUPTED = 130


def main() -> int:
    """Run the command line for this process, and return its exit code."""
    takes_ctrl_c = get_ready()
    try:
        from routermcp.cli import loaded  # noqa: PLC0415 - large

        run = loaded()
        if takes_ctrl_c:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = run(None)
    except KeyboardInterrupt:
        code = INTERRUPTED
    if takes_ctrl_c:
        signal.signal(signal.SIGINT, _end_now)  # while the interpreter ends, too
    if _serves():  # and has drained: a signal that is sent once more does not change how it ended
        for name in ("SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)
    return code


def get_ready() -> bool:
    """Have signals end this process quietly while it imports; return whether Ctrl-C is one of them."""
    if _serves() and hasattr(signal, "SIGHUP"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # until ``serve`` has a handler for it
    # A background job ignores Ctrl-C.
    takes_ctrl_c = signal.getsignal(signal.SIGINT) in (signal.default_int_handler, _end_now)
    if takes_ctrl_c:
        signal.signal(signal.SIGINT, _end_now)
        sys.unraisablehook = _end_if_interrupted
    return takes_ctrl_c


def _serves() -> bool:
    """Return whether the command is ``serve``."""
    return sys.argv[1:2] == ["serve"]


def _end_now(_number: int, _frame: object) -> None:
    """End at once: there is nothing yet, or nothing any more, to be tidied up."""
    os._exit(INTERRUPTED)


def _end_if_interrupted(unraisable: sys.UnraisableHookArgs) -> None:
    """End where Ctrl-C comes in a callback or a finalizer: Python would only write about it, and go on."""
    if unraisable.exc_type is KeyboardInterrupt:
        os._exit(INTERRUPTED)
    sys.__unraisablehook__(unraisable)

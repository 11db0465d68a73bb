"""The command line ``routermcp``; it needs the extra ``routermcp[cli]``."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Generator, Sequence

#: The packages of the extra ``cli``.
_EXTRA = frozenset({"typer", "rich", "click"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: The arguments after the program's name; default those of the process, which ends then.
    """
    try:
        with _ended_by_ctrl_c():
            from .app import run  # noqa: PLC0415 - needs the extra
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise
        print(  # noqa: T201
            f"routermcp: the command line needs {missing}, which is not installed: "
            "pip install 'routermcp[cli]'",
            file=sys.stderr,
        )
        return 2
    code = run(argv)
    if argv is None and _takes_ctrl_c():
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # while the interpreter ends, too
    return code


@contextlib.contextmanager
def _ended_by_ctrl_c() -> Generator[None]:
    """Let Ctrl-C end the process without a traceback while modules are loaded."""
    if not _takes_ctrl_c():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _takes_ctrl_c() -> bool:
    """Return whether Ctrl-C is Python's to handle here; a background job ignores it."""
    ours = threading.current_thread() is threading.main_thread()
    return ours and signal.getsignal(signal.SIGINT) not in (signal.SIG_IGN, signal.SIG_DFL, None)

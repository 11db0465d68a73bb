"""The command line ``routermcp``; it needs the extra ``routermcp[cli]``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

#: The packages of the extra ``cli``.
_EXTRA = frozenset({"typer", "rich", "click"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: The arguments after the program's name; default those of the process.
    """
    return loaded()(argv)


def loaded() -> Callable[[Sequence[str] | None], int]:
    """Import the commands, and return what runs one; without the extra, that says so."""
    try:
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
        return lambda _argv: 2
    return run

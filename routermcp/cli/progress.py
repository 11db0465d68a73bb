"""Progress of a call, on standard error while it runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from routermcp_proto.exceptions import printable
from routermcp_proto.types import Progress as Report

from .output import console

#: The bars that are shown at the moment: a process has one terminal.
_shown: list[Progress] = []


@contextmanager
def progress_hidden() -> Generator[None]:
    """Take the bar off the terminal while the block runs, for a question to the user."""
    bars = [*_shown]
    for bar in bars:
        bar.stop()
    try:
        yield
    finally:
        for bar in bars:
            bar.start()


@contextmanager
def call_progress(name: str) -> Generator[Callable[[Report], None] | None]:
    """Show a bar while a tool runs, where standard error is a terminal.

    Yields:
        The callback for progress reports, None where nothing is shown.
    """
    if not sys.stderr.isatty():
        yield None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console(stderr=True), transient=True) as bars:
        bar = bars.add_task(printable(name), total=None)

        def show(report: Report) -> None:
            about = f"{name}: {report.message}" if report.message else name
            bars.update(bar, completed=report.progress, total=report.total, description=printable(about))

        _shown.append(bars)
        try:
            yield show
        finally:
            _shown.remove(bars)

"""``routermcp demo``: one scenario on all runtimes, and a table of the results."""

from __future__ import annotations

import logging
import math
import statistics
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from routermcp_proto.exceptions import printable
from routermcp_proto.http.url import without_query

from ...types import InitializeResult
from ...types import Progress as ProgressReport
from ..failures import ExitCode, complain, reported
from ..options import ClientOptions
from ..output import console, make_table
from .runtimes import RUNNERS
from .scenario import COUNT_TO, TIMED_CALLS, RuntimeReport, Scenario, foreign_server, own_gateway

if TYPE_CHECKING:
    from ...gateway.builtin.showcase import Showcase

#: Steps before the timed calls, for the length of the bar.
OTHER_STEPS = 10

COLUMNS = ("runtime", "connect ms", "tools", "calls", "median ms", "p95 ms", "errors")


class LiveDisplay:
    """Bars on a terminal; without one, a line for each runtime."""

    def __init__(self, output: Console) -> None:
        self._output = output
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[step]}", markup=False),
            TimeElapsedColumn(),
            console=output,
            transient=True,
            disable=not output.is_terminal,
        )
        self._runtime: TaskID = TaskID(0)
        self._count: TaskID = TaskID(0)

    @contextmanager
    def showing(self) -> Generator[None]:
        """Show the bars while the block runs."""
        with self._bars:
            self._runtime = self._bars.add_task("", total=TIMED_CALLS + OTHER_STEPS, step="")
            self._count = self._bars.add_task("count", total=COUNT_TO, visible=False, step="")
            yield

    def begin(self, runtime: str) -> None:
        """Begin with a runtime."""
        self._bars.reset(self._runtime, description=runtime, step="")

    def step(self, title: str) -> None:
        """Show which step begins."""
        self._bars.update(self._runtime, advance=1, step=printable(title))
        self._bars.update(self._count, visible=False)

    def counted(self, report: ProgressReport) -> None:
        """Show how far the tool ``count`` is."""
        self._bars.update(
            self._count,
            completed=report.progress,
            total=report.total,
            visible=True,
            step=printable(report.message or ""),
        )

    def end(self, report: RuntimeReport) -> None:
        """Print the outcome of a runtime."""
        if report.skipped is not None:
            outcome = f"skipped, {report.skipped}"
        else:
            outcome = "ok" if not report.errors else f"{len(report.errors)} failed"
        self._output.print(f"{report.runtime}: {outcome}")


def run_demo(options: ClientOptions) -> bool:
    """Run the demonstration and return whether all went well.

    Raises:
        typer.Exit: The demonstration could not begin; the reason was reported.
    """
    # Warnings of the gateway about slow servers are for its operators.
    logging.getLogger("routermcp").addHandler(logging.NullHandler())
    with reported(debug=options.debug):
        if options.names_server:
            return _run_demo_on_runtimes(options, None)
        try:
            from ...gateway.builtin.showcase import showcase  # noqa: PLC0415 - needs the extra

            with showcase() as shown:
                return _run_demo_on_runtimes(replace(options, url=shown.url), shown)
        except ModuleNotFoundError as error:
            complain(
                f"the demo's gateway needs {error.name}, which is not installed: "
                "pip install 'routermcp[cli,gateway]' (or 'routermcp[all]'); or give --url"
            )
            raise typer.Exit(ExitCode.USAGE) from None


def _run_demo_on_runtimes(options: ClientOptions, shown: Showcase | None) -> bool:
    output = console()
    display = LiveDisplay(output)

    def make(report: RuntimeReport, server: InitializeResult) -> Scenario:
        if shown is None:
            return foreign_server(report, server)
        return own_gateway(report, display.counted, shown.servers, shown.repository)

    what = (
        f"a local gateway of {', '.join(shown.servers)}"
        if shown is not None
        else without_query(options.place)
    )
    output.print(f"server: {what}; {TIMED_CALLS} timed calls")
    for reason in shown.missing if shown is not None else ():
        output.print(f"left out {reason}")
    reports: list[RuntimeReport] = []
    with display.showing():
        for name, run in RUNNERS.items():
            report = RuntimeReport(name)
            display.begin(name)
            run(options, make, report, display.step)
            display.end(report)
            reports.append(report)
    output.print()
    output.print(make_table(COLUMNS, [row_of(report) for report in reports], numbers=len(COLUMNS) - 1))
    for report in reports:
        for error in report.errors:
            complain(f"{report.runtime}: {error}")
    return not any(report.errors for report in reports)


def row_of(report: RuntimeReport) -> Sequence[str]:
    """Put a report into the cells of a row."""
    if report.skipped is not None:
        return (report.runtime, "skipped", *[""] * (len(COLUMNS) - 2))
    times = sorted(report.latencies_ms)
    return (
        report.runtime,
        _milliseconds_text(report.connect_ms),
        "" if report.tools is None else str(report.tools),
        str(report.calls),
        _milliseconds_text(statistics.median(times) if times else None),
        _milliseconds_text(times[math.ceil(0.95 * len(times)) - 1] if times else None),
        str(len(report.errors)),
    )


def _milliseconds_text(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:.2f}"

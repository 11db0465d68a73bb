"""The drivers of a scenario: under asyncio, under trio and in plain code."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol

from ... import RouterMCPClient, SyncRouterMCPClient
from ...types import InitializeResult, MCPError
from ..options import ClientOptions
from .scenario import RuntimeReport, Scenario, Step

MakeScenario = Callable[[RuntimeReport, InitializeResult], Scenario]

#: Answers the tool of the local server that asks for a name.
FORM = {"name": "Ada"}


class Display(Protocol):
    """Shows how far the scenario is."""

    def step(self, title: str) -> None:
        """Take note that a step begins."""
        ...


class Recorder:
    """Leads through a scenario and writes down what comes of it.

    Args:
        report: Where it is written.
        display: Where it is shown meanwhile.
    """

    def __init__(self, report: RuntimeReport, display: Display) -> None:
        self._report = report
        self._display = display
        self._started = 0.0

    def start(self, title: str) -> None:
        """Begin to measure."""
        self._display.step(title)
        self._started = time.perf_counter()

    def _elapsed(self) -> float:
        return (time.perf_counter() - self._started) * 1000

    def connected(self) -> None:
        """Write down that the client is connected."""
        self._report.connect_ms = self._elapsed()

    def next_step(self, scenario: Scenario, result: Any) -> Step | None:
        """Tell the scenario what came of a step, and begin the next one; None after the last."""
        try:
            step = scenario.send(result)
        except StopIteration:
            return None
        self.start(step.title)
        return step

    def succeeded(self, step: Step, result: Any) -> Any:
        """Write down a result, and return it."""
        if step.timed:
            self._report.latencies_ms.append(self._elapsed())
        self._report.calls += step.tool_call
        if not step.check(result):
            self._report.errors.append(f"{step.title}: the result is not the expected one")
        return result

    def failed(self, title: str, error: MCPError) -> None:
        """Write down an error."""
        self._report.errors.append(f"{title}: {error}")


async def drive(options: ClientOptions, make: MakeScenario, report: RuntimeReport, display: Display) -> None:
    """Run a scenario with the asynchronous client, on whichever runtime is running."""
    recorder = Recorder(report, display)
    client = RouterMCPClient(
        options.url,
        options.api_key,
        options.user_id,
        options.timeout,
        debug=options.debug or None,
        on_elicitation=lambda _: FORM,
    )
    recorder.start("connect")
    try:
        async with client:
            recorder.connected()
            scenario, result = make(report, _server(client)), None
            while (step := recorder.next_step(scenario, result)) is not None:
                try:
                    result = recorder.succeeded(step, await step.run(client))
                except MCPError as error:
                    result = recorder.failed(step.title, error)
    except MCPError as error:
        recorder.failed("connect", error)


def drive_blocking(
    options: ClientOptions, make: MakeScenario, report: RuntimeReport, display: Display
) -> None:
    """Run a scenario with the blocking client."""
    recorder = Recorder(report, display)
    client = SyncRouterMCPClient(
        options.url,
        options.api_key,
        options.user_id,
        options.timeout,
        debug=options.debug or None,
        on_elicitation=lambda _: FORM,
    )
    recorder.start("connect")
    try:
        with client:
            recorder.connected()
            scenario, result = make(report, _server(client)), None
            while (step := recorder.next_step(scenario, result)) is not None:
                try:
                    result = recorder.succeeded(step, step.run(client))
                except MCPError as error:
                    result = recorder.failed(step.title, error)
    except MCPError as error:
        recorder.failed("connect", error)


def _server(client: RouterMCPClient | SyncRouterMCPClient) -> InitializeResult:
    server = client.server
    assert server is not None  # noqa: S101 - it is connected
    return server


def run_asyncio(options: ClientOptions, make: MakeScenario, report: RuntimeReport, display: Display) -> None:
    """Run a scenario under asyncio."""
    asyncio.run(drive(options, make, report, display))


def run_trio(options: ClientOptions, make: MakeScenario, report: RuntimeReport, display: Display) -> None:
    """Run a scenario under trio, where that is installed."""
    try:
        import trio  # noqa: PLC0415 - may not be installed
    except ModuleNotFoundError:
        report.skipped = "trio is not installed: pip install 'routermcp[trio]'"
        return
    trio.run(drive, options, make, report, display)


RUNNERS: dict[str, Callable[[ClientOptions, MakeScenario, RuntimeReport, Display], None]] = {
    "asyncio": run_asyncio,
    "trio": run_trio,
    "blocking": drive_blocking,
}

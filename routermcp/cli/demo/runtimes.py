"""The drivers of a scenario: under asyncio, under trio and in plain code."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from ... import RouterMCPClient, SyncRouterMCPClient
from ...types import InitializeResult, MCPError
from ..options import ClientOptions
from .scenario import RuntimeReport, Scenario, Step

MakeScenario = Callable[[RuntimeReport, InitializeResult], Scenario]

#: Answers the tool of the local server that asks for a name.
FORM = {"name": "Ada"}


OnStep = Callable[[str], None]
"""Called with the title of each step that begins."""


class DemoRecorder:
    """Sends a scenario the results of its steps, and writes the report."""

    def __init__(self, report: RuntimeReport, on_step: OnStep) -> None:
        self._report = report
        self._on_step = on_step
        self._started = 0.0

    def start(self, title: str) -> None:
        """Begin to measure a step."""
        self._on_step(title)
        self._started = time.perf_counter()

    def _elapsed(self) -> float:
        return (time.perf_counter() - self._started) * 1000

    def connected(self) -> None:
        """Note the time of the connection."""
        self._report.connect_ms = self._elapsed()

    def next_step(self, scenario: Scenario, result: Any) -> Step | None:
        """Send the scenario the result of a step and begin the next one; return None after the last."""
        try:
            step = scenario.send(result)
        except StopIteration:
            return None
        self.start(step.title)
        return step

    def succeeded(self, step: Step, result: Any) -> Any:
        """Note a result, and return it."""
        if step.timed:
            self._report.latencies_ms.append(self._elapsed())
        self._report.calls += step.tool_call
        if not step.check(result):
            self._report.errors.append(f"{step.title}: the result is not the expected one")
        return result

    def failed(self, title: str, error: MCPError) -> None:
        """Note an error."""
        self._report.errors.append(f"{title}: {error}")


async def drive(options: ClientOptions, make: MakeScenario, report: RuntimeReport, on_step: OnStep) -> None:
    """Run a scenario with the asynchronous client, on the running runtime."""
    recorder, client = DemoRecorder(report, on_step), RouterMCPClient(**_runtime_settings(options))
    recorder.start("connect")
    try:
        async with client:
            recorder.connected()
            scenario, result = make(report, _connected_server(client)), None
            while (step := recorder.next_step(scenario, result)) is not None:
                try:
                    result = recorder.succeeded(step, await step.run(client))
                except MCPError as error:
                    result = recorder.failed(step.title, error)
    except MCPError as error:
        recorder.failed("connect", error)


def drive_blocking(
    options: ClientOptions, make: MakeScenario, report: RuntimeReport, on_step: OnStep
) -> None:
    """Run a scenario with the blocking client."""
    recorder, client = DemoRecorder(report, on_step), SyncRouterMCPClient(**_runtime_settings(options))
    recorder.start("connect")
    try:
        with client:
            recorder.connected()
            scenario, result = make(report, _connected_server(client)), None
            while (step := recorder.next_step(scenario, result)) is not None:
                try:
                    result = recorder.succeeded(step, step.run(client))
                except MCPError as error:
                    result = recorder.failed(step.title, error)
    except MCPError as error:
        recorder.failed("connect", error)


def _runtime_settings(options: ClientOptions) -> dict[str, Any]:
    def fill_in(_request: object) -> dict[str, str]:
        return FORM

    return {**options.settings(), "on_elicitation": fill_in}


def _connected_server(client: RouterMCPClient | SyncRouterMCPClient) -> InitializeResult:
    server = client.server
    assert server is not None  # noqa: S101 - it is connected
    return server


def run_asyncio(options: ClientOptions, make: MakeScenario, report: RuntimeReport, on_step: OnStep) -> None:
    """Run a scenario under asyncio."""
    asyncio.run(drive(options, make, report, on_step))


def run_trio(options: ClientOptions, make: MakeScenario, report: RuntimeReport, on_step: OnStep) -> None:
    """Run a scenario under trio, where that is installed."""
    try:
        import trio  # noqa: PLC0415 - may not be installed
    except ModuleNotFoundError:
        report.skipped = "trio is not installed: pip install 'routermcp[trio]'"
        return
    trio.run(drive, options, make, report, on_step)


RUNNERS: dict[str, Callable[[ClientOptions, MakeScenario, RuntimeReport, OnStep], None]] = {
    "asyncio": run_asyncio,
    "trio": run_trio,
    "blocking": drive_blocking,
}

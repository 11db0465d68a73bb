"""The scenario of the demonstration, as a generator of steps: the same for every runtime.

The generator yields a step, is sent its result (None where it failed) and yields the next one.
The drivers in :mod:`routermcp.cli.demo.runtimes` make the calls.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ... import RouterMCPClient, SyncRouterMCPClient
from ...types import InitializeResult, Progress, Tool

#: Calls whose time is taken. Enough for a 95th percentile, few enough for a slow server.
TIMED_CALLS = 20

#: How far the tool ``count`` counts, and the milliseconds between two numbers.
COUNT_TO = 20
COUNT_DELAY = 20

AnyClient = RouterMCPClient | SyncRouterMCPClient
ReportProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Step:
    """One call of the client."""

    title: str
    run: Callable[[AnyClient], Any]
    """Makes the call; the result of an asynchronous client is awaitable."""
    check: Callable[[Any], bool] = lambda result: result is None or not getattr(result, "isError", False)
    """Whether the result is the expected one."""
    timed: bool = False
    tool_call: bool = False


Scenario = Generator[Step, Any, None]


@dataclass(slots=True)
class RuntimeReport:
    """The results of the scenario under one runtime."""

    runtime: str
    connect_ms: float | None = None
    tools: int | None = None
    calls: int = 0
    latencies_ms: list[float] = field(default_factory=list[float])
    errors: list[str] = field(default_factory=list[str])
    skipped: str | None = None
    """Why the runtime was left out, None where it was not."""


def own_gateway(
    report: RuntimeReport, on_progress: ReportProgress, servers: Collection[str], repository: str | None
) -> Scenario:
    """Try each server behind the local gateway."""
    tools = yield Step("list tools", lambda client: client.list_tools(), lambda result: len(result) > 0)
    report.tools = len(tools or [])
    yield _tool_call_step("demo.add", {"a": 2, "b": 3}, lambda result: result.structuredContent == {"sum": 5})
    yield _tool_call_step("demo.ask_name", {}, lambda result: result.text == "Hello, Ada!")
    count = {"to": COUNT_TO, "delay_ms": COUNT_DELAY}
    yield Step(
        "demo.count",
        lambda client: client.call_tool("demo.count", count, on_progress=on_progress),
        lambda result: not result.isError,
        tool_call=True,
    )
    yield Step("read demo://readme", lambda client: client.read_resource("demo://readme"))
    yield Step("get demo.greet", lambda client: client.get_prompt("demo.greet", {"name": "Ada"}))
    if "time" in servers:
        yield _tool_call_step(
            "time.get_current_time", {"timezone": "UTC"}, lambda result: "UTC" in result.text
        )
    if "git" in servers:
        log = {"repo_path": repository, "max_count": 1}
        yield _tool_call_step("git.git_log", log, lambda result: "The first commit" in result.text)
    task = {"task": "add two numbers", "limit": 1}
    yield _tool_call_step("routermcp.searchMcpForTask", task, lambda result: "demo.add" in result.text)
    for _ in range(TIMED_CALLS):
        yield _tool_call_step(
            "demo.echo", {"text": "hello"}, lambda result: result.text == "hello", timed=True
        )


def foreign_server(report: RuntimeReport, server: InitializeResult) -> Scenario:
    """Use a server without changing anything there."""
    offered = server.capabilities.to_wire()
    tools: list[Tool] | None = None
    if "tools" in offered:
        tools = yield Step("list tools", lambda client: client.list_tools())
    report.tools = len(tools or [])
    if "resources" in offered:
        yield Step("list resources", lambda client: client.list_resources())
    if "prompts" in offered:
        yield Step("list prompts", lambda client: client.list_prompts())
    harmless = first_harmless(tools or [])
    if harmless is not None:
        yield _tool_call_step(harmless.name, {}, lambda result: not result.isError)
    for _ in range(TIMED_CALLS):
        yield Step("ping", lambda client: client.ping(), timed=True)


def _tool_call_step(
    name: str, arguments: dict[str, Any], check: Callable[[Any], bool], *, timed: bool = False
) -> Step:
    return Step(name, lambda client: client.call_tool(name, arguments), check, timed=timed, tool_call=True)


def first_harmless(tools: Sequence[Tool]) -> Tool | None:
    """Return the first tool that is marked read-only and needs no arguments."""
    for tool in tools:
        if tool.annotations is not None and tool.annotations.readOnlyHint and not tool.inputSchema.required:
            return tool
    return None

"""The gateway between servers of others and clients of others: nothing vanishes, all can be called."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from routermcp.gateway.aggregate import Aggregate
from routermcp.gateway.upstreams.targets import over_http, over_stdio
from routermcp.gateway.upstreams.upstream import Upstream
from routermcp.types import CreateMessageRequest, ElicitRequest, MCPError
from tests.gateway.servers import serving_aggregate
from tests.interop.peers.processes import KINDS, Peer
from tests.third_party import (
    FASTMCP_REQUIREMENT,
    MCP_REQUIREMENT,
    TIME_REQUIREMENT,
    UnavailableError,
    python_environment,
    skips_are_failures,
)
from tests.three_runtimes import RUNTIMES, make_client, run

pytestmark = pytest.mark.interop

CLIENT = Path(__file__).parent / "peers" / "gateway_client.py"

#: Seconds for a client of others to make all the calls.
CLIENT_SECONDS = 60

#: Seconds that the lists wait for the servers: Node.js takes some to start on a busy machine.
PATIENCE = 30.0

#: Each tool, what it is given, and what its answer begins with (a regular expression).
TOOLS: dict[str, tuple[dict[str, Any], str]] = {
    "everything.echo": ({"message": "hi"}, "Echo: hi"),
    "everything.get-annotated-message": ({"messageType": "error"}, "Error: Operation failed"),
    "everything.get-env": ({}, "{"),
    "everything.get-resource-links": ({"count": 2}, "Here are 2 resource links"),
    "everything.get-resource-reference": ({}, "Returning resource reference for Resource 1"),
    "everything.get-structured-content": ({"location": "Chicago"}, '{"temperature":36'),
    "everything.get-sum": ({"a": 1, "b": 2}, "The sum of 1 and 2 is 3"),
    "everything.get-tiny-image": ({}, "Here's the image you requested: image The image"),
    "everything.gzip-file-as-resource": ({"data": "data:text/plain,hello"}, "resource_link"),
    "everything.toggle-simulated-logging": ({}, "St(art|opp)ed simulated"),
    "everything.toggle-subscriber-updates": ({}, "St(art|opp)ed simulated"),
    "everything.trigger-long-running-operation": ({"duration": 0.1, "steps": 2}, "Long running operation"),
    "everything.get-roots-list": ({}, r"Current MCP Roots \(1 total\)"),
    "everything.trigger-elicitation-request": ({}, "(?s).*Ada"),
    "everything.trigger-url-elicitation": ({"url": "https://example.com"}, "(?s).*completed the URL"),
    "everything.trigger-sampling-request": ({"prompt": "x"}, "(?s)LLM sampling result.*sampled"),
    "everything.simulate-research-query": ({"topic": "x"}, "failed: .*requires task augmentation"),
    "time.get_current_time": ({"timezone": "UTC"}, r'(?s)\{.*"timezone": "UTC"'),
    "time.convert_time": (
        {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"},
        r"(?s)\{.*\+9",
    ),
    "fast.add": ({"a": 2, "b": 3}, "5"),
    "fast.echo": ({"text": "hi"}, "hi"),
    "fast.boom": ({}, "failed: .*boom"),
    "fast.slow": ({"seconds": 0.01}, ""),
    "fast.count": ({"n": 2}, "2"),
    "fast.big": ({"size": 3}, ""),
    "fast.get_user": ({"key": "123"}, "(?s){.*Ada"),
    "fast.whoami": ({}, "{"),
    "fast.executions": ({"tool": "nothing"}, "0"),
    "fast.ask": ({}, ""),
    "routermcp.searchMcpForTask": ({"task": "what time is it"}, r"(?s)\[.*time.get_current_time"),
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    kinds = {kind.name: kind for kind in KINDS}
    peer = Peer(kinds["fastmcp"])
    try:
        everything = [*kinds["everything"].command()[:-1], "stdio"]
        clock = python_environment(TIME_REQUIREMENT).parent / "mcp-server-time"
        peer.start()
    except UnavailableError as missing:
        peer.close()
        if skips_are_failures():
            raise
        pytest.skip(str(missing))
    upstreams = [
        Upstream("everything", over_stdio(everything)),
        Upstream("time", over_stdio([str(clock)])),
        Upstream("fast", over_http(peer.url)),
    ]
    try:
        with serving_aggregate(Aggregate(upstreams, patience=PATIENCE)) as url:
            yield url
    finally:
        peer.close()


def assert_all(tools: list[str], outcomes: dict[str, str]) -> None:
    assert sorted(tools) == sorted(TOOLS)
    wrong = {
        name: outcomes[name][:200]
        for name, (_, expected) in TOOLS.items()
        if re.match(expected, outcomes[name]) is None
    }
    assert not wrong


@pytest.mark.parametrize(
    ("library", "mode"),
    [("mcp", "auto"), ("mcp", "legacy"), ("mcp", "2026-07-28"), ("fastmcp", "auto"), ("fastmcp", "legacy")],
)
def test_clients_of_others_list_the_same_tools_and_call_each(url: str, library: str, mode: str) -> None:
    python = python_environment({"mcp": MCP_REQUIREMENT, "fastmcp": FASTMCP_REQUIREMENT}[library])
    done = subprocess.run(
        [python, CLIENT, library, mode, url],
        input=json.dumps({name: given for name, (given, _) in TOOLS.items()}),
        capture_output=True,
        text=True,
        timeout=CLIENT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert_all(found["tools"], found["calls"])


@pytest.mark.parametrize("protocol", ["auto", "2025-11-25"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_our_clients_list_the_same_tools_and_call_each(url: str, runtime: str, protocol: str) -> None:
    async def body() -> tuple[list[str], dict[str, str]]:
        client = make_client(
            runtime,
            url=url,
            protocol=protocol,
            on_elicitation=name_ada,
            on_roots=lambda: ["file:///home"],
            on_sampling=sample,
        )
        async with client:
            tools = [tool.name for tool in await client.list_tools()]
            return tools, {name: await outcome(client, name, given) for name, (given, _) in TOOLS.items()}

    assert_all(*run(runtime, body))


def name_ada(request: ElicitRequest) -> dict[str, Any]:
    return {"name": "Ada"}


def sample(request: CreateMessageRequest) -> dict[str, Any]:
    return {"role": "assistant", "content": {"type": "text", "text": "sampled"}, "model": "m"}


async def outcome(client: Any, name: str, arguments: dict[str, Any]) -> str:
    try:
        result = await client.call_tool(name, arguments)
    except MCPError as error:
        return f"{type(error).__name__}: {error}"
    texts = [str(item.get("text", item["type"])) for item in result.content]
    return ("failed: " if result.isError else "") + " ".join(texts)

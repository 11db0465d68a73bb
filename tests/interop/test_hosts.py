"""Hosts of others through ``serve``, ``proxy`` and ``connect``, as their users set them up: list and call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests import third_party
from tests.cli.gateway_programs import command, running
from tests.programs import free_port
from tests.third_party import UnavailableError, node, npm_package, python_environment, skips_are_failures

pytestmark = pytest.mark.interop

LONG = settings.get_current_profile_name() == "long"

PEERS = Path(__file__).parent / "peers"

#: Seconds for a host to list and call; a browser on a busy machine takes some.
HOST_SECONDS = 120

#: The server behind the gateway, its tools, and a call of one.
SERVER = [sys.executable, "-m", "routermcp.gateway.builtin"]
TOOLS = ["add", "ask_name", "count", "echo"]
SUM, ANSWER = {"a": 2, "b": 3}, "5"

#: What a host is given: a URL, or a program that is a server on stdio and its arguments.
Target = list[str]


def output_of(*arguments: str | Path, given: str = "", **variables: str) -> Any:
    """Run a program that writes a JSON document."""
    done = subprocess.run(
        arguments,
        input=given,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=HOST_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def python_client(library: str, *requirements: str, mode: str = "auto") -> Callable[[Target, str], Any]:
    def use(target: Target, tool: str) -> Any:
        program = [python_environment(*requirements), PEERS / "gateway_client.py", library, mode]
        return output_of(*program, *target, given=json.dumps({tool: SUM}))

    return use


def typescript_client(mode: str) -> Callable[[Target, str], Any]:
    def use(target: Target, tool: str) -> Any:
        package = npm_package(third_party.TYPESCRIPT_CLIENT_PACKAGE, third_party.TYPESCRIPT_CLIENT_VERSION)
        program = [node(), PEERS / "gateway_client.mjs", package, mode]
        return output_of(*program, *target, given=json.dumps({tool: SUM}))

    return use


def mcp_remote(target: Target, tool: str) -> Any:
    """Use a server over HTTP as hosts do that start programs alone, Claude Desktop for one."""
    package = npm_package(third_party.MCP_REMOTE_PACKAGE, third_party.MCP_REMOTE_VERSION)
    bridge = [str(node()), str(package / "dist" / "proxy.js"), *target]
    return python_client("mcp", third_party.MCP_REQUIREMENT, mode="legacy")(bridge, tool)


def inspector() -> list[str | Path]:
    package = npm_package(third_party.INSPECTOR_PACKAGE, third_party.INSPECTOR_VERSION)
    return [node(), package / "clients" / "launcher" / "build" / "index.js"]


def inspector_cli(target: Target, tool: str) -> Any:
    """List with every check of the schemas that the Inspector has, and call."""
    program = [*inspector(), "--cli", "--method"]
    listed = output_of(*program, "tools/list", "--strict", "--", *target)
    arguments = [part for name, value in SUM.items() for part in ("--tool-arg", f"{name}={value}")]
    called = output_of(*program, "tools/call", "--tool-name", tool, *arguments, "--", *target)
    return {
        "tools": [each["name"] for each in listed["tools"]],
        "calls": {tool: called["content"][0]["text"]},
    }


def inspector_page(target: Target, tool: str) -> Any:
    """Click in the Inspector's page, in a headless Chromium."""
    playwright = npm_package(third_party.PLAYWRIGHT_PACKAGE, third_party.PLAYWRIGHT_VERSION)
    chromium = third_party.debian_program("chromium", "chromium")
    way = ["--transport", "http", "--server-url"] if len(target) == 1 else ["--"]
    settings = {
        "CLIENT_PORT": str(free_port()),
        "MCP_SANDBOX_PORT": str(free_port()),
        "MCP_AUTO_OPEN_ENABLED": "false",
        "MCP_INSPECTOR_SECRET_STORE": "memory",
    }
    with subprocess.Popen(
        [*inspector(), "--web", *way, *target],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as program:
        try:
            assert program.stdout is not None
            url = next(line.strip() for line in program.stdout if "MCP_INSPECTOR_API_TOKEN=" in line)
            return output_of(node(), PEERS / "inspector_page.mjs", playwright, chromium, url, tool)
        finally:
            program.terminate()


@dataclass(frozen=True)
class Host:
    """A client of others."""

    name: str
    use: Callable[[Target, str], Any]
    """List a target's tools and call one: ``{"tools": [NAME, ...], "calls": {NAME: TEXT}}``."""
    short: str | None
    """The command that it is tried with in the short form, one for each host. None where installing it takes
    ten seconds or more, or another host stands for it."""
    starts_programs: bool = True


HOSTS = (
    Host("mcp", python_client("mcp", third_party.MCP_REQUIREMENT), "connect"),
    Host(
        "fastmcp",
        python_client("fastmcp", third_party.FASTMCP_REQUIREMENT, third_party.MCP_REQUIREMENT),
        "proxy",
    ),
    Host("typescript", typescript_client("auto"), "connect"),
    Host("typescript, legacy", typescript_client("legacy"), None),
    Host("mcp-remote", mcp_remote, "serve", starts_programs=False),
    Host("langchain", python_client("langchain", third_party.LANGCHAIN_REQUIREMENT), None),
    Host("inspector", inspector_cli, None),
    Host("inspector's page", inspector_page, None),
)

COMMANDS = ("serve", "proxy", "connect")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hosts")


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[str]:
    server = {"command": SERVER[0], "args": SERVER[1:]}
    (folder / "routermcp.jsonc").write_text(json.dumps({"names": "portable", "mcpServers": {"demo": server}}))
    with running("serve", "--port", "0", cwd=folder, HOME=str(folder)) as (url, _):
        yield url


@pytest.fixture(scope="module")
def proxied(folder: Path) -> Iterator[str]:
    options = ["--outputTransport", "streamableHttp", "--port", "0"]
    with running("proxy", "--stdio", " ".join(SERVER), *options, cwd=folder, HOME=str(folder)) as (url, _):
        yield url


@pytest.mark.parametrize(
    ("host", "through"),
    [
        pytest.param(host, through, id=f"{host.name}-{through}")
        for host in HOSTS
        for through in COMMANDS
        if (LONG or through == host.short) and (host.starts_programs or through != "connect")
    ],
)
def test_a_host_lists_and_calls(host: Host, through: str, request: pytest.FixtureRequest) -> None:
    url: str = request.getfixturevalue("proxied" if through == "proxy" else "served")
    target = command("connect", "--url", url) if through == "connect" else [url]
    prefix = "" if through == "proxy" else "demo__"
    try:
        found = host.use(target, f"{prefix}add")
    except UnavailableError as missing:
        if skips_are_failures():
            raise
        pytest.skip(str(missing))
    assert found == {
        "tools": [prefix + tool for tool in TOOLS],
        "calls": {f"{prefix}add": ANSWER},
    }

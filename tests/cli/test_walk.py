"""The way of a new user, from nothing to a gateway that runs, by the commands of docs/gateway.md alone."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from routermcp import SyncRouterMCPClient
from routermcp.cli.failures import ExitCode
from routermcp.types import Progress
from tests.cli.gateway_programs import PATIENCE, running
from tests.cli.toolbox import Ended

SERVER = {"command": sys.executable, "args": ["-m", "routermcp.gateway.builtin"]}

HOSTS: dict[str, object] = {
    ".cursor/mcp.json": {"mcpServers": {"My tools": SERVER}},
    ".config/Code/User/mcp.json": {"servers": {"editor": {"type": "stdio", **SERVER}}, "inputs": []},
    ".codeium/windsurf/mcp_config.json": {"mcpServers": {"gone": {"serverUrl": "http://127.0.0.1:9/mcp"}}},
}

#: A call that the end of the gateway waits for.
LONGER_CALL = {"to": 5, "delay_ms": 100}


def test_from_an_empty_folder_to_a_gateway_that_is_reloaded_and_drained(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Start with the starter, look, call, import three hosts' servers into the running gateway, end it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))

    def typed(*arguments: str) -> Ended:
        return Ended(capsys, *arguments)

    assert typed("config").code == 0
    again = typed("config")
    assert (again.code, "--force" in again.err) == (ExitCode.USAGE, True)

    with running("serve", "--port", "0", cwd=home, HOME=str(home)) as (url, program):
        assert program.stderr is not None
        lines = iter(program.stderr.readline, "")
        assert [line.split()[0] for line in typed("tools", url).out.splitlines()] == [
            "demo__add",
            "demo__ask_name",
            "demo__count",
            "demo__echo",
        ]
        called = typed("call", url, "demo__add", "a=2", "b=3")
        assert (called.code, called.out) == (0, "5\n"), called.err
        told = typed("status", url)
        assert (told.code, told.out.splitlines()[-1].split()) == (0, ["demo", "ready"])

        for name, content in HOSTS.items():
            (home / name).parent.mkdir(parents=True)
            (home / name).write_text(json.dumps(content))
        imported = typed("config", "import", "--force")
        assert imported.code == 0, imported.err
        named = [line.split()[0] for line in imported.out.splitlines()]
        assert {"My-tools", "editor", "gone"} <= set(named)
        assert typed("config", "check").code == 0

        program.send_signal(signal.SIGHUP)
        assert next(line for line in lines if "is read again" in line)
        assert typed("call", url, "My-tools__add", "a=1", "b=1").out == "2\n"
        until = time.monotonic() + PATIENCE
        while "connecting" in (told := typed("status", url)).out:
            assert time.monotonic() < until, "a server is neither ready nor failed"
        states = {line.split()[0]: line.split(maxsplit=2)[1:] for line in told.out.splitlines()[-3:]}
        assert (states["My-tools"], states["editor"]) == (["ready"], ["ready"])
        assert (states["gone"][0], "nothing listens there" in states["gone"][1]) == ("failed", True)
        assert told.code == ExitCode.SERVER_ERROR

        begun = threading.Event()

        def report(_: Progress) -> None:
            begun.set()

        with SyncRouterMCPClient(url) as client, ThreadPoolExecutor() as pool:
            counted = pool.submit(client.call_tool, "editor__count", LONGER_CALL, on_progress=report)
            assert begun.wait(PATIENCE)
            program.send_signal(signal.SIGTERM)
            assert counted.result(PATIENCE).text == "counted to 5"
        assert program.wait(PATIENCE) == 0

"""The way of a new user, from nothing to a gateway that runs, by the commands of docs/gateway.md alone."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

from routermcp import SyncRouterMCPClient
from routermcp.cli.failures import ExitCode
from tests.cli.test_gateway_commands import PATIENCE, ran, running

SERVER = {"command": sys.executable, "args": ["-m", "routermcp.gateway.builtin"]}


def test_from_an_empty_folder_to_a_gateway_that_is_reloaded_and_drained(tmp_path: Path) -> None:
    """Write a configuration, import those of three hosts, check, serve, look, call, change, end."""
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / ".config")}
    hosts: dict[str, object] = {
        ".cursor/mcp.json": {"mcpServers": {"My tools": SERVER}},
        ".config/Code/User/mcp.json": {"servers": {"editor": {"type": "stdio", **SERVER}}, "inputs": []},
        ".codeium/windsurf/mcp_config.json": {
            "mcpServers": {"gone": {"serverUrl": "http://127.0.0.1:9/mcp"}}
        },
    }
    for name, content in hosts.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(json.dumps(content))

    imported = ran("config", "import", cwd=tmp_path, **home)
    assert imported.returncode == 0, imported.stderr
    assert [line.split()[0] for line in imported.stdout.splitlines()[2:5]] == ["My-tools", "editor", "gone"]
    assert ran("config", "check", cwd=tmp_path, **home).returncode == 0

    path = tmp_path / "routermcp.jsonc"
    with running("serve", "--port", "0", "--reload", cwd=tmp_path, **home) as (url, program):
        called = ran("call", "My-tools__add", "a=2", "b=3", "--url", url, cwd=tmp_path, **home)
        assert (called.returncode, called.stdout) == (0, "5\n"), called.stderr
        until = time.monotonic() + PATIENCE
        while "connecting" in (shown := ran("status", "--url", url, cwd=tmp_path, **home)).stdout:
            assert time.monotonic() < until, "a server is neither ready nor failed"
        states = [line.split(maxsplit=2) for line in shown.stdout.splitlines()[-3:]]
        assert (states[0][:2], states[1][:2]) == (["My-tools", "ready"], ["editor", "ready"])
        assert (states[2][:2], "nothing listens there" in states[2][2]) == (["gone", "failed"], True)
        assert shown.returncode == ExitCode.SERVER_ERROR

        path.write_text(json.dumps({"names": "portable", "mcpServers": {"new": SERVER}}))
        assert program.stderr is not None
        lines = iter(program.stderr.readline, "")
        assert next(line for line in lines if "is read again (new)" in line)
        with SyncRouterMCPClient(url) as client:
            assert client.call_tool("new__add", {"a": 1, "b": 1}).text == "2"
        program.send_signal(signal.SIGTERM)
        assert program.wait(PATIENCE) == 0

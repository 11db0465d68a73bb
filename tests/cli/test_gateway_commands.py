"""The commands of the gateway, as programs."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from routermcp import SyncRouterMCPClient
from routermcp.transports import stdio
from routermcp.types import MCPError, TransportError, UpstreamError
from tests.cli.gateway_programs import PATIENCE, PYTHONPATH, command, environment, ran, running
from tests.cli.toolbox import Ended
from tests.gateway.servers import Shop, serving
from tests.gateway.serving.test_stdio import CONNECT
from tests.gateway.sessions.redis_server import redis_server
from tests.processes import ends


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(Shop(["saw"])) as url:
        yield url


@pytest.fixture
def folder(tmp_path: Path, url: str) -> Path:
    child = {"command": sys.executable, "args": ["-c", CONNECT, url], "env": {"PYTHONPATH": PYTHONPATH}}
    servers: dict[str, Any] = {
        "shop": {"url": url},
        "child": child,
        "off": {"command": "x", "enabled": False},
    }
    (tmp_path / "routermcp.jsonc").write_text(json.dumps({"mcpServers": servers}))
    return tmp_path


def shows_states(folder: Path, url: str) -> None:
    """See that ``status`` tells the state of each server."""
    shown = ran("status", "--url", url, cwd=folder)
    assert shown.returncode == 0, shown.stderr
    assert [line.split() for line in shown.stdout.splitlines()][-2:] == [
        ["shop", "ready"],
        ["child", "ready"],
    ]
    told = json.loads(ran("status", "--json", cwd=folder, ROUTERMCP_URL=url).stdout)
    assert set(told["upstreams"]) == {"shop", "child"}


@pytest.mark.parametrize(
    "ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda ending: ending.name
)
def test_serve_and_status(folder: Path, ending: signal.Signals) -> None:
    """And no child is left behind, however it ends."""
    with running("serve", "--port", "0", cwd=folder) as (url, program):
        with SyncRouterMCPClient(url) as client:
            while not any(tool.name == "child.saw" for tool in client.list_tools()):
                pass
            assert client.call_tool("child.saw").text == client.call_tool("shop.saw").text == "sawn"
        if ending is signal.SIGTERM:  # once is enough
            shows_states(folder, url)
        children = children_of(program.pid)
        assert len(children) == 1
        program.send_signal(ending)
        program.wait(PATIENCE)
        until = time.monotonic() + (PATIENCE if ending is signal.SIGKILL else 0)
        while any(Path(f"/proc/{child}").exists() for child in children):
            assert time.monotonic() < until, "a child was left behind"


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
@pytest.mark.parametrize("way", ["signal", "--reload"])
def test_a_changed_configuration_is_taken_while_the_gateway_runs(folder: Path, way: str) -> None:
    """New, changed and gone servers; a broken file, and one that changes more, leave things as they are."""
    path = folder / "routermcp.jsonc"
    config = json.loads(path.read_text())
    options = ["--reload"] if way == "--reload" else []

    def change(text: str, program: subprocess.Popen[str]) -> str:
        path.write_text(text)
        if way == "signal":
            program.send_signal(signal.SIGHUP)
        assert program.stderr is not None
        return next(line for line in iter(program.stderr.readline, "") if line.startswith("routermcp: "))

    with running("serve", "--port", "0", *options, cwd=folder) as (url, program):
        with SyncRouterMCPClient(url, protocol="2025-11-25") as client:
            while not any(tool.name == "child.saw" for tool in client.list_tools()):
                pass
            servers = config["mcpServers"]
            after = {"shop": servers["shop"], "new": servers["shop"]}
            assert "(shop, new)" in change(json.dumps({"mcpServers": after}), program)
            while not any(tool.name == "new.saw" for tool in client.list_tools()):
                pass
            names = [tool.name for tool in client.list_tools()]
            assert not [name for name in names if name.startswith("child.")]
            assert "stays as it was" in change("{", program)
            assert "stays as it was" in change('{"project": "other"}', program)
            assert client.call_tool("new.saw").text == client.call_tool("shop.saw").text == "sawn"
        program.send_signal(signal.SIGTERM)
        assert program.wait(PATIENCE) == 0


def children_of(pid: int) -> list[int]:
    return [
        int(child)
        for thread in Path(f"/proc/{pid}/task").iterdir()
        for child in (thread / "children").read_text().split()
    ]


def test_several_workers_need_a_store_and_share_it(folder: Path) -> None:
    """And they see the settings in the environment as those on the command line; their log is of one form."""
    linked = "tcp://10.96.0.7:5151"  # Kubernetes sets it beside a service of this name: no port of ours
    done = ran("serve", cwd=folder, ROUTERMCP_WORKERS="2", ROUTERMCP_PORT=linked)
    assert (done.returncode, "session.store" in done.stderr) == (2, True)
    config = json.loads((folder / "routermcp.jsonc").read_text())
    with redis_server(folder) as redis:
        config["session"] = {"store": redis.url}
        config["log"] = {"audit": True}
        (folder / "routermcp.jsonc").write_text(json.dumps(config))
        settings = {"ROUTERMCP_PORTABLE_NAMES": "1", "ROUTERMCP_LOG_FORMAT": "json", "ROUTERMCP_PORT": "1"}
        options = ["--workers", "2", "--port", "0", "--debug"]
        with running("serve", *options, cwd=folder, **settings) as (url, program):
            lines = lines_of(program)
            for protocol in ("auto", "2025-11-25"):
                client = connected_in_time(url, protocol)
                assert "shop__saw" in [tool.name for tool in client.list_tools()]
                assert {client.call_tool("shop.saw").text for _ in range(10)} == {"sawn"}
                client.disconnect()
            assert object_with(lines, '"DEBUG"', "tools/call")["logger"] == "routermcp.wire"
            assert object_with(lines, '"subject": "shop.saw"')["outcome"] == "ok"
            assert object_with(lines, '"session_ended"')["reason"] == "client"
            (folder / "routermcp.jsonc").write_text("{")
            program.send_signal(signal.SIGHUP)
            assert object_with(lines, "the configuration stays as it was")["logger"] == "routermcp.program"
            assert object_with(lines, '"event"')["event"] == "config_refused"
            client = connected_in_time(url, "auto")
            assert client.call_tool("shop.saw").text == "sawn"
            client.disconnect()
            (folder / "routermcp.jsonc").write_text(json.dumps(config))
            program.send_signal(signal.SIGHUP)
            assert object_with(lines, "is read again")
            for _ in range(2):  # while new workers start
                program.send_signal(signal.SIGTERM)
            assert program.wait(PATIENCE) == 0


def lines_of(program: subprocess.Popen[str]) -> queue.Queue[str]:
    """Read what a program writes, so that it never waits for that."""
    found: queue.Queue[str] = queue.Queue()

    def read() -> None:
        assert program.stderr is not None
        for line in iter(program.stderr.readline, ""):
            found.put(line)

    threading.Thread(target=read, daemon=True).start()
    return found


def object_with(lines: queue.Queue[str], *parts: str) -> dict[str, Any]:
    """Wait for a line that holds all of these; each line until then is a JSON object, too."""
    while True:
        line = lines.get(timeout=PATIENCE)
        found: dict[str, Any] = json.loads(line)
        if all(part in line for part in parts):
            return found


def connected_in_time(url: str, protocol: str) -> SyncRouterMCPClient:
    """Connect when the workers are there."""
    until = time.monotonic() + PATIENCE
    while True:
        client = SyncRouterMCPClient(url, protocol=protocol)
        try:
            client.connect()
        except TransportError:
            if time.monotonic() > until:
                raise
        else:
            return client


@pytest.mark.usefixtures("folder", "home")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ROUTERMCP_PORT", "5151/tcp"),
        ("ROUTERMCP_PORT", "65536"),
        ("ROUTERMCP_WORKERS", "0"),
        ("ROUTERMCP_PORTABLE_NAMES", "maybe"),
        ("ROUTERMCP_LOG_FORMAT", "xml"),
        ("ROUTERMCP_CONFIG", "nowhere.json"),
        ("ROUTERMCP_HOST", "two words"),
    ],
)
def test_a_variable_with_a_wrong_value_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    done = Ended(capsys, "serve")
    assert done.code == 2
    told = {"ROUTERMCP_HOST": "host: expected", "ROUTERMCP_CONFIG": value}.get(name, f"(env var: '{name}')")
    assert told in done.err


@pytest.mark.usefixtures("home")
def test_the_help_names_the_variable_of_each_option(capsys: pytest.CaptureFixture[str]) -> None:
    shown = " ".join(Ended(capsys, "serve", "--help").out.split())
    page = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text()
    options = set(re.findall(r" --([a-z-]+)", shown)) - {"http", "daemon-mode", "help"}
    for option in options:
        name = f"ROUTERMCP_{option.replace('-', '_').upper()}"
        assert f"env var: {name}" in shown
        assert f"| `{name}` | `--{option}` |" in page
    assert len(options) == 8


@pytest.mark.usefixtures("home")
def test_serve_without_a_configuration_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    done = Ended(capsys, "serve")
    assert done.code == 2
    assert "routermcp config" in done.err


@pytest.mark.usefixtures("folder", "home")
def test_only_keys_open_the_gateway_to_others(capsys: pytest.CaptureFixture[str]) -> None:
    done = Ended(capsys, "serve", "--host", "0.0.0.0", "--port", "0")
    assert done.code == 2
    assert "set an API key" in done.err


def test_a_port_that_is_taken(folder: Path) -> None:
    with running("serve", "--port", "0", cwd=folder) as (url, _):
        port = url.rsplit(":", 1)[1].split("/")[0]
        done = ran("serve", "--port", port, cwd=folder)
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}:" in done.stderr
    assert "Traceback" not in done.stderr


def test_proxy_serves_one_child_with_its_names(tmp_path: Path, url: str) -> None:
    """Over both transports and to all clients at once, at the paths that were asked for."""
    script = tmp_path / "child server.py"
    script.write_text(CONNECT)
    line = f"'{sys.executable}' '{script}' {url}"
    options = ["--env", "PYTHONPATH", "-p", "0", "--basePath", "/a/", "--ssePath", "/events/"]
    with running("proxy", "--stdio", line, *options, cwd=tmp_path) as (told, program):
        at = told.rstrip(",")
        assert at.endswith("/a/mcp")
        sse = at.replace("/a/mcp", "/a/events")
        with (
            SyncRouterMCPClient(at, protocol="2025-11-25") as new,
            SyncRouterMCPClient(sse, sse=True) as old,
            SyncRouterMCPClient(f"{sse}/") as finds_out,
        ):
            for client in (new, old, finds_out):
                assert client.server is not None
                assert client.server.serverInfo.name == "routermcp-demo"
                assert "saw" in [tool.name for tool in client.list_tools()]
                assert client.call_tool("saw").text == "sawn"
            assert len(children_of(program.pid)) == 1


@pytest.mark.parametrize(
    ("options", "path"),
    [(["--outputTransport", "sse"], "/sse"), (["--outputTransport", "streamableHttp"], "/mcp")],
)
def test_proxy_of_a_broken_server_says_why(tmp_path: Path, options: list[str], path: str) -> None:
    """By the one transport that was asked for; the other one has no endpoint."""
    with running("proxy", "--stdio", "/no/such/program", "-p", "0", *options, cwd=tmp_path) as (url, _):
        assert url.endswith(path)
        with SyncRouterMCPClient(url) as client, pytest.raises(UpstreamError, match="/no/such/program"):
            client.list_tools()
        other = "/mcp" if path == "/sse" else "/sse"
        with pytest.raises(MCPError), SyncRouterMCPClient(url.replace(path, other)):
            pass


def test_connect_is_a_stdio_server(folder: Path) -> None:
    with running("serve", "--port", "0", cwd=folder) as (url, _):
        transport = stdio(command("connect", url), env={"PYTHONPATH": PYTHONPATH})
        with SyncRouterMCPClient(transport=transport) as client:
            assert client.server is not None
            assert client.server.serverInfo.name == "RouterMCP"
            assert client.call_tool("shop.saw").text == "sawn"


def test_connect_starts_a_daemon_that_all_clients_of_a_project_share(
    folder: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And ``status`` in its folder is about it."""
    config = json.loads((folder / "routermcp.jsonc").read_text())
    config["httpServer"] = {"port": free_port()}  # of no gateway that is there by chance
    (folder / "routermcp.jsonc").write_text(json.dumps(config))
    variables = {"PYTHONPATH": PYTHONPATH, "HOME": str(home)}
    clients = [
        SyncRouterMCPClient(transport=stdio(command("connect", "--project", str(folder)), env=variables))
        for _ in range(2)
    ]
    pids: set[int] = set()
    try:
        for client in clients:
            with client:
                assert client.call_tool("shop.saw").text == "sawn"
                (state,) = (folder / ".routermcp" / "projects").iterdir()
                pids.add(int((state / "daemon.pid").read_text()))
        assert len(pids) == 1
        told = Ended(capsys, "status")
        assert ("shop" in told.out, told.err) == (True, "")
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
    assert all(ends(pid) for pid in pids), "the daemon goes on"
    assert not list(state.glob("daemon.p*"))


def test_a_daemon_without_clients_ends(folder: Path) -> None:
    run = (
        "from routermcp.cli import main; from routermcp.cli.gateway import serve; serve.IDLE_SECONDS = 0.2; "
        "main(['serve', '--daemon-mode', '--port', '0'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", run],
        cwd=folder,
        env=environment(HOME=str(folder)),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert " at http://" in done.stderr


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.mark.usefixtures("home")
def test_status_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    done = Ended(capsys, "status", "--url", "http://127.0.0.1:9/mcp")
    assert done.code == 3
    assert "no gateway answers at" in done.err


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("url", "key"), [("http://127.0.0.1:1/mcp", "hush\r"), ("http://127.0.0.1:1/mcp?key=hush", "key")]
)
def test_a_gateway_that_cannot_be_asked_costs_no_secret(
    capsys: pytest.CaptureFixture[str], url: str, key: str
) -> None:
    done = Ended(capsys, "status", "--url", url, "--api-key", key)
    assert done.code != 0
    assert "Traceback" not in done.err
    assert "hush" not in done.err

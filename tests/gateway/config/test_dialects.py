"""Configurations as other programs write them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from routermcp.gateway.config.file import load
from routermcp.gateway.config.model import GatewayConfig, HTTPServer, StdioServer
from routermcp.types import ConfigError

RUN: dict[str, Any] = {"command": "run"}
URL = "https://example.com/mcp"


def read(folder: Path, config: object, name: str = "config.json", **environ: str) -> GatewayConfig:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(config))
    return load(path, environ=environ, tolerant=True)


def only(config: GatewayConfig) -> StdioServer:
    (server,) = config.mcpServers.values()
    assert isinstance(server, StdioServer)
    return server


@pytest.mark.parametrize(
    "config",
    [
        {"mcpServers": {"u": RUN}},
        {"servers": {"u": {"type": "stdio", **RUN}}, "inputs": []},
        {"mcp": {"servers": {"u": RUN}}, "editor.fontSize": 12},
        {"mcp": {"inputs": [], "servers": {"u": RUN}}},
    ],
)
def test_servers_are_found_where_programs_write_them(tmp_path: Path, config: object) -> None:
    assert list(read(tmp_path, config).mcpServers) == ["u"]


@pytest.mark.parametrize("key", ["url", "serverUrl", "httpUrl"])
def test_urls_are_found_by_every_name(tmp_path: Path, key: str) -> None:
    server = read(tmp_path, {"mcpServers": {"u": {key: URL}}}).mcpServers["u"]
    assert isinstance(server, HTTPServer)
    assert server.url == URL


@pytest.mark.parametrize(
    ("name", "alias"),
    [
        ("Framelink Figma MCP", "Framelink-Figma-MCP"),
        ("awslabs.core-mcp-server", "awslabs-core-mcp-server"),
        ("@scope/server", "scope-server"),
        ("héllo", "h-llo"),
        ("§", "server"),
        ("routermcp", "routermcp-server"),
        (f"github.com/{'x' * 60}/time", f"{'x' * 45}-time"),
    ],
)
def test_a_name_that_is_no_alias_is_made_one_and_told(
    tmp_path: Path, name: str, alias: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert list(read(tmp_path, {"mcpServers": {name: RUN}}).mcpServers) == [alias]
    assert f"is called {alias} here" in caplog.text


def test_two_names_that_are_like_each_other_stay_apart(tmp_path: Path) -> None:
    config = read(tmp_path, {"mcpServers": {"a b": RUN, "a.b": RUN, "a/b": RUN}})
    assert list(config.mcpServers) == ["a-b", "a-b-2", "a-b-3"]


@pytest.mark.parametrize(
    "broken",
    [
        {"type": "websocket", "url": URL},
        {"command": ""},
        {"url": "example.com"},
        {"url": URL, "headers": {"X": "${NOT_SET}"}},
        {"command": "x", "args": ["${input:path}"]},
        {"command": "x", "envFile": "none.env"},
        {"command": "x", "envFile": "pipe"},
        "text",
    ],
)
def test_one_server_that_is_not_understood_costs_itself(
    tmp_path: Path, broken: object, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(tmp_path / "pipe")
    config = read(tmp_path, {"mcpServers": {"good": RUN, "bad": broken}})
    assert list(config.mcpServers) == ["good"]
    assert "mcpServers.bad" in caplog.text
    with pytest.raises(ConfigError, match="bad"):
        read(tmp_path, {"mcpServers": {"bad": broken}})


def test_what_is_wrong_beside_the_servers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"httpServer\.port"):
        read(tmp_path, {"httpServer": {"port": "x"}, "mcpServers": {"good": RUN, "bad": {}}})


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${A:-b}", "b"),
        ("${A:-}", ""),
        ("${env:A:-b c}", "b c"),
        ("${SET:-b}", "1"),
        ("${EMPTY:-b}", "b"),
        ("x-${A:-b}-${SET}", "x-b-1"),
        ("${input:SET}", "1"),
        ("${input:my-key.id}", "2"),
    ],
)
def test_a_variable_may_have_a_default(tmp_path: Path, written: str, value: str) -> None:
    config = {"mcpServers": {"u": {**RUN, "args": [written]}}}
    assert only(read(tmp_path, config, SET="1", EMPTY="", MY_KEY_ID="2")).args == (value,)


@pytest.mark.parametrize("key", ["env", "headers"])
def test_an_input_that_is_not_given_costs_its_variable_or_header(
    tmp_path: Path, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    kind = RUN if key == "env" else {"url": URL}
    config = read(tmp_path, {"servers": {"u": {**kind, key: {"T": "${input:tok}", "B": "1"}}}})
    values: Any = getattr(config.mcpServers["u"], key)
    assert list(values) == ["B"]
    assert "set the variable TOK" in caplog.text


def test_variables_may_be_numbers_and_flags(tmp_path: Path) -> None:
    env = {"PORT": 8080, "RATIO": 0.5, "DEBUG": True, "QUIET": False, "NOTHING": None}
    found = only(read(tmp_path, {"mcpServers": {"u": {**RUN, "env": env}}})).environment()
    assert found == {"PORT": "8080", "RATIO": "0.5", "DEBUG": "true", "QUIET": "false"}


def test_variables_are_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# a comment\nA=1\nexport B='two words'\nC=3 # more\nD=\n\nnot one\n")
    config = read(tmp_path, {"mcpServers": {"u": {**RUN, "envFile": ".env", "env": {"A": "own"}}}})
    assert only(config).environment() == {"A": "own", "B": "two words", "C": "3", "D": ""}


@pytest.mark.parametrize("name", ["config.json", ".vscode/mcp.json", ".cursor/mcp.json"])
def test_the_workspace_is_where_the_file_is(tmp_path: Path, name: str) -> None:
    config = {"mcpServers": {"u": {**RUN, "cwd": "${workspaceFolder}"}}}
    assert only(read(tmp_path, config, name)).cwd == str(tmp_path.resolve())


@pytest.mark.parametrize(("given", "milliseconds"), [(60, 60_000), (999, 999_000), (1_000, 1_000), (0, 0)])
def test_a_time_of_a_few_milliseconds_is_one_of_seconds(
    tmp_path: Path, given: int, milliseconds: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert only(read(tmp_path, {"mcpServers": {"u": {**RUN, "timeout": given}}})).timeout == milliseconds
    assert ("seconds" in caplog.text) is (given != milliseconds)


def test_code_mode_may_be_switched_off(tmp_path: Path) -> None:
    read(tmp_path, {"codeMode": {"enabled": False}, "mcpServers": {"u": RUN}})
    with pytest.raises(ConfigError, match="codeMode is not supported"):
        read(tmp_path, {"codeMode": {"enabled": True}, "mcpServers": {"u": RUN}})

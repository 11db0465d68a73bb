"""Configurations made of the files of other programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from routermcp.gateway.config import importing
from routermcp.gateway.config.file import load
from routermcp.gateway.config.hosts import HOSTS, HostFile, host_file, host_files
from routermcp.gateway.config.importing import Import, import_servers

SECRET = "s3cr3t-value"
BOM = b"\xef\xbb\xbf"
RUN: dict[str, Any] = {"command": "run"}
BY_NAME = {host.name: host for host in HOSTS}


def imported(folder: Path, files: Mapping[str, Any], **environ: str) -> Import:
    """Import files below a folder that is both the user's and the workspace's."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    found = [file for host in HOSTS for file in host_files(host, folder, folder, environ, "linux")]
    return import_servers(found, environ, workspace=folder, target=folder / "routermcp.jsonc")


def servers(folder: Path, files: Mapping[str, Any], **environ: str) -> dict[str, Any]:
    return imported(folder, files, **environ).servers


@pytest.mark.parametrize(
    ("host", "platform", "file"),
    [
        ("claude-desktop", "linux", "H/.config/Claude/claude_desktop_config.json"),
        ("claude-desktop", "darwin", "H/Library/Application Support/Claude/claude_desktop_config.json"),
        ("claude-desktop", "win32", "H/AppData/Roaming/Claude/claude_desktop_config.json"),
        ("claude-code", "linux", "H/.claude.json"),
        ("claude-code", "win32", "W/.mcp.json"),
        ("cursor", "darwin", "H/.cursor/mcp.json"),
        ("cursor", "linux", "W/.cursor/mcp.json"),
        ("vscode", "linux", "H/.config/Code/User/mcp.json"),
        ("vscode", "darwin", "H/Library/Application Support/Code/User/mcp.json"),
        ("vscode", "win32", "H/AppData/Roaming/Code/User/settings.json"),
        ("vscode", "linux", "W/.vscode/mcp.json"),
        ("windsurf", "win32", "H/.codeium/windsurf/mcp_config.json"),
        ("gemini-cli", "linux", "W/.gemini/settings.json"),
        ("gemini-cli", "darwin", "H/.gemini/settings.json"),
        ("cline", "linux", "H/.cline/data/settings/cline_mcp_settings.json"),
        (
            "cline",
            "win32",
            "H/AppData/Roaming/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json",
        ),
    ],
)
def test_files_are_looked_for_where_each_system_has_them(host: str, platform: str, file: str) -> None:
    places = [each.path.as_posix() for each in host_files(BY_NAME[host], Path("W"), Path("H"), {}, platform)]
    assert file in places


def test_folders_that_the_environment_names_go_before(tmp_path: Path) -> None:
    packaged = tmp_path / "Packages/Claude_x1/LocalCache/Roaming/Claude/claude_desktop_config.json"
    packaged.parent.mkdir(parents=True)
    packaged.touch()
    environ = {"APPDATA": "R", "LOCALAPPDATA": str(tmp_path), "XDG_CONFIG_HOME": "X"}
    host = BY_NAME["claude-desktop"]
    windows = [each.path for each in host_files(host, Path("W"), Path("H"), environ, "win32")]
    assert windows == [Path("R/Claude/claude_desktop_config.json"), packaged]
    linux = [each.path for each in host_files(host, Path("W"), Path("H"), environ, "linux")]
    assert linux == [Path("X/Claude/claude_desktop_config.json")]


def test_servers_of_several_programs_stand_in_one_configuration(tmp_path: Path) -> None:
    done = imported(
        tmp_path,
        {
            ".config/Claude/claude_desktop_config.json": {"mcpServers": {"Figma MCP": RUN}},
            ".claude.json": {
                "mcpServers": {"all": RUN},
                "projects": {
                    str(tmp_path): {"mcpServers": {"here": RUN}},
                    "/no": {"mcpServers": {"no": RUN}},
                },
            },
            ".config/Code/User/settings.json": {"editor.fontSize": 12, "mcp": {"servers": {"editor": RUN}}},
            ".config/Code/User/mcp.json": b'{"servers": {"user": {"command": "run"}}, /* comment */}',
            ".codeium/windsurf/mcp_config.json": {"mcpServers": {"surf": {"serverUrl": "https://a.example"}}},
            ".gemini/settings.json": {
                "mcpServers": {"gem": {"httpUrl": "https://b.example", "timeout": 9000}}
            },
            ".cline/data/settings/cline_mcp_settings.json": BOM + b'{"mcpServers": {"c": {"command": "c"}}}',
        },
    )
    aliases = ["Figma-MCP", "here", "all", "user", "editor", "surf", "gem", "c"]
    assert (list(done.servers), done.unread, done.findings) == (aliases, [], [])
    (tmp_path / "routermcp.jsonc").write_text(done.text())
    config = load(tmp_path / "routermcp.jsonc")
    assert (list(config.mcpServers), config.names.portable) == (aliases, True)


def test_a_server_of_two_programs_is_there_once_and_two_of_one_name_are_told_apart(tmp_path: Path) -> None:
    done = imported(
        tmp_path,
        {
            ".config/Claude/claude_desktop_config.json": {"mcpServers": {"a": RUN, "b": RUN}},
            ".codeium/windsurf/mcp_config.json": {"mcpServers": {"a": RUN, "b": {"command": "other"}}},
        },
    )
    assert list(done.servers) == ["a", "b", "b-windsurf"]
    assert [each.note for each in done.found] == ["", "", "the same as above", "another server has that name"]


@pytest.mark.parametrize(
    "server",
    [
        {"command": "routermcp", "args": ["connect"]},
        {"command": "/home/a/.venv/bin/routermcp", "args": ["connect", "--url", "https://a.example"]},
        {"command": "uvx", "args": ["routermcp", "connect"]},
        {"url": "http://127.0.0.1:5151/mcp"},
        {"serverUrl": "http://localhost:5151/v1/mcp/default"},
    ],
)
def test_the_gateway_is_not_put_behind_itself(tmp_path: Path, server: object) -> None:
    done = imported(tmp_path, {".cursor/mcp.json": {"mcpServers": {"gateway": server, "other": RUN}}})
    assert list(done.servers) == ["other"]
    assert [each.note for each in done.found if each.alias is None] == ["it is this gateway"]


def test_what_depends_on_the_place_of_a_file_is_written_out(tmp_path: Path) -> None:
    written = {**RUN, "args": ["${workspaceFolder}/x"], "envFile": "${workspaceFolder}/.env"}
    found = servers(tmp_path, {".vscode/mcp.json": {"servers": {"a": written, "b": {**RUN, "cwd": "in"}}}})
    place = str(tmp_path)
    assert found["a"] == {**RUN, "cwd": place, "args": [f"{place}/x"], "envFile": f"{place}/.env"}
    assert found["b"]["cwd"] == str(tmp_path / "in")


def test_variables_stay_variables(tmp_path: Path) -> None:
    gemini = {"url": "https://a.example", "headers": {"A": "Bearer $TOKEN", "B": "${TOKEN}"}}
    cursor = {"url": "https://a.example", "headers": {"A": "${env:TOKEN}", "B": "$5"}}
    found = servers(
        tmp_path,
        {
            ".gemini/settings.json": {"mcpServers": {"g": gemini}},
            ".cursor/mcp.json": {"mcpServers": {"c": cursor}},
        },
        TOKEN=SECRET,
    )
    assert found["g"]["headers"] == {"A": "Bearer ${TOKEN}", "B": "${TOKEN}"}
    assert found["c"]["headers"] == {"A": "${env:TOKEN}", "B": "$5"}


def test_filters_and_times_of_hosts_are_those_of_the_gateway(tmp_path: Path) -> None:
    given = {**RUN, "includeTools": ["a"], "excludeTools": ["b"], "trust": True, "timeout": 60}
    done = imported(tmp_path, {".codeium/windsurf/mcp_config.json": {"mcpServers": {"u": given}}})
    assert done.servers["u"] == {**RUN, "allowedTools": ["a"], "denyTools": ["b"], "timeout": 60_000}
    assert "seconds" in done.found[0].note


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[1]", b'{"mcpServers": 1'])
def test_a_file_that_cannot_be_read_costs_itself(tmp_path: Path, content: bytes) -> None:
    done = imported(
        tmp_path,
        {".cursor/mcp.json": content, ".codeium/windsurf/mcp_config.json": {"mcpServers": {"u": RUN}}},
    )
    assert list(done.servers) == ["u"]
    assert str(tmp_path / ".cursor/mcp.json") in done.unread[0]


def test_a_file_of_very_many_servers_costs_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "MAX_SERVERS", 3)
    file = tmp_path / "mcp.json"
    file.write_text(json.dumps({"mcpServers": {f"s{n}": {"command": "it"} for n in range(5)}}))
    done = import_servers(
        [HostFile(None, file, None)], {}, workspace=tmp_path, target=tmp_path / "routermcp.jsonc"
    )
    assert list(done.servers) == ["s0", "s1", "s2"]
    assert done.unread == [f"{file}: more than 3 servers, the others are left out"]


def test_what_is_wrong_with_the_servers_is_told_without_their_secrets(tmp_path: Path) -> None:
    given = {
        "broken": {"command": "", "args": [SECRET]},
        "unset": {**RUN, "env": {"A": "${NOT_SET}", "B": SECRET}},
        "text": SECRET,
        "good": {"url": f"https://a.example/?key={SECRET}"},
    }
    done = imported(tmp_path, {".cursor/mcp.json": {"mcpServers": given}})
    told = "\n".join(map(str, done.findings))
    assert "mcpServers.broken.command" in told
    assert "NOT_SET" in told
    assert SECRET not in told + repr(done)
    assert SECRET in done.text()


@pytest.mark.parametrize(
    ("name", "host", "workspace"),
    [
        ("a/.vscode/mcp.json", "vscode", "a"),
        ("a/.mcp.json", "claude-code", "a"),
        ("claude_desktop_config.json", "claude-desktop", None),
        ("b/cline_mcp_settings.json", "cline", None),
        ("servers.json", None, None),
    ],
)
def test_a_file_that_is_named_belongs_to_the_host_that_calls_its_files_so(
    tmp_path: Path, name: str, host: str | None, workspace: str | None
) -> None:
    place = tmp_path / workspace if workspace is not None else None
    found = host_file(tmp_path / name)
    assert found == HostFile(BY_NAME[host] if host is not None else None, tmp_path / name, place)

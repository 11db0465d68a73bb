"""The commands of the configuration."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from routermcp.cli import main

SECRET = "s3cr3t-value"


def write(path: Path, servers: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"mcpServers": servers}))


def test_import_tells_names_and_no_secrets(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = {"command": sys.executable, "args": [SECRET], "env": {"K": SECRET}}
    write(
        home / ".cursor" / "mcp.json",
        {"My server": server, "me": {"command": "routermcp", "args": ["connect"]}},
    )
    assert main(["config", "import", "--dry-run"]) == 0
    assert not (home / "routermcp.jsonc").exists()
    assert main(["config", "import"]) == 0
    told = capsys.readouterr()
    assert "My-server" in told.out
    assert "it is this gateway" in told.out
    assert SECRET not in told.out + told.err
    written = home / "routermcp.jsonc"
    assert SECRET in written.read_text()
    assert stat.S_IMODE(written.stat().st_mode) == 0o600 or sys.platform == "win32"
    assert main(["config", "import", "cursor"]) == 2
    assert "--force writes over it" in capsys.readouterr().err
    assert main(["config", "import", ".cursor/mcp.json", "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["servers"][0]["alias"] == "My-server"
    assert main(["config", "check"]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["import"], "no MCP server was found; looked at"),
        (["import", "netscape"], "the hosts are claude-desktop"),
        (["check"], "there is no routermcp.jsonc"),
        (["check", "none.jsonc"], "cannot be read"),
    ],
)
def test_what_is_missing_is_said(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["config", *arguments]) == 2
    told = capsys.readouterr()
    assert said in told.out + told.err


def test_check_tells_by_its_exit_code_whether_all_servers_are_used(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config"]) == 0
    assert main(["config", "check", "--json"]) == 0
    write(home / "other.json", {"a b": {"command": sys.executable}, "c": {"url": "nonsense"}})
    capsys.readouterr()
    assert main(["config", "check", "other.json", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert [(each["level"], each["place"]) for each in told["findings"]] == [
        ("warning", 'mcpServers["a b"]'),
        ("error", "mcpServers.c.url"),
    ]
    (home / "other.json").write_text(json.dumps({"httpServer": {"host": "0.0.0.0"}}))
    assert main(["config", "check", "other.json"]) == 2
    assert "set an API key" in capsys.readouterr().out


def test_the_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    assert "mcpServers" in json.loads(capsys.readouterr().out)["properties"]

"""The server that a command is for: however it is named, it is the same one that answers."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from routermcp.cli.client_commands import WordNames
from routermcp.cli.failures import UsageProblem
from routermcp.cli.options import ClientOptions
from routermcp.cli.targets import ServerTarget, named_target, names_of_servers
from routermcp.gateway import LocalGateway
from tests.cli.toolbox import Ended

PROGRAM = [sys.executable, "-m", "routermcp.testing.contract_server"]


@pytest.fixture(autouse=True)
def _no_server(_server: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No server but one that is named, and no configuration but one that the test writes."""
    monkeypatch.delenv("ROUTERMCP_URL")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def configured(path: Path, **servers: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"mcpServers": servers}))
    return path


def test_a_url_in_front_is_the_server(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert Ended(capsys, "call", url, "add", "a=1", "b=2").out == "3\n"
    assert "add" in Ended(capsys, "tools", url).out
    assert "Ada" in Ended(capsys, "prompt", url, "greet", "name=Ada").out
    assert "demonstration" in Ended(capsys, "read", url, "demo://readme").out
    assert Ended(capsys, "ping", f"{url}?team=blue").code == 0
    assert Ended(capsys, "auth", "status", url).code == 0


def test_a_program_at_the_end_is_the_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert "echo" in Ended(capsys, "tools", "--", *PROGRAM).out.split()


def test_a_name_in_the_configuration_is_the_server(
    capsys: pytest.CaptureFixture[str], url: str, tmp_path: Path
) -> None:
    program = {"command": PROGRAM[0], "args": PROGRAM[1:], "env": {"A": "1"}, "cwd": "below"}
    configured(tmp_path / "routermcp.jsonc", web={"url": url, "timeout": 9000}, child=program)
    assert Ended(capsys, "call", "web", "add", "a=1", "b=2").out == "3\n"
    assert names_of_servers() == ["child", "web"]
    child = named_target("child")
    assert (child.command, child.env, child.cwd) == (tuple(PROGRAM), {"A": "1"}, str(tmp_path / "below"))
    assert named_target("web").timeout == 9000
    wrong = Ended(capsys, "tools", "wbe")
    assert wrong.code == 2
    assert "no server 'wbe', did you mean 'web'?; it has web, child" in wrong.err


def test_a_file_of_another_program_names_the_server(
    capsys: pytest.CaptureFixture[str], url: str, tmp_path: Path
) -> None:
    configured(tmp_path / "one.json", web={"url": url})
    several = configured(tmp_path / "hosts" / "two.json", web={"url": url}, other={"url": url})
    assert Ended(capsys, "call", f"{several}:web", "add", "a=1", "b=2").out == "3\n"
    assert Ended(capsys, "call", "one.json", "add", "a=1", "b=2").out == "3\n"
    assert "write hosts/two.json:NAME; it has web, other" in Ended(capsys, "tools", "hosts/two.json").err
    assert "nowhere.json" in Ended(capsys, "tools", "nowhere.json:web").err


def test_a_server_of_a_configuration_does_not_get_the_key_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("ROUTERMCP_API_KEY", "planted-secret")
    target = ServerTarget(url=url, configured=True, headers={"X-Team": "blue"})
    settings = ClientOptions(target=target, header=["X-More: 1"]).settings()
    assert settings["api_key"] == ""
    assert settings["headers"] == {"X-Team": "blue", "X-More": "1"}


def test_without_a_server_it_is_the_running_gateway_of_the_configuration(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str, tmp_path: Path
) -> None:
    config: dict[str, Any] = {
        "auth": {"apiKeys": ["key-of-the-file"]},
        "mcpServers": {"web": {"url": url}},
    }
    file = tmp_path / "routermcp.jsonc"
    monkeypatch.setenv("ROUTERMCP_API_KEY", "of-another-gateway")
    with LocalGateway(config) as gateway:
        served = gateway.url
        config["httpServer"] = {"port": urlsplit(served).port}
        file.write_text(json.dumps(config))
        assert "web.add" in Ended(capsys, "tools").out
        assert Ended(capsys, "call", "add", "a=1", "b=2").out == "3\n"
        assert "Call it: routermcp call web.add a=1.5" in Ended(capsys, "describe", "add").out
        assert Ended(capsys, "ping").code == Ended(capsys, "doctor").code == 0
        assert "ready" in Ended(capsys, "status").out
        missing = Ended(capsys, "prompt", "greet")
        assert (missing.code, missing.err) == (2, "routermcp: name is missing: expected string\n")
        assert "Ada" in Ended(capsys, "prompt", "greet", "name=Ada").out
        assert "no tool 'x': 'routermcp tools' with the same server" in Ended(capsys, "describe", "x").err
        assert "'web' is a server: name a tool of it, web." in Ended(capsys, "call", "web", "a=1").err
        assert Ended(capsys, "tools", "--api-key", "wrong").code == 3

        config["mcpServers"]["new"] = {"url": url, "enabled": True}
        file.write_text(json.dumps(config))
        changed = Ended(capsys, "call", "add", "a=1", "b=2")
        assert (changed.code, changed.out) == (2, "")
        assert f"has other servers than {file}" in changed.err
        assert "SIGHUP" in changed.err

        monkeypatch.setenv("ROUTERMCP_URL", url)
        assert "web.add" not in Ended(capsys, "tools").out
    monkeypatch.delenv("ROUTERMCP_URL")
    for command in (["call", "add", "a=1"], ["read", "x://y"], ["auth", "login"]):
        stopped = Ended(capsys, *command)
        assert (stopped.code, stopped.out) == (2, "")
        assert f"is not running at {served}: start it with 'routermcp serve'" in stopped.err
        assert "key-of-the-file" not in stopped.err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["tools"], "give its URL as the first word, -- and the program to start"),
        (["tools", "nowhere"], "'nowhere' is no URL, and there is no routermcp.jsonc"),
        (["tools", "a.example/mcp"], "did you mean https://a.example/mcp or http://a.example/mcp?"),
        (["tools", "./server.py"], "to start a program, end with -- ./server.py"),
        (["tools", "--"], "after -- stands the program to start"),
        (["tools", "http://a.example/mcp", "--", "x"], "named twice"),
        (["call", "http://a.example/mcp"], "TOOL is missing"),
        (["tools", "--url", "http://a.example/mcp", "--", "x"], "either --url or -- COMMAND"),
        (["tools", "--header", "X: 1", "--", "x"], "--header is for servers over HTTP"),
        (["tools", "--env", "A=1", "http://a.example/mcp"], "--env is for a program to start"),
        (["tools", "--env", "NO_SUCH_VARIABLE", "--", "x"], "there is no such variable"),
        (["tools", "-H", "planted-secret", "http://a.example/mcp"], "--header is 'NAME: VALUE'"),
        (["tools", "--key", "k", "http://a.example/mcp"], "--key belongs to --cert"),
        (["tools", "--cert", "no.pem", "http://a.example/mcp"], "no.pem"),
        (["tools", "--insecure", "--cacert", "x", "http://a.example/mcp"], "either --insecure or --cacert"),
    ],
)
def test_a_server_that_cannot_be_meant_is_refused(
    capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    Path("server.py").touch()
    ended = Ended(capsys, *argv)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert "planted-secret" not in ended.err


def test_the_example_of_a_tool_can_be_typed_again(capsys: pytest.CaptureFixture[str], url: str) -> None:
    said = Ended(capsys, "describe", url, "add").out.splitlines()[-1]
    assert said == f"  Call it: routermcp call {url} add a=1.5 b=1.5"
    assert Ended(capsys, *shlex.split(said)[3:]).out == "3.0\n"
    program = ClientOptions(target=ServerTarget(command=("my server", "-x")))
    assert program.words("add", "a=1") == "add a=1 -- 'my server' -x"
    assert ClientOptions(url=url).words("add") == f"add --url {url}"


def test_variables_reach_the_program() -> None:
    options = ClientOptions(target=ServerTarget(command=("x",), env={"A": "1", "B": "1"}), env=["B=2"])
    assert options.settings()["transport"].env == {"A": "1", "B": "2"}


def test_options_of_tls_reach_the_client() -> None:
    settings = ClientOptions(url="https://a.example/mcp", cert=Path("c"), key=Path("k")).settings()
    assert (settings["cert"], settings["verify"]) == (("c", "k"), True)
    assert ClientOptions(url="https://a.example/mcp", insecure=True).settings()["verify"] is False
    assert ClientOptions(url="https://a.example/mcp", proxy="").settings()["proxy"] == ""


CALL, READ, LIST = WordNames(["TOOL"], "KEY=VALUE"), WordNames(["URI"], None), WordNames([], None)


@pytest.mark.parametrize(
    ("names", "words", "target", "own", "rest"),
    [
        (CALL, ["add", "a=1"], None, ["add"], ["a=1"]),
        (CALL, ["add"], None, ["add"], []),
        (CALL, ["web", "add"], "web", ["add"], []),
        (CALL, ["web", "add", "{}"], "web", ["add"], ["{}"]),
        (CALL, ["a.json:web", "add", "-"], "a.json:web", ["add"], ["-"]),
        (CALL, ["http://a/?x=1", "add", "@f"], "http://a/?x=1", ["add"], ["@f"]),
        (CALL, ["add", "url=http://a/"], None, ["add"], ["url=http://a/"]),
        (READ, ["https://a/b"], None, ["https://a/b"], []),
        (READ, ["https://a/b", "demo://x?y=1"], "https://a/b", ["demo://x?y=1"], []),
        (LIST, ["web"], "web", [], []),
        (LIST, [], None, [], []),
    ],
)
def test_words_are_told_apart(
    names: WordNames, words: list[str], target: str | None, own: list[str], rest: list[str]
) -> None:
    split = names.split(words, given=False)
    assert (split.target, list(split.own), list(split.rest)) == (target, own, rest)


def test_where_the_server_is_known_no_word_names_it() -> None:
    split = CALL.split(["add", "b", "a=1"], given=True)
    assert (split.target, list(split.own), list(split.rest)) == (None, ["add"], ["b", "a=1"])
    with pytest.raises(UsageProblem, match="one word too many"):
        LIST.split(["web"], given=True)

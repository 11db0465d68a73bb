"""The commands that last: questions of a server, the shell, and what a server says by itself."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self

import pytest
from typer.main import get_group

from routermcp import SyncRouterMCPClient
from routermcp.cli.app import app
from routermcp.cli.commands.all import app as client_commands
from routermcp.cli.failures import UsageProblem
from routermcp.cli.interactive.completion import ShellCompleter
from routermcp.cli.interactive.ctrl_c import taking_ctrl_c
from routermcp.cli.interactive.listen import describe_notification
from routermcp.cli.questions.form import FormField, fields_of
from routermcp.cli.questions.terminal import answer_on_terminal
from routermcp.types import ElicitRequest, ElicitResult
from tests.cli.toolbox import PATIENCE, Ended, Toolbox, program

pytestmark = pytest.mark.usefixtures("_server")

#: Seconds after which a user presses Ctrl-C again where a program shows nothing.
MOMENT = 0.05

FORM = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "title": "Your name", "minLength": 2},
        "age": {"type": "integer", "minimum": 0},
        "news": {"type": "boolean", "default": True},
        "colour": {"oneOf": [{"const": "r", "title": "Red"}, {"const": "b", "title": "Blue"}]},
        "sizes": {"type": "array", "items": {"enum": ["S", "M", "L"]}},
    },
    "required": ["name"],
}


def answer(monkeypatch: pytest.MonkeyPatch, request: Mapping[str, Any], *lines: str) -> ElicitResult:
    """Answer a question with typed lines; after them the input ends."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    return answer_on_terminal(ElicitRequest.model_validate({"message": "Who?", **request}))


# ---- questions -------------------------------------------------------------------------------


def test_a_form_is_filled_in(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    typed = ["A", "Ada", "old", "36", "", "2", "S, L", ""]
    result = answer(monkeypatch, {"requestedSchema": FORM}, *typed)
    assert result.action == "accept"
    assert result.content == {"name": "Ada", "age": 36, "news": True, "colour": "b", "sizes": ["S", "L"]}
    out, said = capsys.readouterr()
    assert out == ""
    assert "The server asks: Who?" in said
    assert "name: expected a length of at least 2" in said
    assert "age: expected integer, got 'old'" in said
    assert "news [True]: " in said
    assert "  2. Blue (b)" in said


def test_what_may_be_left_out_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    result = answer(monkeypatch, {"requestedSchema": FORM}, "", "Ada", "", "no", "", "", "yes")
    assert result.content == {"name": "Ada", "news": False}


def test_an_answer_is_seen_again_before_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    form = {"properties": {"name": {"type": "string"}}}
    assert answer(monkeypatch, {"requestedSchema": form}, "Adda", "edit", "Ada", "").content == {
        "name": "Ada"
    }
    assert answer(monkeypatch, {"requestedSchema": form}, "Ada", "e", "", "y").content == {"name": "Ada"}


@pytest.mark.parametrize(
    ("lines", "action"),
    [
        (["/decline"], "decline"),
        (["/cancel"], "cancel"),
        (["decline", "", "", "", "", "no"], "decline"),  # a name may be any word
        (["Ada", "", "", "", "", "cancel"], "cancel"),
        (["Ada"], "cancel"),  # Ctrl-D
    ],
)
def test_a_form_may_be_declined_and_cancelled(
    monkeypatch: pytest.MonkeyPatch, lines: list[str], action: str
) -> None:
    result = answer(monkeypatch, {"requestedSchema": FORM}, *lines)
    assert (result.action, result.content) == (action, None)


@pytest.mark.parametrize(
    ("lines", "action"), [(["what?", "yes"], "accept"), (["no"], "decline"), (["cancel"], "cancel")]
)
def test_a_page_is_shown_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], lines: list[str], action: str
) -> None:
    url = "https://a.example/consent?state=1"
    assert answer(monkeypatch, {"mode": "url", "url": url}, *lines).action == action
    assert f"\n  {url}\n" in capsys.readouterr().err


def test_the_words_of_a_question_do_not_control_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b[2J\u202e"
    form = {"properties": {evil: {"type": evil, "title": evil, "description": evil, "default": evil}}}
    answer(monkeypatch, {"message": evil, "requestedSchema": form}, "", "")
    answer(monkeypatch, {"message": evil, "mode": "url", "url": f"https://{evil}/"}, "no")
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "\u202e" not in said


def test_without_a_terminal_a_question_is_declined_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    ended = Ended(capsys, "call", "ask_name")
    assert ended.code == 1
    first, second = ended.err.splitlines()
    assert "What is your name?; declined, as standard input is no terminal" in first
    assert "you did not say" in second


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string", "enum": ["a", "b"], "enumNames": ["First", "Second"]}, "Second", "b"),
        ({"type": "integer", "enum": [2, 1]}, "1", 1),  # the value, not the first one
        ({"type": "boolean"}, "y", True),
        ({"type": "number"}, "2.5", 2.5),
        ({"type": "array", "items": {"anyOf": [{"const": "x", "title": "The X"}]}}, "The X", ["x"]),
        ({"type": "array"}, "a, b", ["a", "b"]),
    ],
)
def test_values_of_a_form(schema: dict[str, Any], text: str, value: Any) -> None:
    assert FormField("x", schema, required=True).read(text) == value


def test_a_choice_that_is_none_is_refused() -> None:
    with pytest.raises(UsageProblem, match="expected S, M, L, got '4'"):
        fields_of(FORM)[-1].read("4")


# ---- the shell ---------------------------------------------------------------------------------


def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *lines: str) -> Ended:
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    return Ended(capsys, "shell")


def test_lines_are_run_over_one_session(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = shell(monkeypatch, capsys, "# sums", "call add a=1 b=2", "", 'call echo text="a b" --json')
    assert ended.code == 0
    first, rest = ended.out.split("\n", 1)
    assert first == "3"
    assert json.loads(rest)["content"][0]["text"] == "a b"


def test_a_mistake_does_not_end_the_shell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = shell(monkeypatch, capsys, "tolls", "call add a=x", "call 'add", "help", "ping", "exit", "call")
    assert ended.code == 0
    assert "there is no command 'tolls', did you mean 'tools'?" in ended.err
    assert "a: expected number" in ended.err
    assert "the line cannot be read" in ended.err
    assert "describe   Show all about a tool" in ended.out
    assert "answered in" in ended.out
    assert shell(monkeypatch, capsys, "ping", "call fails").code == 1
    ended = shell(monkeypatch, capsys, "ping --url http://127.0.0.1:1/mcp")
    assert (ended.code, "the shell is at one server" in ended.err) == (2, True)


@pytest.fixture(scope="module")
def completer(url: str) -> Iterator[ShellCompleter]:
    with SyncRouterMCPClient(url) as client:
        yield ShellCompleter(client, ["call", "tools", "describe"])


@pytest.mark.parametrize(
    ("before", "begun", "found"),
    [
        ([], "t", ["tools"]),
        (["call"], "ad", ["add"]),
        (["describe"], "ec", ["echo"]),
        (["call", "add"], "", ["a=", "b="]),
        (["call", "--json", "add", "a=1"], "", ["b="]),
        (["call", "typed"], "deep=", ["deep=false", "deep=true"]),
        (["call", "typed"], "level=h", ["level=high"]),
        (["call", "nothing"], "", []),
        (["read"], "demo://r", ["demo://readme"]),
        (["prompt"], "", ["greet"]),
        (["prompt", "greet"], "", ["name="]),
        (["tools"], "", []),
    ],
)
def test_words_are_completed(
    completer: ShellCompleter, before: list[str], begun: str, found: list[str]
) -> None:
    assert completer.candidates(before, begun) == found


def test_lists_are_read_once_until_they_change(url: str) -> None:
    with SyncRouterMCPClient(url) as client:
        completer = ShellCompleter(client, [])
        completer.candidates(["call"], "")
        client.disconnect()
        assert "add" in completer.candidates(["call"], "")
        completer.forget()
        assert completer.candidates(["call"], "") == []


class OnTerminal:
    """A program whose standard streams are one terminal; it has ended after the block."""

    def __init__(self, *argv: str) -> None:
        self._ours, theirs = pty.openpty()
        self.shown, self._seen = "", 0
        self._process = subprocess.Popen(
            program(*argv),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**os.environ, "TERM": "dumb"},
        )
        os.close(theirs)
        # A program that does not answer fails the test instead of holding it up.
        self._timer = threading.Timer(PATIENCE, self._process.kill)
        self._timer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self.end()
        os.close(self._ours)

    def until(self, words: str) -> None:
        """Read until the program has shown some words, behind those that were waited for before."""
        while (found := self.shown.find(words, self._seen)) < 0:
            self._read()
        self._seen = found + len(words)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C until there is a prompt behind which nothing stands, twice at least.

        Python overlooks one that comes just before it waits for the terminal, until the next line.
        """
        pressed, shown = 0, len(self.shown)
        while pressed < 2 or len(self.shown) == shown or not self.shown.endswith("> "):
            self._process.send_signal(signal.SIGINT)
            pressed += 1
            while select.select([self._ours], [], [], MOMENT)[0]:
                self._read()
        self.type("\n")  # one that was overlooked drops this line
        self._seen = len(self.shown)

    def end(self) -> int:
        code = self._process.wait(PATIENCE)
        self._timer.cancel()
        return code

    def _read(self) -> None:
        self.shown += os.read(self._ours, 65536).decode()


def test_a_user_at_the_prompt(toolbox: Toolbox, ctrl_c: None) -> None:
    toolbox.begun.clear()
    with OnTerminal("shell") as terminal:
        terminal.type("call ask_name\n")
        terminal.until("name: ")
        terminal.type("Ada\n")
        terminal.until("[yes]: ")
        terminal.type("\n")
        terminal.until("Hello, Ada!")
        terminal.type("call wait\n")
        assert toolbox.begun.wait(PATIENCE)
        terminal.interrupt()
        terminal.type("half a line")
        terminal.until("> half a line")
        terminal.interrupt()
        terminal.type("call ad\t")
        terminal.until("> call add")
        terminal.type("a=1 b=2\n")
        terminal.until("3\r\n")
        terminal.until("> ")
        terminal.type("\x04")
        assert terminal.end() == 0
        assert "Traceback" not in terminal.shown


@pytest.mark.usefixtures("ctrl_c")
def test_only_the_first_ctrl_c_ends_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def press() -> None:
        signal.raise_signal(signal.SIGINT)

    def call(*, completing: bool = False) -> str:
        if completing:
            done.append(keys.ends(call, "cut short"))
        try:
            press()
        finally:
            press()
            done.append("tidied up")
        return "whole"

    def end_of_input() -> None:
        raise EOFError

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    with taking_ctrl_c() as keys:
        press()  # nothing runs
        assert keys.ends(call, "dropped") == "dropped"
        assert keys.ends(partial(call, completing=True), "dropped") == "dropped"
        with pytest.raises(EOFError):
            keys.ends(end_of_input, None)
        press()
        assert keys.ends(lambda: "next", "dropped") == "next"
    assert done == ["tidied up", "tidied up", "cut short", "tidied up"]
    with pytest.raises(KeyboardInterrupt):
        press()


def test_every_command_of_the_shell_is_one_of_the_program() -> None:
    assert set(get_group(client_commands).commands) < set(get_group(app).commands)


# ---- listening ---------------------------------------------------------------------------------


@contextlib.contextmanager
def changing(url: str, method: str, params: Mapping[str, Any]) -> Iterator[None]:
    """Have the server announce a change again and again while the block runs."""
    ended = threading.Event()

    def work() -> None:
        with SyncRouterMCPClient(url) as client:
            while not ended.wait(0.02):
                client.call_tool("change", {"method": method, "params": params})

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(PATIENCE)


def test_changes_of_lists_are_shown_as_they_come(capsys: pytest.CaptureFixture[str], url: str) -> None:
    with changing(url, "notifications/tools/list_changed", {}):
        ended = Ended(capsys, "listen", "--count", "2")
    assert ended.code == 0
    assert [line.split()[1] for line in ended.out.splitlines()] == ["tools/list_changed"] * 2
    assert "Ctrl-C ends it" in ended.err


def test_changes_of_a_resource_are_shown_as_documents(capsys: pytest.CaptureFixture[str], url: str) -> None:
    with changing(url, "notifications/resources/updated", {"uri": "demo://readme"}):
        ended = Ended(capsys, "listen", "-n", "1", "--resource", "demo://readme", "--json")
    (line,) = ended.out.splitlines()
    heard = json.loads(line)
    assert (heard["method"], heard["params"]["uri"]) == ("notifications/resources/updated", "demo://readme")


def test_a_server_that_is_gone_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("routermcp.cli.interactive.listen.SILENCE_SECONDS", 0)
    monkeypatch.setattr(SyncRouterMCPClient, "ping", lambda self: self.read_resource("demo://nothing"))
    assert Ended(capsys, "listen").code == 4


@pytest.mark.parametrize(
    ("method", "params", "line"),
    [
        ("notifications/tools/list_changed", {}, "12:30:00 tools/list_changed "),
        ("notifications/tools/list_changed", {"_meta": {"a": 1}}, "12:30:00 tools/list_changed "),
        ("notifications/resources/updated", {"uri": "a://b"}, "12:30:00 resources/updated a://b"),
        ("notifications/message", {"level": "info", "data": "hello"}, "12:30:00 info hello"),
        (
            "notifications/message",
            {"level": "info", "logger": "db", "data": {"a": 1}},
            '12:30:00 info db: {"a": 1}',
        ),
        ("custom", {"a": "ä"}, '12:30:00 custom {"a": "ä"}'),
    ],
)
def test_a_notification_is_one_line(method: str, params: dict[str, Any], line: str) -> None:
    now = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
    assert describe_notification(method, params, now) == line

"""The command line: what it writes where, and how it ends."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from routermcp import __version__
from routermcp.cli import main
from routermcp.cli.app import app
from routermcp.cli.output import PIPE_WIDTH, describe_content
from tests.cli.toolbox import EXTRA_TOOLS, PATIENCE, TYPED, Ended, Toolbox, execute, program

pytestmark = pytest.mark.usefixtures("_server")

# ---- commands ------------------------------------------------------------------------


def test_tools_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    ended = Ended(capsys, "tools")
    assert ended.code == 0
    lines = {line.split()[0]: line for line in ended.out.splitlines()}
    assert len(lines) == len(ended.out.splitlines()) == 4 + len(EXTRA_TOOLS)
    assert lines["add"].split(maxsplit=1) == ["add", "Add two numbers."]
    assert "[bold]text[/bold]" in lines["nasty"]
    assert ":smile:" in lines["nasty"]
    assert lines["wordy"].endswith("\N{HORIZONTAL ELLIPSIS}")
    assert len(lines["wordy"]) <= PIPE_WIDTH
    assert "\x1b" not in ended.out
    assert "\x9b" not in ended.out


def test_tools_are_shown_whole_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    whole = Ended(capsys, "tools", "-v").out
    assert "    delay_ms: integer, optional, default 50, minimum 0, maximum 1000\n" in whole
    assert "      milliseconds before each number\n" in whole
    assert ("words " * 100).strip() in whole
    assert "\n\nadd\n" in f"\n\n{whole}"


def test_one_tool_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    ended = Ended(capsys, "describe", "count")
    assert ended.code == 0
    assert ended.out.splitlines()[0] == "count"
    assert "  It changes nothing, as the server says." in ended.out.splitlines()
    assert ended.out.endswith("  Call it: routermcp call count to=1\n")
    assert json.loads(Ended(capsys, "describe", "add", "--json").out)["name"] == "add"
    wrong = Ended(capsys, "describe", "cuont")
    assert (wrong.code, wrong.out) == (2, "")
    assert "did you mean 'count'?" in wrong.err


def test_tools_are_one_document_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    ended = Ended(capsys, "tools", "--json")
    tools = {tool["name"]: tool for tool in json.loads(ended.out)["tools"]}
    assert (ended.code, ended.err) == (0, "")
    assert tools["typed"]["inputSchema"] == TYPED
    assert tools["add"]["annotations"]["readOnlyHint"] is True


def test_a_tool_is_called_with_values_of_its_types(capsys: pytest.CaptureFixture[str]) -> None:
    ended = Ended(capsys, "call", "add", "a=1", "b=2.5")
    assert (ended.code, ended.out, ended.err) == (0, "3.5\n", "")
    ended = Ended(capsys, "call", "add", "a=1", "b=2", "--json")
    assert json.loads(ended.out)["structuredContent"] == {"sum": 3}


@pytest.mark.parametrize(("data", "size"), [("AAAA", 3), ("AAA=", 2), ("AA==", 1), ("AAA", 2)])
def test_the_size_of_data_is_that_of_the_file(data: str, size: int) -> None:
    assert f" {size} bytes;" in describe_content({"type": "image", "data": data})


def test_a_result_that_is_not_text_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    ended = Ended(capsys, "call", "mixed")
    assert ended.out == "first\n[image, image/png, 3 bytes; -o FILE saves them]\ninside\n"
    assert json.loads(Ended(capsys, "call", "structured").out) == {"größe": 1}


def test_what_is_no_text_is_saved(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    ended = Ended(capsys, "call", "mixed", "-o", str(picture))
    assert (ended.code, ended.out) == (0, "first\ninside\n")
    assert ended.err == f"routermcp: wrote {picture} (image/png, 3 bytes)\n"
    assert picture.read_bytes() == b"123"
    Ended(capsys, "call", "two_images", "--output", str(picture))
    assert (tmp_path / "picture-2.png").read_bytes() == b"456"
    (tmp_path / "own-2.png").write_bytes(b"own")
    ended = Ended(capsys, "call", "two_images", "-o", str(tmp_path / "own.png"))
    assert (ended.code, (tmp_path / "own-2.png").read_bytes()) == (2, b"own")
    assert "own-2.png cannot be written: File exists" in ended.err
    Ended(capsys, "call", "echo", "text=plain", "-o", str(tmp_path / "text"))
    assert (tmp_path / "text").read_text() == "plain"
    Ended(capsys, "read", "demo://readme", "-o", str(tmp_path / "readme"))
    assert "demonstration server" in (tmp_path / "readme").read_text()
    ended = Ended(capsys, "call", "mixed", "-o", str(tmp_path / "nowhere" / "x"))
    assert (ended.code, ended.out) == (2, "first\ninside\n")
    assert "cannot be written" in ended.err
    assert Ended(capsys, "call", "broken_image", "-o", str(picture)).code == 3


def test_what_is_no_text_goes_to_a_pipe(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["call", "mixed", "-o", "-"]) == 0
    assert capsysbinary.readouterr().out == b"123"


def test_a_failed_tool_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    ended = Ended(capsys, "call", "add", "a=1", "--unchecked")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "routermcp: the tool 'add' failed: the argument b is missing\n"
    ended = Ended(capsys, "call", "add", "a=1", "--unchecked", "--json")
    assert ended.code == 1
    assert json.loads(ended.out)["isError"] is True
    assert "it gave no reason" in Ended(capsys, "call", "fails").err


def test_resources_and_prompts_are_listed_read_and_got(capsys: pytest.CaptureFixture[str]) -> None:
    ended = Ended(capsys, "resources")
    assert "demo://readme" in ended.out
    assert "demo://greetings/{name}" in ended.out
    listed = json.loads(Ended(capsys, "resources", "--json").out)
    assert [len(listed["resources"]), len(listed["resourceTemplates"])] == [1, 1]
    assert "demonstration server" in Ended(capsys, "read", "demo://readme").out
    assert (
        json.loads(Ended(capsys, "read", "demo://readme", "--json").out)["contents"][0]["uri"]
        == "demo://readme"
    )
    assert "greet" in Ended(capsys, "prompts").out
    assert json.loads(Ended(capsys, "prompts", "--json").out)["prompts"][0]["name"] == "greet"
    ended = Ended(capsys, "prompt", "greet", "name=Ada")
    assert ended.out == "user: Greet Ada in one friendly sentence.\n"
    assert (
        json.loads(Ended(capsys, "prompt", "greet", "name=Ada", "--json").out)["messages"][0]["role"]
        == "user"
    )


def test_ping_says_who_answered(capsys: pytest.CaptureFixture[str]) -> None:
    ended = Ended(capsys, "ping")
    assert ended.code == 0
    assert ended.out.startswith(f"routermcp-demo {__version__} answered in ")
    told = json.loads(Ended(capsys, "ping", "--json").out)
    assert told["serverInfo"]["name"] == "routermcp-demo"
    assert told["milliseconds"] > 0


# ---- exit codes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "expected", "said"),
    [
        (["call", "add", "a=x"], 2, "a: expected number, got 'x'"),
        (["call", "add", "c=1"], 2, "there is no argument 'c': expected one of a, b"),
        (["call", "add", "a=1"], 2, "b is missing: expected number"),
        (["call", "ask_name", "c=1"], 2, "there is no argument 'c': it takes none"),
        (["call", "add", "a"], 2, "'a' is not key=value"),
        (["call"], 2, "TOOL is missing: give [TARGET] TOOL [KEY=VALUE]..."),
        (["read", "demo://a", "b", "c"], 2, "'c' is one word too many"),
        (["prompt", "greet", "name:=3"], 2, "name: expected string, got 3"),
        (["prompt", "greet", "naem=x"], 2, "did you mean 'name'?"),
        (["prompt", "greet"], 2, "name is missing"),
        (["ping", "--url", "nowhere"], 2, "has no scheme"),
        (["ping", "--timeout", "-1"], 2, "timeout=-1"),
        (["ping", "--api-key", "a\nb"], 2, "header"),
        (["ping", "--url", "http://127.0.0.1:1/mcp"], 3, "nothing listens there"),
        (["read", "demo://nothing"], 4, "Resource not found"),
        (["prompt", "nothing"], 4, "Unknown prompt: nothing"),
        (["prompt", "gret"], 4, "did you mean 'greet'?"),
        (["call", "ad"], 4, "did you mean 'add'?"),
        (["call", "zzz", "a=b"], 4, "the server lists no tool 'zzz'"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    capsys: pytest.CaptureFixture[str], argv: list[str], expected: int, said: str
) -> None:
    ended = Ended(capsys, *argv)
    assert (ended.code, ended.out) == (expected, "")
    assert ended.err.startswith("routermcp: ")
    assert ended.err.count("\n") == 1
    assert said in ended.err


def test_a_missing_url_is_a_matter_of_settings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROUTERMCP_URL")
    ended = Ended(capsys, "ping")
    assert ended.code == 2
    assert "ROUTERMCP_URL" in ended.err


def test_debug_shows_where_an_error_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    ended = Ended(capsys, "read", "demo://nothing", "--debug")
    assert ended.code == 4
    assert "Traceback" in ended.err


@pytest.mark.parametrize("ask_by", ["option", "environment"])
def test_debug_shows_the_wire(ask_by: str) -> None:
    """In a process of its own, where nothing has set logging up."""
    more, variable = (["--debug"], "") if ask_by == "option" else ([], "1")
    done = subprocess.run(
        [sys.executable, "-m", "routermcp", "ping", *more],
        env={**os.environ, "ROUTERMCP_DEBUG": variable},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "routermcp.wire -> POST" in done.stderr
    assert "-> POST" not in done.stdout


@pytest.mark.parametrize(
    "argv",
    [
        ["nonsense"],
        ["call"],
        ["ping", "--timeout", "soon"],
        ["ping", "--nonsense"],
        ["auth", "login", "--port", "99999"],
        ["auth", "login", "--port", "0"],
    ],
)
def test_wrong_usage_ends_with_2(argv: list[str]) -> None:
    ended = CliRunner().invoke(app, argv)
    assert ended.exit_code == 2
    assert "Traceback" not in ended.output


@pytest.mark.parametrize("asked", ["-h", "--help"])
def test_help_names_commands_and_exit_codes(asked: str) -> None:
    ended = CliRunner().invoke(app, [asked])
    assert ended.exit_code == 0
    for word in (
        "tools",
        "call",
        "demo",
        "130  interrupted",
        "4    the server answered with an error object",
    ):
        assert word in ended.output
    assert CliRunner().invoke(app, ["--version"]).output == f"routermcp {__version__}\n"


def test_every_command_has_a_short_option_for_its_help() -> None:
    for command in ("call", "tools", "describe", "serve", "auth", "demo"):
        assert "Usage: " in CliRunner().invoke(app, [command, "-h"]).output
    help_of_call = CliRunner().invoke(app, ["call", "-h"]).output
    assert "call [OPTIONS] [TARGET] TOOL [KEY=VALUE]... [-- COMMAND...]" in help_of_call


def test_a_mistyped_command_is_corrected(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Did you mean 'tools'?" in Ended(capsys, "tolls").err


def test_without_arguments_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    ended = Ended(capsys)
    assert "Usage: routermcp" in ended.out + ended.err


def test_ctrl_c_ends_with_130(toolbox: Toolbox, ctrl_c: None) -> None:
    toolbox.begun.clear()
    with subprocess.Popen(
        program("call", "wait"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert toolbox.begun.wait(PATIENCE)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (130, "", "")


def test_a_reader_that_has_gone_ends_with_141() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        process = subprocess.run(
            program("tools", "--json"), stdout=writer, stderr=subprocess.PIPE, timeout=PATIENCE, check=False
        )
    finally:
        os.close(writer)
    assert (process.returncode, process.stderr) == (141, b"")


class Gone(io.StringIO):
    """A stream whose reader has gone."""

    def write(self, _text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("words", [["tols"], ["tools", "--bogus"], ["serve", "--port", "x"], ["tools", "no"]])
def test_a_reader_of_errors_that_has_gone_ends_with_141(
    monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", Gone())
    assert main(words) == 141


# ---- what is written ---------------------------------------------------------------------


def test_the_module_can_be_run() -> None:
    done = execute("call", "echo", "text=hello")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")


def on_terminal(*argv: str) -> tuple[str, str]:
    """Run a command with standard output and error on a terminal; return what each showed."""
    shown: list[bytes] = []
    ends = [pty.openpty(), pty.openpty()]
    process = subprocess.Popen(
        program(*argv), stdout=ends[0][1], stderr=ends[1][1], env={**os.environ, "TERM": "xterm"}
    )
    for _, end in ends:
        os.close(end)

    def read(terminal: int) -> bytes:
        pieces: list[bytes] = []
        try:
            while piece := os.read(terminal, 65536):
                pieces.append(piece)
        except OSError:  # how Linux says that the other end is closed
            pass
        os.close(terminal)
        return b"".join(pieces)

    errors = threading.Thread(target=lambda: shown.append(read(ends[1][0])))
    errors.start()
    output = read(ends[0][0])
    errors.join(PATIENCE)
    assert process.wait(PATIENCE) == 0
    return output.decode(), shown[0].decode()


def test_progress_is_shown_on_a_terminal_and_the_result_stays_plain() -> None:
    output, errors = on_terminal("call", "count", "to=3", "delay_ms=1")
    assert output == "counted to 3\r\n"
    assert "count: 3 of 3" in errors


class Terminal(io.StringIO):
    """Standard output that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_a_terminal_is_not_steered_by_a_server(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Ended(capsys, "call", "nasty").out == "\x1b[31mred\n"
    monkeypatch.setattr(sys, "stdout", shown := Terminal())
    assert main(["call", "nasty"]) == 0
    assert shown.getvalue() == "\N{REPLACEMENT CHARACTER}[31mred\n"


def test_json_fits_a_narrow_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii"))
    assert main(["call", "structured", "--json"]) == 0
    assert json.loads(written.getvalue())["structuredContent"] == {"größe": 1}


# ---- extras --------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_a_missing_extra_is_named(missing: str) -> None:
    done = execute("tools", blocked=(missing,))
    assert (done.returncode, done.stdout) == (2, "")
    assert missing in done.stderr
    assert "pip install 'routermcp[cli]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_module_that_is_missing_for_another_reason_is_not_hidden() -> None:
    done = execute("tools", blocked=("difflib",))
    assert done.returncode == 1
    assert "No module named 'difflib'" in done.stderr


def test_the_library_imports_none_of_the_extras() -> None:
    extras = ("typer", "rich", "click", "starlette", "uvicorn", "trio")
    source = f"import sys, routermcp; print([name for name in {extras!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert done.stdout == "[]\n"


def test_content_without_text_is_described() -> None:
    said = "[resource, x://y, 3 bytes; -o FILE saves them]"
    assert describe_content({"uri": "x://y", "blob": "AAAA"}) == said
    assert describe_content({"type": "resource_link", "uri": "x://y"}) == "[resource_link, x://y]"

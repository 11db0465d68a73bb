"""The command line: what it writes where, and how it ends."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from typer.testing import CliRunner

from routermcp import __version__
from routermcp.cli import main
from routermcp.cli.app import app
from routermcp.cli.arguments import coerce, parse_arguments
from routermcp.cli.failures import UsageProblem
from routermcp.cli.output import describe_arguments, describe_content, type_of
from routermcp.gateway import BuiltinTools, Caller, GatewayApp, Listing, serve_in_thread

#: Seconds that a program of a test may take.
PATIENCE = 30.0

TYPED = {
    "type": "object",
    "properties": {
        "count": {"type": "integer"},
        "ratio": {"type": "number"},
        "deep": {"type": "boolean"},
        "tags": {"type": "array"},
        "filter": {"type": "object"},
        "text": {"type": "string"},
        "level": {"$ref": "#/$defs/Level"},
        "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "either": {"type": ["string", "integer"]},
        "free": {},
    },
    "required": ["count"],
    "$defs": {"Level": {"enum": ["low", "high", 3, None]}},
}

EXTRA_TOOLS: dict[str, Mapping[str, Any]] = {
    "typed": {"inputSchema": TYPED},
    "nasty": {
        "inputSchema": {"type": "object"},
        "description": "red \x1b[31m[bold]text[/bold]\x9b\nsecond :smile:",
    },
    "structured": {"inputSchema": {"type": "object"}},
    "mixed": {"inputSchema": {"type": "object"}},
    "wait": {"inputSchema": {"type": "object"}},
    "fails": {"inputSchema": {"type": "object"}},
}


class Toolbox(BuiltinTools):
    """The built-in tools, and some that are hard to show."""

    def __init__(self) -> None:
        self.begun = threading.Event()

    async def list_page(self, listing: Listing, cursor: str | None, caller: Caller) -> Mapping[str, Any]:
        page = dict(await super().list_page(listing, cursor, caller))
        if listing is Listing.TOOLS:
            page["tools"] = [*page["tools"], *({"name": name, **more} for name, more in EXTRA_TOOLS.items())]
        return page

    async def call_tool(self, name: str, arguments: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        if name == "typed":
            return {"content": [], "structuredContent": dict(arguments)}
        if name == "structured":
            return {"content": [], "structuredContent": {"größe": 1}}
        if name == "nasty":
            return {"content": [{"type": "text", "text": "\x1b[31mred"}]}
        if name == "fails":
            return {"content": [], "isError": True}
        if name == "mixed":
            image = {"type": "image", "mimeType": "image/png", "data": base64.b64encode(b"123").decode()}
            resource = {"type": "resource", "resource": {"uri": "x://y", "text": "inside"}}
            return {"content": [{"type": "text", "text": "first"}, image, resource]}
        if name == "wait":
            self.begun.set()
            await asyncio.Event().wait()
        return await super().call_tool(name, arguments, caller)


@pytest.fixture(scope="module")
def toolbox() -> Toolbox:
    return Toolbox()


@pytest.fixture(scope="module")
def url(toolbox: Toolbox) -> Iterator[str]:
    with serve_in_thread(GatewayApp(toolbox)) as url:
        yield url


@pytest.fixture(autouse=True)
def _server(monkeypatch: pytest.MonkeyPatch, _no_settings_from_outside: None, url: str) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "TERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ROUTERMCP_URL", url)


class Ended:
    """How a command ended, and what it wrote."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *argv: str) -> None:
        self.code = main(argv)
        self.out, self.err = capsys.readouterr()


def program(*argv: str, blocked: tuple[str, ...] = ()) -> list[str]:
    """Give the command that runs the command line in a process where some modules are not installed."""
    if not blocked:
        return [sys.executable, "-W", "error", "-m", "routermcp", *argv]
    source = f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
from routermcp.cli import main
sys.exit(main({list(argv)!r}))
"""
    return [sys.executable, "-W", "error", "-c", source]


def execute(*argv: str, blocked: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        program(*argv, blocked=blocked), capture_output=True, text=True, timeout=PATIENCE, check=False
    )


# ---- commands ------------------------------------------------------------------------


def test_tools_are_a_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    ended = Ended(capsys, "tools")
    assert ended.code == 0
    lines = [line.rstrip() for line in ended.out.splitlines()]
    assert lines[0].split() == ["name", "description", "arguments"]
    assert any(line.startswith("add") and line.endswith("a: number, b: number") for line in lines)
    assert any(line.endswith("to: integer, delay_ms?: integer") for line in lines)
    assert "[bold]text[/bold]" in ended.out
    assert ":smile:" in ended.out
    assert "\x1b" not in ended.out
    assert "\x9b" not in ended.out


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


def test_a_result_that_is_not_text_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    ended = Ended(capsys, "call", "mixed")
    assert ended.out == "first\n[image, image/png, 3 bytes; --json has them]\ninside\n"
    assert json.loads(Ended(capsys, "call", "structured").out) == {"größe": 1}


def test_a_failed_tool_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    ended = Ended(capsys, "call", "add", "a=1")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "routermcp: the tool 'add' failed: the argument b is missing\n"
    ended = Ended(capsys, "call", "add", "a=1", "--json")
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
        (["call", "ask_name", "c=1"], 2, "there is no argument 'c': it takes none"),
        (["call", "add", "a"], 2, "'a' is not key=value"),
        (["prompt", "greet", "name:=3"], 2, "name: expected string, got 3"),
        (["ping", "--url", "nowhere"], 2, "has no scheme"),
        (["ping", "--timeout", "-1"], 2, "timeout=-1"),
        (["ping", "--api-key", "a\nb"], 2, "header"),
        (["ping", "--url", "http://127.0.0.1:1/mcp"], 3, "nothing listens there"),
        (["read", "demo://nothing"], 4, "Resource not found"),
        (["prompt", "nothing"], 4, "Unknown prompt: nothing"),
        (["call", "ad"], 4, "did you mean 'add'?"),
        (["call", "zzz", "a=b"], 4, "the server lists no tool 'zzz'"),
        (["call", "ask_name"], 4, "capability elicitation"),
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
@pytest.mark.parametrize("argv", [["ping"], ["tools"]])
def test_debug_shows_the_wire(argv: list[str], ask_by: str) -> None:
    """In a process of its own, where nothing has set logging up."""
    more, variable = (["--debug"], "") if ask_by == "option" else ([], "1")
    done = subprocess.run(
        [sys.executable, "-m", "routermcp", *argv, *more],
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


def test_help_names_commands_and_exit_codes() -> None:
    ended = CliRunner().invoke(app, ["--help"])
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


def test_without_arguments_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    ended = Ended(capsys)
    assert "Usage: routermcp" in ended.out + ended.err


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Let children notice SIGINT: one that is ignored here, as in a background job, is ignored there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_with_130(toolbox: Toolbox, ctrl_c: None) -> None:
    toolbox.begun.clear()
    with subprocess.Popen(
        program("call", "wait"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert toolbox.begun.wait(PATIENCE)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (130, "", "")


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


def test_a_terminal_is_not_steered_by_a_server(capsys: pytest.CaptureFixture[str]) -> None:
    output, _ = on_terminal("call", "nasty")
    assert output == "\N{REPLACEMENT CHARACTER}[31mred\r\n"
    assert Ended(capsys, "call", "nasty").out == "\x1b[31mred\n"


def test_json_fits_a_narrow_encoding() -> None:
    done = subprocess.run(
        program("call", "structured", "--json"),
        capture_output=True,
        timeout=PATIENCE,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert json.loads(done.stdout)["structuredContent"] == {"größe": 1}


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


# ---- values ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("count=7", 7),
        ("count=-7", -7),
        ("ratio=7", 7),
        ("ratio=-1e3", -1000.0),
        ("deep=true", True),
        ("deep=False", False),
        ('tags=["a", 1]', ["a", 1]),
        ('filter={"a": null}', {"a": None}),
        ("text=7", "7"),
        ("text=", ""),
        ("text=a=b", "a=b"),
        ("level=low", "low"),
        ("level=3", 3),
        ("level=null", None),
        ("limit=3", 3),
        ("limit=null", None),
        ("either=7", 7),
        ("either=seven", "seven"),
        ("free=7", "7"),
        ("text:=7", 7),
        ('free:={"a": [1.5]}', {"a": [1.5]}),
    ],
)
def test_values_are_read_by_the_schema(pair: str, value: Any) -> None:
    (read,) = parse_arguments([pair], TYPED).values()
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ("count=7.5", "count: expected integer, got '7.5'"),
        ("count=true", "count: expected integer"),
        ("count=", "count: expected integer"),
        ("ratio=NaN", "ratio: expected number"),
        ("ratio=Infinity", "ratio: expected number"),
        ("deep=yes", "deep: expected boolean"),
        ("tags={}", "tags: expected array"),
        ("tags=a,b", "tags: expected array"),
        ("filter=[]", "filter: expected object"),
        ("filter=" + "[" * 100_000, "filter: expected object"),
        ("level=middle", 'level: expected "low"|"high"|3|null'),
        ("limit=x", "limit: expected integer|null"),
        ("text:=x", "text: expected JSON after ':='"),
        ("text:=NaN", "text: expected JSON after ':='"),
        ("other=1", "there is no argument 'other': expected one of count, ratio"),
        ("=1", "is not key=value"),
        (":=1", "is not key=value"),
        ("text", "is not key=value"),
    ],
)
def test_a_bad_value_says_what_was_expected(pair: str, expected: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        parse_arguments([pair], TYPED)
    assert expected in str(caught.value)


def test_a_key_counts_once() -> None:
    with pytest.raises(UsageProblem, match="count is given twice"):
        parse_arguments(["count=1", "count=2"], TYPED)


def test_more_keys_are_taken_where_the_schema_takes_them() -> None:
    assert parse_arguments(["x=1"], {"additionalProperties": {"type": "integer"}}) == {"x": 1}
    assert parse_arguments(["x=1"], {"additionalProperties": True}) == {"x": "1"}
    assert parse_arguments(["x=1", "y:=1"], None) == {"x": "1", "y": 1}


@pytest.mark.parametrize("schema", [{"properties": []}, {"properties": None}, {}])
def test_a_schema_without_properties_has_no_arguments(schema: dict[str, Any]) -> None:
    assert describe_arguments(schema) == ""
    with pytest.raises(UsageProblem, match="it takes none"):
        parse_arguments(["x=1"], schema)


@pytest.mark.parametrize(
    "schema",
    [{"$ref": "#/$defs/Nothing"}, {"$ref": 7}, {"type": 7}, {"anyOf": 7}, {"oneOf": [7]}, True, None],
)
def test_a_schema_that_says_nothing_makes_texts(schema: Any) -> None:
    assert parse_arguments(["x=1"], {"properties": {"x": schema}}) == {"x": "1"}


def test_types_are_named_for_people() -> None:
    assert type_of({"type": ["string", "null"]}) == "string|null"
    assert type_of({"oneOf": [{"type": "string"}, {"type": "string"}, {}]}) == "string|any"
    assert type_of(True) == "any"
    assert coerce("x", "1", {}) == "1"


def test_content_without_text_is_described() -> None:
    assert describe_content({"uri": "x://y", "blob": "AAAA"}) == "[resource, x://y, 3 bytes; --json has them]"
    assert describe_content({"type": "resource_link", "uri": "x://y"}) == "[resource_link, x://y]"

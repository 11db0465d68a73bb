"""The README: its examples run, its commands and names exist."""

from __future__ import annotations

import gc
import re
import threading
import tomllib
from pathlib import Path

import pytest
import typer.main
from pytest_examples import CodeExample, find_examples

import routermcp
import routermcp._settings as settings_module
import routermcp.types
from routermcp.cli.app import app
from tests.routermcp.server import ScriptedServer

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
TEXT = README.read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

#: The server that the examples talk to.
EXAMPLE_URL = "http://127.0.0.1:8000/mcp"

EXAMPLES = [example for example in find_examples(str(README)) if example.prefix == "python"]

#: A word of the code of an example, and what the example prints.
PRINTED = {
    "tool.description": "add: Adds two numbers\necho: Gives back what it gets\n3\n",
    "trio.move_on_after": "3\n",
    'with SyncRouterMCPClient(url="http://127.0.0.1:8000/mcp") as client': "['add', 'echo']\n3\n",
    "unknown_tool": "MCP error: tools/call 'unknown_tool': Unknown tool: unknown_tool (code -32602)\n",
    "on_progress": "1 of 3\n2 of 3\n3 of 3\n",
    "socketpair": "['hello']\n",
    "stdio([": "hello\n",
    "loopback_receiver": "",
}


def printed_by(example: CodeExample) -> str | None:
    return next((printed for word, printed in PRINTED.items() if word in example.source), None)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"line {example.start_line}")
def test_example(example: CodeExample, server: ScriptedServer, capsys: pytest.CaptureFixture[str]) -> None:
    before = set(threading.enumerate())
    source = "\n" * example.start_line + example.source.replace(EXAMPLE_URL, server.url)
    exec(compile(source, str(README), "exec"), {"__name__": "__main__"})
    for thread in set(threading.enumerate()) - before:
        if not thread.daemon:
            thread.join(5)
    gc.collect()
    expected = printed_by(example)
    assert expected is not None, "say above what this example prints"
    assert capsys.readouterr().out == expected


def test_every_example_is_run() -> None:
    assert len(EXAMPLES) == TEXT.count("```python\n") >= len(PRINTED)


# ---- commands -----------------------------------------------------------------------------

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
FENCED = re.findall(r"^```(\w*)\n(.*?)^```\n", TEXT, re.MULTILINE | re.DOTALL)
INLINE = re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```\n", "", TEXT, flags=re.MULTILINE | re.DOTALL))

#: Everything that is to be typed into a shell.
SAID = [*[text for language, text in FENCED if language != "python"], *INLINE]


def test_commands_exist() -> None:
    named = [
        tuple(words)
        for line in SAID
        for words in re.findall(r"\broutermcp ([a-z]+)((?: --[a-z-]+)*)(?=[ \n]|$)", line)
    ]
    assert ("demo", "") in named
    assert ("demo", " --url") in named
    for command, options in named:
        known = {option for parameter in COMMANDS[command].params for option in parameter.opts}
        assert set(options.split()) <= known


def test_commands_listed_in_a_row_exist() -> None:
    (row,) = re.findall(r"or use (.*?)\(`routermcp -h`", TEXT, re.DOTALL)
    names = [name.removeprefix("routermcp ") for name in re.findall(r"`([^`]+)`", row)]
    assert names
    assert set(names) <= set(COMMANDS)


def test_extras_and_programs_exist() -> None:
    extras = set(re.findall(r"'\.\[([a-z,]+)\]'", TEXT))
    assert extras
    assert extras <= set(PROJECT["optional-dependencies"])
    programs = set(re.findall(r"\.venv/bin/([a-z]+)", TEXT))
    assert programs == {"pip", "routermcp", "pytest"}
    assert "routermcp" in PROJECT["scripts"]
    assert any(item.startswith("pytest>") for item in PROJECT["optional-dependencies"]["test"])


def test_variables_exist() -> None:
    source = Path(settings_module.__file__).read_text()
    named = set(re.findall(r"ROUTERMCP_[A-Z_]+", TEXT))
    assert named
    assert {name for name in named if name not in source} == set()


# ---- names -----------------------------------------------------------------------------------


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_errors_exist() -> None:
    for name in set(re.findall(r"`(\w+Error)`", TEXT)):
        assert hasattr(routermcp, name), name
        assert hasattr(routermcp.types, name), name


def test_the_map_names_modules_that_exist() -> None:
    rows = re.findall(r"^\| `([\w/]+)` \|[^|]*\|([^|]*)\|$", TEXT, re.MULTILINE)
    assert {package for package, _ in rows} == {"routermcp_proto", "adapters/routermcp_adapters", "routermcp"}
    for package, order in rows:
        folder = ROOT / package
        for name in re.findall(r"`([^`]+)`", order):
            path = name.rstrip("/")
            places = [folder / path, folder / f"{path}.py", folder / "http" / f"{path}.py"]
            assert any(place.exists() for place in places), f"{package}: {name}"

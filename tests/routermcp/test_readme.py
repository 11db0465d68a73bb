"""The README: its examples and those of the site's first pages run, its commands and names exist."""

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

#: Lines that a stranger reads.
MOST_LINES = 150

#: The server that the examples talk to.
EXAMPLE_URL = "http://127.0.0.1:8000/mcp"

PAGES = [README, ROOT / "docs" / "index.md", ROOT / "docs" / "calls.md"]
EXAMPLES = [example for example in find_examples(*map(str, PAGES)) if example.prefix == "python"]

#: A word of the code of an example, and what the example prints.
PRINTED = {
    "trio.run(main)": "add: Add two numbers.\n3\nadd: Add two numbers.\n3\n3\n",
    "unknown_tool": "MCP error: tools/call 'unknown_tool': Unknown tool: unknown_tool (code -32602)\n",
    "on_progress": "1 of 3\n2 of 3\n3 of 3\n",
    "loopback_receiver": "",
}


def printed_by(example: CodeExample) -> str | None:
    return next((printed for word, printed in PRINTED.items() if word in example.source), None)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example.path.name} {example.start_line}")
def test_example(example: CodeExample, server: ScriptedServer, capsys: pytest.CaptureFixture[str]) -> None:
    before = set(threading.enumerate())
    source = "\n" * example.start_line + example.source.replace(EXAMPLE_URL, server.url)
    exec(compile(source, str(example.path), "exec"), {"__name__": "__main__"})
    for thread in set(threading.enumerate()) - before:
        if not thread.daemon:
            thread.join(5)
    gc.collect()
    expected = printed_by(example)
    assert expected is not None, "say above what this example prints"
    assert capsys.readouterr().out == expected


def test_every_example_is_run() -> None:
    written = sum(page.read_text().count("```python\n") for page in PAGES)
    assert len(EXAMPLES) == written >= len(PRINTED)


def test_it_is_short() -> None:
    assert TEXT.count("\n") <= MOST_LINES


def test_the_figures_are_those_of_the_pages() -> None:
    rows, *short = numbers("reliability", r"Of (\d+) rows mcp falls short in (\d+) and fastmcp in (\d+)")
    assert f"| {rows} of {rows} | {rows - short[0]} | {rows - short[1]} |" in TEXT
    rows, *right = numbers("compatibility", r"Of (\d+) rows .* mcp in (\d+) and fastmcp in (\d+)")
    assert f"| {rows} of {rows} | {right[0]} | {right[1]} |" in TEXT


def numbers(page: str, sentence: str) -> list[int]:
    (found,) = re.findall(sentence, (ROOT / "docs" / f"{page}.md").read_text())
    return [int(each) for each in found]


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

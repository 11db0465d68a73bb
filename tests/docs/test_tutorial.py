"""The tutorial: what a reader pastes runs, and prints what the page shows."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest

from tests.docs.pages import EXAMPLE_URL, TUTORIAL, Terminal, blocks, steps

pytest_plugins = ["pytester"]

#: Lines of a page that one reads to its end, without empty ones.
MOST_LINES = 120

PAGES = sorted(page for page in TUTORIAL.glob("*.md") if page.stem != "index")

#: Pages with packages that the tests are not installed with: tests/docs/test_frameworks.py runs them.
ELSEWHERE = {"django", "fastapi", "notebook", "workers"}


def id_of(page: Path) -> str:
    return page.stem


@pytest.fixture
def terminal(
    url: str,
    tmp_path: Path,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Terminal:
    for name in ("ROUTERMCP_URL", "ROUTERMCP_API_KEY", "ROUTERMCP_USER_ID"):
        monkeypatch.delenv(name, raising=False)
    return Terminal(tmp_path, url, pytester, monkeypatch, capsys)


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem not in ELSEWHERE], ids=id_of)
def test_a_page_prints_what_it_shows(page: Path, terminal: Terminal) -> None:
    before = set(threading.enumerate())
    for block in blocks(page):
        if block.language == "python":
            terminal.save(block)
        elif block.language == "console":
            for command, printed in steps(block.text):
                assert terminal.run(command) == printed, command
    for thread in set(threading.enumerate()) - before:
        if not thread.daemon:
            thread.join(10)


@pytest.mark.parametrize("page", PAGES, ids=id_of)
def test_a_page_says_first_what_its_reader_will_have_and_when(page: Path) -> None:
    text = page.read_text()
    assert len([line for line in text.splitlines() if line]) <= MOST_LINES
    assert re.search(r"\bIn (?:\w+) minutes you (?:have|know)\b", text.split("\n\n")[1]), (
        "In N minutes you have ..."
    )
    assert {block.language for block in blocks(page)} <= {"python", "console", "shell", "text"}


def test_the_overview_names_every_page() -> None:
    text = (TUTORIAL / "index.md").read_text()
    assert sorted(re.findall(r"\]\(([\w-]+)\.md\)", text)) == sorted(page.stem for page in PAGES)


def test_a_page_that_prints_something_else_is_noticed(terminal: Terminal, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        f'```python\n# a.py\nprint("{EXAMPLE_URL}/mcp")\n```\n'
        "```console\n$ python a.py\nanother\n$ python a.py\n```\n"
    )
    program, console = blocks(page)
    terminal.save(program)
    assert [terminal.run(command) == printed for command, printed in steps(console.text)] == [False, False]
    assert terminal.run("python a.py") == f"{EXAMPLE_URL}/mcp\n"

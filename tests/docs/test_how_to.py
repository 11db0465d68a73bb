"""The how-to pages: their programs run, and print what the block of text below them says."""

from __future__ import annotations

import json
import re

import pytest

from routermcp.gateway.config.file import parse
from tests.docs.pages import DOCS, blocks

PAGES = sorted((DOCS / "how-to").glob("*.md"))

#: A page with packages that the tests are not installed with: test_frameworks.py runs its programs.
ELSEWHERE = {"fastapi"}

#: A program, and the block of text that follows it at once, if one does.
PROGRAM = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)

PROGRAMS = [
    pytest.param(*match.groups(), id=f"{page.stem} {text.count(chr(10), 0, match.start()) + 1}")
    for page in PAGES
    if page.stem not in ELSEWHERE
    for text in [page.read_text()]
    for match in PROGRAM.finditer(text)
]


@pytest.mark.parametrize(("program", "printed"), PROGRAMS)
def test_a_program_prints_what_the_page_says(
    program: str, printed: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    exec(compile(program, "how_to", "exec", dont_inherit=True), {"__name__": "__main__"})
    assert capsys.readouterr().out == (printed or "")


def test_the_configurations_are_ones(caplog: pytest.LogCaptureFixture) -> None:
    for page in PAGES:
        for block in blocks(page):
            if block.language == "jsonc":
                assert parse(block.text, source=page.name, environ={}).enabled_servers
            elif block.language == "json":
                json.loads(block.text)
    assert not caplog.records, "no key is unknown"


def test_a_page_says_first_what_its_reader_wants() -> None:
    for page in PAGES:
        assert page.read_text().split("\n\n")[1].startswith("**You want** "), page.name

"""The how-to pages: their programs run, and print what the block of text below them says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGES = Path(__file__).resolve().parents[2] / "docs" / "how_to"

#: A program, and the block of text that follows it at once, if one does.
PROGRAM = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)

PROGRAMS = [
    pytest.param(*match.groups(), id=f"{page.stem} {text.count(chr(10), 0, match.start()) + 1}")
    for page in sorted(PAGES.glob("*.md"))
    for text in [page.read_text()]
    for match in PROGRAM.finditer(text)
]


@pytest.mark.parametrize(("program", "printed"), PROGRAMS)
def test_a_program_prints_what_the_page_says(
    program: str, printed: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    exec(compile(program, "how_to", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out == (printed or "")

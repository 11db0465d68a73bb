"""The guide: its examples are ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = [DOCS / "oauth.md", *sorted((DOCS / "oauth").glob("*.md"))]


def examples(page: Path) -> list[str]:
    """Return the programs of a page."""
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_can_be_made(page: Path) -> None:
    assert examples(page)
    for block in examples(page):
        exec(compile(block, page.name, "exec"), {"__name__": "__main__"})

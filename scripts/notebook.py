"""Write the notebook of the tutorial, ``docs/tutorial/notebook.ipynb``, which is its page to be run.

::

    python scripts/notebook.py          write it
    python scripts/notebook.py --check  fail where it is not that of the page
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from generated_files import write_or_check

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tutorial" / "notebook.md"
NOTEBOOK = PAGE.with_suffix(".ipynb")

#: A block of code, and what it prints where a block of text follows.
_CELL = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)


def cells(page: str) -> list[dict[str, Any]]:
    """Return the cells of a page."""
    made: list[dict[str, Any]] = []
    before = 0
    for found in _CELL.finditer(page):
        made += [words(page[before : found.start()]), code(found[1], found[2])]
        before = found.end()
    made.append(words(page[before:]))
    return [{"id": f"cell-{number}", **cell} for number, cell in enumerate(made) if cell["source"]]


def words(text: str) -> dict[str, Any]:
    """Return a cell of text; the notebook does not say how it is opened."""
    text = re.sub(r"[^\n]+\n\n```shell\n.*?```\n\n", "", text, flags=re.DOTALL).strip()
    return {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}


def code(text: str, printed: str | None) -> dict[str, Any]:
    """Return a cell of code, with what it prints."""
    output = {"name": "stdout", "output_type": "stream", "text": (printed or "").splitlines(keepends=True)}
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [output] if printed else [],
        "source": text.rstrip().splitlines(keepends=True),
    }


def notebook() -> str:
    """Return the notebook as its file has it."""
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    document = {
        "cells": cells(PAGE.read_text()),
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Write the notebook, or compare it; return the exit code."""
    return write_or_check(NOTEBOOK.parent, {NOTEBOOK.name: notebook()})


if __name__ == "__main__":
    sys.exit(main())

"""Each line of the threat table has a test, and the test exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "security.md"

#: The columns of the table: threat, source, defence, tests.
COLUMNS = 4

_TEST = re.compile(r"`(tests/[a-z0-9_/]+\.py)(?:::(\w+))?`")


def threats(page: str) -> list[str]:
    """Return the lines of the table, without its head."""
    table = page.partition("## Threats and defences")[2].partition("\n## ")[0]
    return [line for line in table.splitlines() if line.startswith("|")][2:]


def missing(line: str) -> list[str]:
    """Return what a line of the table lacks."""
    cells = line.strip("|").split(" | ")
    tests = _TEST.findall(cells[-1])
    found = [] if len(cells) == COLUMNS and tests else [f"no test: {line[:60]}"]
    for path, name in tests:
        file = ROOT / path
        if not file.is_file() or (name and f"def {name}(" not in file.read_text()):
            found.append(f"{path}::{name}")
    return found


@pytest.mark.parametrize("line", threats(PAGE.read_text()), ids=lambda line: line.split("|")[1].strip()[:40])
def test_a_threat_has_its_test(line: str) -> None:
    assert missing(line) == []


@pytest.mark.parametrize(
    "line",
    [
        "| a | b | c | none |",
        "| a | b | c | `tests/structure/test_no_such_file.py::test_a` |",
        "| a | b | c | `tests/structure/test_security_page.py::test_no_such_test` |",
        "| a | b | `tests/structure/test_security_page.py` |",
    ],
)
def test_a_threat_without_a_test_is_noticed(line: str) -> None:
    assert len(missing(line)) == 1


def test_the_table_is_found() -> None:
    assert len(threats(PAGE.read_text())) > 20

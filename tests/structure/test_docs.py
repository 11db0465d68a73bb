"""The documents name files and point to pages that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.structure.imports import ROOT

PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]

#: A file or folder of the source in a code span, as the pages write it.
NAMED = re.compile(r"`((?:routermcp\w*|adapters|tests|scripts|benchmarks)/(?:[\w./]*(?:\.py|/))?)`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def missing(page: Path) -> list[str]:
    """Return what a page names and points to that does not exist."""
    text = page.read_text()
    named = [
        name
        for name in NAMED.findall(text)
        if not any((root / name).exists() for root in (ROOT, ROOT / "adapters"))
    ]
    return named + [link for link in LINK.findall(text) if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_names_what_exists(page: Path) -> None:
    assert missing(page) == []


def test_a_missing_file_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("`routermcp/nowhere.py` and [a page](nowhere.md), but `routermcp/types.py`")
    assert missing(page) == ["routermcp/nowhere.py", "nowhere.md"]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "glossary" not in page.name], ids=lambda page: page.stem
)
def test_an_era_is_explained_where_it_is_first_met(page: Path) -> None:
    mentioned = re.search(r"\beras?\b(?!-).*", page.read_text())
    assert not mentioned or "glossary.md#" in page.read_text()[: mentioned.end()]


def test_the_order_of_reading_names_modules_that_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text().partition("## Where to begin to read")[2]
    rows = re.findall(r"^\| `([\w/]+)` \|[^|]*\|([^|]*)\|$", text, re.MULTILINE)
    assert {package for package, _ in rows} == {"routermcp_proto", "adapters/routermcp_adapters", "routermcp"}
    for package, order in rows:
        folder = ROOT / package
        for name in re.findall(r"`([^`]+)`", order):
            path = name.rstrip("/")
            places = [folder / path, folder / f"{path}.py", folder / "http" / f"{path}.py"]
            assert any(place.exists() for place in places), f"{package}: {name}"

"""The documentation site has every page, and its reference every public name."""

from __future__ import annotations

import importlib
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.structure.imports import ROOT

DOCS = ROOT / "docs"
NAVIGATION: list[Any] = tomllib.loads((DOCS / "zensical.toml").read_text())["project"]["nav"]

#: Pages of the root, under their names on the site.
FROM_THE_ROOT = {"changelog.md", "contributing.md", "reporting.md"}

PUBLIC = [
    "routermcp",
    "routermcp.gateway",
    "routermcp.oauth",
    "routermcp.testing",
    "routermcp.transports",
    "routermcp.types",
    "routermcp_proto",
]


def paths(navigation: list[Any]) -> Iterator[str]:
    """Yield the page of each entry."""
    for entry in navigation:
        target = entry if isinstance(entry, str) else next(iter(entry.values()))
        yield from paths(target) if isinstance(target, list) else [target]


def test_the_navigation_has_every_page_once() -> None:
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    assert sorted(paths(NAVIGATION)) == sorted(pages | FROM_THE_ROOT)


@pytest.mark.parametrize("package", PUBLIC)
def test_the_reference_has_every_public_name(package: str) -> None:
    texts = "\n".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    shown = {path.rpartition(".")[2] for path in re.findall(r"^::: (routermcp[\w.]*)$", texts, re.MULTILINE)}
    names = {name for name in importlib.import_module(package).__all__ if not name.startswith("_")}
    modules = {"calls"}  # a module of functions that its package names
    assert names - shown - modules == set()

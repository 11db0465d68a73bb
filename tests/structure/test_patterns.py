"""Regular expressions are written by us: none is made of what a peer or a file said."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("routermcp_proto", "routermcp", "adapters")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
FUNCTIONS = {"compile", "match", "search", "fullmatch", "sub", "subn", "split", "findall", "finditer"}


def patterns(tree: ast.Module) -> list[ast.expr]:
    return [
        node.args[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and node.func.attr in FUNCTIONS
        and node.args
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_pattern_is_a_literal(path: Path) -> None:
    found = [ast.unparse(each) for each in patterns(ast.parse(path.read_text()))]
    made = [each for each in found if not isinstance(ast.parse(each, mode="eval").body, ast.Constant)]
    assert not made


def test_a_pattern_that_is_made_is_found() -> None:
    (made,) = patterns(ast.parse("import re\nre.compile('|'.join(words))"))
    assert not isinstance(made, ast.Constant)

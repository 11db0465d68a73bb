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


def is_literal(pattern: ast.expr) -> bool:
    """Whether a pattern is a text of the source, or made of constants of its module."""
    if isinstance(pattern, ast.JoinedStr):
        parts = [each.value for each in pattern.values if isinstance(each, ast.FormattedValue)]
        return all(isinstance(part, ast.Name) and part.id.isupper() for part in parts)
    return isinstance(pattern, ast.Constant)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_pattern_is_a_literal(path: Path) -> None:
    made = [ast.unparse(each) for each in patterns(ast.parse(path.read_text())) if not is_literal(each)]
    assert not made


@pytest.mark.parametrize("made", ["'|'.join(words)", "f'{word}'", "words", "re.escape(word)", "'a' + word"])
def test_a_pattern_that_is_made_is_found(made: str) -> None:
    (pattern,) = patterns(ast.parse(f"import re\nre.compile({made})"))
    assert not is_literal(pattern)

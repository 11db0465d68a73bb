"""Numbers are read from a peer's text by one module, which bounds them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.structure.imports import PACKAGES, ROOT

FILES = sorted(path for folder in PACKAGES.values() for path in folder.rglob("*.py"))

#: The module that reads them.
READER = "routermcp_proto/http/numbers.py"

#: Conversions elsewhere that need no bound, by their file, with the reason.
BOUNDED = {
    ("adapters/routermcp_adapters/streams/session.py", "int(is_open)"): "a boolean of ours",
    ("routermcp/gateway/sessions/redis_records.py", "int(streams)"): "a boolean of ours",
    ("routermcp/oauth/stores/file.py", "int(match[1], 16)"): "two digits, by its pattern",
    ("routermcp/oauth/stores/sql.py", "int(times.silent)"): "a setting",
    ("routermcp_proto/http/fast_reader.py", "int(match[1])"): "a status of three digits, by its pattern",
    ("routermcp_proto/http/fast_reader.py", "int(size[1], 16)"): "a chunk's size, bounded by its pattern",
    ("routermcp_proto/http/fast_reader.py", "int(value)"): "on the way of every call; its digits are counted",
    ("routermcp_proto/http/header_values.py", "int(value)"): "a double that is whole",
    ("routermcp_proto/jsonrpc.py", "int(found[1])"): "18 digits, by its pattern",
    (
        "routermcp_proto/jsonrpc.py",
        "int(value)",
    ): "a double that is whole, or a text whose digits are counted",
    ("routermcp_proto/oauth/dpop.py", "int(self._clock())"): "the time",
    ("routermcp_proto/oauth/tokens.py", "int(self.clock())"): "the time",
    ("routermcp_proto/oauth/urls.py", "int(address)"): "an address that is parsed",
    ("routermcp_proto/redaction.py", "int(escape[2:], 16)"): "an escape of four digits",
    ("routermcp_proto/redaction.py", "int(digits.lstrip('x'), base)"): "10 digits, by its pattern",
}

ARITHMETIC = (ast.Constant, ast.BinOp, ast.BoolOp, ast.Compare)


def conversions(tree: ast.Module) -> Iterator[str]:
    """Yield the calls of ``int`` and ``float`` whose argument is neither a literal nor arithmetic."""
    for node in ast.walk(tree):
        named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id
        if named in ("int", "float") and not isinstance(node.args[0], ARITHMETIC):  # type: ignore[attr-defined]
            yield ast.unparse(node)


def test_no_other_module_makes_a_number_of_a_text() -> None:
    found = {
        (path.relative_to(ROOT).as_posix(), call)
        for path in FILES
        for call in conversions(ast.parse(path.read_text()))
        if path != ROOT / READER and "_sync" not in path.parts
    }
    assert found == set(BOUNDED)


@pytest.mark.parametrize(
    "call", ["int(head.get('Content-Length'))", "float(text)", "int(text, 16)", "int(m[1])"]
)
def test_a_conversion_is_found(call: str) -> None:
    assert list(conversions(ast.parse(f"def read():\n    return {call}"))) == [call]
    assert list(conversions(ast.parse("int(seconds * 1000), float('inf'), int(value is None)"))) == []

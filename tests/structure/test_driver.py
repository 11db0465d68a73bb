"""What the shape of the adapters promises: one driver, and nothing awaited on the way out."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "adapters" / "routermcp_adapters"
FILES = sorted(FOLDER.rglob("*.py"))


def place(path: Path) -> str:
    return path.relative_to(FOLDER).as_posix()


#: Where runtimes are named: they themselves and what they are made of, and the use of httpx.
OF_RUNTIMES = (
    *("runtimes/", "runtime.py", "concurrency/threads.py", "streams/pipe_threads.py"),
    *("http/connect.py", "http/httpx.py"),
)

#: The driver and its parts, which is all the rest: one text for all runtimes.
DRIVER = [path for path in FILES if not place(path).startswith(OF_RUNTIMES)]
RUNTIMES = {"asyncio", "trio", "anyio", "time", "select", "socket", "httpx"}


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize("path", DRIVER, ids=place)
def test_the_driver_imports_no_runtime(path: Path) -> None:
    assert not set(imported(parse(path))) & RUNTIMES


@pytest.mark.parametrize("path", DRIVER, ids=place)
def test_the_driver_locks_but_starts_no_threads(path: Path) -> None:
    used = {node.attr for node in ast.walk(parse(path)) if is_of_threading(node)}
    assert used <= {"Lock", "RLock"}


def is_of_threading(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "threading"
    )


def awaits(node: ast.AST, *, shielded: bool = False) -> Iterator[ast.Await]:
    """Find what is awaited outside a shield, without entering inner functions."""
    if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef | ast.Lambda):
        return
    if isinstance(node, ast.AsyncWith):
        shielded = shielded or any("shield(" in ast.unparse(item.context_expr) for item in node.items)
    if isinstance(node, ast.Await) and not shielded:
        yield node
    for child in ast.iter_child_nodes(node):
        yield from awaits(child, shielded=shielded)


#: Methods that shield what they await themselves, so that they may be awaited on the way out.
LAST_WORDS = ("self._give_up(",)


@pytest.mark.parametrize("path", FILES, ids=place)
def test_nothing_is_awaited_on_the_way_out(path: Path) -> None:
    for node in ast.walk(parse(path)):
        if not isinstance(node, ast.Try):
            continue
        for handler in node.handlers:
            if handler.type is not None and "BaseException" not in ast.unparse(handler.type):
                continue
            found = [ast.unparse(item.value) for statement in handler.body for item in awaits(statement)]
            assert all(call.startswith(LAST_WORDS) for call in found), found
        found = [ast.unparse(item.value) for statement in node.finalbody for item in awaits(statement)]
        assert not found, found


def test_last_words_are_shielded() -> None:
    names = {call.removeprefix("self.").removesuffix("(") for call in LAST_WORDS}
    methods = [
        node
        for path in FILES
        for node in ast.walk(parse(path))
        if isinstance(node, ast.AsyncFunctionDef) and node.name in names
    ]
    assert {method.name for method in methods} == names
    assert not [item for method in methods for statement in method.body for item in awaits(statement)]


@pytest.mark.parametrize("path", FILES, ids=place)
def test_who_catches_everything_raises_it_again(path: Path) -> None:
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.ExceptHandler) and "BaseException" in ast.unparse(
            node.type or ast.Constant("")
        ):
            raises = [inner for inner in ast.walk(node) if isinstance(inner, ast.Raise)]
            reports = "noqa: BLE001" in path.read_text() and path.name == "threads.py"
            assert raises or reports, ast.unparse(node)


@pytest.mark.parametrize("path", FILES, ids=place)
def test_no_method_of_mcp_is_named(path: Path) -> None:
    texts = {
        n.value for n in ast.walk(parse(path)) if isinstance(n, ast.Constant) and isinstance(n.value, str)
    }
    assert not {
        text for text in texts if text.startswith(("tools/", "resources/", "prompts/", "notifications/"))
    }

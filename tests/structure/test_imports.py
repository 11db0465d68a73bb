"""What each package may import, and who may move a state."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: Modules by which code touches the world, a clock, chance or other threads.
IMPURE = frozenset(
    [
        "anyio",
        "asyncio",
        "concurrent",
        "ctypes",
        "http",
        "httpcore",
        "httpx",
        "io",
        "logging",
        "multiprocessing",
        "os",
        "pathlib",
        "queue",
        "random",
        "secrets",
        "select",
        "selectors",
        "shutil",
        "signal",
        "sniffio",
        "socket",
        "ssl",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "time",
        "trio",
        "uuid",
        "warnings",
    ]
)

PROTO = sorted((ROOT / "routermcp_proto").rglob("*.py"))
ADAPTERS = sorted((ROOT / "adapters" / "routermcp_adapters").rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Name the top-level modules that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize("path", PROTO, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_core_touches_nothing(path: Path) -> None:
    assert not set(imported(path)) & (IMPURE | {"routermcp", "routermcp_adapters"})


@pytest.mark.parametrize("path", ADAPTERS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_adapters_do_not_know_the_clients(path: Path) -> None:
    assert "routermcp" not in set(imported(path))


def test_there_is_something_to_look_at() -> None:
    assert len(PROTO) > 30
    assert len(ADAPTERS) > 10


@pytest.mark.parametrize("path", PROTO, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_only_the_tables_move_a_state(path: Path) -> None:
    """A state is assigned its first value, or what ``next_session_state`` and its twin return."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            if isinstance(target, ast.Attribute) and target.attr in ("state", "_state"):
                value = ast.unparse(node.value)
                assert value == "SessionState.NEW" or value.startswith(
                    ("next_session_state(", "next_request_state(")
                )

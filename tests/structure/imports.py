"""The graph of imports among the modules of the three packages, as the tests look at it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: The packages by name, each with its folder.
PACKAGES = {
    "routermcp_proto": ROOT / "routermcp_proto",
    "routermcp_adapters": ROOT / "adapters" / "routermcp_adapters",
    "routermcp": ROOT / "routermcp",
}


@dataclass(frozen=True)
class Import:
    """One name that a module imports, or a whole module."""

    importer: str
    """Dotted name of the module that imports."""

    module: str
    """Dotted name of the imported module, or of the one that holds the name."""

    name: str
    """The imported name; empty for a whole module."""

    line: int

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.name or 'the module'} of {self.module}"


def module_name(path: Path, packages: dict[str, Path]) -> str:
    """Return a file's dotted name."""
    for package, folder in packages.items():
        if path.is_relative_to(folder):
            parts = path.relative_to(folder).with_suffix("").parts
            return ".".join((package, *(part for part in parts if part != "__init__")))
    raise ValueError(path)


def files(packages: dict[str, Path]) -> dict[str, Path]:
    """Return the files of packages by dotted name, those of sub-folders too."""
    return {
        module_name(path, packages): path
        for folder in packages.values()
        for path in sorted(folder.rglob("*.py"))
    }


def imports(packages: dict[str, Path]) -> list[Import]:
    """Return what the packages import of each other, wherever in a module the import stands."""
    modules = files(packages)
    return [found for name, path in modules.items() for found in _imports_of(name, path, modules)]


@cache
def own_imports() -> list[Import]:
    """Return the imports of the source."""
    return imports(PACKAGES)


def _imports_of(importer: str, path: Path, modules: dict[str, Path]) -> Iterator[Import]:
    parent = importer if path.name == "__init__.py" else importer.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in modules:
                    yield Import(importer, alias.name, "", node.lineno)
        elif isinstance(node, ast.ImportFrom):
            above = parent.split(".")[: len(parent.split(".")) - (node.level - 1)] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                if f"{base}.{alias.name}" in modules:
                    yield Import(importer, f"{base}.{alias.name}", "", node.lineno)
                elif base in modules:
                    yield Import(importer, base, alias.name, node.lineno)


def circles(edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Return the groups of nodes that reach each other, by Tarjan's algorithm."""
    below: dict[str, set[str]] = {}
    for start, end in edges:
        below.setdefault(start, set()).add(end)
        below.setdefault(end, set())
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for next_node in sorted(below[node]):
            if next_node not in order:
                visit(next_node)
                low[node] = min(low[node], low[next_node])
            elif next_node in stack:
                low[node] = min(low[node], order[next_node])
        if low[node] == order[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1 or node in below[node]:
                found.append(sorted(group))

    for node in sorted(below):
        if node not in order:
            visit(node)
    return found

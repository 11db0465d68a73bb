"""Checks the dependencies: each one declared is used, each one used is declared, each licence is known.

::

    .venv/bin/python scripts/dependencies.py

What only tests and development need is left out.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    "routermcp_proto",
    "routermcp",
    "routermcp_cli",
    "routermcp_pytest",
    "adapters/routermcp_adapters",
)
OWN = frozenset(path.rpartition("/")[2] for path in PACKAGES)

#: Extras for tests and development, and those that put others together.
NOT_OURS = frozenset({"test", "dev", "all"})

#: Dependencies that no line imports, and why they are declared.
NOT_IMPORTED = {
    "httptools": "uvicorn reads requests with it where it is installed",
    "uvloop": "uvicorn runs on it where it is installed",
    "psycopg": "SQLAlchemy reaches PostgreSQL with it",
    "mcp-server-git": "a server that the demo starts",
    "mcp-server-time": "a server that the demo starts",
}

#: Imports that no dependency declares, and why they may be missing.
NOT_DECLARED = {
    "anyio": "httpx depends on it",
    "certifi": "httpx depends on it",
    "httpx2": "a client of it that the user brings is taken, and it serves proxies where httpx is not there",
    "pydantic_core": "pydantic is made of it",
    "pytest": "routermcp.testing is used from tests, which have it",
    "starlette": "the types of ASGI applications only",
}

#: Words of licences under which a program of any kind may use a library.
LICENCES = re.compile(
    r"\b(MIT|BSD|Apache|ISC|PSF|Python Software Foundation|LGPL|MPL|Mozilla|Unlicense|0BSD)\b",
    re.IGNORECASE,
)


def declared() -> set[str]:
    """Return the names of the declared distributions."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].items()
    lines = [
        *project["dependencies"],
        *(line for extra, each in extras if extra not in NOT_OURS for line in each),
    ]
    return {normal(line) for line in lines} - {"routermcp"}


def normal(requirement: str) -> str:
    """Return the name of a distribution in a requirement, in the form in which names are compared."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    return re.sub(r"[-_.]+", "-", name[0]).lower() if name else ""


def imported() -> set[str]:
    """Return the top-level modules that the packages import, without their own and the standard ones."""
    found: set[str] = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    found.update(alias.name.partition(".")[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                    found.add(node.module.partition(".")[0])
    return found - OWN - sys.stdlib_module_names


def closure(names: set[str]) -> set[str]:
    """Return distributions and, of those that are installed, all that they need here."""
    known: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in known:
            continue
        known.add(name)
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        todo += [normal(line) for line in needs if "extra ==" not in line]
    return known


def licence_of(name: str) -> str | None:
    """Return what a distribution says of its licence, None where it is not installed."""
    try:
        about = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return None
    said = [about.get("License-Expression"), (about.get("License") or "")[:80]]
    said += [line for line in about.get_all("Classifier") or [] if line.startswith("License")]
    return "; ".join(text for text in said if text)


def problems() -> Iterator[str]:
    """Yield what is wrong."""
    wanted, used = declared(), imported()
    homes = {
        module: {normal(name) for name in names}
        for module, names in metadata.packages_distributions().items()
    }
    for module in used - homes.keys():
        homes[module] = {normal(module)}  # not installed here: most have one name for both
    provided = {name for module in used for name in homes[module]}
    yield from (
        f"{name} is declared, and nothing imports it" for name in wanted - provided - NOT_IMPORTED.keys()
    )
    for module in used - NOT_DECLARED.keys():
        if not homes[module] & wanted:
            yield f"{module} is imported, and no dependency declares it"
    yield from (f"{name} need not be excused any more" for name in NOT_IMPORTED.keys() & provided)
    for name in closure(wanted):
        licence = licence_of(name)
        if licence is not None and not LICENCES.search(licence):
            yield f"{name} has the licence {licence or 'unknown'!r}"


def main() -> int:
    """Print what is wrong and return the exit code."""
    found = sorted(problems())
    print("\n".join(found) or "the dependencies are in order")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

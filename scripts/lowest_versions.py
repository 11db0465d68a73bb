"""Print constraints that install the lowest versions that pyproject.toml allows.

``pip install -c`` takes them: what a user with an old lock file has is tested too, and a floor with
which nothing can be installed is found.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

#: The extras whose packages are part of what users install.
EXTRAS = ("trio", "cli", "gateway", "oauth", "keyring", "metrics")

_FLOOR = re.compile(r"([A-Za-z0-9_.-]+)(?:\[[^]]*\])?>=([0-9.]+)")


def floors(project: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the packages of the project and of its extras, each with its lowest version."""
    extras = project["optional-dependencies"]
    for requirement in [*project["dependencies"], *(each for extra in EXTRAS for each in extras[extra])]:
        found = _FLOOR.match(requirement)
        if found is None:
            raise SystemExit(f"{requirement!r} has no lowest version")
        yield found[1].lower(), found[2]


def main() -> int:
    """Print one constraint a line."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    print(*sorted({f"{name}=={version}" for name, version in floors(project)}), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What the pages have in common that put this project's client beside those of other packages.

The others run in an environment of their own (:mod:`row_processes`). What was found is kept in a JSON file
beside the page, with the versions and the date.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from row_processes import Finding

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "adapters")]

from tests.third_party import FASTMCP_REQUIREMENT, MCP_REQUIREMENT, python_environment  # noqa: E402

OTHERS = ("mcp", "fastmcp")


@dataclass(frozen=True)
class Comparison:
    """One page.

    Attributes:
        page: The page.
        probe: A program that is called with the name of a client and of rows, and prints their findings.
    """

    page: Path
    probe: Path

    @property
    def _file(self) -> Path:
        return self.page.with_suffix(".json")

    def measure(self, rows: Sequence[str]) -> None:
        """Run rows with the other clients, and keep what was found."""
        found = self.run(rows)
        kept = {
            "versions": [MCP_REQUIREMENT, FASTMCP_REQUIREMENT],
            "date": datetime.now(UTC).date().isoformat(),
            "rows": {row: {client: found[client][row] for client in OTHERS} for row in rows},
        }
        self._file.write_text(json.dumps(kept, indent=1) + "\n")

    def run(self, rows: Sequence[str]) -> dict[str, dict[str, Finding]]:
        """Run rows with the other clients, side by side, and return what was found by client and row."""
        python = python_environment(FASTMCP_REQUIREMENT, MCP_REQUIREMENT)
        with ThreadPoolExecutor(len(OTHERS)) as threads:
            found = threads.map(lambda client: self._measured(python, client, rows), OTHERS)
            return dict(zip(OTHERS, found, strict=True))

    def _measured(self, python: Path, client: str, rows: Sequence[str]) -> dict[str, Finding]:
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [str(python), str(self.probe), client, *rows]
        found: dict[str, Finding] = {}
        with subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as probe:
            assert probe.stdout is not None
            for line in probe.stdout:
                row, found[row] = json.loads(line)
                print(client, row, found[row], flush=True)
        return found

    def found(self, client: str, row: str) -> Finding | None:
        """Return what became of a row with another client, None where it was not measured."""
        return self._kept()["rows"].get(row, {}).get(client)

    def versions(self) -> str:
        """Say what the other clients were, and when they were measured."""
        kept = self._kept()
        return f"{' and '.join(kept['versions'])}, measured on {kept['date']}"

    def _kept(self) -> dict[str, Any]:
        return json.loads(self._file.read_text())

    def write(self, text: Callable[[], str]) -> None:
        """Write the page, or with ``--check`` on the command line, end where it is not this text."""
        if "--check" not in sys.argv:
            self.page.write_text(text())
        elif self.page.read_text() != text():
            program = Path(sys.argv[0]).name
            raise SystemExit(f"docs/{self.page.name} is stale: run scripts/{program}")


def cell(text: str) -> str:
    """Return a text as it can stand in a table."""
    return text.replace("|", "/").replace("<", "&lt;")

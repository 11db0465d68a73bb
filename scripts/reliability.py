"""Write docs/reliability.md: the fault table, beside what other clients make of the same rows.

Usage::

    python scripts/reliability.py             write the page from the table and docs/reliability.json
    python scripts/reliability.py --measure   run the rows against the other clients first
    python scripts/reliability.py --check     fail if the page is not what would be written
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "adapters")]

from tests.faults.rows import ROWS, TIMEOUT, Row  # noqa: E402
from tests.third_party import FASTMCP_REQUIREMENT, MCP_REQUIREMENT, python_environment  # noqa: E402

PAGE = ROOT / "docs" / "reliability.md"
FOUND = ROOT / "docs" / "reliability.json"
OTHERS = ("mcp", "fastmcp")

#: Seconds for one row in a process of its own.
ROW_SECONDS = 30

HEAD = f"""# What happens when things go wrong

One `tools/call` to a server that misbehaves in each of these ways: what the caller of routermcp
gets, on asyncio, on trio and in blocking code alike, and how often the server has executed the tool.
After each row the same client makes a good call, and nothing is left behind. `tests/faults` runs
all of it.

Beside it stands what became of the same row with {MCP_REQUIREMENT} and {FASTMCP_REQUIREMENT}, judged
leniently: any error or a right result in time (5 s; {TIMEOUT} ms for rows in which the server is silent,
where the caller gives up) and a good call afterwards is **ok**. Measured with
`scripts/reliability.py --measure`, each row in a process of its own on loopback, on asyncio, with the
clients' default settings. routermcp was told not to retry here; what it repeats is in the README.

| the server | routermcp | executed | mcp | fastmcp |
|---|---|---|---|---|
"""


def measure() -> None:
    """Run all rows against the other clients."""
    python = python_environment(FASTMCP_REQUIREMENT, MCP_REQUIREMENT)
    found: dict[str, dict[str, Any]] = {}
    for row in ROWS:
        found[row.name] = {kind: measured(str(python), kind, row) for kind in OTHERS}
        print(row.name, found[row.name], flush=True)
    FOUND.write_text(json.dumps(found, indent=1) + "\n")


def measured(python: str, kind: str, row: Row) -> dict[str, Any]:
    """Run one row against one client."""
    command = [python, str(ROOT / "scripts" / "reliability_probe.py"), kind, row.name]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=ROW_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return {"outcome": "no end", "usable": False}
    lines = done.stdout.splitlines()
    return json.loads(lines[-1]) if lines else {"outcome": "the process died", "usable": False}


def page() -> str:
    """Return the page."""
    found: dict[str, dict[str, Any]] = json.loads(FOUND.read_text())
    lines = [
        f"| {row.name} | {ours(row)} | {row.executed} | "
        + " | ".join(theirs(row, found.get(row.name, {}).get(kind)) for kind in OTHERS)
        + " |\n"
        for row in ROWS
    ]
    short = {kind: sum(not is_ok(row, found.get(row.name, {}).get(kind)) for row in ROWS) for kind in OTHERS}
    fall = f"Of {len(ROWS)} rows mcp falls short in {short['mcp']} and fastmcp in {short['fastmcp']}.\n"
    return HEAD + "".join(lines) + "\n" + fall


def ours(row: Row) -> str:
    """Say what the caller gets."""
    if not row.code:
        return "the result"
    kind = row.code if row.code[0].isupper() else f'TransportError `code="{row.code}"`'
    wait = f", `retry_after={row.retry_after:g}`" if row.retry_after is not None else ""
    return kind + wait


def is_ok(row: Row, found: dict[str, Any] | None) -> bool:
    """Judge leniently."""
    if found is None or not found["usable"]:
        return False
    return found["outcome"] != "given up" or row.silent


def theirs(row: Row, found: dict[str, Any] | None) -> str:
    """Say what became of the row with another client."""
    if found is None:
        return "not measured"
    what = str(found["outcome"]).replace("|", "/")
    if is_ok(row, found):
        return f"ok: {what}"
    return f"**{what}**" + ("" if found["usable"] else ", unusable afterwards")


def main() -> None:
    """Do what the command line says."""
    if "--measure" in sys.argv:
        measure()
    if "--check" in sys.argv:
        if PAGE.read_text() != page():
            raise SystemExit("docs/reliability.md is stale: run scripts/reliability.py")
        return
    PAGE.write_text(page())


if __name__ == "__main__":
    main()

"""Write docs/reliability.md: the fault table, beside what other clients make of the same rows.

Usage::

    python scripts/reliability.py             write the page from the table and docs/reliability.json
    python scripts/reliability.py --measure   run the rows against the other clients first
    python scripts/reliability.py --check     fail if the page is not what would be written
"""

from __future__ import annotations

import sys

from comparison import OTHERS, ROOT, Comparison, cell
from row_processes import Finding

from tests.faults.rows import ROWS, TIMEOUT, Row

COMPARISON = Comparison(
    page=ROOT / "docs" / "reliability.md",
    probe=ROOT / "scripts" / "reliability_probe.py",
)

HEAD = f"""# What happens when things go wrong

One `tools/call` to a server that misbehaves in each of these ways: what the caller of routermcp
gets, on asyncio, on trio and in blocking code alike, and how often the server has executed the tool.
After each row the same client makes a good call, and nothing is left behind. `tests/faults` runs
all of it.

Beside it stands what became of the same row with {COMPARISON.versions()}, judged
leniently: any error or a right result in time (5 s; {TIMEOUT} ms for rows in which the server is silent,
where the caller gives up) and a good call afterwards is **ok**. Measured with
`scripts/reliability.py --measure`, each row in a process of its own on loopback, on asyncio, with the
clients' default settings. routermcp was told not to retry here; what it repeats is in
[Errors and retries](how-to/errors.md#what-is-repeated).

| the server | routermcp | executed | mcp | fastmcp |
|---|---|---|---|---|
"""


def page() -> str:
    """Return the page."""
    lines = [
        f"| {row.name} | {ours(row)} | {row.executed} | "
        + " | ".join(theirs(row, COMPARISON.found(kind, row.name)) for kind in OTHERS)
        + " |\n"
        for row in ROWS
    ]
    short = {kind: sum(not is_ok(row, COMPARISON.found(kind, row.name)) for row in ROWS) for kind in OTHERS}
    fall = f"Of {len(ROWS)} rows mcp falls short in {short['mcp']} and fastmcp in {short['fastmcp']}.\n"
    return HEAD + "".join(lines) + "\n" + fall


def ours(row: Row) -> str:
    """Say what the caller gets."""
    if not row.code:
        return "the result"
    kind = row.code if row.code[0].isupper() else f'TransportError `code="{row.code}"`'
    wait = f", `retry_after={row.retry_after:g}`" if row.retry_after is not None else ""
    return kind + wait


def is_ok(row: Row, found: Finding | None) -> bool:
    """Judge leniently."""
    if found is None or not found["usable"]:
        return False
    return found["outcome"] != "given up" or row.silent


def theirs(row: Row, found: Finding | None) -> str:
    """Say what became of the row with another client."""
    if found is None:
        return "not measured"
    what = cell(found["outcome"])
    if is_ok(row, found):
        return f"ok: {what}"
    return f"**{what}**" + ("" if found["usable"] else ", unusable afterwards")


def main() -> None:
    """Do what the command line says."""
    if "--measure" in sys.argv:
        COMPARISON.measure([row.name for row in ROWS])
    COMPARISON.write(page)


if __name__ == "__main__":
    main()

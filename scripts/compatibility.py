"""Write docs/compatibility.md: what public bug reports are about, and what becomes of it with each client.

Usage::

    python scripts/compatibility.py             write the page from the rows and docs/compatibility.json
    python scripts/compatibility.py --measure   run the rows with the other clients first
    python scripts/compatibility.py --check     run the rows with this project's client, and fail where
                                                one is not right or the page is not what would be written
    python scripts/compatibility.py --long      with --check: the rows too in which a client waits on purpose
"""

from __future__ import annotations

import asyncio
import logging
import sys

from comparison import OTHERS, ROOT, Comparison, cell
from compatibility_probe import PATIENCE, finding
from row_processes import Finding

from tests.compatibility.clients import CLIENTS
from tests.compatibility.kinds import KINDS
from tests.compatibility.rows import Kind, Row

ROWS = [row for kind in KINDS for row in kind.rows]

COMPARISON = Comparison(
    page=ROOT / "docs" / "compatibility.md",
    probe=ROOT / "scripts" / "compatibility_probe.py",
)

#: Rows that are checked at once: some wait for seconds on purpose, the others take milliseconds.
AT_ONCE = 16

#: What an outcome of another client is called on the page.
WORDS = {
    "right": "the same",
    "wrong": "**wrong**",
    "error": "**error**",
    "exception": "**exception**",
    "hang": "**no end**",
    "not offered": "not offered",
}


def head() -> str:
    """Return the beginning of the page."""
    return f"""# Servers and programs as they are

What people have reported about MCP clients, in public: the input, and what a user gets. CI runs the column
of routermcp (`scripts/compatibility.py --check`, on asyncio; the tests have the kinds on trio and in
blocking code too). Beside it stands what became of the same input with
{COMPARISON.versions()}
(`scripts/compatibility.py --measure`): each row in a process of its own on loopback, on asyncio, with the
client's default settings and used as its documentation says.

**Wrong** is another value than a user wants; an **error** is one of the client's own kind, an **exception**
any other; **no end** means that nothing had come after {PATIENCE:.0f} seconds. "Not offered" is no fault.
A row without a report is another member of its kind. Windows is not measured here.

{totals()}
"""


def totals() -> str:
    """Return how many rows are right."""
    counts = [f"{name} in {sum(is_right(name, row) for row in ROWS)}" for name in OTHERS]
    return f"Of {len(ROWS)} rows routermcp is right in all, {' and '.join(counts)}."


def is_right(client: str, row: Row) -> bool:
    """Return whether another client gives what is wanted."""
    found = COMPARISON.found(client, row.name)
    return found is not None and found["outcome"] == "right"


def page() -> str:
    """Return the page."""
    return head() + "".join(section(kind) for kind in KINDS)


def section(kind: Kind) -> str:
    """Return one kind as a table."""
    top = f"\n## {kind.title}\n\n| input | reported in | routermcp | mcp | fastmcp |\n|---|---|---|---|---|\n"
    return top + "".join(line(row) for row in kind.rows)


def line(row: Row) -> str:
    """Return a row of a table."""
    others = [told(COMPARISON.found(client, row.name)) for client in OTHERS]
    return f"| {' | '.join([row.name, ', '.join(map(link, row.reports)), row.gets, *others])} |\n"


def link(report: str) -> str:
    """Return the link of a report."""
    repository, _, number = report.partition("#")
    return f"[{report}](https://github.com/{repository}/issues/{number})"


def told(found: Finding | None) -> str:
    """Say what became of a row with another client."""
    if found is None:
        return "not measured"
    outcome = found["outcome"]
    what = WORDS.get(outcome, outcome)
    return what if outcome == "right" or not found["detail"] else f"{what}: {cell(found['detail'])}"


async def check(rows: list[Row]) -> list[str]:
    """Run rows with this project's client, some at once, and return what is not right."""
    ours, places = CLIENTS["routermcp"], asyncio.Semaphore(AT_ONCE)

    async def run(row: Row) -> Finding:
        async with places:
            return await finding(ours, row)

    found = await asyncio.gather(*map(run, rows))
    return [
        f"{row.name}: {each['outcome']} {each['detail']}"
        for row, each in zip(rows, found, strict=True)
        if each["outcome"] != "right"
    ]


def main() -> None:
    """Do what the command line says."""
    if "--measure" in sys.argv:
        COMPARISON.measure([row.name for row in ROWS])
    if "--check" in sys.argv:
        logging.disable()
        wrong = asyncio.run(check([row for row in ROWS if not row.is_long or "--long" in sys.argv]))
        if wrong:
            raise SystemExit("\n".join(["routermcp is not right in:", *wrong]))
    COMPARISON.write(page)


if __name__ == "__main__":
    main()

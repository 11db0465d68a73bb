"""Write docs/closed-issues.md: public reports, and a program that fails there and runs here.

Usage::

    python scripts/closed_issues.py             write the page from the programs and docs/closed-issues.json
    python scripts/closed_issues.py --measure   run the programs with the other clients first
    python scripts/closed_issues.py --check     run the programs with this project's client, and fail where
                                                one is not right or the page is not what would be written
    python scripts/closed_issues.py --long      with --check: also those in which a client waits on purpose,
                                                and all with the other clients, whose outcomes have to be the
                                                kept ones
"""

from __future__ import annotations

import ast
import asyncio
import logging
import sys

from comparison import OTHERS, ROOT, Comparison
from compatibility import link
from compatibility_probe import PATIENCE, finding
from row_processes import Finding

from tests.compatibility.closed import CLOSED, PROGRAMS, ClosedIssue, ProgramClient
from tests.compatibility.kinds import KINDS

COMPARISON = Comparison(
    page=ROOT / "docs" / "closed-issues.md",
    probe=ROOT / "scripts" / "closed_issues_probe.py",
)

ROWS = {row.name: row for kind in KINDS for row in kind.rows}


def page() -> str:
    """Return the page."""
    return head() + "".join(section(program) for program in PROGRAMS)


def head() -> str:
    """Return the beginning of the page."""
    return f"""# Issues of the MCP world that are closed here

{len(CLOSED)} public reports about servers and clients of MCP whose effects users feel most, of the rows of
[Servers and programs as they are](compatibility.md). A program of a few lines meets each, with routermcp and
with {COMPARISON.versions()}. `url` is a server on loopback that does
what the report is about; `scripts/closed_issues.py` starts it, runs the programs and writes this page. CI
runs those with routermcp each time, the others in its long form. **No end** means that nothing had come
after {PATIENCE:.0f} seconds. Whether an issue is open is said by its own page.
"""


def section(program: str) -> str:
    """Return a program with each client, and its reports."""
    sources = [source(client, program) for client in ("routermcp", *OTHERS)]
    issues = [entry(issue) for issue in CLOSED if issue.program == program]
    return f"\n## {PROGRAMS[program]}\n\n" + "\n".join([*sources, *issues])


def source(client: str, program: str) -> str:
    """Return a program as a block of code, with the imports of its module that it uses."""
    text = (ROOT / "tests" / "compatibility" / "programs" / f"with_{client}.py").read_text()
    function = next(
        each
        for each in ast.parse(text).body
        if isinstance(each, ast.AsyncFunctionDef) and each.name == program
    )
    code = ast.get_source_segment(text, function) or ""
    imports = [
        line
        for line in text.splitlines()
        if line.startswith(("import ", "from ")) and line.split()[-1] in code
    ]
    return "```python\n" + "\n".join([*imports, "", code]) + "\n```\n"


def entry(issue: ClosedIssue) -> str:
    """Return one report, and what each client made of it."""
    row = ROWS[issue.row]
    others = "".join(f"* {client}: {told(COMPARISON.found(client, issue.row))}\n" for client in OTHERS)
    return (
        f"### {issue.felt}\n\n{row.name} ({', '.join(map(link, row.reports))}).\n\n"
        f"* routermcp: {row.gets}\n{others}"
    )


def told(found: Finding | None) -> str:
    """Say what became of a program with another client."""
    if found is None:
        return "not measured"
    if found["outcome"] == "right":
        return "the same"
    if found["outcome"] == "hang":
        return "**no end**"
    words = "another value: " if found["outcome"] == "wrong" else ""
    return f"{words}`{found['detail'].replace('`', ' ').strip()}`"


async def check(*, long: bool) -> list[str]:
    """Run the programs with this project's client, and return what is not right."""
    issues = [issue for issue in CLOSED if long or not ROWS[issue.row].is_long]
    found = await asyncio.gather(
        *(finding(ProgramClient("routermcp", issue.program), ROWS[issue.row]) for issue in issues)
    )
    return [
        f"{issue.row}: {each['outcome']} {each['detail']}"
        for issue, each in zip(issues, found, strict=True)
        if each["outcome"] != "right"
    ]


def changed() -> list[str]:
    """Run the programs with the other clients, and return whose outcome is another one than the kept one."""
    found = COMPARISON.run([issue.row for issue in CLOSED])
    return [
        f"{client}: {row}: {each['outcome']} {each['detail']}"
        for client, rows in found.items()
        for row, each in rows.items()
        if each["outcome"] != (COMPARISON.found(client, row) or {}).get("outcome")
    ]


def main() -> None:
    """Do what the command line says."""
    if "--measure" in sys.argv:
        COMPARISON.measure([issue.row for issue in CLOSED])
    if "--check" in sys.argv:
        logging.disable()
        long = "--long" in sys.argv
        wrong = asyncio.run(check(long=long))
        wrong += changed() if long else []
        if wrong:
            raise SystemExit("\n".join(["not as docs/closed-issues.md says:", *wrong]))
    COMPARISON.write(page)


if __name__ == "__main__":
    main()

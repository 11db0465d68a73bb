"""Run the programs of docs/closed-issues.md with one client, and print what became of each.

Run by ``scripts/closed_issues.py`` with the interpreter of the client's environment:
``closed_issues_probe.py mcp|fastmcp ROW ...``.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys

from compatibility_probe import PATIENCE, finding
from row_processes import run_rows

from tests.compatibility.closed import CLOSED, ProgramClient
from tests.compatibility.kinds import KINDS

if __name__ == "__main__":
    logging.disable()
    name, *rows = sys.argv[1:]
    importlib.import_module(f"tests.compatibility.programs.with_{name}")
    played = {row.name: row for kind in KINDS for row in kind.rows}
    programs = {issue.row: issue.program for issue in CLOSED}
    run_rows(
        rows,
        lambda row: asyncio.run(finding(ProgramClient(name, programs[row]), played[row])),
        lost={"outcome": "hang", "detail": ""},
        seconds=2 * PATIENCE,
    )

"""Bring one client into rows of the compatibility table, and print what its user got in each.

Run by ``scripts/compatibility.py`` with the interpreter of the client's environment:
``compatibility_probe.py mcp|fastmcp ROW ...``.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import time
from typing import Any

from row_processes import run_rows

from tests.compatibility.clients import CLIENTS, Client, NotOffered
from tests.compatibility.kinds import KINDS
from tests.compatibility.rows import Row

#: Seconds after which a row hangs: longer than any wait of a client that ends by itself.
PATIENCE = 30.0
#: Letters of what is kept of a value or an error.
DETAIL = 110


async def finding(client: Client, row: Row) -> dict[str, Any]:
    """Return in a word how a row ended, the details, and how long it took."""
    began = time.monotonic()
    outcome, detail = "hang", ""
    try:
        async with asyncio.timeout(PATIENCE):
            outcome, detail = await ended(client, row)
    except TimeoutError:
        pass
    return {"outcome": outcome, "detail": detail[:DETAIL], "seconds": round(time.monotonic() - began, 1)}


async def ended(client: Client, row: Row) -> tuple[str, str]:
    """Return how a row ended, and with what."""
    try:
        value = await row.play(client)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        first = innermost(error)
        if isinstance(first, NotOffered):
            return "not offered", ""
        text = f"{type(first).__name__}: {first}"
        if row.is_error and str(row.wanted) in text:
            return "right", text
        return ("error" if client.is_own(first) else "exception"), " ".join(text.split())
    right = not row.is_error and value == row.wanted
    return ("right" if right else "wrong"), repr(value)


def innermost(error: BaseException) -> BaseException:
    """Return the error that a group of one holds."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


if __name__ == "__main__":
    logging.disable()
    name, *rows = sys.argv[1:]
    _loaded = importlib.import_module(name).Client  # fastmcp imports it upon this
    by_name = {row.name: row for kind in KINDS for row in kind.rows}
    run_rows(
        rows,
        lambda row: asyncio.run(finding(CLIENTS[name], by_name[row])),
        lost={"outcome": "hang", "detail": ""},
        seconds=2 * PATIENCE,
    )

"""Run rows of the fault table against the client of another package, and print what became of each.

Run by ``scripts/reliability.py`` with the interpreter of that package's environment:
``reliability_probe.py mcp|fastmcp ROW ...``.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import time
from typing import Any

from row_processes import run_rows

from tests.faults.rows import ROWS, TIMEOUT
from tests.routermcp.server import StrictServer

#: Seconds in which anything but a silent row has to end, and a good call after it.
PATIENCE = 5.0
#: Seconds for one row.
ROW_SECONDS = 30.0


async def probe(kind: str, name: str) -> dict[str, Any]:
    """Return how a call ended, how long it took, and whether the client was usable afterwards."""
    (row,) = (row for row in ROWS if row.name == name)
    client_class = importlib.import_module(kind).Client
    found: dict[str, Any] = {"outcome": "no end", "usable": False}
    with StrictServer() as server:
        try:
            async with client_class(server.url) as client:
                await client.call_tool("add", {"a": 1, "b": 2})
                server.script("tools/call", row.action)
                began = time.monotonic()
                found["outcome"] = await outcome(client, TIMEOUT / 1000 if row.silent else PATIENCE)
                found["seconds"] = round(time.monotonic() - began, 1)
                found["executed"] = server.executed["tools/call:echo"]
                async with asyncio.timeout(PATIENCE):
                    good = await client.call_tool("add", {"a": 1, "b": 2})
                found["usable"] = "3" in str(good)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the finding
            found["dies"] = type(error).__name__
    return found


async def outcome(client: Any, seconds: float) -> str:
    """Make the call, and say in a few words how it ended."""
    try:
        async with asyncio.timeout(seconds):
            await client.call_tool("echo", {"text": "x"})
    except TimeoutError:
        return "given up"
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:90]
    return "result"


if __name__ == "__main__":
    logging.disable()
    client, *rows = sys.argv[1:]
    _loaded = importlib.import_module(client).Client  # fastmcp imports it upon this
    run_rows(
        rows,
        lambda row: asyncio.run(probe(client, row)),
        lost={"outcome": "no end", "usable": False},
        seconds=ROW_SECONDS,
    )

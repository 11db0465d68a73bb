"""Run one row in a process of its own and print by how many MB its memory has grown.

``python -m tests.faults.memory ROW RUNTIME``
"""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path

from routermcp.types import MCPError, RetryPolicy
from tests.faults.rows import ROWS
from tests.routermcp.server import ScriptedServer
from tests.three_runtimes import make_client, run


def peak() -> float:
    """The greatest resident size so far, in MB; ``getrusage`` would tell that of who has started us."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def main() -> None:
    """Run the row after a call that has loaded everything."""
    name, runtime = sys.argv[1:]
    (row,) = (row for row in ROWS if row.name == name)
    with ScriptedServer() as server:

        async def body() -> float:
            client = make_client(runtime, url=server.url, retry=RetryPolicy(attempts=1))
            async with client:
                await client.call_tool("echo", {"text": "x"})
                before = peak()
                server.script("tools/call", row.action)
                with contextlib.suppress(MCPError):
                    await client.call_tool("echo", {"text": "x"})
                return peak() - before

        print(run(runtime, body))


if __name__ == "__main__":
    main()

"""A gateway of very many tools: it answers, in pages, and stays small."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from hypothesis import settings

from routermcp import SyncRouterMCPClient
from routermcp.gateway.catalog.pages import PAGE_SIZE
from tests.adapters.ctrl_c import LONG
from tests.cli.gateway_programs import PYTHONPATH, running

#: Tools in the long run, which is what routermcp is built for, and in CI.
MANY, SOME = 100_000, 5_000

#: Bytes of memory that the gateway may use at most.
MOST_MEMORY = 600 * 1024 * 1024

#: Seconds for all tools to be read, in the long run.
PATIENCE = 100.0

#: A server of so many tools, a thousand to a page.
SERVER = """
import os, sys
from routermcp_proto import RequestReceived, ServerSession
session = ServerSession(server_info={"name": "many", "version": "1"}, capabilities={"tools": {}})
count = int(sys.argv[1])
schema = {
    "type": "object",
    "properties": {
        "path": {"type": "string", "description": "where it is to be found"},
        "times": {"type": "integer", "minimum": 0, "description": "how many times it is to be done"},
        "mode": {"enum": ["fast", "slow"]},
    },
    "required": ["path"],
}
while data := os.read(0, 65536):
    session.receive_data(data)
    for event in session.events_received():
        if isinstance(event, RequestReceived):
            begin = int(event.params.get("cursor") or 0)
            end = min(begin + 1000, count)
            tools = [
                {"name": f"tool_{n}", "description": f"Does thing {n} with care.", "inputSchema": schema}
                for n in range(begin, end)
            ]
            more = {"nextCursor": str(end)} if end < count else {}
            session.send_answer(event.request_id, {"tools": tools, **more})
    due = memoryview(session.data_to_send())
    while due:
        due = due[os.write(1, due):]
"""


def test_very_many_tools(tmp_path: Path) -> None:
    count = MANY if settings().max_examples >= LONG else SOME
    server = {
        "command": sys.executable,
        "args": ["-c", SERVER, str(count)],
        "env": {"PYTHONPATH": PYTHONPATH},
    }
    (tmp_path / "routermcp.jsonc").write_text(json.dumps({"mcpServers": {"many": server}}))
    with (
        running("serve", "--port", "0", cwd=tmp_path) as (url, program),
        SyncRouterMCPClient(url, timeout=int(PATIENCE * 1000)) as client,
    ):
        until = time.monotonic() + PATIENCE
        while len(client.list_tools_page().tools) < PAGE_SIZE:
            assert time.monotonic() < until
        tools = client.list_tools()
        assert len({tool.name for tool in tools}) == len(tools) == count + 1
        found = client.call_tool("routermcp.searchMcpForTask", {"task": "thing 4711", "limit": 1})
        assert found.structuredContent is not None
        assert [each["name"] for each in found.structuredContent["tools"]] == ["many.tool_4711"]
        assert peak_memory(program.pid) < MOST_MEMORY


def peak_memory(pid: int) -> int:
    """Return the most that a process has had resident, in bytes."""
    (line,) = [
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")
    ]
    return int(line.split()[1]) * 1024

"""Processes: scripts that are run in one, and whether one is there."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

#: Seconds that anything waits for a process: many times what any needs, interpreter start included.
PATIENCE = 30.0

ROOT = Path(__file__).resolve().parents[1]
PATHS = os.pathsep.join([str(ROOT), str(ROOT / "adapters")])

WAY = """
import json, sys
from routermcp.transports import stdio
there = sys.argv[1]
way = {"url": there} if there.startswith("http") else {"transport": stdio(json.loads(there))}
"""


def in_a_process(source: str, way: str, *flags: str, name: str = "") -> str:
    """Run a script that is to end well and say nothing on standard error; return what it printed.

    Args:
        source: The script. It finds ``way``, the arguments of a client, and ``sys``.
        way: A URL, or the command of a server over stdio as JSON.
        flags: Of the interpreter.
        name: One more argument of the script.
    """
    done = subprocess.run(
        [sys.executable, *flags, "-c", WAY + source, way, name],
        capture_output=True,
        timeout=PATIENCE,
        check=False,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": PATHS},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


def ends(pid: int) -> bool:
    """Wait until a process has ended; say whether it has."""
    until = time.monotonic() + PATIENCE
    while is_running(pid) and time.monotonic() < until:
        time.sleep(0.01)
    return not is_running(pid)


# ---- scripts that hold over HTTP and over stdio ---------------------------------------------------

FORK_BLOCKING = """
import os
from routermcp import SyncRouterMCPClient
client = SyncRouterMCPClient(**way)
session = client.create_session("ada")
client.connect(), session.connect()
add = lambda each, a, b: int(each.call_tool("add", {"a": a, "b": b}).text)
assert add(client, 1, 1) == add(session, 1, 1) == 2
before = client.stats()
child = os.fork()
if not child:
    assert client.stats().open == 0
    assert [add(client, n, 100) for n in range(5)] == [100, 101, 102, 103, 104]
    assert add(session, 1, 2) == 3
    client.ping()
    client.disconnect()
    os._exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
assert client.stats() == before, "the parent's connections are as they were"
assert [add(client, n, 200) for n in range(5)] == [200, 201, 202, 203, 204]
assert add(session, 5, 5) == 10
assert client.stats().opened == before.opened
client.disconnect()
print("well")
"""

FORK_ASYNC = """
import asyncio, os, threading, trio
from routermcp import MCPError, RouterMCPClient
run = trio.run if sys.argv[2] == "trio" else lambda body: asyncio.run(body())
client = RouterMCPClient(**way)
async def add(a, b):
    return int((await client.call_tool("add", {"a": a, "b": b})).text)
async def in_child():
    try:
        await add(1, 1)
    except MCPError as error:
        assert "not connected" in str(error), error
    async with client:
        assert await add(1, 100) == 101
def child():
    run(in_child)
    os._exit(0)
async def in_parent():
    async with client:
        assert await add(1, 1) == 2
        opened = client.stats().opened
        number = os.fork()
        if not number:
            worker = threading.Thread(target=child)
            worker.start(), worker.join()
            os._exit(1)
        _, status = os.waitpid(number, 0)
        assert status == 0, status
        assert [await add(n, 200) for n in range(5)] == [200, 201, 202, 203, 204]
        assert client.stats().opened == opened
run(in_parent)
print("well")
"""

EXITS = {
    "blocking": """
from routermcp import SyncRouterMCPClient
client = SyncRouterMCPClient(**way, on_elicitation=lambda asked: None)
client.connect()
print(client.call_tool("add", {"a": 1, "b": 2}).text)
""",
    "asyncio": """
import asyncio
from routermcp import RouterMCPClient
client = RouterMCPClient(**way, on_elicitation=lambda asked: None)
async def body():
    asyncio.get_running_loop().slow_callback_duration = 60  # a busy machine's slowness is not told
    await client.connect()
    print((await client.call_tool("add", {"a": 1, "b": 2})).text)
asyncio.run(body())
""",
    "trio": """
import trio
from routermcp import RouterMCPClient
client = RouterMCPClient(**way, on_elicitation=lambda asked: None)
async def body():
    await client.connect()
    print((await client.call_tool("add", {"a": 1, "b": 2})).text)
trio.run(body)
""",
}

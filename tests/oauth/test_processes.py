"""Processes that share a store, users whose refresh tokens rotate, and some that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings

from tests.oauth.conftest import ADAPTERS, LASTING
from tests.oauth.servers.protected_server import ProtectedServer
from tests.oauth.stores import open_store

ROOT = Path(__file__).resolve().parents[2]
HERE = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'adapters'}"}

#: Whether the long profile is asked for: ``.ci/run --full``.
LONG = settings.get_current_profile_name() == "long"

#: Processes, users, and seconds for which they work; seconds that a token lasts.
PROCESSES, USERS, SECONDS = (16, 8, 60.0) if LONG else (3, 4, 3.0)
LIFE = 2.0 if LONG else 1.0

WORK = """
import asyncio, sys, time
from routermcp import RouterMCPClient
from routermcp.oauth import OAuthConfig
from routermcp.types import AuthorizationRequiredError
from tests.oauth.stores import open_store

store, url, users, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
oauth = OAuthConfig(open_store(store), server_id="s", redirect_uri="https://app.example/")

async def work(session, until):
    await session.connect()
    while time.time() < until:
        try:
            assert (await session.call_tool("add", {"a": 1, "b": 2})).text == "3"
        except AuthorizationRequiredError:
            print("needs authorization", session.user_id, flush=True)
            return
        await asyncio.sleep(0.05)
    await session.disconnect()

async def main():
    client = RouterMCPClient(url, user_id="admin", oauth=oauth, send_user_id=True)
    sessions = [client.create_session(f"user-{number}") for number in range(users)]
    await asyncio.gather(*(work(session, time.time() + seconds) for session in sessions))

print("begun", flush=True)
asyncio.run(main())
"""


@pytest.fixture
def server(store: str) -> Iterator[ProtectedServer]:
    with ProtectedServer() as server:
        server.life = LIFE
        adapter = open_store(store)
        for number in range(USERS):
            adapter.set(f"user-{number}", "s", server.grant(f"user-{number}"))
        getattr(adapter, "close", lambda: None)()
        yield server


def begun(store: str, server: ProtectedServer) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WORK, store, server.url, str(USERS), str(SECONDS)]
    return subprocess.Popen(command, env=HERE, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("store", LASTING, indirect=True)
def test_tokens_are_renewed_once_for_all(store: str, server: ProtectedServer) -> None:
    began = time.time()
    with ExitStack() as stack:
        processes = [stack.enter_context(begun(store, server)) for _ in range(PROCESSES)]
        for process in processes:
            stack.callback(process.kill)
        for process in processes:
            out, errors = process.communicate(timeout=SECONDS + 240)
            assert (process.returncode, out.decode().split(), errors.decode()) == (0, ["begun"], "")
    took = time.time() - began
    assert server.reused == []
    assert all(owner == named for owner, named in server.calls)
    for number in range(USERS):
        # Renewed seven tenths of such a short life ahead, a token serves all for the rest.
        assert 1 <= server.refreshes[f"user-{number}"] <= took / (LIFE * 0.3) + 1


@pytest.mark.timeout(400)
@pytest.mark.parametrize("store", LASTING, indirect=True)
def test_killed_processes_cost_a_consent_at_most(store: str, server: ProtectedServer) -> None:
    kills, said = 0, ""
    for _ in range(20 if LONG else 3):
        with begun(store, server) as process:
            assert process.stdout is not None
            process.stdout.readline()
            calls = len(server.calls)
            until = time.monotonic() + 60
            while len(server.calls) < calls + USERS and process.poll() is None:
                assert time.monotonic() < until
            process.send_signal(signal.SIGKILL)
            kills += 1
            said += process.communicate()[0].decode()
    adapter = open_store(store)
    ended = [
        number for number in range(USERS) if not (adapter.get(f"user-{number}", "s") or {}).get("tokens")
    ]
    getattr(adapter, "close", lambda: None)()
    assert len(ended) <= kills
    assert said.count("needs authorization") <= kills * USERS


def in_python(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script that forks."""
    # Python 3.12 warns of forks where there are threads.
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", script, *arguments]
    return subprocess.run(
        command, env=HERE, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )


FORKED = """
import json, os, sys, threading
from routermcp import SyncRouterMCPClient
from routermcp.oauth import OAuthConfig, memory_adapter

parent, reading, go_on = os.getpid(), threading.Event(), threading.Event()

class SlowInTheParent:
    def __init__(self):
        self.kept = memory_adapter()
    def get(self, user_id, server_id):
        if user_id == "ada" and os.getpid() == parent:
            reading.set(), go_on.wait()
        return self.kept.get(user_id, server_id)
    def __getattr__(self, name):
        return getattr(self.kept, name)

adapter = SlowInTheParent()
adapter.set("ada", "s", json.loads(sys.argv[2]))
oauth = OAuthConfig(adapter, server_id="s", redirect_uri="https://app.example/")
client = SyncRouterMCPClient(sys.argv[1], user_id="ada", oauth=oauth)
connecting = threading.Thread(target=client.connect)
connecting.start()
reading.wait()
child = os.fork()
if not child:
    client.connect(timeout=20_000)
    assert client.call_tool("add", {"a": 1, "b": 2}).text == "3"
    os._exit(0)
_, status = os.waitpid(child, 0)
go_on.set()
connecting.join()
assert client.call_tool("add", {"a": 1, "b": 2}).text == "3"
client.disconnect()
print(status)
"""


def test_a_child_process_does_not_wait_for_what_its_parent_reads() -> None:
    with ProtectedServer() as server:
        done = in_python(FORKED, server.url, json.dumps(server.grant("ada")))
    assert (done.stdout, done.stderr) == ("0\n", "")


FORKED_STORE = """
import os, signal, sys
from tests.oauth.stores import open_store

store, lasting = sys.argv[1], sys.argv[2] == "lasting"
adapter = open_store(store)
for who in ("parent", "child"):
    adapter.set(who, "s", {"of": who})
held, waiting = adapter.lock("u", "s"), adapter.lock("u", "s")
assert held.acquire()
for _ in range(4):
    (parent_reads, child_writes), (child_reads, parent_writes) = os.pipe(), os.pipe()
    child = os.fork()
    signal.alarm(30)  # an answer that the other one took does not come
    reads, writes = (parent_reads, parent_writes) if child else (child_reads, child_writes)
    who = "parent" if child else "child"
    for _ in range(25):
        os.write(writes, b"-")
        os.read(reads, 1)
        assert adapter.get(who, "s") == {"of": who}
    if not child:
        # What is in memory was copied, and nobody in this process holds it.
        assert waiting.acquire() != lasting
        assert lasting or not held.renew()
        waiting.release()
        getattr(adapter, "close", lambda: None)()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert held.renew()
held.release()
assert waiting.acquire()
waiting.release()
getattr(adapter, "close", lambda: None)()
"""


@pytest.mark.parametrize("store", ADAPTERS, indirect=True)
def test_a_child_process_has_connections_and_locks_of_its_own(store: str) -> None:
    lasting = "lasting" if store.split(maxsplit=1)[0] in LASTING else "copied"
    done = in_python(FORKED_STORE, store, lasting)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


FORKED_WHILE_COPYING = """
import os, signal, threading
from routermcp.oauth import memory_adapter

copying, go_on = threading.Event(), threading.Event()

class Slow:
    def __deepcopy__(self, memo):
        copying.set()
        go_on.wait()
        return self

adapter = memory_adapter()
adapter.set("v", "s", {"of": "v"})
writing = threading.Thread(target=adapter.set, args=("u", "s", {"slow": Slow()}))
writing.start()
copying.wait()
child = os.fork()
if not child:
    signal.alarm(60)
    assert adapter.get("v", "s") == {"of": "v"}
    assert adapter.get("u", "s") is None
    assert adapter.lock("u", "s").acquire()
    os._exit(0)
status = os.waitpid(child, 0)[1]
go_on.set()
writing.join()
print(status)
"""


def test_a_child_process_reads_what_its_parent_was_writing_to() -> None:
    done = in_python(FORKED_WHILE_COPYING)
    assert (done.stdout, done.stderr) == ("0\n", "")

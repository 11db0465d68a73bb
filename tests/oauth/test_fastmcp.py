"""The authorization server of ``fastmcp``: tokens of two seconds, which rotate.

It takes a token that comes a moment too late for a theft, and ends what its user has; and it ends the
token that others still hold as soon as one has renewed it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from routermcp import SyncRouterMCPClient
from routermcp.oauth import OAuthConfig, memory_adapter
from tests import loopback
from tests.interop.peers.processes import Kind, Peer
from tests.oauth.stores import open_store
from tests.third_party import (
    FASTMCP_REQUIREMENT,
    MCP_REQUIREMENT,
    UnavailableError,
    python_environment,
    skips_are_failures,
)
from tests.three_runtimes import RUNTIMES, make_client, run

pytestmark = pytest.mark.interop

ROOT = Path(__file__).resolve().parents[2]
HERE = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'adapters'}"}
PROGRAM = ROOT / "tests" / "interop" / "peers" / "oauth_server.py"

#: Whether the long profile is asked for: ``.ci/run --full``.
LONG = settings.get_current_profile_name() == "long"

#: The short form leaves the other stores to ``test_processes.py``.
STORES = ("file", "redis", "postgres") if LONG else ("file",)

#: Seconds that a token lasts.
LIFE = 2

#: Processes, users, and seconds for which they work.
PROCESSES, USERS, SECONDS = (16, 8, 60.0) if LONG else (3, 3, 5.0)

#: Seconds between two calls of one session: what is asked of the server stays well below what it can
#: do (a hundred calls a second on one core), or its queue would make tokens late.
PAUSE = PROCESSES * USERS / 20

#: Seconds from one kill to the next.
BETWEEN_KILLS = 1.0

#: Seconds within which every process begins, and ends.
STARTING = 120.0

#: Begins to work when it is told to: sixteen interpreters that start at once hold up even the server.
#: Tells whose record it has locked, in a line of one write, so that the last one shows what a kill hit.
WORK = """
import asyncio, os, random, sys, time
os.nice(10)  # the server comes first
from routermcp import RouterMCPClient
from routermcp.oauth import OAuthConfig
from routermcp.types import AuthorizationRequiredError
from tests.oauth.stores import open_store

store, url = sys.argv[1:3]
users, seconds, pause = int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5])

def tell(*words):
    os.write(1, (" ".join(map(str, words)) + chr(10)).encode())

class Store:
    def __init__(self, inner):
        self.inner = inner
    def __getattr__(self, name):
        return getattr(self.inner, name)
    def set(self, user_id, server_id, record, *, lock=None):
        self.inner.set(user_id, server_id, record, lock=lock and lock.inner)
    def lock(self, user_id, server_id):
        return Lock(self.inner.lock(user_id, server_id), user_id.removeprefix("user-"))

class Lock:
    def __init__(self, inner, number):
        self.inner, self.number = inner, number
    def __getattr__(self, name):
        return getattr(self.inner, name)
    def acquire(self):
        taken = self.inner.acquire()
        if taken:
            tell("locked", self.number)
        return taken
    def release(self):
        self.inner.release()
        tell("unlocked", self.number)

oauth = OAuthConfig(Store(open_store(store)), server_id="s", redirect_uri="https://app.example/")

async def work(session, number):
    try:
        await asyncio.sleep(random.random() * pause)
        await session.connect()
        working = True
        while working:
            assert (await session.call_tool("family")).structuredContent == {"result": number}
            tell("called", number)
            working = time.time() < until  # once at least, however slow the machine is
            await asyncio.sleep(random.uniform(0.5, 1.5) * pause)
        await session.disconnect()
    except AuthorizationRequiredError:
        tell("needs-authorization", number)

async def main():
    global until
    until = time.time() + seconds
    client = RouterMCPClient(url, user_id="admin", oauth=oauth)
    sessions = [client.create_session(f"user-{number}") for number in range(users)]
    await asyncio.gather(*(work(session, number) for number, session in enumerate(sessions)))

print("ready", flush=True)
sys.stdin.readline()
asyncio.run(main())
"""


class OAuthPeer:
    """The server, and what it tells of its tokens."""

    def __init__(self, folder: Path, life: int) -> None:
        self._told = folder / "told.jsonl"
        environment = python_environment(FASTMCP_REQUIREMENT, MCP_REQUIREMENT)
        command = [str(environment), str(PROGRAM)]
        self.peer = Peer(Kind("oauth", lambda: command, options=(str(life), str(self._told))))
        self.url = self.peer.url

    def told(self) -> Counter[tuple[str, int | None]]:
        """Return how often what became of the tokens of which sign-in."""
        lines = self._told.read_text().splitlines() if self._told.exists() else []
        read: list[dict[str, Any]] = [json.loads(line) for line in lines]
        return Counter((each["event"], each["family"]) for each in read)

    def late(self) -> set[int]:
        """Return the users whose tokens came too late, which ends all that they have here.

        Tokens are renewed a second and a half before they end; a machine that stops for longer between
        that and the arrival of a request makes one late, whatever the client does.
        """
        return {number for number in range(USERS) if self.told()["late", number]}


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OAuthPeer]:
    try:
        server = OAuthPeer(tmp_path, getattr(request, "param", LIFE))
    except UnavailableError as missing:
        if skips_are_failures():
            raise
        pytest.skip(str(missing))
    try:
        server.peer.start()
        yield server
    finally:
        server.peer.close()


def visit(url: str) -> str:
    """Be a user's browser; nobody is asked anything."""
    with loopback.Client() as browser:
        return browser.get(url).headers["location"]


def sign_in(server: OAuthPeer, store: str, number: int) -> None:
    """Sign a user in; the number of the sign-in is that of the user."""
    adapter = open_store(store)
    oauth = OAuthConfig(adapter, server_id="s", redirect_uri="https://app.example/")
    session = SyncRouterMCPClient(server.url, user_id=f"user-{number}", oauth=oauth)
    session.complete_authorization(visit(session.authorize().url))
    getattr(adapter, "close", lambda: None)()


class Worker:
    """A process with a session of each user."""

    def __init__(self, server: OAuthPeer, store: str, seconds: float) -> None:
        command = [sys.executable, "-c", WORK, store, server.url, str(USERS), str(seconds), str(PAUSE)]
        self.process = subprocess.Popen(
            command,
            env=HERE,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def go(self) -> None:
        """Let it work."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def ended(self) -> str:
        """Wait until it is done, and return what it says."""
        out, problems = self.process.communicate(timeout=SECONDS + STARTING)
        assert problems == ""
        return out


@pytest.mark.parametrize("server", [3600], indirect=True)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_signing_in(server: OAuthPeer, runtime: str) -> None:
    """And renewing, a client that the server has forgotten, and giving the tokens back."""
    adapter = memory_adapter()

    async def body() -> None:
        oauth = OAuthConfig(adapter, authorize=visit, server_id="s")
        async with make_client(runtime, url=server.url, user_id="ada", oauth=oauth) as client:
            assert (await client.call_tool("family")).structuredContent == {"result": 0}
            record = adapter.get("ada", "s") or {}
            ended = {**record, "tokens": {**record["tokens"], "expires_at": time.time()}}
            adapter.set("ada", "s", ended)
        async with make_client(runtime, url=server.url, user_id="ada", oauth=oauth) as client:
            assert (await client.call_tool("family")).structuredContent == {"result": 0}  # renewed
            assert server.told()["renewed", 0] >= 1
            loopback.post(f"{server.url.removesuffix('/mcp')}/forget")
            assert (await client.call_tool("family")).structuredContent == {"result": 1}  # registered anew
            await client.revoke()
            assert [each.state.value for each in await client.connections()] == ["revoked"]

    run(runtime, body)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("store", STORES, indirect=True)
def test_every_token_is_renewed_once_for_all_processes(server: OAuthPeer, store: str) -> None:
    workers = [Worker(server, store, SECONDS) for _ in range(PROCESSES)]
    for number in range(USERS):
        sign_in(server, store, number)
    began = time.time()
    for worker in workers:
        worker.go()
    calls: Counter[str] = Counter()
    for worker in workers:
        calls.update(line.split()[0] for line in worker.ended().splitlines())
        assert worker.process.returncode == 0
    took = time.time() - began
    told = server.told()
    print({"calls": calls, "took": took, "told": told})
    late = server.late()
    assert set(calls) <= {"called", "locked", "unlocked", *(["needs-authorization"] if late else [])}
    assert calls["called"] >= PROCESSES * (USERS - len(late))
    for number in range(USERS):
        assert told["refused", number] == 0 or number in late
        # Renewed a second and a half before its end, a token serves all for half a second.
        assert (number not in late) <= told["renewed", number] <= took / (LIFE - 1.5) + 1


def locked_in(said: str) -> set[str]:
    """Return the users whose records were locked by a process when it ended."""
    locked: set[str] = set()
    for line in said.splitlines():
        word, _, number = line.partition(" ")
        if word == "locked":
            locked.add(number)
        elif word == "unlocked":
            locked.discard(number)
    return locked


@pytest.mark.timeout(600)
@pytest.mark.parametrize("store", STORES, indirect=True)
def test_a_kill_costs_the_consents_that_were_being_renewed_at_most(server: OAuthPeer, store: str) -> None:
    workers = [Worker(server, store, SECONDS) for _ in range(PROCESSES)]
    for number in range(USERS):
        sign_in(server, store, number)
    began = time.time()
    for worker in workers:
        worker.go()
    kills, said, exposed = 0, "", set[str]()
    while (left := began + SECONDS - time.time()) > 0:
        # That is the pace; nothing is waited for.
        time.sleep(max(0.0, began + (kills + 1) * BETWEEN_KILLS - time.time()))
        victim = workers.pop(0)
        victim.process.send_signal(signal.SIGKILL)
        last = victim.process.communicate()[0]
        said += last
        # What the authorization server gave to a killed process, and it had not written, is lost.
        exposed |= locked_in(last)
        kills += 1
        workers.append(Worker(server, store, left))
        workers[-1].go()
    for worker in workers:
        said += worker.ended()
    lost = {line.split()[1] for line in said.splitlines() if line.startswith("needs-authorization")}
    print({"kills": kills, "exposed": exposed, "lost": lost, "told": server.told()})
    assert lost <= exposed | {str(number) for number in server.late()}
    adapter = open_store(store)
    for number in range(USERS):
        record = adapter.get(f"user-{number}", "s")
        assert record is not None
        if str(number) not in lost:
            assert record["tokens"]["refresh_token"]
    getattr(adapter, "close", lambda: None)()
    sign_in(server, store, 0)

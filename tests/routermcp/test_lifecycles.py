"""Clients in the places where applications keep them: lifespans, fixtures, threads, child processes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from routermcp import RouterMCPClient, SyncRouterMCPClient
from routermcp.types import ConfigError, MCPError
from tests.routermcp.server import HANDSHAKE, ScriptedServer
from tests.three_runtimes import gather, make_client, run

#: Seconds that a child process has: many times what any needs, interpreter start included.
CHILD_SECONDS = 30.0

#: Threads that share one client.
THREADS = 32

ROOT = Path(__file__).resolve().parents[2]


async def add(client: Any, a: int, b: int) -> int:
    return int((await client.call_tool("add", {"a": a, "b": b})).text)


# ---- in any order, in any task ----------------------------------------------------------------


def test_connected_in_one_task_and_disconnected_in_another(any_server: ScriptedServer) -> None:
    async def under_asyncio() -> int:
        client = RouterMCPClient(any_server.url)
        await asyncio.create_task(client.connect())
        total = await asyncio.create_task(add(client, 1, 2))
        await asyncio.create_task(client.disconnect())
        assert client.stats().open == 0
        return total

    async def under_trio() -> int:
        client, totals = RouterMCPClient(any_server.url), list[int]()

        async def call() -> None:
            totals.append(await add(client, 1, 2))

        for step in (client.connect, call, client.disconnect):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(step)
        assert client.stats().open == 0
        return totals[0]

    assert (asyncio.run(under_asyncio()), trio.run(under_trio)) == (3, 3)


def test_disconnected_out_of_order(any_server: ScriptedServer, runtime: str) -> None:
    """Clients and sessions need not end in the reverse of the order in which they began."""

    async def body() -> None:
        clients = [make_client(runtime, url=any_server.url) for _ in range(3)]
        sessions = [client.create_session("ada") for client in clients]
        for each in (*clients, *sessions):
            await each.connect()
        for client, session in zip(clients, sessions, strict=True):
            assert (await session.call_tool("add", {"a": 1, "b": 1})).text == "2"
            await client.disconnect()
            assert client.stats().open == 0
            await session.disconnect()
        for client in clients:
            with pytest.raises(MCPError, match="not connected"):
                await client.list_tools()

    run(runtime, body)


def test_never_entered(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> int:
        client = make_client(runtime, url=any_server.url)
        await client.disconnect()
        await client.connect()
        total = await add(client, 2, 3)
        await client.disconnect()
        await client.disconnect()
        return total

    assert run(runtime, body) == 5


def test_disconnected_in_the_middle_of_a_call(any_server: ScriptedServer, runtime: str) -> None:
    """The call ends at once, not at its deadline."""
    ends: list[str] = []

    async def body() -> None:
        client = make_client(runtime, url=any_server.url, timeout=60_000)
        await client.connect()

        async def call() -> None:
            try:
                await client.call_tool("wait", {"for": "ever"})
            except MCPError as error:
                ends.append(getattr(error, "code", "not connected"))

        async def end() -> None:
            while not any_server.executed["tools/call:wait"]:
                await pause()
            await client.disconnect()

        async def pause() -> None:
            if runtime == "asyncio":
                await asyncio.sleep(0)
            elif runtime == "trio":
                await trio.lowlevel.checkpoint()

        await gather(runtime, [call, end])

    run(runtime, body)
    assert len(ends) == 1
    assert ends[0] in ("closed", "interrupted", "not connected")


# ---- where frameworks keep clients ---------------------------------------------------------------


def test_in_the_lifespan_of_an_application(any_server: ScriptedServer) -> None:
    client = RouterMCPClient(any_server.url)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with client:
            yield

    async def endpoint(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(await add(client, 20, int(request.query_params["b"]))))

    app = Starlette(routes=[Route("/", endpoint)], lifespan=lifespan)

    async def get(number: int) -> bytes:
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "root_path": ""}
        await app({**scope, "query_string": b"b=%d" % number}, receive, send)
        return b"".join(message.get("body", b"") for message in sent)

    async def serve() -> list[bytes]:
        """Do as uvicorn does: the lifespan is a task of its own, and so is each request."""
        inbox: asyncio.Queue[Any] = asyncio.Queue()
        outbox: asyncio.Queue[Any] = asyncio.Queue()
        life = asyncio.create_task(app({"type": "lifespan"}, inbox.get, outbox.put))
        await inbox.put({"type": "lifespan.startup"})
        assert (await outbox.get())["type"] == "lifespan.startup.complete"
        bodies = await asyncio.gather(*(get(number) for number in range(10)))
        await inbox.put({"type": "lifespan.shutdown"})
        assert (await outbox.get())["type"] == "lifespan.shutdown.complete"
        await life
        return list(bodies)

    assert asyncio.run(serve()) == [b"%d" % (20 + number) for number in range(10)]
    assert client.stats().open == 0


def test_in_a_fixture(any_server: ScriptedServer) -> None:
    """Plugins run the two halves of an async fixture in tasks of their own, in one loop."""

    async def fixture() -> AsyncIterator[RouterMCPClient]:
        async with RouterMCPClient(any_server.url) as client:
            yield client

    with asyncio.Runner() as runner:
        generator = fixture()

        async def set_up() -> RouterMCPClient:
            return await anext(generator)

        async def tear_down() -> None:
            with pytest.raises(StopAsyncIteration):
                await anext(generator)

        client = runner.run(set_up())
        assert runner.run(add(client, 1, 1)) == 2
        runner.run(tear_down())
        assert client.stats().open == 0


def test_two_runs_without_a_goodbye_between(any_server: ScriptedServer) -> None:
    """The first loop is closed, and nothing can be disconnected there any more."""
    client = RouterMCPClient(any_server.url)

    async def begin() -> int:
        await client.connect()
        return await add(client, 1, 1)

    async def without_connecting() -> None:
        with pytest.raises(ConfigError, match="another"):
            await client.list_tools()

    async def end() -> None:
        await client.disconnect()
        assert client.stats().open == 0

    assert [asyncio.run(begin()), asyncio.run(begin()), trio.run(begin)] == [2, 2, 2]
    asyncio.run(without_connecting())
    assert [trio.run(begin), asyncio.run(begin())] == [2, 2]
    asyncio.run(end())


# ---- threads ------------------------------------------------------------------------------------


def test_a_blocking_client_in_the_thread_of_a_running_loop(any_server: ScriptedServer) -> None:
    async def body() -> int:
        with SyncRouterMCPClient(any_server.url) as client:
            others = asyncio.to_thread(client.call_tool, "add", {"a": 1, "b": 2})
            here = int(client.call_tool("add", {"a": 3, "b": 4}).text)
            return here + int((await others).text)

    assert asyncio.run(body()) == 10


def test_many_threads_on_one_blocking_client(any_server: ScriptedServer) -> None:
    answers: dict[int, list[str]] = {}
    client = SyncRouterMCPClient(any_server.url)
    start = threading.Barrier(THREADS)

    def work(number: int) -> None:
        start.wait()
        client.connect()
        answers[number] = [client.call_tool("add", {"a": number, "b": n}).text for n in range(5)]

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(CHILD_SECONDS)
    assert answers == {number: [str(number + n) for n in range(5)] for number in range(THREADS)}
    assert client.stats().in_use == 0
    client.disconnect()
    assert client.stats().open == 0


def test_trio_as_a_guest_of_asyncio(any_server: ScriptedServer) -> None:
    async def guest() -> int:
        async with RouterMCPClient(any_server.url) as client:
            return await add(client, 5, 6)

    async def host() -> int:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        trio.lowlevel.start_guest_run(
            guest, run_sync_soon_threadsafe=loop.call_soon_threadsafe, done_callback=done.set_result
        )
        async with RouterMCPClient(any_server.url) as client:
            return await add(client, 1, 1) + (await done).unwrap()

    assert asyncio.run(host()) == 13


# ---- child processes --------------------------------------------------------------------------------


def in_a_process(source: str, url: str, *flags: str, name: str = "") -> str:
    """Run a script that is to end well and say nothing on standard error; return what it printed."""
    done = subprocess.run(
        [sys.executable, *flags, "-c", source, url, name],
        capture_output=True,
        timeout=CHILD_SECONDS,
        check=False,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "adapters")])},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


FORK_BLOCKING = """
import os, sys
from routermcp import SyncRouterMCPClient
client = SyncRouterMCPClient(sys.argv[1])
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
import asyncio, os, sys, threading, trio
from routermcp import MCPError, RouterMCPClient
run = trio.run if sys.argv[2] == "trio" else lambda body: asyncio.run(body())
client = RouterMCPClient(sys.argv[1])
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


def assert_sessions_are_apart(server: ScriptedServer) -> None:
    """See that parent and child have used different sessions."""
    owners: dict[bool, set[str]] = {True: set(), False: set()}
    for seen in server.requests("tools/call"):
        owners[seen.params["arguments"]["b"] == 100].add(seen.headers["mcp-session-id"])
    assert owners[True]
    assert owners[False]
    assert not owners[True] & owners[False]


def test_a_blocking_client_in_a_forked_worker(any_server: ScriptedServer) -> None:
    """As with gunicorn's preload and Celery's prefork: both processes go on, each by itself."""
    assert in_a_process(FORK_BLOCKING, any_server.url, "-W", "error") == "well\n"
    if any_server.era == HANDSHAKE:
        assert_sessions_are_apart(any_server)
        assert len(any_server.sessions) == 2, "each has ended its own, not those of its user ada"


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_an_async_client_in_a_forked_process(any_server: ScriptedServer, name: str) -> None:
    assert in_a_process(FORK_ASYNC, any_server.url, "-W", "error", name=name) == "well\n"
    if any_server.era == HANDSHAKE:
        assert_sessions_are_apart(any_server)
        assert any_server.sessions == {}


EXITS = {
    "blocking": """
import sys
from routermcp import SyncRouterMCPClient
client = SyncRouterMCPClient(sys.argv[1], on_elicitation=lambda asked: None)
client.connect()
print(client.call_tool("add", {"a": 1, "b": 2}).text)
""",
    "asyncio": """
import asyncio, sys
from routermcp import RouterMCPClient
client = RouterMCPClient(sys.argv[1], on_elicitation=lambda asked: None)
async def body():
    await client.connect()
    print((await client.call_tool("add", {"a": 1, "b": 2})).text)
asyncio.run(body())
""",
    "trio": """
import sys, trio
from routermcp import RouterMCPClient
client = RouterMCPClient(sys.argv[1], on_elicitation=lambda asked: None)
async def body():
    await client.connect()
    print((await client.call_tool("add", {"a": 1, "b": 2})).text)
trio.run(body)
""",
}


@pytest.mark.parametrize("flags", [(), ("-W", "error"), ("-X", "dev", "-W", "error")], ids=" ".join)
def test_the_interpreter_ends_without_a_goodbye(runtime: str, flags: tuple[str, ...]) -> None:
    for era in ("2026-07-28", HANDSHAKE):
        with ScriptedServer(era, listens=era == HANDSHAKE) as server:
            assert in_a_process(EXITS[runtime], server.url, *flags) == "3\n"


# ---- forgotten ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("disconnected", [False, True])
@pytest.mark.parametrize("inside", [False, True], ids=["later", "while the loop runs"])
def test_a_client_that_is_forgotten(
    any_server: ScriptedServer, runtime: str, disconnected: bool, inside: bool
) -> None:
    """Whoever asks for warnings is told once, and where the client was made."""

    async def body() -> None:
        client = make_client(runtime, url=any_server.url)
        session = client.create_session("ada")
        await client.connect()
        await session.connect()
        await session.call_tool("echo")
        if disconnected:
            await client.disconnect()
        del client, session
        if inside:
            gc.collect()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(runtime, body)
        gc.collect()
    told = [each.category for each in caught]
    assert told == ([] if disconnected else [ResourceWarning])
    for each in caught:
        line = Path(each.filename).read_text().splitlines()[each.lineno - 1]
        assert line.strip() == "client = make_client(runtime, url=any_server.url)"

"""Clients in the places where applications keep them, whatever carries their messages.

A module that has a fixture ``way``, the arguments of a client, inherits :class:`Lifecycles`.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import warnings
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest
import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from routermcp import RouterMCPClient, SyncRouterMCPClient
from routermcp.types import ConfigError, MCPError
from tests.event_loops import LEFT_OPEN
from tests.processes import PATIENCE
from tests.three_runtimes import make_client, run

#: Threads that share one client.
THREADS = 32

#: The arguments of a client that say where its server is.
Way = dict[str, Any]


async def add(client: Any, a: int, b: int) -> int:
    return int((await client.call_tool("add", {"a": a, "b": b})).text)


async def pause(runtime: str) -> None:
    """Let others go on."""
    if runtime == "asyncio":
        await asyncio.sleep(0)
    elif runtime == "trio":
        await trio.lowlevel.checkpoint()
    else:
        time.sleep(0)


def begun(runtime: str) -> int:
    """Count the tasks, or in blocking code the threads, that a client may have begun."""
    if runtime == "asyncio":
        return len(asyncio.all_tasks())
    if runtime == "trio":
        return trio.lowlevel.current_statistics().tasks_living
    return sum(thread.name.startswith("routermcp") for thread in threading.enumerate())


class Lifecycles:
    """What holds over HTTP and over stdio."""

    # ---- in any order, in any task ----------------------------------------------------------------

    def test_connected_in_one_task_and_disconnected_in_another(self, way: Way) -> None:
        async def under_asyncio() -> int:
            client = RouterMCPClient(**way)
            await asyncio.create_task(client.connect())
            total = await asyncio.create_task(add(client, 1, 2))
            await asyncio.create_task(client.disconnect())
            assert client.stats().open == 0
            return total

        async def under_trio() -> int:
            client, totals = RouterMCPClient(**way), list[int]()

            async def call() -> None:
                totals.append(await add(client, 1, 2))

            for step in (client.connect, call, client.disconnect):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(step)
            assert client.stats().open == 0
            return totals[0]

        assert (asyncio.run(under_asyncio()), trio.run(under_trio)) == (3, 3)

    def test_disconnected_out_of_order(self, way: Way, runtime: str) -> None:
        """Clients and sessions need not end in the reverse of the order in which they began."""

        async def body() -> None:
            clients = [make_client(runtime, **way) for _ in range(3)]
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

    def test_never_entered(self, way: Way, runtime: str) -> None:
        async def body() -> int:
            client = make_client(runtime, **way)
            await client.disconnect()
            await client.connect()
            total = await add(client, 2, 3)
            await client.disconnect()
            await client.disconnect()
            return total

        assert run(runtime, body) == 5

    # ---- where frameworks keep clients ---------------------------------------------------------------

    def test_in_the_lifespan_of_an_application(self, way: Way) -> None:
        client = RouterMCPClient(**way)

        @contextlib.asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncGenerator[None]:
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

            scope: dict[str, Any] = {
                "type": "http",
                "method": "GET",
                "path": "/",
                "headers": [],
                "root_path": "",
            }
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

    def test_in_a_fixture(self, way: Way) -> None:
        """Plugins run the two halves of an async fixture in tasks of their own, in one loop."""

        async def fixture() -> AsyncIterator[RouterMCPClient]:
            async with RouterMCPClient(**way) as client:
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

    def test_two_runs_without_a_goodbye_between(self, way: Way) -> None:
        """The first loop is closed, and nothing can be disconnected there any more."""
        client = RouterMCPClient(**way)

        async def begin() -> int:
            await client.connect()
            return await add(client, 1, 1)

        async def without_connecting() -> None:
            with pytest.raises(ConfigError, match="another"):
                await client.list_tools()

        async def end() -> None:
            await client.disconnect()
            assert client.stats().open == 0

        with warnings.catch_warnings():
            # uvloop says of itself what it closes.
            warnings.filterwarnings("ignore", LEFT_OPEN, ResourceWarning)
            assert [asyncio.run(begin()), asyncio.run(begin()), trio.run(begin)] == [2, 2, 2]
            asyncio.run(without_connecting())
            assert [trio.run(begin), asyncio.run(begin())] == [2, 2]
        asyncio.run(end())

    # ---- threads ------------------------------------------------------------------------------------

    def test_a_blocking_client_in_the_thread_of_a_running_loop(self, way: Way) -> None:
        async def body() -> int:
            with SyncRouterMCPClient(**way) as client:
                others = asyncio.to_thread(client.call_tool, "add", {"a": 1, "b": 2})
                here = int(client.call_tool("add", {"a": 3, "b": 4}).text)
                return here + int((await others).text)

        assert asyncio.run(body()) == 10

    def test_many_threads_on_one_blocking_client(self, way: Way) -> None:
        answers: dict[int, list[str]] = {}
        client = SyncRouterMCPClient(**way)
        start = threading.Barrier(THREADS)

        def work(number: int) -> None:
            start.wait()
            client.connect()
            answers[number] = [client.call_tool("add", {"a": number, "b": n}).text for n in range(5)]

        threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert answers == {number: [str(number + n) for n in range(5)] for number in range(THREADS)}
        assert client.stats().in_use == 0
        client.disconnect()
        assert client.stats().open == 0

    def test_trio_as_a_guest_of_asyncio(self, way: Way) -> None:
        async def guest() -> int:
            async with RouterMCPClient(**way) as client:
                return await add(client, 5, 6)

        async def host() -> int:
            loop = asyncio.get_running_loop()
            done: asyncio.Future[Any] = loop.create_future()
            trio.lowlevel.start_guest_run(
                guest,
                run_sync_soon_threadsafe=loop.call_soon_threadsafe,
                done_callback=done.set_result,
                host_uses_signal_set_wakeup_fd=True,
            )
            async with RouterMCPClient(**way) as client:
                return await add(client, 1, 1) + (await done).unwrap()

        assert asyncio.run(host()) == 13

"""A call of the handshake era that is given up is told to its server, whatever the pool holds.

MCP 2025-11-25, Transports, "Sending Messages to the Server": disconnection is no cancellation, a client
sends ``notifications/cancelled``. Utilities, "Cancellation": it names only requests that were sent.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import trio

from routermcp import RouterMCPClient
from routermcp.types import PoolLimits, TransportError
from tests.routermcp.server import HANDSHAKE, PATIENCE, Exchange, ScriptedServer
from tests.three_runtimes import make_client, run

#: Milliseconds for a call that is never answered: by far enough to reach a server on loopback.
TIMEOUT_MS = 1_500


def hang(exchange: Exchange) -> None:
    """Say that the request has come, and never answer it."""
    exchange.server.events["begun"].set()
    exchange.closed_by_client()


def cancelled_ids(server: ScriptedServer) -> list[Any]:
    return sorted(seen.params["requestId"] for seen in server.requests("notifications/cancelled"))


async def cancel(runtime: str, client: RouterMCPClient, begun: threading.Event) -> None:
    """Make a call, and cancel it when the server has it."""
    if runtime == "asyncio":
        task = asyncio.ensure_future(client.call_tool("echo"))
        assert await asyncio.to_thread(begun.wait, PATIENCE)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        return
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.call_tool, "echo")
        assert await trio.to_thread.run_sync(begun.wait, PATIENCE)
        nursery.cancel_scope.cancel()


async def time_out(runtime: str, client: RouterMCPClient, begun: threading.Event) -> None:
    del runtime
    with pytest.raises(TransportError) as caught:
        await client.call_tool("echo", timeout=TIMEOUT_MS)
    assert caught.value.code == "timeout"
    assert begun.is_set()


@pytest.mark.parametrize(
    ("runtime", "way"),
    [("asyncio", cancel), ("trio", cancel), ("trio", time_out), ("blocking", time_out)],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_single_call_leaves_no_other_connection_and_is_told(runtime: str, way: Any) -> None:
    with ScriptedServer(HANDSHAKE) as server:
        server.script("tools/call", hang)

        async def body() -> None:
            async with make_client(runtime, url=server.url, limits=PoolLimits(max_connections=1)) as client:
                assert client.stats().open == 1
                await way(runtime, client, server.events["begun"])
                assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"
                assert client.stats().in_use == 0

        run(runtime, body)
        called, _ = server.requests("tools/call")
        assert cancelled_ids(server) == [called.message["id"]]


def test_many_calls_at_once_are_all_told() -> None:
    calls = 8
    begun = threading.Semaphore(0)

    def held(exchange: Exchange) -> None:
        begun.release()
        exchange.closed_by_client()

    with ScriptedServer(HANDSHAKE) as server:
        server.script("tools/call", *[held] * calls)

        async def body() -> None:
            async with RouterMCPClient(server.url) as client:
                tasks = [asyncio.ensure_future(client.call_tool("echo")) for _ in range(calls)]
                for _ in range(calls):
                    assert await asyncio.to_thread(begun.acquire, timeout=PATIENCE)
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                assert all(task.cancelled() for task in tasks)

        run("asyncio", body)
        assert cancelled_ids(server) == sorted(seen.message["id"] for seen in server.requests("tools/call"))


def test_a_call_that_was_not_sent_is_not_told() -> None:
    with ScriptedServer(HANDSHAKE) as server:
        server.script("tools/call", hang)

        async def body() -> None:
            async with RouterMCPClient(server.url, limits=PoolLimits(max_connections=1)) as client:
                first = asyncio.ensure_future(client.call_tool("echo"))
                assert await asyncio.to_thread(server.events["begun"].wait, PATIENCE)
                second = asyncio.ensure_future(client.call_tool("echo"))
                while not client.stats().waiting:
                    await asyncio.sleep(0)
                for task in (second, first):
                    task.cancel()
                    await asyncio.wait([task])

        run("asyncio", body)
        (called,) = server.requests("tools/call")
        assert cancelled_ids(server) == [called.message["id"]]

"""Servers that are slow, die, and come back: the cost of each, and the clients that pay it."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from routermcp.gateway import GatewayApp, serve_in_thread
from routermcp.gateway.aggregate import Aggregate
from routermcp.gateway.upstreams.availability import UpstreamState
from routermcp.gateway.upstreams.targets import over_http, over_stdio
from routermcp.gateway.upstreams.times import UpstreamTimes
from routermcp.gateway.upstreams.upstream import Upstream
from routermcp.types import UpstreamError
from routermcp_adapters.runtimes.run_sync import run_sync
from tests import loopback
from tests.gateway.servers import ERAS, Shop, gateway, serving, serving_aggregate
from tests.three_runtimes import gather, make_client, run

#: Seconds that anything here is waited for: many times what it takes.
PATIENCE = 20.0

ROOT = Path(__file__).resolve().parents[3]

#: A server that says who it is.
CHILD = """
import json, os, sys
from routermcp_proto import RequestReceived, ServerSession
session = ServerSession(server_info={"name": "child", "version": "1"}, capabilities={"tools": {}})
while data := os.read(0, 65536):
    if "handshake" in sys.argv and b"server/discover" in data:
        refused = {"code": -32601, "message": "unknown"}
        answer = {"jsonrpc": "2.0", "id": json.loads(data)["id"], "error": refused}
        os.write(1, json.dumps(answer).encode() + b"\\n")
        continue
    session.receive_data(data)
    for event in session.events_received():
        if isinstance(event, RequestReceived) and event.method == "tools/list":
            tools = [{"name": name, "inputSchema": {"type": "object"}} for name in ("pid", "die")]
            session.send_answer(event.request_id, {"tools": tools})
        elif isinstance(event, RequestReceived):
            if event.params["name"] == "die":
                os._exit(1)
            session.send_answer(event.request_id, {"content": [{"type": "text", "text": str(os.getpid())}]})
    os.write(1, session.data_to_send())
"""


def child(*ways: str) -> Upstream:
    path = os.pathsep.join((str(ROOT), str(ROOT / "adapters")))
    return Upstream("child", over_stdio([sys.executable, "-c", CHILD, *ways], env={"PYTHONPATH": path}))


@contextmanager
def silent() -> Generator[str]:
    """Accept connections and say nothing."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    held.append(listener.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        listener.shutdown(socket.SHUT_RDWR)
    for connection in held:
        connection.close()


def names(url: str, **settings: Any) -> list[str]:
    async def body() -> list[str]:
        async with make_client("asyncio", url=url, **settings) as client:
            return [tool.name for tool in await client.list_tools()]

    return run("asyncio", body)


def test_a_server_that_says_nothing_holds_the_others_up_once_and_briefly() -> None:
    with silent() as nowhere, serving(Shop(["saw"])) as there:
        slow = Upstream("slow", over_http(nowhere), timeout_ms=600)
        aggregate = Aggregate([slow, Upstream("shop", over_http(there))], patience=0.5)
        with serving_aggregate(aggregate) as url:
            began = time.monotonic()
            assert "shop.saw" in names(url)
            first = time.monotonic() - began
            assert first >= 0.5
            # Fails where it waits: the time counts from the first attempt.
            run_sync(slow.availability.settled(0.5))
            assert "shop.saw" in names(url)
            assert slow.state is UpstreamState.CONNECTING
            with pytest.raises(UpstreamError, match=r"'slow' is unavailable \(connecting\)"):
                run("asyncio", lambda: call(url, "slow.thing"))


async def call(url: str, tool: str, era: str = "auto") -> str:
    async with make_client("asyncio", url=url, protocol=era) as client:
        return (await client.call_tool(tool)).text


@pytest.mark.parametrize("value", [b"NaN", b'[{"deep": -Infinity}]'])
def test_an_argument_that_cannot_be_sent_on_is_refused_to_its_client(value: bytes) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"shop.saw","arguments":{"n":%b}}}'
    shop = Shop()
    with gateway({"shop": shop}) as (url, _):
        headers = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
        answer = loopback.post(url, content=body % value, headers=headers).json()
        assert answer["error"]["code"] == -32602, answer
    assert not shop.ran


def test_a_server_that_comes_back_is_found_and_its_tools_are_announced() -> None:
    told: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as place:
        port = place.getsockname()[1]
    times = UpstreamTimes(first_pause_seconds=0.05)
    upstream = Upstream("shop", over_http(f"http://127.0.0.1:{port}/mcp"), times=times)
    aggregate = Aggregate([upstream])
    with serving_aggregate(aggregate) as url:
        announce = aggregate.on_changed

        def listen(method: str, params: Any, *clients: str | None) -> None:
            told.append(method)
            announce(method, params, *clients)

        aggregate.on_changed = listen
        assert names(url) == []
        assert upstream.state is UpstreamState.FAILED
        with serve_in_thread(GatewayApp(Shop(["saw"])), port=port):
            until = time.monotonic() + PATIENCE
            while "shop.saw" not in names(url):
                assert time.monotonic() < until
            assert run("asyncio", lambda: call(url, "shop.saw")) == "sawn"
    assert "notifications/tools/list_changed" in told


@pytest.mark.parametrize("era", ERAS, ids=lambda era: f"client {era}")
@pytest.mark.parametrize("ways", [(), ("handshake",)], ids=["stateless", "handshake"])
def test_a_child_starts_once_and_again_when_it_has_died(ways: tuple[str, ...], era: str) -> None:
    aggregate = Aggregate([child(*ways)], patience=PATIENCE)
    with serving_aggregate(aggregate) as url:

        async def body() -> None:
            async with make_client("asyncio", url=url, protocol=era) as client:

                def pid() -> Any:
                    return client.call_tool("child.pid")

                async def ask() -> str:
                    return (await pid()).text

                pids = set(await gather("asyncio", [ask] * 10))
                assert len(pids) == 1, "one child, for all requests"
                with pytest.raises(UpstreamError) as caught:
                    await client.call_tool("child.die")
                assert caught.value.data["server"] == "child"
                (again,) = set(await gather("asyncio", [ask] * 3))
                assert {again} != pids
                os.kill(int(again), signal.SIGKILL)
                answers: list[str] = []
                until = time.monotonic() + PATIENCE
                while not answers:
                    assert time.monotonic() < until
                    try:
                        answers.append(await ask())
                    except UpstreamError:
                        continue  # it was asked before its end was seen
                assert answers[0] not in {again, *pids}

        run("asyncio", body)


@pytest.mark.parametrize("what", ["stderr", "stdout"])
@pytest.mark.parametrize("speaks", ERAS)
@pytest.mark.parametrize("era", ERAS)
def test_an_idle_child_never_blocks_on_a_pipe(era: str, speaks: str, what: str) -> None:
    """Neither in the session that all clients share nor in one that a client has for itself."""
    done = threading.Event()
    command = [sys.executable, "-I", "-S", str(ROOT / "tests" / "stdio" / "speaker.py"), "quiet"]
    upstream = Upstream("child", over_stdio(command, protocol=speaks))

    async def body(url: str) -> None:
        async with make_client("asyncio", url=url, protocol=era) as client:
            assert (await client.call_tool("child.speak", {"what": what})).text == "ok"
            assert done.wait(PATIENCE)

    with serving_aggregate(Aggregate([upstream])) as url:
        upstream.on_notification = lambda _session, method, _: done.set() if method == "test/done" else None
        run("asyncio", body, url)

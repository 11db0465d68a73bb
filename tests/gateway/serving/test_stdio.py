"""A backend over a stream: what a host does that starts its servers as child processes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from routermcp.gateway.catalog.server_names import ServerNaming
from routermcp.gateway.serving.stdio import serve_stdio
from routermcp.gateway.single import SingleServer
from routermcp.gateway.upstreams.targets import over_stdio
from routermcp.gateway.upstreams.upstream import Upstream
from routermcp.transports import stdio
from routermcp.types import RPCError
from tests.gateway.servers import ERAS, Shop, serving, serving_aggregate
from tests.three_runtimes import RUNTIMES, abandon_when, make_client, run

#: Serves the server at a URL over its own stdio.
CONNECT = """
import asyncio, sys
from routermcp.gateway.single import SingleServer
from routermcp.gateway.catalog.server_names import ServerNaming
from routermcp.gateway.upstreams.targets import over_http
from routermcp.gateway.serving.stdio import serve_stdio
from routermcp.gateway.upstreams.upstream import Upstream
async def main():
    backend = SingleServer(Upstream("it", over_http(sys.argv[1]), names=ServerNaming("it")))
    await backend.begin()
    try:
        await serve_stdio(backend)
    finally:
        await backend.close()
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def shop_url() -> Iterator[tuple[Shop, str]]:
    shop = Shop(["saw", "refuse", "wait", "chat"])
    with serving(shop) as url:
        yield shop, url


def connect(url: str) -> Any:
    path = os.pathsep.join(path for path in sys.path if path)
    return stdio([sys.executable, "-c", CONNECT, url], env={"PYTHONPATH": path})


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("era", ERAS)
def test_a_server_over_http_for_who_only_speaks_stdio(
    shop_url: tuple[Shop, str], runtime: str, era: str
) -> None:
    shop, url = shop_url
    shop.cancelled.clear()
    shop.ran.clear()

    async def body() -> None:
        client = make_client(
            runtime, transport=connect(url), protocol=era, on_elicitation=lambda asked: {"answer": "yes"}
        )
        async with client:
            assert client.server is not None
            assert client.server.serverInfo.name == "routermcp-demo"
            assert client.server.instructions == "Read demo://readme."
            assert {"add", "saw", "wait"} <= {tool.name for tool in await client.list_tools()}
            assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"
            assert (await client.call_tool("chat")).text == "one={'answer': 'yes'} two={'answer': 'yes'}"
            with pytest.raises(RPCError, match="not today"):
                await client.call_tool("refuse")

            async def wait(**options: Any) -> Any:
                return await client.call_tool("wait", **options)

            assert await abandon_when(lambda: shop.ran["wait"], runtime, wait)
            (content,) = (await client.read_resource("demo://readme")).contents
            assert "demonstration" in content.to_wire()["text"]

    run(runtime, body)
    assert shop.cancelled.wait(10), "what the client gave up has ended at the server"


def test_a_server_over_stdio_for_who_only_speaks_http() -> None:
    """As ``routermcp proxy`` does; the names are the server's own."""
    with serving(Shop(["saw"])) as url:
        child = [sys.executable, "-c", CONNECT, url]
        path = os.pathsep.join(path for path in sys.path if path)
        mirror = SingleServer(
            Upstream("it", over_stdio(child, env={"PYTHONPATH": path}), names=ServerNaming("it")), patience=20
        )
        with serving_aggregate(mirror) as proxied:

            async def body() -> list[str]:
                async with make_client("asyncio", url=proxied) as client:
                    assert (await client.call_tool("saw")).text == "sawn"
                    return [tool.name for tool in await client.list_tools()]

            assert run("asyncio", body) == ["add", "ask_name", "count", "echo", "saw"]


def test_what_is_no_message_costs_only_itself() -> None:
    """And the end of the input ends the serving, with what was asked still answered."""
    requests = [
        b"not json",
        b'{"jsonrpc":"2.0","id":1,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"saw"}}',
    ]
    to_read, to_write = os.pipe()
    answers_read, answers_write = os.pipe()
    answers: list[Any] = []

    def client() -> None:
        os.write(to_write, b"\n".join(requests) + b"\n")
        with os.fdopen(answers_read, "rb") as lines:
            answers.extend(json.loads(lines.readline()) for _ in requests)
            os.close(to_write)

    thread = threading.Thread(target=client)
    thread.start()
    asyncio.run(serve_stdio(Shop(["saw"]), to_read, answers_write))
    thread.join(10)
    os.close(to_read)
    os.close(answers_write)
    by_id = {answer.get("id"): answer for answer in answers}
    assert by_id[None]["error"]["code"] == -32700
    assert by_id[1]["result"] == {}
    assert by_id[2]["result"]["content"] == [{"type": "text", "text": "sawn"}]


def test_what_was_asked_before_the_input_ended_is_answered() -> None:
    """As when requests are piped in: the answer comes later than the end of the input."""
    call = {"name": "count", "arguments": {"to": 2, "delay_ms": 20}}
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    to_read, to_write = os.pipe()
    answers_read, answers_write = os.pipe()
    os.write(to_write, json.dumps(request).encode() + b"\n")
    os.close(to_write)
    asyncio.run(serve_stdio(Shop([]), to_read, answers_write))
    os.close(to_read)
    os.close(answers_write)
    with os.fdopen(answers_read, "rb") as lines:
        (answer,) = [json.loads(line) for line in lines]
    assert answer["result"]["content"][0]["text"] == "counted to 2"

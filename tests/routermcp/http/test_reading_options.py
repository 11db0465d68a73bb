"""Options for the reading of answers: strict JSON, and compression that is asked for."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Mapping
from typing import Any

import pytest

from routermcp.transports import http
from routermcp.types import ConfigError, ResponseValidationError
from tests.routermcp.server import Exchange, ScriptedServer
from tests.three_runtimes import make_client, run

#: What a tool measured.
RESULT: Mapping[str, Any] = {"content": [], "structuredContent": {"ratio": math.nan}}


def answer(exchange: Exchange) -> None:
    exchange.json({"jsonrpc": "2.0", "id": exchange.id, "result": {**RESULT, "resultType": "complete"}})


def stream(exchange: Exchange) -> None:
    message = {"jsonrpc": "2.0", "id": exchange.id, "result": {**RESULT, "resultType": "complete"}}
    exchange.status(200, f"data: {json.dumps(message)}\n\n", "text/event-stream")


@pytest.mark.parametrize("give", [answer, stream])
def test_strict_json_refuses_numbers_that_json_does_not_know(
    server: ScriptedServer, runtime: str, give: Any
) -> None:
    async def body() -> None:
        async with make_client(runtime, url=server.url, strict_json=True) as client:
            server.script("tools/call", give)
            with pytest.raises(ResponseValidationError, match="not JSON"):
                await client.call_tool("echo")
            assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"

    run(runtime, body)


def test_they_are_floats_by_default(server: ScriptedServer) -> None:
    async def body() -> None:
        async with make_client("asyncio", url=server.url) as client:
            server.script("tools/call", answer)
            assert math.isnan((await client.call_tool("echo")).structuredContent["ratio"])

    run("asyncio", body)


@pytest.mark.parametrize("asked", ["gzip", "gzip, deflate", "gzip;q=0.5, identity"])
@pytest.mark.parametrize("whole", [False, True])
def test_compression_is_asked_for_and_read(server: ScriptedServer, asked: str, whole: bool) -> None:
    """As an option of the client, and as one of ``http(...)``."""

    def compressed(exchange: Exchange) -> None:
        data = gzip.compress(json.dumps(exchange.execute()).encode())
        head = ["HTTP/1.1 200 OK", "Content-Type: application/json", "Content-Encoding: gzip"]
        lines = [*head, f"Content-Length: {len(data)}", "", ""]
        exchange.raw("\r\n".join(lines).encode() + data)

    async def body() -> None:
        settings: dict[str, Any] = {"url": server.url, "accept_encoding": asked}
        client = make_client("asyncio", **({"transport": http(**settings)} if whole else settings))
        async with client:
            server.script("tools/call", compressed)
            assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"

    run("asyncio", body)
    assert {seen.headers["accept-encoding"] for seen in server.seen} == {asked}


@pytest.mark.parametrize("asked", ["br", "gzip, zstd", "", "*", b"gzip"])
def test_what_cannot_be_decoded_is_not_asked_for(asked: Any) -> None:
    with pytest.raises(ConfigError, match=r"accept_encoding=.* cannot be decoded; give gzip"):
        make_client("asyncio", url="http://127.0.0.1:9/mcp", accept_encoding=asked)


def test_a_header_of_the_user_wins(server: ScriptedServer) -> None:
    async def body() -> None:
        settings: dict[str, Any] = {"accept_encoding": "gzip", "headers": {"accept-encoding": "deflate"}}
        async with make_client("asyncio", url=server.url, **settings) as client:
            await client.list_tools()

    run("asyncio", body)
    assert {seen.headers["accept-encoding"] for seen in server.seen} == {"deflate"}

"""Requests of any method, subscriptions, log levels and changes of roots, on all runtimes."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from routermcp import RouterMCPClient
from routermcp.types import (
    LocalProtocolError,
    MCPError,
    MethodNotFoundError,
    Progress,
    ResponseValidationError,
    ToolError,
    ToolResult,
    TransportError,
)
from tests.routermcp.server import HANDSHAKE, STATELESS, Exchange, ScriptedServer, lost, text
from tests.three_runtimes import make_client, run

LOG_LEVEL = "io.modelcontextprotocol/logLevel"


class Weather(BaseModel):
    city: str
    degrees: float


def with_client(server: ScriptedServer, runtime: str, body: Any, **settings: Any) -> Any:
    async def whole() -> Any:
        async with make_client(runtime, url=server.url, **settings) as client:
            return await body(client)

    return run(runtime, whole)


# ---- request --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Weather, Weather(city="Bern", degrees=7.5)),
        (dict[str, Any], {"city": "Bern", "degrees": 7.5}),
        (Any, {"city": "Bern", "degrees": 7.5}),
    ],
)
def test_a_request_of_any_method(any_server: ScriptedServer, runtime: str, kind: Any, expected: Any) -> None:
    any_server.results["weather/today"] = lambda exchange, params: {"city": params["city"], "degrees": 7.5}

    async def body(client: RouterMCPClient) -> Any:
        return await client.request("weather/today", {"city": "Bern"}, kind, meta={"example.com/why": "test"})

    assert with_client(any_server, runtime, body) == expected
    (request,) = any_server.requests("weather/today")
    assert request.params["_meta"]["example.com/why"] == "test"


def test_a_request_without_parameters_and_its_progress(any_server: ScriptedServer, runtime: str) -> None:
    def slow(exchange: Exchange, params: dict[str, Any]) -> dict[str, Any]:
        exchange.stream().progress(1, 2)
        return {}

    any_server.results["work/do"] = slow
    seen: list[Progress] = []

    async def body(client: RouterMCPClient) -> Any:
        return await client.request("work/do", None, dict, on_progress=seen.append)

    result: dict[str, Any] = with_client(any_server, runtime, body)
    assert (result, [each.progress for each in seen]) == ({}, [1])


def test_a_request_of_a_known_method_is_like_the_method(server: ScriptedServer, runtime: str) -> None:
    async def body(client: RouterMCPClient) -> ToolResult:
        return await client.request("tools/call", {"name": "echo", "arguments": {"a": 1}}, ToolResult)

    assert with_client(server, runtime, body).text == '{"a": 1}'
    (request,) = server.requests("tools/call")
    assert request.headers["mcp-name"] == "echo"


def test_a_request_that_the_server_does_not_offer(any_server: ScriptedServer, runtime: str) -> None:
    async def body(client: RouterMCPClient) -> None:
        with pytest.raises(MethodNotFoundError, match="weather/today"):
            await client.request("weather/today", {}, dict)

    with_client(any_server, runtime, body)


def test_a_request_that_is_answered_with_something_else(any_server: ScriptedServer, runtime: str) -> None:
    any_server.results["weather/today"] = {"city": "Bern", "degrees": "cold"}

    async def body(client: RouterMCPClient) -> None:
        with pytest.raises(ResponseValidationError, match="not a Weather: degrees") as caught:
            await client.request("weather/today", {}, Weather)
        assert caught.value.method == "weather/today"

    with_client(any_server, runtime, body)


def test_a_request_is_repeated_only_if_the_caller_says_so(any_server: ScriptedServer, runtime: str) -> None:
    any_server.results["weather/today"] = {}

    async def body(client: RouterMCPClient) -> None:
        any_server.script("weather/today", lost)
        with pytest.raises(TransportError, match="retry=True") as caught:
            await client.request("weather/today", {}, dict)
        assert caught.value.code == "interrupted"
        any_server.script("weather/today", lost)
        assert await client.request("weather/today", {}, dict, retry=True) == {}

    with_client(any_server, runtime, body)
    assert any_server.executed["weather/today"] == 3


@pytest.mark.parametrize(("method", "params"), [("", {}), ("a/b", ["x"]), ("a/b", {"_meta": {}})])
def test_a_request_that_cannot_be_sent(
    server: ScriptedServer, runtime: str, method: str, params: Any
) -> None:
    async def body(client: RouterMCPClient) -> None:
        with pytest.raises(LocalProtocolError):
            await client.request(method, params, dict)

    with_client(server, runtime, body)


# ---- subscriptions, log levels, roots -----------------------------------------------------------------


def test_subscribing_to_a_resource(sessions_server: ScriptedServer, runtime: str) -> None:
    sessions_server.results |= {"resources/subscribe": {}, "resources/unsubscribe": {}}

    async def body(client: RouterMCPClient) -> None:
        await client.subscribe_resource("file:///a")
        await client.unsubscribe_resource("file:///a")

    with_client(sessions_server, runtime, body)
    for method in ("resources/subscribe", "resources/unsubscribe"):
        assert [seen.params["uri"] for seen in sessions_server.requests(method)] == ["file:///a"]


def test_a_server_without_subscriptions(server: ScriptedServer, runtime: str) -> None:
    async def body(client: RouterMCPClient) -> None:
        with pytest.raises(MethodNotFoundError, match="resources/subscribe"):
            await client.subscribe_resource("file:///a")

    with_client(server, runtime, body)


def test_the_log_level_reaches_the_server_in_the_way_of_its_era(
    any_server: ScriptedServer, runtime: str
) -> None:
    any_server.results["logging/setLevel"] = {}

    async def body(client: RouterMCPClient) -> None:
        await client.set_log_level("warning")
        await client.call_tool("echo", meta={"example.com/why": "test"})

    with_client(any_server, runtime, body)
    told = [seen.params["level"] for seen in any_server.requests("logging/setLevel")]
    (call,) = any_server.requests("tools/call")
    assert call.params["_meta"]["example.com/why"] == "test"
    if any_server.era == HANDSHAKE:
        assert (told, call.params["_meta"].get(LOG_LEVEL)) == (["warning"], None)
    else:
        assert (told, call.params["_meta"].get(LOG_LEVEL)) == ([], "warning")


def test_the_server_hears_that_roots_have_changed(any_server: ScriptedServer, runtime: str) -> None:
    async def body(client: RouterMCPClient) -> None:
        await client.send_roots_list_changed()
        await client.ping()

    with_client(any_server, runtime, body, on_roots=list)
    told = any_server.requests("notifications/roots/list_changed")
    assert len(told) == (any_server.era != STATELESS)


@pytest.mark.parametrize("name", ["send_roots_list_changed", "set_log_level"])
def test_nothing_is_sent_before_connect(server: ScriptedServer, runtime: str, name: str) -> None:
    async def body() -> None:
        client = make_client(runtime, url=server.url)
        with pytest.raises(MCPError, match="not connected"):
            await getattr(client, name)(*(["debug"] if name == "set_log_level" else []))

    run(runtime, body)


# ---- with blocks ----------------------------------------------------------------------------------------


def test_nested_blocks_disconnect_with_the_outermost(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        client = make_client(runtime, url=any_server.url)
        async with client:
            async with client:
                await client.ping()
            await client.ping()
            with pytest.raises(ValueError, match="inner"):
                async with client:
                    raise ValueError("inner")
            await client.ping()
        with pytest.raises(MCPError, match="not connected"):
            await client.ping()
        async with client:
            await client.ping()

    run(runtime, body)
    assert len(any_server.requests("DELETE")) == 2 * (any_server.era == HANDSHAKE)


def test_disconnect_inside_of_a_block_ends_it(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        client = make_client(runtime, url=any_server.url)
        async with client:
            async with client:
                await client.disconnect()
                with pytest.raises(MCPError, match="not connected"):
                    await client.ping()
            await client.connect()
            await client.ping()
        with pytest.raises(MCPError, match="not connected"):
            await client.ping()

    run(runtime, body)


def test_a_tool_that_fails_raises_on_request(any_server: ScriptedServer, runtime: str) -> None:
    any_server.tools["bad"] = lambda exchange, arguments: text("no such city", isError=True)

    async def body(client: RouterMCPClient) -> None:
        assert (await client.call_tool("bad")).isError
        with pytest.raises(ToolError, match=r"'bad' failed: no such city") as caught:
            await client.call_tool("bad", raise_on_error=True)
        assert caught.value.content == [{"type": "text", "text": "no such city"}]
        assert (await client.call_tool("echo", {"a": 1}, raise_on_error=True)).text == '{"a": 1}'

    with_client(any_server, runtime, body)

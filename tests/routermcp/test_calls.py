"""Every method in both eras; paging, progress, large answers, callbacks that call, cancellation."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
import trio
from pydantic import BaseModel

from routermcp import RouterMCPClient, SyncRouterMCPClient
from routermcp.types import (
    CompleteResult,
    GetPromptResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    MethodNotFoundError,
    PoolLimits,
    Progress,
    ReadResourceResult,
    ResourceNotFoundError,
    ResponseValidationError,
    RetryPolicy,
    RPCError,
    ToolError,
    TransportError,
)
from tests.routermcp.server import (
    HANDSHAKE,
    PATIENCE,
    STATELESS,
    Action,
    Exchange,
    ScriptedServer,
    ServerError,
    refused,
    text,
)
from tests.three_runtimes import SLACK_SECONDS, abandon_when, gather, make_client, run

# ---- each method --------------------------------------------------------------------------


def test_methods_and_their_parameters(any_server: ScriptedServer, runtime: str) -> None:
    """What each method puts on the wire, and the type it returns."""

    async def body() -> list[Any]:
        async with make_client(runtime, url=any_server.url) as client:
            return [
                await client.list_tools_page(),
                await client.list_tools_page("c"),
                await client.list_resources_page("c"),
                await client.list_resource_templates_page("c"),
                await client.list_prompts_page("c"),
                await client.list_resource_templates(),
                await client.read_resource("a:b"),
                await client.get_prompt("summarize"),
                await client.get_prompt("summarize", {"text": "x"}),
                await client.complete(
                    {"type": "ref/prompt", "name": "summarize"},
                    {"name": "text", "value": "al"},
                    {"language": "en"},
                ),
                await client.call_tool("echo"),
                await client.call_tool("echo", {}),
            ]

    results = run(runtime, body)
    sent = [
        (seen.method, {name: value for name, value in seen.params.items() if name != "_meta"})
        for seen in any_server.seen
        if "/" in seen.method
        and seen.method not in ("server/discover", "notifications/initialized", "initialize")
    ]
    assert sent == [
        ("tools/list", {}),
        ("tools/list", {"cursor": "c"}),
        ("resources/list", {"cursor": "c"}),
        ("resources/templates/list", {"cursor": "c"}),
        ("prompts/list", {"cursor": "c"}),
        ("resources/templates/list", {}),
        ("resources/read", {"uri": "a:b"}),
        ("prompts/get", {"name": "summarize", "arguments": {}}),
        ("prompts/get", {"name": "summarize", "arguments": {"text": "x"}}),
        (
            "completion/complete",
            {
                "ref": {"type": "ref/prompt", "name": "summarize"},
                "argument": {"name": "text", "value": "al"},
                "context": {"arguments": {"language": "en"}},
            },
        ),
        ("tools/call", {"name": "echo", "arguments": {}}),
        ("tools/call", {"name": "echo", "arguments": {}}),
    ]
    assert [type(result) for result in results[:5]] == [
        ListToolsResult,
        ListToolsResult,
        ListResourcesResult,
        ListResourceTemplatesResult,
        ListPromptsResult,
    ]
    assert results[5][0].uriTemplate == "file:///{path}"
    assert isinstance(results[6], ReadResourceResult)
    assert isinstance(results[7], GetPromptResult)
    assert isinstance(results[9], CompleteResult)
    assert results[9].completion.values == ["alpha", "beta"]


def test_ping_in_the_words_of_the_era(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=any_server.url) as client:
            any_server.seen.clear()
            assert await client.ping() is None

    run(runtime, body)
    assert any_server.methods()[0] == {HANDSHAKE: "ping", STATELESS: "server/discover"}[any_server.era]


def test_requests_of_the_stateless_era_are_stamped(server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=server.url) as client:
            await client.call_tool("echo")
            await client.read_resource("a:ö")

    run(runtime, body)
    for seen in server.seen:
        meta = seen.params["_meta"]
        assert meta["io.modelcontextprotocol/protocolVersion"] == STATELESS
        assert meta["io.modelcontextprotocol/clientInfo"]["name"] == "routermcp"
        assert meta["io.modelcontextprotocol/clientCapabilities"] == {}
        assert seen.headers["mcp-protocol-version"] == STATELESS
        assert seen.headers["mcp-method"] == seen.method
        assert "mcp-session-id" not in seen.headers
    called, read = server.seen[1:]
    assert called.headers["mcp-name"] == "echo"
    assert read.headers["mcp-name"].startswith("=?base64?")


def test_requests_of_the_handshake_era_name_their_session(
    sessions_server: ScriptedServer, runtime: str
) -> None:
    async def body() -> None:
        async with make_client(runtime, url=sessions_server.url) as client:
            await client.call_tool("echo")

    run(runtime, body)
    (called,) = sessions_server.requests("tools/call")
    assert called.headers["mcp-protocol-version"] == HANDSHAKE
    assert called.headers["mcp-session-id"] == "session-1"
    assert "_meta" not in called.params
    (initialized,) = sessions_server.requests("notifications/initialized")
    assert initialized.headers["mcp-session-id"] == "session-1"


def test_answers_as_event_streams(any_server: ScriptedServer, runtime: str) -> None:
    def streamed(exchange: Exchange) -> None:
        exchange.stream()
        exchange.event(None, "priming")
        exchange.answer()

    any_server.script("tools/call", *[streamed] * 3)

    async def body() -> list[str]:
        async with make_client(runtime, url=any_server.url) as client:
            return [(await client.call_tool("add", {"a": n, "b": n})).text for n in range(3)]

    assert run(runtime, body) == ["0", "2", "4"]
    assert any_server.connections == 1


def test_errors_of_the_server(any_server: ScriptedServer, runtime: str) -> None:
    def failing(exchange: Exchange, params: dict[str, Any]) -> Mapping[str, Any]:
        raise ServerError(-32050, "of the server's own", {"detail": [1]})

    any_server.results["prompts/get"] = failing
    del any_server.results["completion/complete"]

    async def body() -> None:
        async with make_client(runtime, url=any_server.url) as client:
            with pytest.raises(RPCError, match="of the server's own") as caught:
                await client.get_prompt("summarize")
            assert (caught.value.code, caught.value.data) == (-32050, {"detail": [1]})
            with pytest.raises(MethodNotFoundError):
                await client.complete({"type": "ref/prompt", "name": "p"}, {"name": "a", "value": ""})
            with pytest.raises(ResourceNotFoundError, match="missing"):
                await client.read_resource("file:///missing")

    run(runtime, body)


class Sum(BaseModel):
    total: int


#: Results of a tool, the type to read them as, and what is read.
TYPED: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "structured": (text("ignored", structuredContent={"total": 3}), Sum, Sum(total=3)),
    "one text": (text('{"total": 3}'), Sum, Sum(total=3)),
    "text beside an image": (
        {"content": [{"type": "image", "data": "", "mimeType": "a/b"}, {"type": "text", "text": "5"}]},
        int,
        5,
    ),
    "list": (text("[1, 2]"), list[int], [1, 2]),
    "wrapped": (text("", structuredContent={"result": [1, 2]}), list[int], [1, 2]),
    "dict": (text('{"a": "b"}'), dict[str, str], {"a": "b"}),
    "plain text": (text("7 degrees, cloudy"), str, "7 degrees, cloudy"),
    "a number as text": (text("7"), str, "7"),
    "half a JSON": (text('{"a": '), str, '{"a": '),
    "text or number": (text("cloudy"), int | str, "cloudy"),
    "date": (text("2026-07-28"), date, date(2026, 7, 28)),
    "empty text": (text(""), str, ""),
    "empty": ({"content": []}, type(None), None),
    "empty, perhaps more": ({"content": []}, Sum | None, None),
    "empty text for None": (text(""), Sum | None, None),
    "wrapped None": (text("null", structuredContent={"result": None}), type(None), None),
}


@pytest.mark.parametrize("name", TYPED)
def test_typed_results(server: ScriptedServer, runtime: str, name: str) -> None:
    result, kind, value = TYPED[name]
    server.tools["typed"] = lambda exchange, arguments: result

    async def body() -> Any:
        async with make_client(runtime, url=server.url) as client:
            return await client.call_tool_typed("typed", None, kind)

    assert run(runtime, body) == value


#: Results that are not of the type wanted, and what the error says.
MISTYPED: dict[str, tuple[dict[str, Any], str]] = {
    "other members": (text("", structuredContent={"sum": 3}), "total"),
    "no JSON": (text("three"), "JSON"),
    "nothing": ({"content": []}, "use call_tool"),
    "two texts": ({"content": [{"type": "text", "text": "1"}] * 2}, "use call_tool"),
}


@pytest.mark.parametrize("name", MISTYPED)
def test_typed_results_of_another_type(server: ScriptedServer, runtime: str, name: str) -> None:
    result, words = MISTYPED[name]
    server.tools["typed"] = lambda exchange, arguments: result

    async def body() -> None:
        async with make_client(runtime, url=server.url) as client:
            with pytest.raises(ResponseValidationError, match=f"'typed'.*{words}") as caught:
                await client.call_tool_typed("typed", None, Sum)
            assert caught.value.method == "tools/call"

    run(runtime, body)


def test_typed_call_of_a_tool_that_fails(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=any_server.url) as client:
            with pytest.raises(ToolError, match=r"'fail'.*it went wrong") as caught:
                await client.call_tool_typed("fail", {}, Sum)
            assert caught.value.tool == "fail"
            assert caught.value.content[0]["text"] == "it went wrong"

    run(runtime, body)


# ---- paging -----------------------------------------------------------------------------------

#: The lists: method of the client, MCP method, member of the result, one entry.
LISTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "list_tools": ("tools/list", "tools", {"name": "n"}),
    "list_resources": ("resources/list", "resources", {"uri": "a:b", "name": "n"}),
    "list_resource_templates": (
        "resources/templates/list",
        "resourceTemplates",
        {"uriTemplate": "a:{b}", "name": "n"},
    ),
    "list_prompts": ("prompts/list", "prompts", {"name": "n"}),
}


@pytest.mark.parametrize("name", LISTS)
def test_all_pages_of_a_list(any_server: ScriptedServer, runtime: str, name: str) -> None:
    method, member, entry = LISTS[name]

    def page(exchange: Exchange, params: dict[str, Any]) -> dict[str, Any]:
        number = int(params.get("cursor", "0"))
        entries = [{**entry, "name": f"{number}-{index}"} for index in range(2)]
        return {member: entries} if number == 3 else {member: entries, "nextCursor": str(number + 1)}

    any_server.results[method] = page

    async def body() -> None:
        async with make_client(runtime, url=any_server.url) as client:
            names = [each.name for each in await getattr(client, name)()]
            assert names == [f"{number}-{index}" for number in range(4) for index in range(2)]
            first = await getattr(client, f"{name}_page")()
            assert first.nextCursor == "1"
            last = await getattr(client, f"{name}_page")("3")
            assert (last.nextCursor, [each.name for each in getattr(last, member)]) == (None, ["3-0", "3-1"])

    run(runtime, body)
    assert any_server.executed[method] == 6


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize(
    ("following", "asked", "warning"),
    [
        ({None: "a", "a": "b", "b": "a"}, 3, "circle, it gave the cursor 'a' twice"),
        ({None: "a", "a": "a"}, 2, "circle, it gave the cursor 'a' twice"),
        ({None: "a", "a": 2}, 2, "left out nextCursor"),
        ({None: ["a"]}, 1, "left out nextCursor"),
    ],
)
def test_an_odd_cursor_ends_a_list_with_a_warning(
    any_server: ScriptedServer,
    runtime: str,
    name: str,
    following: dict[str | None, Any],
    asked: int,
    warning: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    method, member, entry = LISTS[name]
    any_server.results[method] = lambda exchange, params: {
        member: [{**entry, "name": params.get("cursor") or "first"}],
        "nextCursor": following[params.get("cursor")],
    }

    async def body() -> Any:
        async with make_client(runtime, url=any_server.url) as client:
            return await getattr(client, name)()

    names = [each.name for each in run(runtime, body)]
    assert names == ["first", "a", "b"][:asked]
    assert any_server.executed[method] == asked
    assert [each for each in caplog.messages if warning in each and each.startswith(method)]


def test_an_empty_cursor_ends_a_list(server: ScriptedServer, runtime: str) -> None:
    server.results["tools/list"] = {"tools": [], "nextCursor": ""}

    async def body() -> list[Any]:
        async with make_client(runtime, url=server.url) as client:
            return await client.list_tools()

    assert run(runtime, body) == []
    assert server.executed["tools/list"] == 1


def test_one_deadline_over_all_pages(server: ScriptedServer, runtime: str) -> None:
    numbers = iter(range(1_000_000))

    def page(exchange: Exchange, params: dict[str, Any]) -> dict[str, Any]:
        time.sleep(0.02)
        return {"tools": [], "nextCursor": str(next(numbers))}

    server.results["tools/list"] = page

    async def body() -> float:
        async with make_client(runtime, url=server.url) as client:
            began = time.monotonic()
            with pytest.raises(TransportError, match="tools/list") as caught:
                await client.list_tools(timeout=150)
            assert caught.value.code == "timeout"
            return time.monotonic() - began

    assert 0.15 <= run(runtime, body) < 0.15 + SLACK_SECONDS


# ---- progress and large answers ---------------------------------------------------------------------


def test_progress_comes_in_order(any_server: ScriptedServer, runtime: str) -> None:
    seen: list[Progress] = []

    async def body() -> str:
        async with make_client(runtime, url=any_server.url) as client:
            return (await client.call_tool("count", {"to": 20}, on_progress=seen.append)).text

    assert run(runtime, body) == "counted to 20"
    assert [progress.progress for progress in seen] == list(range(1, 21))
    assert {progress.total for progress in seen} == {20}


def test_progress_goes_to_the_call_it_is_of(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=any_server.url) as client:

            async def count(to: int) -> list[float]:
                seen: list[float] = []

                def keep(progress: Progress) -> None:
                    seen.append(progress.progress)

                await client.call_tool("count", {"to": to}, on_progress=keep)
                return seen

            counted = await gather(runtime, [lambda to=to: count(to) for to in (2, 5, 3)])
            assert [len(seen) for seen in counted] == [2, 5, 3]

    run(runtime, body)


@pytest.mark.parametrize("runtime", ["asyncio", "trio"])
def test_progress_to_a_coroutine_function(any_server: ScriptedServer, runtime: str) -> None:
    seen: list[float] = []

    async def on_progress(progress: Progress) -> None:
        await (asyncio.sleep(0) if runtime == "asyncio" else trio.sleep(0))
        seen.append(progress.progress)

    async def body() -> None:
        async with make_client(runtime, url=any_server.url) as client:
            await client.call_tool("count", {"to": 3}, on_progress=on_progress)

    run(runtime, body)
    assert seen == [1, 2, 3]


def test_errors_of_a_progress_callback_reach_the_caller(any_server: ScriptedServer, runtime: str) -> None:
    def on_progress(progress: Progress) -> None:
        raise ZeroDivisionError("mine")

    async def body() -> None:
        async with make_client(runtime, url=any_server.url) as client:
            with pytest.raises(ZeroDivisionError, match="mine"):
                await client.call_tool("count", {"to": 3}, on_progress=on_progress)
            await client.call_tool("echo")

    run(runtime, body)
    assert any_server.executed["tools/call:count"] == 1


@pytest.mark.parametrize("streamed", [False, True])
def test_two_megabytes(any_server: ScriptedServer, runtime: str, streamed: bool) -> None:
    size = 2 * 1024 * 1024
    any_server.tools["big"] = lambda exchange, arguments: text("x" * size)
    if streamed:
        any_server.script("tools/call", lambda exchange: exchange.stream().answer())

    async def body() -> int:
        async with make_client(runtime, url=any_server.url) as client:
            return len((await client.call_tool("big")).text)

    assert run(runtime, body) == size


def test_large_arguments(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> int:
        async with make_client(runtime, url=any_server.url) as client:
            return len((await client.call_tool("echo", {"words": "y" * 2_000_000})).text)

    assert run(runtime, body) > 2_000_000


# ---- at the same time -----------------------------------------------------------------------------


def test_many_calls_at_once(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> list[str]:
        async with make_client(runtime, url=any_server.url, limits=PoolLimits(max_connections=5)) as client:

            async def add(number: int) -> str:
                return (await client.call_tool("add", {"a": number, "b": number})).text

            return await gather(runtime, [lambda n=n: add(n) for n in range(30)])

    assert run(runtime, body) == [str(2 * n) for n in range(30)]
    assert any_server.connections <= 5


def test_a_full_pool_waits_no_longer_than_the_deadline(server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=server.url, limits=PoolLimits(max_connections=1)) as client:

            async def occupy() -> None:
                await client.call_tool("wait", {"for": "release"})

            async def queue() -> None:
                with pytest.raises(TransportError) as caught:
                    await client.call_tool("wait", {"for": "release"}, timeout=150)
                assert caught.value.code == "timeout"
                server.events["release"].set()

            await gather(runtime, [occupy, queue])
            await client.call_tool("echo")

    # Whichever comes second finds the pool full; the one with the deadline is given up.
    run(runtime, body)


def test_callbacks_may_call_the_same_client(any_server: ScriptedServer, runtime: str) -> None:
    results: list[str] = []

    async def body() -> None:
        if runtime == "blocking":
            with SyncRouterMCPClient(any_server.url, limits=PoolLimits(max_connections=2)) as plain:

                def on_progress(progress: Progress) -> None:
                    results.append(plain.call_tool("add", {"a": 1, "b": int(progress.progress)}).text)

                plain.call_tool("count", {"to": 3}, on_progress=on_progress)
            return
        async with RouterMCPClient(any_server.url, limits=PoolLimits(max_connections=2)) as client:

            async def report(progress: Progress) -> None:
                result = await client.call_tool("add", {"a": 1, "b": int(progress.progress)})
                results.append(result.text)

            await client.call_tool("count", {"to": 3}, on_progress=report)

    run(runtime, body)
    assert results == ["2", "3", "4"]


# ---- giving up -------------------------------------------------------------------------------------


def told(server: ScriptedServer, name: str) -> Action:
    """Begin to work, and say by an event whether the client closed the stream."""

    def action(exchange: Exchange) -> None:
        exchange.server.count(exchange.seen)
        if exchange.closed_by_client():
            server.events[name].set()

    return action


def test_a_cancelled_call(any_server: ScriptedServer, runtime: str) -> None:
    both_there = threading.Barrier(2)

    def at_once(exchange: Exchange) -> None:
        both_there.wait(PATIENCE)
        exchange.answer()

    async def body() -> None:
        async with make_client(runtime, url=any_server.url) as client:
            # An idle connection is at hand for the word that the call is cancelled.
            any_server.script("tools/list", at_once, at_once)
            await gather(runtime, [client.list_tools, client.list_tools])
            any_server.script("tools/call", told(any_server, "closed"))
            any_server.script("notifications/cancelled", lambda _: any_server.events["mentioned"].set())

            async def call(**options: Any) -> Any:
                return await client.call_tool("echo", **options)

            assert await abandon_when(lambda: any_server.requests("tools/call"), runtime, call)
            assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"

    run(runtime, body)
    assert any_server.events["closed"].wait(PATIENCE)
    # It travels on another connection, so that the server may come to read it later.
    assert any_server.era == STATELESS or any_server.events["mentioned"].wait(PATIENCE)
    cancelled = any_server.requests("notifications/cancelled")
    if any_server.era == STATELESS:
        assert cancelled == []
    else:
        abandoned = any_server.requests("tools/call")[0]
        assert [seen.params["requestId"] for seen in cancelled] == [abandoned.message["id"]]
        assert cancelled[0].headers["mcp-session-id"] == abandoned.headers["mcp-session-id"]
    assert any_server.executed["tools/call:echo"] == 1


def test_a_cancelled_call_in_the_middle_of_a_stream(any_server: ScriptedServer, runtime: str) -> None:
    def endless(exchange: Exchange) -> None:
        exchange.stream()
        exchange.notify("notifications/message", level="info", data="working")
        told(any_server, "closed")(exchange)

    async def body() -> None:
        async with make_client(runtime, url=any_server.url) as client:
            any_server.script("tools/call", endless)

            async def call(**options: Any) -> Any:
                return await client.call_tool("echo", **options)

            assert await abandon_when(lambda: any_server.requests("tools/call"), runtime, call)
            await client.list_tools()

    run(runtime, body)
    assert any_server.events["closed"].wait(PATIENCE)


def test_a_cancelled_connect(any_server: ScriptedServer, runtime: str) -> None:
    any_server.script("server/discover", told(any_server, "closed"))
    any_server.script("initialize", told(any_server, "closed"))

    async def body() -> None:
        client = make_client(runtime, url=any_server.url)
        assert await abandon_when(lambda: any_server.seen, runtime, client.connect)
        any_server.forget_scripts()
        async with client:
            await client.list_tools()

    run(runtime, body)
    assert any_server.events["closed"].wait(PATIENCE)


def test_a_late_answer_is_dropped(any_server: ScriptedServer, runtime: str) -> None:
    """The connection of a call that was given up is never used again."""

    async def body() -> list[str]:
        async with make_client(runtime, url=any_server.url) as client:
            with pytest.raises(TransportError):
                await client.call_tool("wait", {"for": "late"}, timeout=50)
            any_server.events["late"].set()
            return [(await client.call_tool("add", {"a": n, "b": 0})).text for n in range(5)]

    assert run(runtime, body) == ["0", "1", "2", "3", "4"]


def test_one_deadline_over_all_attempts(server: ScriptedServer, runtime: str) -> None:
    policy = RetryPolicy(attempts=1000, backoff=10, max_backoff=10)

    async def body() -> float:
        async with make_client(runtime, url=server.url, retry=policy) as client:
            server.script("tools/list", *[refused(503)] * 1000)
            began = time.monotonic()
            with pytest.raises(TransportError) as caught:
                await client.list_tools(timeout=200)
            # The clock runs out during an attempt, or there is no time for one more wait.
            assert caught.value.code in ("timeout", "http_503")
            return time.monotonic() - began

    assert 0.15 <= run(runtime, body) < 0.2 + SLACK_SECONDS
    assert len(server.requests("tools/list")) > 5


def test_cancellation_passes_untouched(server: ScriptedServer) -> None:
    async def under_asyncio() -> None:
        async with RouterMCPClient(server.url) as client:
            task = asyncio.create_task(client.call_tool("wait", {"for": "ever"}))
            await asyncio.sleep(0.05)
            task.cancel("because")
            with pytest.raises(asyncio.CancelledError, match="because"):
                await task
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await client.call_tool("wait", {"for": "ever"})
            await client.call_tool("echo")

    async def under_trio() -> None:
        async with RouterMCPClient(server.url) as client:
            with pytest.raises(trio.TooSlowError):
                with trio.fail_after(0.05):
                    await client.call_tool("wait", {"for": "ever"})
            await client.call_tool("echo")

    asyncio.run(under_asyncio())
    trio.run(under_trio)


def test_a_tool_of_declared_headers(server: ScriptedServer, runtime: str) -> None:
    schema = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
    server.results["tools/list"] = {"tools": [{"name": "echo", "inputSchema": schema}]}

    async def body() -> None:
        async with make_client(runtime, url=server.url) as client:
            await client.list_tools()
            await client.call_tool("echo", {"region": "eu"})
            await client.call_tool("echo", {"region": "Österreich"})
            await client.call_tool("echo", {})

    run(runtime, body)
    sent = [seen.headers.get("mcp-param-region") for seen in server.requests("tools/call")]
    assert sent[0] == "eu"
    assert str(sent[1]).startswith("=?base64?")
    assert sent[2] is None

"""Nothing runs twice by our hand: what is repeated after which failure, counted at the server."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from routermcp.types import MCPError, ResponseValidationError, RetryPolicy, RPCError, TransportError
from tests.routermcp.server import (
    HANDSHAKE,
    STATELESS,
    Action,
    Exchange,
    ScriptedServer,
    ServerError,
    dropped,
    lost,
    refused,
    text,
)
from tests.three_runtimes import LATE_SECONDS, gather, make_client, run

QUICK = RetryPolicy(backoff=1, max_backoff=1)
PROJECT = "/v1/mcp/my-project/request"


def reset(exchange: Exchange) -> None:
    """Carry the request out and break the connection."""
    exchange.execute()
    exchange.hang_up(reset=True)


def cut(exchange: Exchange) -> None:
    """Carry the request out and break off in the middle of the answer."""
    exchange.execute()
    exchange.raw(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"json')
    exchange.hang_up()


def cut_stream(exchange: Exchange) -> None:
    """Carry the request out and break the event stream off before the answer."""
    exchange.execute()
    exchange.stream().notify("notifications/message", level="info", data="at work")
    exchange.hang_up()


def ended_stream(exchange: Exchange) -> None:
    """Carry the request out and end the event stream properly, without the answer."""
    exchange.execute()
    exchange.stream().end()


def busy(seconds: float) -> Action:
    """Ask to wait, in the way of a RouterMCP gateway, which has fractions of seconds."""
    return lambda exchange: exchange.status(429, {"error": "rate limit", "retryAfter": seconds})


#: Failures after which a read is tried again, and whether the server had carried it out.
TRANSIENT: dict[str, tuple[Action, bool]] = {
    "lost": (lost, True),
    "dropped": (dropped, False),
    "reset": (reset, True),
    "cut": (cut, True),
    "cut stream": (cut_stream, True),
    "ended stream": (ended_stream, True),
    "429": (refused(429), False),
    "502": (refused(502), False),
    "503": (refused(503), False),
    "504": (refused(504), False),
}

#: Failures after which nothing is tried again.
FINAL: dict[str, Action] = {
    "400": refused(400),
    "401": refused(401),
    "403": refused(403),
    "404": refused(404),
    "500": refused(500),
    "501": refused(501),
    "HTML": lambda exchange: exchange.status(200, "<html>", "text/html"),
    "half JSON": lambda exchange: exchange.status(200, "{", "application/json"),
    "error object": lambda exchange: exchange.error(-32603, "no"),
    "error object with 500": lambda exchange: exchange.error(-32603, "no", status=500),
}

#: The reads: method of the client, its arguments, MCP method.
READS: dict[str, tuple[tuple[Any, ...], str]] = {
    "list_tools": ((), "tools/list"),
    "list_tools_page": ((), "tools/list"),
    "list_resources": ((), "resources/list"),
    "list_resource_templates": ((), "resources/templates/list"),
    "list_prompts": ((), "prompts/list"),
    "read_resource": (("a:b",), "resources/read"),
    "get_prompt": (("summarize",), "prompts/get"),
    "complete": (
        ({"type": "ref/prompt", "name": "summarize"}, {"name": "text", "value": ""}),
        "completion/complete",
    ),
}


# ---- reads ----------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", TRANSIENT)
def test_a_read_is_tried_again(any_server: ScriptedServer, runtime: str, failure: str) -> None:
    action, ran = TRANSIENT[failure]

    async def body() -> None:
        async with make_client(runtime, url=any_server.url, retry=QUICK) as client:
            any_server.script("tools/list", action, action)
            assert len(await client.list_tools()) == 2

    run(runtime, body)
    assert len(any_server.requests("tools/list")) == 3
    assert any_server.executed["tools/list"] == (3 if ran else 1)


@pytest.mark.parametrize("name", READS)
def test_every_read_is_tried_again(any_server: ScriptedServer, runtime: str, name: str) -> None:
    arguments, method = READS[name]

    async def body() -> None:
        async with make_client(runtime, url=any_server.url, retry=QUICK) as client:
            any_server.script(method, lost, refused(503))
            await getattr(client, name)(*arguments)

    run(runtime, body)
    assert len(any_server.requests(method)) == 3
    assert any_server.executed[method] == 2


@pytest.mark.parametrize("failure", TRANSIENT)
def test_connect_is_tried_again(any_server: ScriptedServer, runtime: str, failure: str) -> None:
    action, _ = TRANSIENT[failure]
    any_server.script("server/discover", action)
    any_server.script("initialize", action)

    async def body() -> str:
        async with make_client(runtime, url=any_server.url, retry=QUICK) as client:
            assert client.server is not None
            return client.server.protocolVersion

    assert run(runtime, body) == any_server.era
    # A probe that fails is followed by initialize, unless the server asks for patience.
    patience = failure == "429" and any_server.era == STATELESS
    assert len(any_server.requests("initialize")) == (0 if patience else 2)


@pytest.mark.parametrize("failure", FINAL)
def test_other_failures_are_final(server: ScriptedServer, runtime: str, failure: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=server.url, retry=QUICK) as client:
            for name, method in (("list_tools", "tools/list"), ("call_tool", "tools/call")):
                server.script(method, FINAL[failure])
                with pytest.raises((TransportError, RPCError)) as caught:
                    await (client.list_tools() if name == "list_tools" else client.call_tool("echo"))
                assert getattr(caught.value, "attempts", 1) == 1
                assert len(server.requests(method)) == 1

    run(runtime, body)


def test_an_answer_of_the_wrong_shape_is_final(server: ScriptedServer, runtime: str) -> None:
    server.results["prompts/get"] = {"messages": "none"}

    async def body() -> None:
        async with make_client(runtime, url=server.url, retry=QUICK) as client:
            with pytest.raises(ResponseValidationError):
                await client.get_prompt("summarize")

    run(runtime, body)
    assert server.executed["prompts/get"] == 1


def test_attempts_are_counted(server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=server.url, retry=QUICK) as client:
            server.script("tools/list", *[refused(503, "down")] * 3)
            with pytest.raises(TransportError, match=r"down.*\(after 3 attempts\)") as caught:
                await client.list_tools()
            assert (caught.value.attempts, caught.value.code) == (3, "http_503")
            server.script("tools/list", *[dropped] * 3)
            with pytest.raises(TransportError, match=r"\(after 3 attempts\)") as caught:
                await client.list_tools()
            assert (caught.value.attempts, caught.value.code) == (3, "closed")

    run(runtime, body)
    assert len(server.requests("tools/list")) == 6


def test_attempts_of_connect_are_counted(server: ScriptedServer, runtime: str) -> None:
    server.script("server/discover", *[refused(503)] * 4)

    async def body() -> None:
        client = make_client(runtime, url=server.url, retry=QUICK)
        with pytest.raises(TransportError) as caught:
            await client.connect()
        assert caught.value.attempts == 3

    run(runtime, body)


@pytest.mark.parametrize("failure", TRANSIENT)
def test_retries_can_be_turned_off(server: ScriptedServer, runtime: str, failure: str) -> None:
    action, _ = TRANSIENT[failure]

    async def body() -> None:
        async with make_client(runtime, url=server.url, retry=RetryPolicy(attempts=1)) as client:
            server.script("tools/list", action)
            with pytest.raises(TransportError) as caught:
                await client.list_tools()
            assert caught.value.attempts == 1
            server.script("tools/call", action)
            with pytest.raises(TransportError):
                await client.call_tool("echo", retry=True)

    run(runtime, body)
    assert len(server.requests("tools/list")) == len(server.requests("tools/call")) == 1


def test_the_statuses_can_be_chosen(server: ScriptedServer, runtime: str) -> None:
    policy = RetryPolicy(backoff=0, statuses=frozenset({500}))

    async def body() -> None:
        async with make_client(runtime, url=server.url, retry=policy) as client:
            server.script("tools/list", refused(500), refused(500))
            await client.list_tools()
            for status in (429, 502, 503, 504):
                server.script("tools/list", refused(status))
                with pytest.raises(TransportError):
                    await client.list_tools()

    run(runtime, body)
    assert len(server.requests("tools/list")) == 7


# ---- tools ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [name for name in TRANSIENT if not name.isdigit()])
def test_a_lost_answer_of_a_tool(any_server: ScriptedServer, runtime: str, failure: str) -> None:
    action, ran = TRANSIENT[failure]

    async def body() -> None:
        async with make_client(runtime, url=any_server.url, retry=QUICK) as client:
            any_server.script("tools/call", action)
            with pytest.raises(TransportError, match=r"'echo'.*may have run.*retry=True") as caught:
                await client.call_tool("echo")
            assert (caught.value.code, caught.value.attempts, caught.value.not_run) == (
                "interrupted",
                1,
                False,
            )
            await client.call_tool("add", {"a": 1, "b": 1})

    run(runtime, body)
    assert any_server.executed["tools/call:echo"] == ran
    assert any_server.executed["tools/call:add"] == 1
    assert not any_server.requests("notifications/cancelled"), "nobody has given it up"


def test_the_tries_before_a_lost_answer_are_counted(server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=server.url, retry=QUICK) as client:
            server.script("tools/call", refused(429), lost)
            with pytest.raises(TransportError, match="may have run") as caught:
                await client.call_tool("echo")
            assert (caught.value.code, caught.value.attempts) == ("interrupted", 2)

    run(runtime, body)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_tool_behind_a_failing_gateway(any_server: ScriptedServer, runtime: str, status: int) -> None:
    async def body() -> None:
        async with make_client(runtime, url=any_server.url, retry=QUICK) as client:
            any_server.script("tools/call", refused(status, Retry_After="0"))
            with pytest.raises(TransportError) as caught:
                await client.call_tool("echo")
            assert caught.value.code == f"http_{status}"

    run(runtime, body)
    assert len(any_server.requests("tools/call")) == 1


@pytest.mark.parametrize("failure", TRANSIENT)
def test_a_tool_that_may_be_repeated(any_server: ScriptedServer, runtime: str, failure: str) -> None:
    action, ran = TRANSIENT[failure]

    async def body() -> str:
        async with make_client(runtime, url=any_server.url, retry=QUICK) as client:
            any_server.script("tools/call", action, action)
            return (await client.call_tool("add", {"a": 1, "b": 2}, retry=True)).text

    assert run(runtime, body) == "3"
    assert any_server.executed["tools/call:add"] == (3 if ran else 1)


def test_a_typed_call_that_may_be_repeated(server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=server.url, retry=QUICK) as client:
            server.script("tools/call", lost)
            with pytest.raises(TransportError, match="retry=True"):
                await client.call_tool_typed("get_user", {"id": "1"}, dict[str, str])
            server.script("tools/call", lost)
            user = await client.call_tool_typed("get_user", {"id": "1"}, dict[str, str], retry=True)
            assert user["name"] == "Ada"

    run(runtime, body)
    assert server.executed["tools/call:get_user"] == 3


def test_a_tool_is_repeated_after_429(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> str:
        async with make_client(runtime, url=any_server.url, retry=QUICK) as client:
            any_server.script("tools/call", refused(429), refused(429, Retry_After="0"))
            return (await client.call_tool("add", {"a": 1, "b": 2})).text

    assert run(runtime, body) == "3"
    assert any_server.executed["tools/call:add"] == 1


def test_a_tool_is_repeated_after_connection_refused(runtime: str) -> None:
    with contextlib.ExitStack() as stack:
        first = ScriptedServer()
        second = stack.enter_context(ScriptedServer())
        attempts: list[int] = []

        def headers() -> Mapping[str, str]:
            """Asked before each attempt: start the server again before the third."""
            attempts.append(1)
            if len(attempts) == 3 and first_is_down:
                stack.enter_context(again)
            return {}

        first_is_down = False
        with first:
            again = ScriptedServer(port=first.port)

            async def body() -> str:
                nonlocal first_is_down
                async with make_client(runtime, url=first.url, retry=QUICK, headers=headers) as client:
                    first.__exit__()
                    first_is_down = True
                    attempts.clear()
                    return (await client.call_tool("add", {"a": 1, "b": 2})).text

            assert run(runtime, body) == "3"
        assert len(attempts) == 3
        assert (again.executed["tools/call:add"], first.executed["tools/call:add"]) == (1, 0)
        assert second.seen == []


def test_connection_refused_for_good(runtime: str) -> None:
    async def body() -> None:
        with ScriptedServer() as server:
            client = make_client(runtime, url=server.url, retry=QUICK)
            await client.connect()
        with pytest.raises(TransportError, match="nothing listens") as caught:
            await client.call_tool("echo")
        assert (caught.value.code, caught.value.attempts, caught.value.not_run) == ("connect", 3, True)
        await client.disconnect()

    run(runtime, body)


def test_an_idle_connection_that_was_closed_costs_nothing(any_server: ScriptedServer, runtime: str) -> None:
    """The server closes a connection that rests; a tool called next runs once, on a new one."""

    def answer_and_hang_up(exchange: Exchange) -> None:
        exchange.answer()
        exchange.hang_up()
        exchange.server.events["hung up"].set()

    async def body() -> str:
        async with make_client(runtime, url=any_server.url, retry=RetryPolicy(attempts=1)) as client:
            any_server.script("tools/list", answer_and_hang_up)
            await client.list_tools()
            any_server.wait_for("hung up")
            return (await client.call_tool("add", {"a": 1, "b": 2})).text

    assert run(runtime, body) == "3"
    assert any_server.executed["tools/call:add"] == 1


@pytest.mark.parametrize(
    ("trusted", "hints", "repeated"),
    [
        (True, {"idempotentHint": True}, True),
        (True, {"readOnlyHint": True}, True),
        (True, {"destructiveHint": False}, False),
        (False, {"idempotentHint": True, "readOnlyHint": True}, False),
    ],
)
def test_hints_count_only_when_trusted(
    any_server: ScriptedServer, runtime: str, trusted: bool, hints: dict[str, bool], repeated: bool
) -> None:
    any_server.results["tools/list"] = {
        "tools": [{"name": "echo", "inputSchema": {"type": "object"}, "annotations": hints}]
    }

    policy = replace(QUICK, trust_annotations=trusted)

    async def body() -> None:
        async with make_client(runtime, url=any_server.url, retry=policy) as client:
            await client.list_tools()
            any_server.script("tools/call", lost)
            if repeated:
                await client.call_tool("echo")
            else:
                with pytest.raises(TransportError, match="may have run"):
                    await client.call_tool("echo")

    run(runtime, body)
    assert any_server.executed["tools/call:echo"] == (2 if repeated else 1)


# ---- Retry-After -------------------------------------------------------------------------------------


def test_the_wait_that_is_asked_for_is_obeyed(server: ScriptedServer, runtime: str) -> None:
    async def body() -> float:
        async with make_client(runtime, url=server.url, retry=QUICK) as client:
            server.script("tools/call", busy(0.15))
            began = time.monotonic()
            await client.call_tool("echo")
            return time.monotonic() - began

    assert run(runtime, body) >= 0.15
    assert server.executed["tools/call:echo"] == 1


@pytest.mark.parametrize("action", [busy(75), refused(429, Retry_After="80"), refused(503, Retry_After="80")])
def test_a_wait_beyond_the_deadline_is_not_begun(
    server: ScriptedServer, runtime: str, action: Action
) -> None:
    async def body() -> None:
        async with make_client(runtime, url=server.url, retry=QUICK, timeout=60_000) as client:
            server.script("tools/list", action)
            began = time.monotonic()
            with pytest.raises(TransportError, match="asks to wait") as caught:
                await client.list_tools()
            assert time.monotonic() - began < LATE_SECONDS
            assert caught.value.retry_after in (75, 80)
            assert caught.value.attempts == 1

    run(runtime, body)
    assert len(server.requests("tools/list")) == 1


def test_503_with_retry_after_from_a_gateway(runtime: str) -> None:
    """Only a RouterMCP gateway promises that nothing has run then."""
    with ScriptedServer(path=PROJECT) as server:

        async def body() -> None:
            async with make_client(runtime, url=server.url, retry=QUICK) as client:
                server.script("tools/call", refused(503, Retry_After="0"))
                await client.call_tool("echo")
                server.script("tools/call", refused(503))
                with pytest.raises(TransportError) as caught:
                    await client.call_tool("echo")
                assert caught.value.code == "http_503"

        run(runtime, body)
        assert server.executed["tools/call:echo"] == 1


def test_a_gateway_is_known_by_its_name(any_server: ScriptedServer, runtime: str) -> None:
    info = {"name": "RouterMCP", "version": "1"}
    for method in ("server/discover", "initialize"):
        original = any_server.results[method]
        assert callable(original)
        any_server.results[method] = lambda exchange, params, original=original: {
            **original(exchange, params),
            "serverInfo": info,
            "_meta": {"io.modelcontextprotocol/serverInfo": info},
        }

    async def body() -> None:
        async with make_client(runtime, url=any_server.url, retry=QUICK) as client:
            any_server.script("tools/call", refused(503, Retry_After="0"))
            await client.call_tool("echo")

    run(runtime, body)
    assert any_server.executed["tools/call:echo"] == 1


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (-32000, "ProjectNotFoundError"),
        (-32001, "UnauthorizedError"),
        (-32002, "ToolNotFoundError"),
        (-32003, "ToolDisabledError"),
        (-32004, "UpstreamError"),
        (-32005, "RateLimitError"),
    ],
)
def test_codes_of_a_gateway_have_a_meaning_only_there(runtime: str, code: int, name: str) -> None:
    def failing(exchange: Exchange, arguments: dict[str, Any]) -> dict[str, Any]:
        raise ServerError(code, "no")

    async def body(url: str) -> str:
        async with make_client(runtime, url=url, retry=QUICK) as client:
            with pytest.raises(RPCError) as caught:
                await client.call_tool("failing")
            return type(caught.value).__name__

    for path, expected in ((PROJECT, name), ("/mcp", "RPCError")):
        with ScriptedServer(path=path) as server:
            server.tools["failing"] = failing
            assert run(runtime, body, server.url) == expected
            assert server.executed["tools/call:failing"] == 1


# ---- sessions that the server has forgotten ------------------------------------------------------


def test_a_forgotten_session_is_renewed(sessions_server: ScriptedServer, runtime: str) -> None:
    async def body() -> str:
        async with make_client(runtime, url=sessions_server.url, retry=RetryPolicy(attempts=1)) as client:
            await client.call_tool("echo")
            sessions_server.forget_sessions()
            return (await client.call_tool("add", {"a": 1, "b": 2})).text

    assert run(runtime, body) == "3"
    assert sessions_server.executed["tools/call:add"] == 1
    assert len(sessions_server.requests("initialize")) == 2
    assert len(sessions_server.requests("server/discover")) == 1
    sent = [seen.headers["mcp-session-id"] for seen in sessions_server.requests("tools/call")]
    assert sent == ["session-1", "session-1", "session-2"]


def test_a_forgotten_session_is_renewed_once_for_all(sessions_server: ScriptedServer, runtime: str) -> None:
    async def body() -> list[str]:
        async with make_client(runtime, url=sessions_server.url) as client:
            await client.ping()
            sessions_server.forget_sessions()

            async def add(number: int) -> str:
                return (await client.call_tool("add", {"a": number, "b": number})).text

            return await gather(runtime, [lambda n=n: add(n) for n in range(200)])

    assert run(runtime, body) == [str(2 * n) for n in range(200)]
    assert len(sessions_server.requests("initialize")) == 2
    assert sessions_server.executed["tools/call:add"] == 200


def test_400_that_speaks_of_the_session(sessions_server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=sessions_server.url) as client:
            sessions_server.script(
                "tools/call",
                lambda exchange: exchange.error(-32000, "Bad Request: No valid session ID", status=400),
            )
            await client.call_tool("echo")

    run(runtime, body)
    assert len(sessions_server.requests("initialize")) == 2
    assert sessions_server.executed["tools/call:echo"] == 1


def test_a_renewal_that_the_server_did_not_hear_the_end_of(
    sessions_server: ScriptedServer, runtime: str
) -> None:
    """It waits for "initialized" for ever; so the next call agrees anew."""

    async def body() -> None:
        async with make_client(runtime, url=sessions_server.url, retry=RetryPolicy(attempts=1)) as client:
            sessions_server.forget_sessions()
            sessions_server.script("notifications/initialized", dropped)
            with pytest.raises(TransportError):
                await client.call_tool("echo")
            await client.call_tool("add", {"a": 1, "b": 1})

    run(runtime, body)
    assert len(sessions_server.requests("initialize")) == 3
    assert len(sessions_server.requests("notifications/initialized")) == 3


def test_a_session_that_is_forgotten_again_and_again(sessions_server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=sessions_server.url, retry=QUICK) as client:
            sessions_server.script("tools/call", refused(404), refused(404))
            with pytest.raises(TransportError) as caught:
                await client.call_tool("echo")
            assert caught.value.code == "http_404"
            await client.call_tool("echo")

    run(runtime, body)
    assert len(sessions_server.requests("initialize")) == 2
    assert sessions_server.executed["tools/call:echo"] == 1


def test_a_server_that_has_no_such_method_has_not_forgotten_the_session(
    sessions_server: ScriptedServer, runtime: str
) -> None:
    async def body() -> None:
        async with make_client(runtime, url=sessions_server.url, retry=QUICK) as client:
            sessions_server.script(
                "prompts/get", lambda exchange: exchange.error(-32601, "no such method", status=404)
            )
            with pytest.raises(MCPError):
                await client.get_prompt("summarize")

    run(runtime, body)
    assert len(sessions_server.requests("initialize")) == 1


def test_sessions_of_other_users_are_not_renewed(sessions_server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        client = make_client(runtime, url=sessions_server.url)
        async with client, client.create_session("ada") as ada:
            sessions_server.script("tools/call", refused(404))
            await ada.call_tool("echo")
            await client.call_tool("echo")

    run(runtime, body)
    first, second, third = [seen.headers["mcp-session-id"] for seen in sessions_server.requests("tools/call")]
    assert (first, second, third) == ("session-2", "session-3", "session-1")


def test_a_server_that_was_replaced_by_a_stateless_one(sessions_server: ScriptedServer, runtime: str) -> None:
    """An upgraded server knows neither the session nor ``initialize``: the era is found out anew."""

    async def body() -> str:
        async with make_client(runtime, url=sessions_server.url, retry=QUICK) as client:
            await client.ping()
            sessions_server.script("tools/call", refused(404))
            sessions_server.era = STATELESS
            sessions_server.results.pop("initialize")
            sessions_server.script(
                "initialize", lambda exchange: exchange.error(-32601, "no such method", status=404)
            )
            return (await client.call_tool("add", {"a": 1, "b": 2})).text

    assert run(runtime, body) == "3"
    assert sessions_server.executed["tools/call:add"] == 1


# ---- streams that can be resumed -----------------------------------------------------------------------


def test_a_cut_stream_is_resumed(sessions_server: ScriptedServer, runtime: str) -> None:
    answers: list[dict[str, Any]] = []

    def begin(exchange: Exchange) -> None:
        answers.append(exchange.execute())
        exchange.stream().event(None, "event-1", retry=1)
        exchange.hang_up()

    def go_on(exchange: Exchange) -> None:
        exchange.stream().event(None, "event-2", retry=1)
        exchange.hang_up()

    def finish(exchange: Exchange) -> None:
        exchange.stream().event(answers[0])
        exchange.end()

    async def body() -> str:
        async with make_client(runtime, url=sessions_server.url, retry=RetryPolicy(attempts=1)) as client:
            sessions_server.script("tools/call", begin)
            sessions_server.script("GET", go_on, finish)
            return (await client.call_tool("add", {"a": 1, "b": 2})).text

    assert run(runtime, body) == "3"
    assert sessions_server.executed["tools/call:add"] == 1
    resumed = sessions_server.requests("GET")
    assert [seen.headers["last-event-id"] for seen in resumed] == ["event-1", "event-2"]
    assert {seen.headers["mcp-session-id"] for seen in resumed} == {"session-1"}


def test_a_cut_stream_is_not_resumed_in_the_stateless_era(server: ScriptedServer, runtime: str) -> None:
    def begin(exchange: Exchange) -> None:
        exchange.execute()
        exchange.stream().event(None, "event-1", retry=1)
        exchange.hang_up()

    async def body() -> None:
        async with make_client(runtime, url=server.url, retry=QUICK) as client:
            server.script("tools/call", begin)
            with pytest.raises(TransportError) as caught:
                await client.call_tool("echo")
            assert caught.value.code == "interrupted"

    run(runtime, body)
    assert server.requests("GET") == []
    assert server.executed["tools/call:echo"] == 1


#: What may become of the GET that resumes a stream. The tool has begun by then, so nothing of
#: it means that the tool did not run.
RESUMPTIONS: dict[str, Action] = {
    "not offered": refused(405),
    "session forgotten": refused(404),
    "too fast": refused(429, Retry_After="0"),
    "not available": refused(503, Retry_After="0"),
    "moved": refused(308, Location="/mcp?moved=1"),
    "moved away": refused(307, Location="http://127.0.0.2/mcp"),
    "a page": lambda exchange: exchange.status(200, "<html>", "text/html"),
    "no HTTP": lambda exchange: exchange.raw(b"\x15\x03\x01\x00\x02\x02\x46"),
}


@pytest.mark.parametrize("name", RESUMPTIONS)
def test_a_resumption_that_fails(runtime: str, name: str) -> None:
    def begin(exchange: Exchange) -> None:
        exchange.execute()
        exchange.stream().event(None, "event-1", retry=1)
        exchange.hang_up()

    with ScriptedServer(HANDSHAKE, path=PROJECT) as server:

        async def body() -> None:
            async with make_client(runtime, url=server.url, retry=QUICK) as client:
                server.script("tools/call", begin)
                server.script("GET", RESUMPTIONS[name])
                with pytest.raises(TransportError, match=r"could not be resumed.*retry=True") as caught:
                    await client.call_tool("echo")
                assert (caught.value.code, caught.value.not_run) == ("interrupted", False)
                await client.call_tool("add", {"a": 1, "b": 2})

        run(runtime, body)
        assert server.executed["tools/call:echo"] == 1


def test_a_read_whose_stream_is_not_resumed_is_sent_again(
    sessions_server: ScriptedServer, runtime: str
) -> None:
    def begin(exchange: Exchange) -> None:
        exchange.stream().event(None, "event-1", retry=1)
        exchange.hang_up()

    async def body() -> None:
        async with make_client(runtime, url=sessions_server.url, retry=QUICK) as client:
            sessions_server.script("tools/list", begin)
            assert await client.list_tools()

    run(runtime, body)
    assert len(sessions_server.requests("GET")) == 1
    assert len(sessions_server.requests("tools/list")) == 2


# ---- what the server asks to have repeated ------------------------------------------------------------


def test_headers_of_a_tool_that_have_changed(server: ScriptedServer, runtime: str) -> None:
    schema = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
    server.results["tools/list"] = {"tools": [{"name": "echo", "inputSchema": schema}]}

    def picky(exchange: Exchange) -> None:
        if "mcp-param-region" in exchange.seen.headers:
            exchange.answer()
        else:
            exchange.error(-32020, "Mcp-Param-Region is missing", status=400)

    async def body() -> str:
        async with make_client(runtime, url=server.url, retry=RetryPolicy(attempts=1)) as client:
            server.script("tools/call", picky, picky)
            return (await client.call_tool("echo", {"region": "eu"})).text

    assert "eu" in run(runtime, body)
    assert server.executed["tools/call:echo"] == 1
    assert server.executed["tools/list"] == 1


def test_an_input_that_was_given_survives_a_retry(server: ScriptedServer, runtime: str) -> None:
    asked: list[int] = []

    def tool(exchange: Exchange, arguments: dict[str, Any]) -> dict[str, Any]:
        if "inputResponses" not in exchange.seen.params:
            question = {"method": "elicitation/create", "params": {"message": "?"}}
            return {"resultType": "input_required", "inputRequests": {"q": question}}
        return text("done")

    server.tools["ask"] = tool

    def on_elicitation(request: object) -> dict[str, Any]:
        asked.append(1)
        server.script("tools/call", refused(429))
        return {}

    async def body() -> str:
        async with make_client(runtime, url=server.url, retry=QUICK, on_elicitation=on_elicitation) as client:
            return (await client.call_tool("ask")).text

    assert run(runtime, body) == "done"
    assert len(asked) == 1

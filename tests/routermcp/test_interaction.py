"""What a server asks and tells in the middle of a call, in both eras, on all runtimes."""

from __future__ import annotations

import asyncio
import itertools
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import trio

from routermcp import RouterMCPClient, SyncRouterMCPClient
from routermcp.types import (
    AuthorizationRequiredError,
    ConfigError,
    CreateMessageRequest,
    CreateMessageResult,
    ElicitRequest,
    ElicitResult,
    LocalProtocolError,
    LogMessage,
    MCPError,
    PoolLimits,
    ResponseValidationError,
    Root,
    TransportError,
)
from tests.routermcp.server import HANDSHAKE, PATIENCE, STATELESS, Exchange, ScriptedServer, text
from tests.three_runtimes import RUNTIMES, SLACK_SECONDS, abandon_when, gather, make_client, run

FORM: dict[str, Any] = {
    "message": "Who are you?",
    "requestedSchema": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "colour": {"type": "string", "default": "green"},
            "age": {"type": "integer", "default": 30},
        },
    },
}

TWO = PoolLimits(max_connections=2)


def asks(*questions: tuple[str, dict[str, Any]]) -> Callable[..., Mapping[str, Any]]:
    """Make a tool that asks questions, in the way of the server's era, and returns the answers."""

    def tool(exchange: Exchange, arguments: dict[str, Any]) -> Mapping[str, Any]:
        return (_on_the_stream if exchange.server.era != STATELESS else _in_rounds)(exchange)

    def _on_the_stream(exchange: Exchange) -> Mapping[str, Any]:
        exchange.stream()
        answers = [exchange.ask(method, **params) for method, params in questions]
        return text("done", structuredContent={"answers": answers})

    def _in_rounds(exchange: Exchange) -> Mapping[str, Any]:
        sent = exchange.seen.params
        answers: list[Any] = list(exchange.server.sessions.get("answers") or [])  # type: ignore[call-overload]
        if "requestState" in sent:
            assert sent["requestState"] == f"state-{len(answers)}"
            answers.append({"result": sent["inputResponses"]["question"]})
            exchange.server.sessions["answers"] = answers  # type: ignore[assignment]
        if len(answers) == len(questions):
            return text("done", structuredContent={"answers": answers})
        method, params = questions[len(answers)]
        return {
            "resultType": "input_required",
            "inputRequests": {"question": {"method": method, "params": params}},
            "requestState": f"state-{len(answers)}",
        }

    return tool


def answers_of(result: Any) -> list[Any]:
    """What the server heard to its questions."""
    return [answer.get("result") for answer in result.structuredContent["answers"]]


def ask(server: ScriptedServer, runtime: str, *questions: tuple[str, dict[str, Any]], **settings: Any) -> Any:
    """Call a tool that asks questions, and return what the server heard."""
    server.tools["ask"] = asks(*questions)

    async def body() -> Any:
        async with make_client(runtime, url=server.url, **settings) as client:
            return answers_of(await client.call_tool("ask"))

    return run(runtime, body)


# ---- elicitation --------------------------------------------------------------------------

#: What the callback returns, and what the server hears.
REPLIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "a dict": (
        {"name": "Ada"},
        {"action": "accept", "content": {"name": "Ada", "colour": "green", "age": 30}},
    ),
    "over the defaults": (
        {"name": "Ada", "age": 36},
        {"action": "accept", "content": {"name": "Ada", "colour": "green", "age": 36}},
    ),
    "nothing to add": ({}, {"action": "accept", "content": {"colour": "green", "age": 30}}),
    "no": (None, {"action": "decline"}),
    "a result": (
        ElicitResult(action="accept", content={"name": "Ada"}),
        {"action": "accept", "content": {"name": "Ada", "colour": "green", "age": 30}},
    ),
    "declined": (ElicitResult(action="decline"), {"action": "decline"}),
    "dismissed": (ElicitResult(action="cancel"), {"action": "cancel"}),
}


def test_a_call_whose_question_cannot_be_answered_is_not_made_again(runtime: str) -> None:
    """That a new connection for the answer is refused says nothing of the call, which is running."""
    with ScriptedServer("2025-11-25") as server:
        server.tools["ask"] = asks(("elicitation/create", FORM))

        def on_elicitation(_: ElicitRequest) -> dict[str, Any]:
            server.stop_listening()
            return {}

        async def body() -> TransportError:
            client = make_client(
                runtime, url=server.url, protocol="2025-11-25", on_elicitation=on_elicitation
            )
            async with client:
                with pytest.raises(TransportError) as caught:
                    await client.call_tool("ask")
                return caught.value

        error = run(runtime, body)
        assert (error.code, error.attempts, error.not_run) == ("interrupted", 1, False)
        assert "the answer that the server waits for cannot be sent" in str(error)
        assert server.executed["tools/call:ask"] == 1


@pytest.mark.parametrize("name", REPLIES)
def test_elicitation(any_server: ScriptedServer, runtime: str, name: str) -> None:
    reply, heard = REPLIES[name]
    requests: list[ElicitRequest] = []

    def on_elicitation(request: ElicitRequest) -> Any:
        requests.append(request)
        return reply

    assert ask(any_server, runtime, ("elicitation/create", FORM), on_elicitation=on_elicitation) == [heard]
    (request,) = requests
    assert (request.mode, request.message, request.url) == ("form", "Who are you?", None)
    assert request.requestedSchema == FORM["requestedSchema"]


def test_elicitation_of_a_page_to_open(any_server: ScriptedServer, runtime: str) -> None:
    question = {"mode": "url", "message": "Sign in", "url": "https://example.com/in", "elicitationId": "e1"}
    pages: list[str | None] = []

    def on_elicitation(request: ElicitRequest) -> Any:
        pages.append(request.url)
        return {}

    heard = ask(any_server, runtime, ("elicitation/create", question), on_elicitation=on_elicitation)
    assert (heard, pages) == ([{"action": "accept"}], ["https://example.com/in"])


def test_several_questions_in_one_call(any_server: ScriptedServer, runtime: str) -> None:
    questions = [("elicitation/create", {"message": f"Question {n}"}) for n in range(5)]
    heard = ask(any_server, runtime, *questions, on_elicitation=lambda request: {"echo": request.message})
    assert [answer["content"]["echo"] for answer in heard] == [f"Question {n}" for n in range(5)]


def test_several_questions_in_one_round(server: ScriptedServer, runtime: str) -> None:
    def tool(exchange: Exchange, arguments: dict[str, Any]) -> Mapping[str, Any]:
        sent = exchange.seen.params
        if "inputResponses" in sent:
            assert "requestState" not in sent
            return text("done", structuredContent=sent["inputResponses"])
        return {
            "resultType": "input_required",
            "inputRequests": {
                "first": {"method": "elicitation/create", "params": {"message": "1"}},
                "second": {"method": "roots/list"},
            },
        }

    server.tools["ask"] = tool

    async def body() -> Any:
        client = make_client(
            runtime,
            url=server.url,
            on_elicitation=lambda request: {"n": request.message},
            on_roots=lambda: ["file:///a"],
        )
        async with client:
            return (await client.call_tool("ask", {"kept": 1})).structuredContent

    assert run(runtime, body) == {
        "first": {"action": "accept", "content": {"n": "1"}},
        "second": {"roots": [{"uri": "file:///a"}]},
    }
    first, second = server.requests("tools/call")
    assert first.params["arguments"] == second.params["arguments"] == {"kept": 1}
    assert first.message["id"] != second.message["id"]


def test_a_round_that_asks_for_nothing_is_a_wait(server: ScriptedServer, runtime: str) -> None:
    """A server may only want the request again, with its state."""

    def tool(exchange: Exchange, arguments: dict[str, Any]) -> Mapping[str, Any]:
        state = exchange.seen.params.get("requestState")
        return text("done") if state == "s" else {"resultType": "input_required", "requestState": "s"}

    server.tools["ask"] = tool

    async def body() -> str:
        async with make_client(runtime, url=server.url) as client:
            return (await client.call_tool("ask")).text

    assert run(runtime, body) == "done"


def test_a_server_that_only_wants_the_request_again_is_given_time(
    server: ScriptedServer, runtime: str
) -> None:
    """MCP 2026-07-28, Multi Round-Trip Requests, "Client Requirements"; the deadline ends it."""
    came: list[float] = []

    def tool(exchange: Exchange, arguments: dict[str, Any]) -> Mapping[str, Any]:
        came.append(time.monotonic())
        return {"resultType": "input_required", "requestState": "s"}

    server.tools["ask"] = tool

    async def body() -> None:
        async with make_client(runtime, url=server.url) as client:
            with pytest.raises(TransportError, match="timeout=600 ms") as caught:
                await client.call_tool("ask", timeout=600)
            assert caught.value.code == "timeout"

    run(runtime, body)
    assert 1 <= len(came) <= 5
    waits = [after - before for before, after in itertools.pairwise(came)]
    assert all(wait >= 0.05 * 2**index for index, wait in enumerate(waits))


def test_a_server_that_asks_for_ever_is_stopped(server: ScriptedServer, runtime: str) -> None:
    server.tools["ask"] = lambda exchange, arguments: {
        "resultType": "input_required",
        "inputRequests": {"q": {"method": "roots/list"}},
    }

    async def body() -> None:
        async with make_client(runtime, url=server.url, on_roots=list) as client:
            with pytest.raises(TransportError, match="asked for input 32 times"):
                await client.call_tool("ask")

    run(runtime, body)
    assert server.executed["tools/call:ask"] == 32


def test_questions_of_reads(server: ScriptedServer, runtime: str) -> None:
    def prompt(exchange: Exchange, params: dict[str, Any]) -> Mapping[str, Any]:
        responses = params.get("inputResponses")
        if responses is None:
            question = {"method": "elicitation/create", "params": {"message": "Which?"}}
            return {"resultType": "input_required", "inputRequests": {"q": question}}
        return {"messages": [], "description": responses["q"]["content"]["which"]}

    server.results["prompts/get"] = prompt

    async def body() -> Any:
        client = make_client(runtime, url=server.url, on_elicitation=lambda request: {"which": "this"})
        async with client:
            return (await client.get_prompt("summarize")).description

    assert run(runtime, body) == "this"


# ---- the shared stream (handshake era) ---------------------------------------------------------


def ask_on_shared_stream(exchange: Exchange, arguments: dict[str, Any]) -> Mapping[str, Any]:
    """Ask on the stream that the client opened with GET, although a call waits for the answer."""
    server = exchange.server
    shared = server.sessions[exchange.seen.headers["mcp-session-id"]]
    assert shared is not None, "the client has not opened the shared stream"
    answer = server.ask(shared.event, "elicitation/create", FORM)
    return text("done", structuredContent={"answers": [answer]})


def test_elicitation_on_the_shared_stream(runtime: str) -> None:
    with ScriptedServer(HANDSHAKE, listens=True) as server:
        server.tools["ask"] = ask_on_shared_stream

        async def body() -> Any:
            client = make_client(runtime, url=server.url, on_elicitation=lambda request: {"name": "Ada"})
            async with client:
                return [answers_of(await client.call_tool("ask")) for _ in range(3)]

        expected = {"action": "accept", "content": {"name": "Ada", "colour": "green", "age": 30}}
        assert run(runtime, body) == [[expected]] * 3
        assert len(server.requests("GET")) == 1
        (opened,) = server.requests("GET")
        assert opened.headers["accept"] == "text/event-stream"


def test_questions_on_the_shared_stream_of_many_calls(runtime: str) -> None:
    with ScriptedServer(HANDSHAKE, listens=True) as server:
        server.tools["ask"] = ask_on_shared_stream

        async def body() -> list[Any]:
            client = make_client(runtime, url=server.url, on_elicitation=lambda request: {"name": "Ada"})
            async with client:

                async def call() -> Any:
                    return answers_of(await client.call_tool("ask"))[0]["content"]["name"]

                return await gather(runtime, [call] * 6)

        assert run(runtime, body) == ["Ada"] * 6


def test_a_client_without_callbacks_opens_no_shared_stream(runtime: str) -> None:
    with ScriptedServer(HANDSHAKE, listens=True) as server:

        async def body() -> None:
            async with make_client(runtime, url=server.url) as client:
                await client.call_tool("echo")

        run(runtime, body)
        assert server.requests("GET") == []


def test_a_server_that_offers_no_shared_stream(runtime: str) -> None:
    with ScriptedServer(HANDSHAKE) as server:
        assert ask(server, runtime, ("elicitation/create", FORM), on_elicitation=lambda request: None) == [
            {"action": "decline"}
        ]
        assert len(server.requests("GET")) == 1


# ---- sampling and roots --------------------------------------------------------------------------

SAMPLE: dict[str, Any] = {
    "messages": [{"role": "user", "content": {"type": "text", "text": "Hello"}}],
    "maxTokens": 50,
    "systemPrompt": "Be brief.",
}


def test_sampling(any_server: ScriptedServer, runtime: str) -> None:
    requests: list[CreateMessageRequest] = []
    reply = CreateMessageResult(role="assistant", content={"type": "text", "text": "Hi"}, model="m-1")

    def on_sampling(request: CreateMessageRequest) -> CreateMessageResult | Mapping[str, Any]:
        requests.append(request)
        return reply if len(requests) == 1 else {"role": "assistant", "content": {}, "model": "m-2"}

    questions = [("sampling/createMessage", SAMPLE)] * 2
    first, second = ask(any_server, runtime, *questions, on_sampling=on_sampling)
    assert first == {"role": "assistant", "content": {"type": "text", "text": "Hi"}, "model": "m-1"}
    assert second["model"] == "m-2"
    assert requests[0].maxTokens == 50
    assert requests[0].systemPrompt == "Be brief."
    assert requests[0].messages[0].content == {"type": "text", "text": "Hello"}


def test_roots(any_server: ScriptedServer, runtime: str) -> None:
    roots: list[Root | str] = ["file:///work", Root(uri="file:///home", name="Home")]
    (heard,) = ask(any_server, runtime, ("roots/list", {}), on_roots=lambda: roots)
    assert heard == {"roots": [{"uri": "file:///work"}, {"uri": "file:///home", "name": "Home"}]}


@pytest.mark.parametrize("runtime", ["asyncio", "trio"])
def test_coroutine_functions_answer(any_server: ScriptedServer, runtime: str) -> None:
    async def pause() -> None:
        await (asyncio.sleep(0.01) if runtime == "asyncio" else trio.sleep(0.01))

    async def on_elicitation(request: ElicitRequest) -> dict[str, Any]:
        await pause()
        return {"name": "Ada"}

    async def on_roots() -> list[str]:
        await pause()
        return ["file:///a"]

    async def on_sampling(request: CreateMessageRequest) -> dict[str, Any]:
        await pause()
        return {"role": "assistant", "content": {}, "model": "m"}

    heard = ask(
        any_server,
        runtime,
        ("elicitation/create", FORM),
        ("roots/list", {}),
        ("sampling/createMessage", SAMPLE),
        on_elicitation=on_elicitation,
        on_roots=on_roots,
        on_sampling=on_sampling,
    )
    assert heard[0]["content"]["name"] == "Ada"
    assert heard[1] == {"roots": [{"uri": "file:///a"}]}
    assert heard[2]["model"] == "m"


def test_capabilities_follow_from_the_callbacks(any_server: ScriptedServer, runtime: str) -> None:
    async def connect(**callbacks: Any) -> None:
        async with make_client(runtime, url=any_server.url, **callbacks) as client:
            await client.create_session("ada").connect()

    run(runtime, connect)
    run(runtime, lambda: connect(on_log=print, on_notification=print))
    run(runtime, lambda: connect(on_elicitation=print, on_sampling=print, on_roots=list))
    if any_server.era == HANDSHAKE:
        declared = [seen.params["capabilities"] for seen in any_server.requests("initialize")]
    else:
        key = "io.modelcontextprotocol/clientCapabilities"
        declared = [seen.params["_meta"][key] for seen in any_server.requests("server/discover")]
    assert declared[:4] == [{}] * 4
    full = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {"listChanged": True}}
    assert declared[4:] == [full] * 2


#: What an application names, what it has besides, and what is declared then.
NAMED: dict[str, tuple[Mapping[str, Any], tuple[str, ...], dict[str, Any]]] = {
    "tools in sampling": ({"sampling": {"tools": {}}}, ("on_sampling",), {"sampling": {"tools": {}}}),
    "forms alone": ({"elicitation": {"form": {}}}, ("on_elicitation",), {"elicitation": {"form": {}}}),
    "roots that stay": ({"roots": {}}, ("on_roots",), {"roots": {}}),
    "an extension": (
        {"extensions": {"com.example/x": {"a": 1}}, "experimental": {"y": {}}},
        (),
        {"extensions": {"com.example/x": {"a": 1}}, "experimental": {"y": {}}},
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_what_can_be_declared_can_be_said(any_server: ScriptedServer, name: str) -> None:
    """MCP 2026-07-28, Schema, ``ClientCapabilities``; Versioning, "Extension Negotiation"."""
    named, callbacks, declared = NAMED[name]
    given: dict[str, Any] = dict.fromkeys(callbacks, print)
    with SyncRouterMCPClient(any_server.url, capabilities=named, **given) as client:
        assert client.server is not None
    if any_server.era == HANDSHAKE:
        (opening,) = any_server.requests("initialize")
        assert opening.params["capabilities"] == declared
    else:
        (opening, *_) = any_server.requests("server/discover")
        assert opening.params["_meta"]["io.modelcontextprotocol/clientCapabilities"] == declared


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (["sampling"], "is a mapping, not list"),
        ({"sampling": True}, "is a mapping, not bool"),
        ({"sampling": {"tools": {}}}, "give on_sampling="),
        ({"roots": {"changes": True}}, "has no 'changes'"),
        ({"elicitation": {"form": {}}}, "give on_elicitation="),
        ({"elicitation": {}}, "give on_elicitation="),
        ({"tasks": {}}, "has no 'tasks'"),
        ({"extensions": {"no-prefix": {}}}, "no identifier of an extension"),
    ],
)
def test_what_a_client_cannot_declare(named: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        RouterMCPClient("http://127.0.0.1:9/mcp", capabilities=named, on_roots=list, on_authorization=print)


def test_sampling_with_tools_where_it_is_declared(any_server: ScriptedServer) -> None:
    tools = [{"name": "t", "inputSchema": {"type": "object"}}]
    requests: list[CreateMessageRequest] = []

    def on_sampling(request: CreateMessageRequest) -> CreateMessageResult:
        requests.append(request)
        use = {"type": "tool_use", "id": "1", "name": "t", "input": {}}
        return CreateMessageResult(content=[use], model="m", stopReason="toolUse")

    settings: dict[str, Any] = {"on_sampling": on_sampling, "capabilities": {"sampling": {"tools": {}}}}
    (heard,) = ask(any_server, "asyncio", ("sampling/createMessage", {**SAMPLE, "tools": tools}), **settings)
    assert (heard["role"], heard["stopReason"]) == ("assistant", "toolUse")
    assert [tool.name for tool in requests[0].tools or ()] == ["t"]


# ---- URLs that the user has to open first ------------------------------------------------------------

PAGES = [
    {"mode": "url", "elicitationId": "1", "url": "https://example.com/1", "message": "First"},
    {"mode": "url", "elicitationId": "2", "url": "https://example.com/2", "message": "Second"},
]


def want_pages(exchange: Exchange) -> None:
    exchange.error(-32042, "open these first", data={"elicitations": PAGES})


def test_all_pages_of_an_error_are_offered_in_url_mode(sessions_server: ScriptedServer, runtime: str) -> None:
    """MCP 2025-11-25, Elicitation, "URL Elicitation Required Error": then the request is made again."""
    asked: list[ElicitRequest] = []

    def on_elicitation(request: ElicitRequest) -> dict[str, Any]:
        asked.append(request)
        return {}

    async def body() -> str:
        async with make_client(runtime, url=sessions_server.url, on_elicitation=on_elicitation) as client:
            sessions_server.script("tools/call", want_pages)
            return (await client.call_tool("add", {"a": 1, "b": 2})).text

    assert run(runtime, body) == "3"
    assert [(each.mode, each.url, each.message, each.elicitationId) for each in asked] == [
        ("url", page["url"], page["message"], page["elicitationId"]) for page in PAGES
    ]


def test_on_authorization_is_called_for_each_page(sessions_server: ScriptedServer) -> None:
    opened: list[str] = []
    with SyncRouterMCPClient(
        sessions_server.url, on_authorization=lambda request: opened.append(request.url)
    ) as client:
        sessions_server.script("tools/call", want_pages)
        assert client.call_tool("add", {"a": 1, "b": 2}).text == "3"
    assert opened == [page["url"] for page in PAGES]


@pytest.mark.parametrize("declines", [True, False])
def test_pages_that_are_not_opened_are_in_the_error(sessions_server: ScriptedServer, declines: bool) -> None:
    asked: list[ElicitRequest] = []
    callback = asked.append if declines else None  # which returns None: no
    with SyncRouterMCPClient(sessions_server.url, on_elicitation=callback) as client:
        sessions_server.script("tools/call", want_pages)
        with pytest.raises(AuthorizationRequiredError, match="open these first") as caught:
            client.call_tool("add", {"a": 1, "b": 2})
    assert list(caught.value.elicitations) == PAGES
    assert len(asked) == (1 if declines else 0)
    assert len(sessions_server.requests("tools/call")) == 1


# ---- what goes wrong ---------------------------------------------------------------------------------


def test_errors_of_a_callback_reach_the_caller(any_server: ScriptedServer, runtime: str) -> None:
    heard: queue.Queue[dict[str, Any]] = queue.Queue()

    def tool(exchange: Exchange, arguments: dict[str, Any]) -> Mapping[str, Any]:
        if any_server.era == STATELESS:
            return asks(("elicitation/create", FORM))(exchange, arguments)
        heard.put(exchange.stream().ask("elicitation/create", **FORM))
        return text("done")

    def on_elicitation(request: ElicitRequest) -> Any:
        raise ZeroDivisionError("mine")

    any_server.tools["ask"] = tool

    async def body() -> None:
        async with make_client(runtime, url=any_server.url, on_elicitation=on_elicitation) as client:
            with pytest.raises(ZeroDivisionError, match="mine"):
                await client.call_tool("ask")
            assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"

    run(runtime, body)
    if any_server.era == HANDSHAKE:
        refusal = heard.get(timeout=10)  # the server's thread hears of it a little later
        assert refusal["error"]["code"] == -32603
        assert "mine" not in str(refusal)


@pytest.mark.parametrize(
    ("method", "reply", "words"),
    [
        ("elicitation/create", 5, "on_elicitation returns .* not int"),
        ("elicitation/create", {"name": object()}, "name.*object"),
        ("sampling/createMessage", None, "on_sampling returns .* not NoneType"),
        ("roots/list", 5, "int"),
        ("roots/list", [5], "on_roots returns .* not int"),
        ("roots/list", None, "on_roots returns .* not NoneType"),
        ("roots/list", "file:///work", "on_roots returns .* not str"),
        # MCP 2026-07-28, Roots: a root is a file:// URI; Sampling: a message has its role.
        ("roots/list", ["https://example.com/"], "on_roots returns file:// URIs"),
        ("roots/list", [Root(uri="/home/ada")], "on_roots returns file:// URIs"),
        ("sampling/createMessage", {"content": {}, "model": "m"}, "on_sampling returns a role"),
        ("sampling/createMessage", {"role": "tool", "content": {}, "model": "m"}, "user or assistant"),
        ("sampling/createMessage", {"role": "user", "content": {}}, "on_sampling returns model"),
    ],
)
def test_callbacks_that_answer_nonsense(
    any_server: ScriptedServer, runtime: str, method: str, reply: Any, words: str
) -> None:
    params = {"elicitation/create": FORM, "sampling/createMessage": SAMPLE, "roots/list": {}}[method]
    callback = {
        "elicitation/create": "on_elicitation",
        "sampling/createMessage": "on_sampling",
        "roots/list": "on_roots",
    }[method]
    any_server.tools["ask"] = asks((method, params))

    async def body() -> None:
        settings: dict[str, Any] = {callback: lambda *_: reply}
        async with make_client(runtime, url=any_server.url, **settings) as client:
            with pytest.raises(LocalProtocolError, match=words):
                await client.call_tool("ask")
            await client.call_tool("echo")

    run(runtime, body)


def test_a_question_that_nobody_answers(sessions_server: ScriptedServer, runtime: str) -> None:
    """The server asks although the client has not declared that it can answer."""
    heard: list[dict[str, Any]] = []

    def tool(exchange: Exchange, arguments: dict[str, Any]) -> Mapping[str, Any]:
        heard.append(exchange.stream().ask("elicitation/create", **FORM))
        return text("done")

    sessions_server.tools["ask"] = tool

    async def body() -> str:
        async with make_client(runtime, url=sessions_server.url) as client:
            return (await client.call_tool("ask")).text

    assert run(runtime, body) == "done"
    assert heard[0]["error"]["code"] == -32601


def test_a_request_for_input_that_nobody_answers(server: ScriptedServer, runtime: str) -> None:
    server.tools["ask"] = asks(("elicitation/create", FORM))

    async def body() -> None:
        async with make_client(runtime, url=server.url) as client:
            with pytest.raises(MCPError, match="elicitation/create, which cannot be answered"):
                await client.call_tool("ask")
            await client.call_tool("echo")

    run(runtime, body)


#: Questions that break a rule: the callback that would answer, the method, and its parameters.
BROKEN: dict[str, tuple[str, str, dict[str, Any]]] = {
    "unreadable": ("on_elicitation", "elicitation/create", {"message": 5}),
    "of an undeclared mode": ("on_elicitation", "elicitation/create", {**FORM, "mode": "voice"}),
    "with undeclared tools": ("on_sampling", "sampling/createMessage", {**SAMPLE, "tools": [{"name": "t"}]}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_question_that_breaks_a_rule_costs_no_call(
    sessions_server: ScriptedServer, runtime: str, name: str
) -> None:
    """MCP 2025-11-25, Elicitation and Sampling, "Error Handling": it is answered with -32602."""
    callback, method, params = BROKEN[name]
    heard: list[dict[str, Any]] = []

    def tool(exchange: Exchange, arguments: dict[str, Any]) -> Mapping[str, Any]:
        heard.append(exchange.stream().ask(method, **params))
        return text("done")

    sessions_server.tools["ask"] = tool

    async def body() -> str:
        settings: dict[str, Any] = {callback: lambda _: pytest.fail("the user was asked")}
        async with make_client(runtime, url=sessions_server.url, **settings) as client:
            return (await client.call_tool("ask")).text

    assert run(runtime, body) == "done"
    assert heard[0]["error"]["code"] == -32602


@pytest.mark.parametrize("name", BROKEN)
def test_a_round_with_a_question_that_breaks_a_rule_asks_nothing(
    server: ScriptedServer, runtime: str, name: str
) -> None:
    """In the stateless era no answer can say so: the call fails, before the user is asked in vain."""
    callback, method, params = BROKEN[name]
    good: dict[str, Any] = {"method": "roots/list"}
    asked: dict[str, Any] = {"good": good, "bad": {"method": method, "params": params}}
    server.tools["ask"] = lambda exchange, arguments: {
        "resultType": "input_required",
        "inputRequests": asked,
    }

    async def body() -> None:
        settings: dict[str, Any] = {
            callback: lambda _: pytest.fail("the user was asked"),
            "on_roots": lambda: pytest.fail("the user was asked"),
        }
        async with make_client(runtime, url=server.url, **settings) as client:
            with pytest.raises(ResponseValidationError, match=f"{method}, which cannot be answered"):
                await client.call_tool("ask")
            await client.call_tool("echo")

    run(runtime, body)


@pytest.mark.parametrize("method", ["elicitation/create", "ping"])
def test_requests_of_a_server_of_the_stateless_era_are_not_answered(
    server: ScriptedServer, runtime: str, method: str
) -> None:
    """MCP 2026-07-28, Streamable HTTP, "Sending Messages": the client must not send responses."""

    def tool(exchange: Exchange, arguments: dict[str, Any]) -> Mapping[str, Any]:
        exchange.stream().event({"jsonrpc": "2.0", "id": 99, "method": method, "params": FORM})
        return text("done")

    server.tools["ask"] = tool

    async def body() -> str:
        client = make_client(
            runtime, url=server.url, on_elicitation=lambda _: pytest.fail("the user was asked")
        )
        async with client:
            return (await client.call_tool("ask")).text

    assert run(runtime, body) == "done"
    assert server.requests("answer") == []


def test_pings_of_the_server_are_answered(sessions_server: ScriptedServer, runtime: str) -> None:
    (heard,) = ask(sessions_server, runtime, ("ping", {}))
    assert heard == {}


# ---- time ------------------------------------------------------------------------------------------------


def slowly(runtime: str, seconds: float) -> Callable[[ElicitRequest], Any]:
    """Make a callback for a person who takes their time."""

    async def under_asyncio(request: ElicitRequest) -> dict[str, Any]:
        await asyncio.sleep(seconds)
        return {}

    async def under_trio(request: ElicitRequest) -> dict[str, Any]:
        await trio.sleep(seconds)
        return {}

    def plainly(request: ElicitRequest) -> dict[str, Any]:
        time.sleep(seconds)
        return {}

    return {"asyncio": under_asyncio, "trio": under_trio, "blocking": plainly}[runtime]


@pytest.mark.parametrize(
    ("era", "runtime"), [*((HANDSHAKE, runtime) for runtime in RUNTIMES), (STATELESS, "asyncio")]
)
def test_the_deadline_stands_still_while_a_person_answers(any_server: ScriptedServer, runtime: str) -> None:
    heard = ask(
        any_server,
        runtime,
        *[("elicitation/create", {"message": "?"})] * 2,
        on_elicitation=slowly(runtime, 1.1),
        timeout=2000,  # of which the requests take little, on a busy machine too
    )
    assert len(heard) == 2


@pytest.mark.parametrize("runtime", ["asyncio", "trio"])
def test_interaction_timeout(any_server: ScriptedServer, runtime: str) -> None:
    any_server.tools["ask"] = asks(("elicitation/create", FORM))

    async def body() -> float:
        client = make_client(
            runtime, url=any_server.url, on_elicitation=slowly(runtime, 60), interaction_timeout=150
        )
        async with client:
            began = time.monotonic()
            with pytest.raises(TransportError, match="interaction_timeout=150") as caught:
                await client.call_tool("ask")
            assert caught.value.code == "timeout"
            took = time.monotonic() - began
            await client.call_tool("echo")
            return took

    assert 0.15 <= run(runtime, body) < 0.15 + SLACK_SECONDS


def test_a_plain_function_is_not_interrupted(any_server: ScriptedServer, runtime: str) -> None:
    heard = ask(
        any_server,
        runtime,
        ("elicitation/create", FORM),
        on_elicitation=slowly("blocking", 0.1),
        interaction_timeout=50,
        timeout=20_000,
    )
    assert heard[0]["action"] == "accept"


def test_interaction_timeout_is_a_setting_of_time() -> None:
    with pytest.raises(ConfigError, match="interaction_timeout"):
        RouterMCPClient("http://127.0.0.1:9/mcp", interaction_timeout=-1)


def test_the_deadline_goes_on_after_the_answer(any_server: ScriptedServer, runtime: str) -> None:
    def tool(exchange: Exchange, arguments: dict[str, Any]) -> Mapping[str, Any]:
        result = asks(("elicitation/create", FORM))(exchange, arguments)
        if "content" in result:
            exchange.server.wait_for("ever")
        return result

    any_server.tools["ask"] = tool

    async def body() -> None:
        client = make_client(runtime, url=any_server.url, on_elicitation=slowly(runtime, 0.6), timeout=600)
        async with client:
            began = time.monotonic()
            with pytest.raises(TransportError, match="timeout=600"):
                await client.call_tool("ask")
            assert 1.15 <= time.monotonic() - began < 1.2 + SLACK_SECONDS

    run(runtime, body)


# ---- callbacks that use the client -------------------------------------------------------------------------


def test_a_handler_may_call_the_same_client(any_server: ScriptedServer, runtime: str) -> None:
    """Even when no place is left in the pool but the one that waits for the answer."""
    any_server.tools["ask"] = asks(("elicitation/create", FORM))
    heard: list[Any] = []

    def blocking() -> None:
        def on_elicitation(request: ElicitRequest) -> dict[str, Any]:
            return {"name": client.call_tool("add", {"a": 1, "b": 2}).text}

        with SyncRouterMCPClient(any_server.url, on_elicitation=on_elicitation, limits=TWO) as client:
            heard.extend(answers_of(client.call_tool("ask")))

    async def native() -> None:
        async def on_elicitation(request: ElicitRequest) -> dict[str, Any]:
            return {"name": (await client.call_tool("add", {"a": 1, "b": 2})).text}

        async with RouterMCPClient(any_server.url, on_elicitation=on_elicitation, limits=TWO) as client:
            heard.extend(answers_of(await client.call_tool("ask")))

    if runtime == "blocking":
        blocking()
    else:
        run(runtime, native)
    assert heard[0]["content"]["name"] == "3"


def test_answers_get_through_a_full_pool(sessions_server: ScriptedServer, runtime: str) -> None:
    sessions_server.tools["ask"] = asks(("elicitation/create", {"message": "?"}))

    async def body() -> int:
        client = make_client(
            runtime,
            url=sessions_server.url,
            on_elicitation=lambda request: {},
            limits=TWO,
        )
        async with client:

            async def call() -> Any:
                return answers_of(await client.call_tool("ask"))

            return len(await gather(runtime, [call] * 6))

    assert run(runtime, body) == 6


# ---- what the server tells ---------------------------------------------------------------------------------


def test_log_messages_and_notifications(any_server: ScriptedServer, runtime: str) -> None:
    logged: list[LogMessage] = []
    heard: list[tuple[str, Mapping[str, Any]]] = []

    def talk(exchange: Exchange) -> None:
        exchange.stream()
        exchange.notify("notifications/message", level="warning", logger="db", data={"rows": 3})
        exchange.notify("notifications/tools/list_changed")
        exchange.notify("notifications/message", level="info", data="text")
        exchange.answer()

    def on_notification(method: str, params: Mapping[str, Any]) -> None:
        heard.append((method, params))

    async def body() -> None:
        client = make_client(
            runtime, url=any_server.url, on_log=logged.append, on_notification=on_notification
        )
        async with client:
            any_server.script("tools/call", talk)
            await client.call_tool("echo")

    run(runtime, body)
    assert [(line.level, line.logger, line.data) for line in logged] == [
        ("warning", "db", {"rows": 3}),
        ("info", None, "text"),
    ]
    assert heard == [("notifications/tools/list_changed", {})]


def test_log_messages_without_on_log_are_notifications(any_server: ScriptedServer, runtime: str) -> None:
    heard: list[str] = []

    def talk(exchange: Exchange) -> None:
        exchange.stream().notify("notifications/message", level="info", data="text")
        exchange.answer()

    def on_notification(method: str, params: Mapping[str, Any]) -> None:
        heard.append(method)

    async def body() -> None:
        async with make_client(runtime, url=any_server.url, on_notification=on_notification) as client:
            any_server.script("tools/call", talk, talk)
            await client.call_tool("echo")
        async with make_client(runtime, url=any_server.url) as client:
            await client.call_tool("echo")

    run(runtime, body)
    assert heard == ["notifications/message"]


def test_a_malformed_log_message_costs_only_itself(any_server: ScriptedServer, runtime: str) -> None:
    logged: list[LogMessage] = []

    def talk(exchange: Exchange) -> None:
        exchange.stream().notify("notifications/message", level=5)
        exchange.notify("notifications/message", level="info", data="good")
        exchange.answer()

    async def body() -> None:
        async with make_client(runtime, url=any_server.url, on_log=logged.append) as client:
            any_server.script("tools/call", talk)
            await client.call_tool("echo")

    run(runtime, body)
    assert [line.data for line in logged] == ["good"]


def test_log_messages_on_the_shared_stream(runtime: str) -> None:
    """They are heard while a call waits for its answer."""
    logged: list[Any] = []
    arrived = threading.Event()

    def on_log(message: LogMessage) -> None:
        logged.append(message.data)
        arrived.set()

    def tool(exchange: Exchange, arguments: dict[str, Any]) -> Mapping[str, Any]:
        shared = exchange.server.sessions[exchange.seen.headers["mcp-session-id"]]
        assert shared is not None
        shared.notify("notifications/message", level="info", data="from aside")
        arrived.wait(PATIENCE)
        return text("done")

    with ScriptedServer(HANDSHAKE, listens=True) as server:
        server.tools["talk"] = tool

        async def body() -> str:
            client = make_client(runtime, url=server.url, on_log=on_log, on_roots=list)
            async with client:
                return (await client.call_tool("talk")).text

        assert run(runtime, body) == "done"
    assert logged == ["from aside"]


@pytest.mark.parametrize("runtime", ["asyncio", "trio"])
def test_a_question_of_a_call_that_was_given_up_may_be_asked_again(runtime: str) -> None:
    """Under the same id, which the server may use for all its questions."""

    def ask_and_hang(exchange: Exchange, arguments: dict[str, Any]) -> dict[str, Any]:
        question = {"jsonrpc": "2.0", "id": "question-1", "method": "elicitation/create", "params": FORM}
        exchange.stream().event(question)
        exchange.closed_by_client()
        return {}

    def ask_again(exchange: Exchange, arguments: dict[str, Any]) -> dict[str, Any]:
        exchange.server._ids = itertools.count(1)
        return text(exchange.stream().ask("elicitation/create", **FORM)["result"]["action"])

    asked: list[ElicitRequest] = []

    async def on_elicitation(request: ElicitRequest) -> ElicitResult:
        asked.append(request)
        if len(asked) == 1:
            await (asyncio.sleep(60) if runtime == "asyncio" else trio.sleep(60))
        return ElicitResult(action="decline")

    async def body() -> str:
        async with make_client(runtime, url=server.url, on_elicitation=on_elicitation) as client:

            async def call() -> None:
                await client.call_tool("hang")

            assert await abandon_when(lambda: asked, runtime, call)
            return (await client.call_tool("ask")).text

    with ScriptedServer(HANDSHAKE) as server:
        server.tools.update({"hang": ask_and_hang, "ask": ask_again})
        assert run(runtime, body) == "decline"

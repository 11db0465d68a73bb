"""The gateway over real HTTP: with our own clients, and request by request."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from routermcp import InvalidParamsError, MethodNotFoundError, ResourceNotFoundError, RPCError
from routermcp.gateway import BuiltinTools, Caller, GatewayApp, Listing, serve_in_thread
from tests import loopback
from tests.three_runtimes import make_client, run

STATELESS = "2026-07-28"
HANDSHAKE = "2025-11-25"
BOTH = {"Accept": "application/json, text/event-stream"}
META = {
    "io.modelcontextprotocol/protocolVersion": STATELESS,
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
INITIALIZE = {
    "protocolVersion": HANDSHAKE,
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}
#: Seconds that anything here is waited for: many times what it takes.
PATIENCE = 10.0

ROUTED = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "shard": {"type": "integer", "x-mcp-header": "Shard"},
    },
}


class Workshop(BuiltinTools):
    """The built-in tools, and some that only a test wants."""

    def __init__(self) -> None:
        self.app: GatewayApp | None = None
        self.begun = threading.Event()
        self.cancelled = threading.Event()

    def input_schema(self, tool: str) -> Mapping[str, Any] | None:
        return ROUTED if tool == "route" else super().input_schema(tool)

    async def list_page(self, listing: Listing, cursor: str | None, caller: Caller) -> Mapping[str, Any]:
        page = dict(await super().list_page(listing, cursor, caller))
        if listing is Listing.TOOLS:
            page["tools"] = [*page["tools"], {"name": "route", "inputSchema": ROUTED}]
        return page

    async def call_tool(self, name: str, arguments: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        if name in ("wait", "fail", "route", "shout", "unspeakable", "roots"):
            return await getattr(self, name)(arguments, caller)
        return await super().call_tool(name, arguments, caller)

    async def wait(self, arguments: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        raise AssertionError

    async def fail(self, arguments: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        raise ValueError("the password is 1234")

    async def route(self, arguments: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        return {"content": [{"type": "text", "text": json.dumps(dict(arguments))}]}

    async def shout(self, arguments: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        assert self.app is not None
        for _ in range(arguments.get("times", 1)):
            self.app.announce("notifications/tools/list_changed")
        return {"content": []}

    async def unspeakable(self, arguments: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        return {"content": [{"type": "text", "text": object()}]}

    async def roots(self, arguments: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        found = await caller.ask("roots", "roots/list", {})
        return {"content": [{"type": "text", "text": root["uri"]} for root in found["roots"]]}


class Bench:
    """A served application and an HTTP client for it."""

    def __init__(self, url: str, app: GatewayApp, backend: Workshop, http: httpx.Client) -> None:
        self.url, self.app, self.backend, self.http = url, app, backend, http

    def post(self, message: Any, **headers: str) -> httpx.Response:
        sent = {**BOTH, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.http.post(self.url, json=message, headers=sent)

    def stateless(
        self, method: str, params: Mapping[str, Any] | None = None, **headers: str
    ) -> httpx.Response:
        params = {"_meta": META, **(params or {})}
        name = params.get("name") or params.get("uri")
        routing = {"MCP_Protocol_Version": STATELESS, "Mcp_Method": method}
        if name is not None:
            routing["Mcp_Name"] = name
        return self.post(request(method, params), **{**routing, **headers})

    def call(self, name: str, arguments: Mapping[str, Any] | None = None, **headers: str) -> httpx.Response:
        return self.stateless("tools/call", {"name": name, "arguments": arguments or {}}, **headers)

    def initialize(self, **changes: Any) -> str:
        answer = self.post(request("initialize", {**INITIALIZE, **changes}))
        assert answer.status_code == 200
        return answer.headers["mcp-session-id"]

    def in_session(self, session: str, method: str, params: Any = None, number: int = 1) -> httpx.Response:
        return self.post(request(method, params or {}, number), Mcp_Session_Id=session)

    @contextmanager
    def waiting(self, session: str | None = None) -> Iterator[socket.socket]:
        """Have a call of ``wait`` under way on a connection of its own."""
        params: dict[str, Any] = {"name": "wait"}
        headers = dict(BOTH)
        if session is None:
            params["_meta"] = META
            headers |= {"MCP-Protocol-Version": STATELESS, "Mcp-Method": "tools/call", "Mcp-Name": "wait"}
        else:
            headers["Mcp-Session-Id"] = session
        message = httpx.Request("POST", self.url, json=request("tools/call", params, 77), headers=headers)
        head = "".join(f"{name}: {value}\r\n" for name, value in message.headers.items())
        url = httpx.URL(self.url)
        with socket.create_connection((url.host, url.port or 80), timeout=PATIENCE) as connection:
            connection.sendall(f"POST {url.path} HTTP/1.1\r\n{head}\r\n".encode() + message.content)
            assert self.backend.begun.wait(PATIENCE)
            yield connection


def request(method: str, params: Any = None, number: int = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}}


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.headers["content-type"] == "text/event-stream"
    lines = answer.text.splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def code(answer: httpx.Response) -> int:
    return answer.json()["error"]["code"]


@contextmanager
def make_bench(**settings: Any) -> Iterator[Bench]:
    backend = Workshop()
    app = backend.app = GatewayApp(backend, **settings)
    with serve_in_thread(app) as url, loopback.Client(timeout=PATIENCE) as http:
        yield Bench(url, app, backend, http)


@pytest.fixture(scope="module")
def shared() -> Iterator[Bench]:
    with make_bench() as bench:
        yield bench


@pytest.fixture
def bench(shared: Bench) -> Bench:
    shared.backend.begun.clear()
    shared.backend.cancelled.clear()
    return shared


# ---- our own clients -----------------------------------------------------------------


def test_serves_everything_to_our_clients_in_both_eras(runtime: str, era: str, bench: Bench) -> None:
    heard: list[float] = []

    async def body() -> None:
        async with make_client(
            runtime, url=bench.url, protocol=era, on_elicitation=lambda _: {"name": "Ada"}
        ) as client:
            assert [tool.name for tool in await client.list_tools()][:4] == [
                "add",
                "echo",
                "count",
                "ask_name",
            ]
            added = await client.call_tool("add", {"a": 1, "b": 2.5})
            assert added.structuredContent == {"sum": 3.5}
            arguments = {"to": 3, "delay_ms": 0}
            counted = await client.call_tool(
                "count", arguments, on_progress=lambda p: heard.append(p.progress)
            )
            assert counted.text == "counted to 3"
            assert (await client.call_tool("ask_name")).text == "Hello, Ada!"
            readme = await client.read_resource("demo://readme")
            assert readme.contents[0].to_wire()["mimeType"] == "text/plain"
            assert len(await client.list_resource_templates()) == 1
            prompt = await client.get_prompt("greet", {"name": "Ada"})
            assert "Ada" in str(prompt.messages[0])
            await client.ping()
            assert bench.app.sessions == (1 if era == HANDSHAKE else 0)
        assert bench.app.sessions == 0

    before = bench.app.sessions
    assert before == 0
    run(runtime, body)
    assert heard == [1, 2, 3]


def test_errors_arrive_as_the_clients_types(era: str, bench: Bench) -> None:
    async def body() -> None:
        async with make_client("asyncio", url=bench.url, protocol=era) as client:
            with pytest.raises(InvalidParamsError, match="Unknown tool"):
                await client.call_tool("nothing")
            with pytest.raises(ResourceNotFoundError):
                await client.read_resource("demo://nothing")
            with pytest.raises(MethodNotFoundError):
                await client.complete({"type": "ref/prompt", "name": "greet"}, {"name": "name", "value": ""})
            with pytest.raises(RPCError, match="capability elicitation"):
                await client.call_tool("ask_name")
            missing = await client.call_tool("add", {"a": 1})
            assert missing.isError
            assert missing.text == "the argument b is missing"

    asyncio.run(body())


@pytest.mark.parametrize("reply", [None, {"name": 5}])
def test_a_question_that_gets_no_good_answer_fails_the_tool(
    era: str, bench: Bench, reply: dict[str, Any] | None
) -> None:
    async def body() -> None:
        async with make_client(
            "asyncio", url=bench.url, protocol=era, on_elicitation=lambda _: reply
        ) as client:
            result = await client.call_tool("ask_name")
            assert (result.isError, result.text) == (True, "you did not say")

    asyncio.run(body())


def test_mirrored_parameters_of_our_client_are_accepted(bench: Bench) -> None:
    async def body() -> None:
        async with make_client("asyncio", url=bench.url) as client:
            await client.list_tools()
            arguments = {"region": " Zürich ", "shard": 7}
            result = await client.call_tool("route", arguments)
            assert json.loads(result.text) == arguments

    asyncio.run(body())


def test_roots_are_asked_for_in_both_eras(era: str, bench: Bench) -> None:
    async def body() -> None:
        async with make_client(
            "asyncio", url=bench.url, protocol=era, on_roots=lambda: ["file:///tmp"]
        ) as client:
            assert (await client.call_tool("roots")).text == "file:///tmp"

    asyncio.run(body())


# ---- HTTP ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Accept": "application/json"}, 200),
        ({"Accept": "application/json, application/mcp+json"}, 200),
        ({"Accept": "text/event-stream"}, 406),
        ({"Accept": "text/html"}, 406),
        ({"Accept": "*/*"}, 200),
        ({"Accept": "application/*;q=0.5, text/*"}, 200),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:80"}, 403),
        ({"Host": "[::1"}, 403),
        ({"Host": "localhost:1234"}, 200),
        ({"Host": "[::1]:1234"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1.evil.example"}, 403),
        ({"Origin": "http://localhost:3000"}, 200),
    ],
)
def test_headers_decide_whether_a_post_is_taken(bench: Bench, headers: dict[str, str], status: int) -> None:
    body = json.dumps(request("tools/list"))
    sent = {"Content-Type": "application/json", **BOTH, **headers}
    answer = bench.http.post(bench.url, content=body, headers=sent)
    assert answer.status_code == status
    assert ("error" in answer.json()) == (status != 200)


def test_only_older_clients_may_leave_event_streams_out(bench: Bench) -> None:
    json_alone = {"Accept": "application/json"}
    assert bench.stateless("server/discover", **json_alone).status_code == 406
    session = bench.initialize()
    pings = [request("ping"), {**request("ping"), "id": 8}]  # answered by a stream
    assert bench.post(pings, Mcp_Session_Id=session, **json_alone).status_code == 406
    assert bench.post(request("ping"), Mcp_Session_Id=session, **json_alone).status_code == 200


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", -32700),
        (b"", -32700),
        (b"\xff\xfe", -32700),
        (b"[]", -32600),
        (b"7", -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"result":{}}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}', -32600),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600),
    ],
)
def test_what_is_no_request_is_a_400_that_says_why(bench: Bench, body: bytes, expected: int) -> None:
    answer = bench.http.post(bench.url, content=body, headers={"Content-Type": "application/json", **BOTH})
    assert (answer.status_code, code(answer)) == (400, expected)


def test_other_paths_and_verbs_are_refused(bench: Bench) -> None:
    assert bench.http.post(bench.url + "/more", json={}).status_code == 404
    answer = bench.http.put(bench.url, json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST, GET, DELETE")


def test_a_header_given_twice_is_refused(bench: Bench) -> None:
    headers = [*BOTH.items(), ("Mcp-Session-Id", "one"), ("Mcp-Session-Id", "two")]
    assert bench.http.post(bench.url, json=request("tools/list"), headers=headers).status_code == 400


def test_too_large_a_body_is_refused_announced_or_not() -> None:
    with make_bench(max_body=1000) as bench:
        message = request("tools/list", {"cursor": "x" * 1000})
        assert bench.post(message).status_code == 413
        body = json.dumps(message).encode()
        headers = {"Content-Type": "application/json", **BOTH}
        assert bench.http.post(bench.url, content=iter([body]), headers=headers).status_code == 413
        assert bench.post(request("tools/list")).status_code == 200


def test_notifications_are_accepted_without_a_body(bench: Bench) -> None:
    answer = bench.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
    assert (answer.status_code, answer.content) == (202, b"")
    answer = bench.post({"jsonrpc": "2.0", "method": "x"}, MCP_Protocol_Version=STATELESS)
    assert (answer.status_code, answer.content) == (202, b"")


# ---- the stateless era ----------------------------------------------------------------


def test_a_quick_answer_is_json_and_one_with_progress_is_a_stream(bench: Bench) -> None:
    quick = bench.call("add", {"a": 1, "b": 2})
    assert quick.headers["content-type"] == "application/json"
    assert quick.json()["result"]["resultType"] == "complete"
    assert "mcp-session-id" not in quick.headers
    meta = {**META, "progressToken": "t"}
    params = {"name": "count", "arguments": {"to": 2, "delay_ms": 0}, "_meta": meta}
    slow = bench.stateless("tools/call", params)
    assert slow.headers["x-accel-buffering"] == "no"
    first, second, last = events(slow)
    assert first["params"] == {"progressToken": "t", "progress": 1, "total": 2, "message": "1 of 2"}
    assert second["params"]["progress"] == 2
    assert last["result"]["content"][0]["text"] == "counted to 2"


def test_log_messages_come_only_to_who_asked_for_their_level(bench: Bench) -> None:
    def methods(level: str | None) -> list[str | None]:
        meta = {**META, "progressToken": 1}
        if level is not None:
            meta["io.modelcontextprotocol/logLevel"] = level
        params = {"name": "count", "arguments": {"to": 1, "delay_ms": 0}, "_meta": meta}
        return [message.get("method") for message in events(bench.stateless("tools/call", params))]

    assert methods(None) == ["notifications/progress", None]
    assert methods("info") == ["notifications/progress", None]
    assert methods("nonsense") == ["notifications/progress", None]
    assert methods("debug") == ["notifications/message", "notifications/progress", None]


@pytest.mark.parametrize(
    ("changes", "status", "expected"),
    [
        ({"MCP_Protocol_Version": HANDSHAKE}, 400, -32020),
        ({"Mcp_Method": "tools/call"}, 400, -32020),
        ({"Mcp_Method": "TOOLS/LIST"}, 400, -32020),
    ],
)
def test_headers_that_contradict_the_body_are_refused(
    bench: Bench, changes: dict[str, str], status: int, expected: int
) -> None:
    answer = bench.stateless("tools/list", **changes)
    assert (answer.status_code, code(answer), answer.json()["id"]) == (status, expected, 1)


@pytest.mark.parametrize("missing", ["MCP-Protocol-Version", "Mcp-Method", "Mcp-Name"])
def test_headers_that_are_missing_are_refused(bench: Bench, missing: str) -> None:
    headers = {"MCP-Protocol-Version": STATELESS, "Mcp-Method": "tools/call", "Mcp-Name": "echo"}
    del headers[missing]
    params = {"_meta": META, "name": "echo", "arguments": {"text": "x"}}
    answer = bench.http.post(bench.url, json=request("tools/call", params), headers={**BOTH, **headers})
    assert (answer.status_code, code(answer)) == (400, -32020)
    assert missing in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("echo", 200),
        ("=?base64?ZWNobw==?=", 200),
        ("add", 400),
        ("=?base64?YWRk?=", 400),
        ("=?base64?***?=", 400),
    ],
)
def test_the_name_is_compared_decoded(bench: Bench, header: str, status: int) -> None:
    answer = bench.call("echo", {"text": "x"}, Mcp_Name=header)
    assert answer.status_code == status


def test_an_unknown_version_is_answered_with_the_known_ones(bench: Bench) -> None:
    meta = {**META, "io.modelcontextprotocol/protocolVersion": "2031-01-01"}
    answer = bench.stateless("tools/list", {"_meta": meta}, MCP_Protocol_Version="2031-01-01")
    assert (answer.status_code, code(answer)) == (400, -32022)
    assert STATELESS in answer.json()["error"]["data"]["supported"]


def test_missing_metadata_is_named(bench: Bench) -> None:
    answer = bench.post(request("tools/list"), MCP_Protocol_Version=STATELESS, Mcp_Method="tools/list")
    assert (answer.status_code, code(answer)) == (400, -32602)
    meta = {key: value for key, value in META.items() if not key.endswith("clientCapabilities")}
    answer = bench.stateless("tools/list", {"_meta": meta})
    assert (answer.status_code, code(answer)) == (400, -32602)
    answer = bench.post(request("server/discover"))
    assert (answer.status_code, code(answer)) == (400, -32602)


@pytest.mark.parametrize(
    "method", ["initialize", "ping", "logging/setLevel", "completion/complete", "tools/x", "x"]
)
def test_an_unknown_method_is_a_404(bench: Bench, method: str) -> None:
    answer = bench.stateless(method)
    assert (answer.status_code, code(answer)) == (404, -32601)


def test_an_unknown_tool_prompt_or_cursor_is_an_error_with_status_200(bench: Bench) -> None:
    for answer in (
        bench.call("nothing"),
        bench.stateless("prompts/get", {"name": "nothing"}),
        bench.stateless("prompts/get", {"name": "greet"}),
        bench.stateless("tools/list", {"cursor": "page 2"}),
        bench.stateless("tools/list", {"cursor": 2}),
        bench.stateless("tools/call", {"arguments": {}}),
        bench.stateless("tools/call", {"name": "echo", "arguments": []}),
    ):
        assert (answer.status_code, code(answer)) == (200, -32602)


@pytest.mark.parametrize(
    ("tool", "arguments", "problem"),
    [
        ("add", {"a": 1, "b": "2"}, "b is not of type number"),
        ("add", {"a": 1, "b": True}, "b is not of type number"),
        ("add", {"a": 1, "b": 2, "c": 3}, "there is no argument c"),
        ("count", {"to": 0}, "to is not between 1 and 100"),
        ("count", {"to": 1.5}, "to is not of type integer"),
    ],
)
def test_bad_arguments_of_a_tool_are_a_result_that_says_so(
    bench: Bench, tool: str, arguments: dict[str, Any], problem: str
) -> None:
    result = bench.call(tool, arguments).json()["result"]
    assert (result["isError"], result["content"][0]["text"]) == (True, problem)


def test_a_question_ends_the_request_and_its_answer_comes_with_the_next(bench: Bench) -> None:
    capabilities = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
    params: dict[str, Any] = {"name": "ask_name", "_meta": {**META, **capabilities}}
    for incomplete in ({}, {"inputResponses": {}}, {"inputResponses": {"name": 1}}, {"inputResponses": []}):
        result = bench.stateless("tools/call", {**params, **incomplete}).json()["result"]
        assert result["resultType"] == "input_required"
        assert result["inputRequests"]["name"]["method"] == "elicitation/create"
    answers = {"name": {"action": "accept", "content": {"name": "Ada"}}, "more": {}}
    result = bench.stateless("tools/call", {**params, "inputResponses": answers}).json()["result"]
    assert result["content"][0]["text"] == "Hello, Ada!"


def test_a_client_that_cannot_be_asked_is_told_what_it_lacks(bench: Bench) -> None:
    answer = bench.call("ask_name")
    assert (answer.status_code, code(answer)) == (400, -32021)
    assert answer.json()["error"]["data"] == {"requiredCapabilities": {"elicitation": {}}}


@pytest.mark.parametrize(
    ("arguments", "headers", "status"),
    [
        ({"region": "eu"}, {"Mcp_Param_Region": "eu"}, 200),
        ({"region": "eu"}, {"Mcp_Param_Region": "=?base64?ZXU=?="}, 200),
        ({"region": "eu"}, {}, 400),
        ({"region": "eu"}, {"Mcp_Param_Region": "us"}, 400),
        ({"region": None}, {}, 200),
        ({}, {}, 200),
        ({}, {"Mcp_Param_Region": "eu"}, 400),
        ({"shard": 42}, {"Mcp_Param_Shard": "42"}, 200),
        ({"shard": 42}, {"Mcp_Param_Shard": "42.0"}, 200),
        ({"shard": 42}, {"Mcp_Param_Shard": "43"}, 400),
        ({"shard": 42}, {"Mcp_Param_Shard": "many"}, 400),
        ({"shard": 2**60}, {"Mcp_Param_Shard": str(2**60)}, 400),
        ({"region": "42"}, {"Mcp_Param_Region": "42.0"}, 400),
        ({"region": "eu"}, {"Mcp_Param_Region": "=?base64?***?="}, 400),
    ],
)
def test_mirrored_parameters_have_to_match(
    bench: Bench, arguments: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    answer = bench.call("route", arguments, **headers)
    assert answer.status_code == status
    if status == 400:
        assert code(answer) == -32020


@pytest.mark.parametrize("tool", ["fail", "unspeakable"])
def test_what_fails_inside_is_logged_and_not_told(
    bench: Bench, caplog: pytest.LogCaptureFixture, tool: str
) -> None:
    answer = bench.call(tool)
    assert (answer.status_code, code(answer)) == (200, -32603)
    assert "1234" not in answer.text
    assert "tools/call failed" in caplog.text


def test_templates_of_resources_are_filled_in(bench: Bench) -> None:
    answer = bench.stateless("resources/read", {"uri": "demo://greetings/Ada%20L."})
    assert answer.json()["result"]["contents"][0]["text"] == "Hello, Ada L.!"
    answer = bench.stateless("resources/read", {"uri": "demo://greetings/"})
    assert answer.json()["error"]["data"] == {"uri": "demo://greetings/"}


# ---- the handshake era ------------------------------------------------------------------


def test_a_session_begins_with_initialize_and_ends_with_delete(bench: Bench) -> None:
    session = bench.initialize()
    assert len(session) >= 32
    assert session != bench.initialize()
    assert session.isascii()
    assert bench.in_session(session, "ping").json()["result"] == {}
    again = bench.in_session(session, "initialize", INITIALIZE)
    assert again.headers["mcp-session-id"] != session
    for status in (204, 404):
        assert bench.http.delete(bench.url, headers={"Mcp-Session-Id": session}).status_code == status
    assert bench.in_session(session, "ping").status_code == 404
    assert bench.http.delete(bench.url).status_code == 400


def test_a_session_is_refused_to_a_version_that_has_none(bench: Bench) -> None:
    session = bench.initialize()
    for version, status in ((HANDSHAKE, 200), ("2025-06-18", 200), ("2031-01-01", 400)):
        headers = {"Mcp_Session_Id": session, "MCP_Protocol_Version": version}
        assert bench.post(request("tools/list"), **headers).status_code == status


def test_requests_without_a_session_are_answered_too(bench: Bench) -> None:
    answer = bench.post(request("tools/list"))
    assert answer.json()["result"]["tools"][0]["name"] == "add"
    assert "resultType" not in answer.json()["result"]
    answer = bench.post(request("tools/call", {"name": "ask_name"}))
    assert (answer.status_code, code(answer)) == (200, -32021)
    answer = bench.post(request("logging/setLevel", {"level": "info"}))
    assert (answer.status_code, code(answer)) == (200, -32601)


def test_an_id_that_is_in_use_is_refused(bench: Bench) -> None:
    session = bench.initialize()
    with bench.waiting(session):
        answer = bench.in_session(session, "tools/list", number=77)
        assert (answer.status_code, code(answer)) == (400, -32600)
    assert bench.backend.cancelled.wait(PATIENCE)


def test_a_batch_is_answered_on_one_stream(bench: Bench) -> None:
    session = bench.initialize(protocolVersion="2025-03-26")
    batch = [
        request("ping", number=1),
        request("tools/call", {"name": "echo", "arguments": {"text": "x"}}, 2),
        request("tools/call", {"name": "nothing"}, 3),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
    ]
    answer = bench.post(batch, Mcp_Session_Id=session)
    by_id = {message["id"]: message for message in events(answer)}
    assert by_id[1]["result"] == {}
    assert by_id[2]["result"]["content"][0]["text"] == "x"
    assert by_id[3]["error"]["code"] == -32602
    pings = bench.post([request("ping", number=1), request("ping", number=2)], Mcp_Session_Id=session)
    assert [message["id"] for message in events(pings)] == [1, 2]


def test_the_log_level_is_that_of_the_session(bench: Bench) -> None:
    session = bench.initialize()
    count = {"name": "count", "arguments": {"to": 1, "delay_ms": 0}}
    assert bench.in_session(session, "tools/call", count).headers["content-type"] == "application/json"
    assert bench.in_session(session, "logging/setLevel", {"level": "debug"}).json()["result"] == {}
    assert [m.get("method") for m in events(bench.in_session(session, "tools/call", count))] == [
        "notifications/message",
        None,
    ]
    wrong = bench.in_session(session, "logging/setLevel", {"level": "loud"})
    assert (wrong.status_code, code(wrong)) == (200, -32602)


@pytest.mark.parametrize(
    "reply",
    [{"error": {"code": -1, "message": "the user left"}}, {"result": 7}],
    ids=["an error", "nonsense"],
)
def test_a_question_that_is_answered_with_an_error_fails_the_request(
    bench: Bench, reply: dict[str, Any]
) -> None:
    session = bench.initialize(capabilities={"elicitation": {}})
    headers = {**BOTH, "Mcp-Session-Id": session}
    call = request("tools/call", {"name": "ask_name"}, 5)
    with bench.http.stream("POST", bench.url, json=call, headers=headers) as answer:
        messages = (json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: "))
        question = next(messages)
        assert question["method"] == "elicitation/create"
        assert (
            bench.post({"jsonrpc": "2.0", "id": 999, "result": {}}, Mcp_Session_Id=session).status_code == 202
        )
        taken = bench.post({"jsonrpc": "2.0", "id": question["id"], **reply}, Mcp_Session_Id=session)
        assert taken.status_code == 202
        assert "error" in next(messages)


def test_the_shared_stream_carries_announcements_and_ends_with_its_session(bench: Bench) -> None:
    session = bench.initialize()
    headers = {"Accept": "text/event-stream", "Mcp-Session-Id": session}
    with bench.http.stream("GET", bench.url, headers=headers) as stream:
        lines = stream.iter_lines()
        assert next(lines) == ":"
        assert bench.http.get(bench.url, headers=headers).status_code == 409
        bench.call("shout")
        message = next(line for line in lines if line.startswith("data: "))
        assert json.loads(message[6:])["method"] == "notifications/tools/list_changed"
        bench.call("shout", {"times": 1000})
        assert bench.http.delete(bench.url, headers=headers).status_code == 204
        assert sum(line.startswith("data: ") for line in lines) <= 64


def test_there_is_no_stream_without_a_session(bench: Bench) -> None:
    assert bench.http.get(bench.url).status_code == 405
    assert bench.http.get(bench.url, headers={"Accept": "text/html"}).status_code == 406
    assert bench.http.get(bench.url, headers={"Mcp-Session-Id": "x"}).status_code == 404


# ---- cancelling ---------------------------------------------------------------------------


def test_a_client_that_leaves_cancels_the_work(bench: Bench, era: str) -> None:
    session = bench.initialize() if era == HANDSHAKE else None
    with bench.waiting(session):
        assert not bench.backend.cancelled.is_set()
    assert bench.backend.cancelled.wait(PATIENCE)
    if session is not None:
        assert bench.in_session(session, "ping", number=77).status_code == 200


def test_a_withdrawn_request_is_stopped_and_its_stream_ends_without_an_answer(bench: Bench) -> None:
    session = bench.initialize()
    with bench.waiting(session) as connection:
        cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 77}}
        assert bench.post(cancel, Mcp_Session_Id=session).status_code == 202
        assert bench.backend.cancelled.wait(PATIENCE)
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            piece = connection.recv(65536)
            assert piece
            received += piece
        assert b"text/event-stream" in received
        assert b"data:" not in received
        assert bench.post(cancel, Mcp_Session_Id=session).status_code == 202


def test_the_end_of_a_session_stops_what_is_under_way_in_it(bench: Bench) -> None:
    session = bench.initialize()
    with bench.waiting(session):
        bench.http.delete(bench.url, headers={"Mcp-Session-Id": session})
        assert bench.backend.cancelled.wait(PATIENCE)


def test_a_silent_stream_is_kept_alive() -> None:
    with make_bench(keep_alive_seconds=0.01) as bench, bench.waiting() as connection:
        received = b""
        while received.count(b":\n\n") < 2:
            piece = connection.recv(65536)
            assert piece
            received += piece
        assert b"text/event-stream" in received


# ---- the table of sessions -------------------------------------------------------------------


def test_a_session_that_nobody_uses_is_forgotten() -> None:
    now = [0.0]

    def at(bench: Bench, seconds: float) -> None:
        # Once this is answered, the application has noted the end of what came before.
        assert bench.stateless("server/discover").status_code == 200
        now[0] = seconds

    with make_bench(session_idle=100.0, clock=lambda: now[0]) as bench:
        kept, left = bench.initialize(), bench.initialize()
        at(bench, 99.0)
        assert bench.in_session(kept, "ping").status_code == 200
        at(bench, 150.0)
        assert bench.in_session(left, "ping").status_code == 404
        assert bench.in_session(kept, "ping").status_code == 200
        at(bench, 1000.0)
        bench.initialize()
        assert bench.app.sessions == 1


def test_a_full_table_gives_up_the_idlest_session_and_never_a_busy_one() -> None:
    now = [0.0]
    with make_bench(max_sessions=2, clock=lambda: now[0]) as bench:
        busy = bench.initialize()
        with bench.waiting(busy):
            now[0] = 1.0
            second = bench.initialize()
            now[0] = 2.0
            third = bench.initialize()
            assert bench.in_session(second, "ping").status_code == 404
            bench.backend.begun.clear()
            with bench.waiting(third):
                full = bench.post(request("initialize", INITIALIZE))
                assert (full.status_code, full.headers["retry-after"]) == (503, "5")


# ---- serving ----------------------------------------------------------------------------------


def test_the_server_ends_with_its_block_however_that_ends() -> None:
    urls: list[str] = []

    def serve() -> None:
        with serve_in_thread(GatewayApp(BuiltinTools(), path="/other")) as url:
            urls.append(url)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        serve()
    assert urls[0].endswith("/other")
    url = httpx.URL(urls[0])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((url.host, url.port or 0), timeout=PATIENCE)
    assert not any(thread.name == f"routermcp-gateway-{url.port}" for thread in threading.enumerate())


def test_the_server_ends_although_a_request_is_under_way() -> None:
    started = time.monotonic()
    with make_bench() as bench, bench.waiting():
        pass
    assert time.monotonic() - started < PATIENCE


@pytest.mark.parametrize(
    "ending", ["sys.exit(3)", "raise KeyboardInterrupt", "context.__enter__(); sys.exit(3)"]
)
def test_a_program_that_serves_can_end_at_any_time(ending: str) -> None:
    program = f"""
import sys
from routermcp.gateway import BuiltinTools, GatewayApp, serve_in_thread
context = serve_in_thread(GatewayApp(BuiltinTools()))
with serve_in_thread(GatewayApp(BuiltinTools())):
    {ending}
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30, check=False)
    assert done.returncode != 0
    assert b"Fatal" not in done.stderr


def test_an_address_that_is_taken_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        context = serve_in_thread(GatewayApp(BuiltinTools()), port=taken.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            context.__enter__()


def test_only_http_is_served() -> None:
    async def never() -> Any:
        raise AssertionError

    async def send(message: Any) -> None:
        raise AssertionError

    with pytest.raises(RuntimeError, match="websocket"):
        asyncio.run(GatewayApp(BuiltinTools())({"type": "websocket"}, never, send))


def test_a_client_that_leaves_within_its_body_is_no_error() -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/mcp", "headers": headers}
    asyncio.run(GatewayApp(BuiltinTools())(scope, receive, send))
    assert sent[0]["status"] == 400

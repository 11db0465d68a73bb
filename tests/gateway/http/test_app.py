"""The front of the gateway over real HTTP: where its endpoints are, and what it says of itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from routermcp import ConfigError, ProjectNotFoundError
from routermcp._version import __version__
from routermcp.gateway import BuiltinTools, GatewayApp, serve_in_thread
from routermcp.gateway.http.asgi import RequestHead
from routermcp.gateway.http.authentication import APIKey
from routermcp.gateway.http.project_gateway import ProjectGateway
from tests import loopback
from tests.gateway.gateways import BOTH, INITIALIZE, PATIENCE, Bench, error, events, request, served_gateway
from tests.three_runtimes import RUNTIMES, make_client, run

RUNTIME = pytest.mark.parametrize("runtime", RUNTIMES)
ERA = pytest.mark.parametrize("era", ["2026-07-28", "2025-11-25"])
PROJECTS = ("default", "second-1")
ENDPOINTS = [
    "/mcp",
    "/v1/mcp/default",
    "/v1/mcp/default/",
    "/v1/mcp/default/request",
    "/v1/mcp/second-1",
    "/v1/mcp/second-1/request",
]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    states = {"github": "ready", "time": "failed"}
    with served_gateway(projects=PROJECTS, upstreams=lambda: states) as bench:
        yield bench


# ---- endpoints ----------------------------------------------------------------------------------


@RUNTIME
@ERA
@pytest.mark.parametrize(
    "path", ["/mcp", "/v1/mcp/default", "/v1/mcp/second-1/request", "/v1/mcp/default/sse"]
)
def test_our_clients_find_everything_at_every_endpoint(
    bench: Bench, runtime: str, era: str, path: str
) -> None:
    async def body() -> None:
        async with make_client(
            runtime, url=bench.url(path), protocol=era, on_elicitation=lambda _: {"name": "Ada"}
        ) as client:
            assert "add" in [tool.name for tool in await client.list_tools()]
            assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"
            assert (await client.call_tool("ask_name")).text == "Hello, Ada!"

    run(runtime, body)


@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_request_without_a_handshake_is_answered_at_every_endpoint(bench: Bench, path: str) -> None:
    answer = bench.post(request("tools/list"), path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["id"] == 7
    assert answer.json()["result"]["tools"]


@pytest.mark.parametrize(
    "path", ["/v1/mcp/third", "/v1/mcp/third/request", "/v1/mcp/third/sse", "/v1/mcp/DEFAULT"]
)
def test_an_unknown_project_is_said_to_be_unknown(bench: Bench, path: str) -> None:
    answer = bench.post(request("tools/list"), path)
    assert error(answer) == (404, -32000, None)
    assert answer.json()["error"]["message"] == "project not found"


@pytest.mark.parametrize(
    "path",
    ["/", "/mcp//", "/v1/mcp", "/v1/mcp/", "/v1/mcp/default/other", "/v1/mcp/default/request/x", "/healthy"],
)
def test_there_is_nothing_anywhere_else(bench: Bench, path: str) -> None:
    assert error(bench.post(request("tools/list"), path)) == (404, -32600, None)
    assert bench.http.get(bench.url(path)).status_code == 404


@RUNTIME
@ERA
def test_our_clients_learn_that_a_project_is_unknown(bench: Bench, runtime: str, era: str) -> None:
    async def body() -> None:
        with pytest.raises(ProjectNotFoundError, match="project not found") as caught:
            await make_client(runtime, url=bench.url("/v1/mcp/third"), protocol=era).connect()
        assert (caught.value.code, caught.value.status_code) == (-32000, 404)

    run(runtime, body)


def test_a_page_of_another_site_is_turned_away_before_anything_else() -> None:
    with served_gateway(keys=[APIKey("rmc_1")]) as bench:
        answer = bench.post(request("tools/list"), "/v1/mcp/third", Host="evil.example")
        assert error(answer) == (403, -32600, None)
        for origin in (
            "https://evil.example",
            "http://127.0.0.1:1,https://evil.example",
            "http://evil.example\\@127.0.0.1",
            "http://user@localhost",
        ):
            answer = bench.post(request("tools/list"), Origin=origin)
            assert error(answer) == (403, -32600, None)


def test_a_request_of_two_pages_is_refused(bench: Bench) -> None:
    two = [("Origin", "http://localhost"), ("Origin", "https://evil.example")]
    asks = [*two, ("Access-Control-Request-Method", "POST")]
    for answer in (
        bench.http.options(bench.url(), headers=asks),
        bench.http.post(bench.url(), json=request("tools/list"), headers=two),
    ):
        assert answer.status_code == 400
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_methods_that_no_endpoint_has_are_refused_by_the_application(bench: Bench) -> None:
    answer = bench.http.put(bench.url(), json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST, GET, DELETE")


# ---- pages in browsers ------------------------------------------------------------------------------


PAGE = "http://localhost:6274"


@pytest.fixture(scope="module")
def closed() -> Iterator[Bench]:
    with served_gateway(keys=[APIKey("rmc_1")]) as bench:
        yield bench


@pytest.mark.parametrize("path", ["/mcp", "/mcp/", "/v1/mcp/default", "/v1/mcp/default/sse", "/health"])
def test_a_page_of_an_allowed_host_is_told_what_it_may_send(closed: Bench, path: str) -> None:
    asks = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,mcp-session-id",
    }
    answer = closed.http.options(closed.url(path), headers=asks)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "mcp-session-id" in answer.headers["access-control-allow-headers"]
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("path", ["/mcp", "/v1/mcp/default/sse", "/v1/mcp/none"])
def test_a_page_may_read_responses_and_refusals(closed: Bench, path: str) -> None:
    for key in ("rmc_1", "rmc_2"):
        answer = closed.post(
            request("initialize", INITIALIZE), path, Origin=PAGE, Authorization=f"Bearer {key}"
        )
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert "Mcp-Session-Id" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://localhost.evil.example",
        "http://[::1].evil.example",
        "tauri://localhost",
    ],
)
def test_a_page_of_another_host_is_told_nothing(bench: Bench, origin: str) -> None:
    asks = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    answer = bench.http.options(bench.url(), headers=asks)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_an_application_is_let_in_where_the_configuration_names_it() -> None:
    named = {"127.0.0.1", "tauri://localhost", "an-extension"}
    with served_gateway(allowed_hosts=named) as bench:
        for origin, status in (
            ("tauri://localhost", 200),
            ("vscode-webview://an-extension", 200),
            ("capacitor://localhost", 403),
            ("chrome-extension://127.0.0.1", 403),
            ("//127.0.0.1", 403),
        ):
            assert bench.post(request("tools/list"), Origin=origin).status_code == status, origin


def test_the_endpoint_is_found_with_a_slash_at_its_end(bench: Bench) -> None:
    assert bench.post(request("tools/list"), "/mcp/").status_code == 200


# ---- clients that take JSON alone ---------------------------------------------------------------


JSON_ALONE = {"Accept": "application/json"}
COUNT = {"name": "count", "arguments": {"to": 2, "delay_ms": 0}, "_meta": {"progressToken": "p"}}


@pytest.mark.parametrize(
    "accept", ["application/json", "application/json, application/mcp+json", "application/*"]
)
def test_what_comes_before_an_answer_is_dropped_for_a_client_that_takes_json_alone(
    bench: Bench, accept: str
) -> None:
    session = {"Mcp_Session_Id": bench.open(Accept=accept)}
    bench.post(request("logging/setLevel", {"level": "debug"}), Accept=accept, **session)
    answer = bench.post(request("tools/call", COUNT), Accept=accept, **session)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["result"]["content"][0]["text"] == "counted to 2"


def test_a_client_that_takes_json_alone_is_asked_nothing_and_told_so(bench: Bench) -> None:
    """It does not wait for its user's answer to a question that it never got."""
    session = bench.open(**JSON_ALONE)
    params = {"name": "ask_name", "arguments": {}}
    answer = bench.post(request("tools/call", params), Mcp_Session_Id=session, **JSON_ALONE)
    assert "text/event-stream" in answer.json()["error"]["message"]


# ---- event streams --------------------------------------------------------------------------------


def test_the_bridge_answers_with_event_streams(bench: Bench) -> None:
    answer = bench.post(request("tools/list"), "/v1/mcp/default/sse", Accept="text/event-stream")
    (message,) = events(answer)
    assert (answer.status_code, message["id"]) == (200, 7)
    assert message["result"]["tools"]
    assert "content-length" not in answer.headers


def test_the_bridge_keeps_the_order_of_what_streams_by_itself(bench: Bench) -> None:
    params = {"name": "count", "arguments": {"to": 2, "delay_ms": 0}, "_meta": {"progressToken": "p"}}
    answer = bench.post(request("tools/call", params), "/v1/mcp/default/sse", Accept="text/event-stream")
    first, second, last = events(answer)
    assert [each["params"]["progress"] for each in (first, second)] == [1, 2]
    assert last["id"] == 7


def test_the_bridge_leaves_what_is_no_answer_as_it_is(bench: Bench) -> None:
    path, accept = "/v1/mcp/default/sse", "text/event-stream"
    notification = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    answer = bench.post(notification, path, Accept=accept)
    assert (answer.status_code, answer.content) == (202, b"")
    assert bench.post({"nothing": 1}, path, Accept=accept).json()["error"]["code"] == -32600
    assert error(bench.post(request("tools/list"), path, Accept="application/json")) == (406, -32600, None)


def test_the_bridge_opens_the_shared_stream_of_a_session(bench: Bench) -> None:
    path = "/v1/mcp/default/sse"
    session = bench.open(path, Accept="text/event-stream")
    head = {"Accept": "text/event-stream", "Mcp-Session-Id": session}
    with bench.http.stream("GET", bench.url(path), headers=head) as stream:
        assert (stream.status_code, stream.headers["content-type"]) == (200, "text/event-stream")


# ---- sessions ---------------------------------------------------------------------------------------


def test_a_session_is_one_wherever_its_project_is_reached_and_unknown_in_others(bench: Bench) -> None:
    session = bench.open()
    for path in ("/v1/mcp/default", "/v1/mcp/default/request", "/mcp"):
        assert bench.post(request("ping"), path, Mcp_Session_Id=session).status_code == 200
    assert bench.post(request("ping"), "/v1/mcp/second-1", Mcp_Session_Id=session).status_code == 404
    inner = bench.who(Mcp_Session_Id=session)["session"]
    assert session.startswith(f"{inner}.")
    assert bench.post(request("ping"), Mcp_Session_Id=inner).status_code == 404, "without its signature"
    assert bench.http.delete(bench.url(), headers={"Mcp-Session-Id": session}).status_code == 204
    assert bench.post(request("ping"), Mcp_Session_Id=session).status_code == 404


# ---- health -----------------------------------------------------------------------------------------


def test_health_tells_all_where_no_key_is_needed(bench: Bench) -> None:
    session = bench.open()
    answer = bench.http.get(bench.url("/health"))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    document = answer.json()
    assert document.pop("sessions") >= 1
    assert document == {
        "status": "ok",
        "version": __version__,
        "upstreams": {"github": {"state": "ready"}, "time": {"state": "failed"}},
    }
    bench.http.delete(bench.url(), headers={"Mcp-Session-Id": session})


def test_health_tells_strangers_only_that_it_is_there(bench: Bench) -> None:
    assert bench.http.get(bench.url("/health"), headers={"Host": "10.0.0.7"}).json() == {"status": "ok"}
    with served_gateway(keys=[APIKey("rmc_1")], upstreams=lambda: {"github": "ready"}) as closed:
        for headers in ({}, {"Authorization": "Bearer rmc_2"}):
            answer = closed.http.get(closed.url("/health"), headers=headers)
            assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        answer = closed.http.get(closed.url("/health"), headers={"Authorization": "Bearer rmc_1"})
        assert answer.json()["upstreams"] == {"github": {"state": "ready"}}


def test_health_is_only_read(bench: Bench) -> None:
    answer = bench.post(request("ping"), "/health")
    assert (error(answer), answer.headers["allow"]) == ((405, -32600, None), "GET, HEAD")


# ---- from beginning to end --------------------------------------------------------------------------


def test_what_is_to_be_done_at_the_beginning_and_the_end_is_done() -> None:
    done: list[str] = []
    loops: set[int] = set()

    def step(name: str) -> Any:
        async def take() -> None:
            loops.add(id(asyncio.get_running_loop()))
            done.append(name)

        return take

    with served_gateway(on_startup=step("up"), on_shutdown=step("down")) as bench:
        assert done == ["up"]
        assert bench.call("who").status_code == 200
    assert (done, len(loops)) == (["up", "down"], 1)


@pytest.mark.parametrize("failure", [ConfigError("no such port"), ValueError("the password is 1234")])
def test_a_gateway_that_cannot_begin_does_not_serve(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[bool] = []

    async def fail() -> None:
        raise failure

    async def end() -> None:
        ended.append(True)

    front = ProjectGateway(GatewayApp(BuiltinTools()), on_startup=fail, on_shutdown=end)
    with pytest.raises(RuntimeError, match="did not start"), serve_in_thread(front):
        raise AssertionError
    assert not ended


@pytest.mark.parametrize(
    ("failure", "said"),
    [(ConfigError("no such port"), "no such port"), (ValueError("the password is 1234"), "ValueError")],
)
def test_a_server_is_told_why_but_no_secrets(failure: Exception, said: str) -> None:
    async def fail() -> None:
        raise failure

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    front = ProjectGateway(GatewayApp(BuiltinTools()), on_startup=fail)
    asyncio.run(front({"type": "lifespan"}, receive, send))
    assert sent == [{"type": "lifespan.startup.failed", "message": said}]


def test_the_end_of_the_server_is_not_held_up_by_an_end_that_fails() -> None:
    async def fail() -> None:
        raise ValueError

    with served_gateway(on_shutdown=fail) as bench:
        assert bench.call("who").status_code == 200
        port = httpx.URL(bench.url()).port
    assert not any(thread.name == f"routermcp-gateway-{port}" for thread in threading.enumerate())


def test_only_http_is_served() -> None:
    front = ProjectGateway(GatewayApp(BuiltinTools()))
    with pytest.raises(RuntimeError, match="not websocket"):
        asyncio.run(front({"type": "websocket"}, lambda: None, lambda _: None))  # type: ignore[arg-type]


@pytest.mark.parametrize("projects", [(), ("",), ("Upper",), ("a/b",), ("x" * 51,), ("default", "a b")])
def test_a_project_has_a_slug(projects: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"project"):
        ProjectGateway(GatewayApp(BuiltinTools()), projects=projects)


def test_the_front_is_where_its_application_is() -> None:
    front = ProjectGateway(GatewayApp(BuiltinTools(), path="/other"))
    with serve_in_thread(front) as url, loopback.Client(timeout=PATIENCE) as http:
        assert url.endswith("/other")
        for place in (url, url.replace("/other", "/v1/mcp/default")):
            assert http.post(place, json=request("tools/list"), headers=BOTH).status_code == 200


def test_white_space_around_the_value_of_a_header_counts_for_nothing() -> None:
    """Whichever HTTP parser reads it (RFC 9110, section 5.5)."""
    head = RequestHead({"method": "POST", "path": "/", "headers": [(b"mcp-name", b" \t echo \t")]})
    assert head.get("mcp-name") == "echo"

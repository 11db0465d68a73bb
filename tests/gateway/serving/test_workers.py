"""Two workers of a gateway that share sessions in Redis, over HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from routermcp.gateway import GatewayApp, serve_in_thread
from routermcp.gateway.sessions.redis import STORE_SECONDS, redis_store
from routermcp.types import ElicitRequest, MCPError, Progress, RetryPolicy
from tests import loopback
from tests.gateway.servers import HANDSHAKE, Closing, Shop
from tests.gateway.sessions.redis_server import PASSWORD, RedisServer, redis_server
from tests.three_runtimes import RUNTIMES, gather, make_client, run

#: Seconds that anything here is waited for: many times what it takes.
PATIENCE = 10.0

BOTH = {"Accept": "application/json, text/event-stream"}
INITIALIZE = {
    "protocolVersion": HANDSHAKE,
    "capabilities": {"elicitation": {}},
    "clientInfo": {"name": "test", "version": "1"},
}
CANCEL = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
RUNTIME = pytest.mark.parametrize("runtime", RUNTIMES)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


class Worker:
    """One worker, and an HTTP client that speaks to no other."""

    def __init__(self, url: str, app: GatewayApp, shop: Shop, http: httpx.Client) -> None:
        self.url, self.app, self.shop, self._http = url, app, shop, http

    def post(self, message: Any, session: str | None = None) -> httpx.Response:
        return self._http.post(self.url, json=message, headers=headers(session))

    def request(self, method: str, params: Any = None, session: str | None = None) -> httpx.Response:
        return self.post(request(method, params), session)

    def initialize(self) -> str:
        answer = self.request("initialize", INITIALIZE)
        assert answer.status_code == 200
        return answer.headers["mcp-session-id"]

    def delete(self, session: str) -> int:
        return self._http.delete(self.url, headers=headers(session)).status_code

    @contextmanager
    def stream(self, session: str, message: Any = None) -> Generator[Iterator[str]]:
        """Send a message, or open the shared stream for none, and give what comes by lines."""
        method, sent = ("GET", {}) if message is None else ("POST", {"json": message})
        with self._http.stream(method, self.url, headers=headers(session), **sent) as answer:
            assert answer.status_code == 200
            yield answer.iter_lines()


def headers(session: str | None) -> dict[str, str]:
    return BOTH if session is None else {**BOTH, "Mcp-Session-Id": session}


def request(method: str, params: Any = None, number: int = 7) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}}


def message_in(lines: Iterator[str]) -> dict[str, Any]:
    return json.loads(next(line for line in lines if line.startswith("data: "))[6:])


@contextmanager
def worker(url: str, **settings: Any) -> Generator[Worker]:
    shop = Shop(["saw", "wait", "chat"])
    app = GatewayApp(shop, sessions=redis_store(url, **settings))
    served: Any = Closing(app, app)
    with (
        serve_in_thread(served) as where,
        loopback.Client(timeout=PATIENCE) as http,
    ):
        yield Worker(where, app, shop, http)


Pair = tuple[Worker, Worker]


@pytest.fixture
def pair(redis: RedisServer) -> Iterator[Pair]:
    with worker(redis.url) as one, worker(redis.url) as other:
        yield one, other


class Alternating:
    """Gives each request to another worker than the one before."""

    path = "/mcp"

    def __init__(self, url: str, **settings: Any) -> None:
        self.shops = [Shop(["saw", "wait", "chat"]) for _ in range(2)]
        self.apps = [GatewayApp(shop, sessions=redis_store(url, **settings)) for shop in self.shops]
        self.seen: list[tuple[str, int]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            number = len(self.seen) % len(self.apps)
            self.seen.append((scope["method"], number))
            await self.apps[number](scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for app in self.apps:
            await app.close()
        await send({"type": "lifespan.shutdown.complete"})


@contextmanager
def alternating(url: str, **settings: Any) -> Generator[tuple[str, Alternating]]:
    both = Alternating(url, **settings)
    served: Any = both
    with serve_in_thread(served) as where:
        yield where, both


# ---- our own client, at both in turn -----------------------------------------------------------------


@RUNTIME
def test_a_client_does_not_notice_that_workers_take_turns(redis: RedisServer, runtime: str) -> None:
    asked: list[str] = []
    reports: list[Progress] = []

    def on_elicitation(question: ElicitRequest) -> Any:
        asked.append(question.message)
        return {"answer": f"my {question.message}"}

    async def body(url: str) -> None:
        async with make_client(runtime, url=url, protocol=HANDSHAKE, on_elicitation=on_elicitation) as client:
            assert len(await client.list_tools()) == 7
            for number in range(4):
                result = await client.call_tool("add", {"a": number, "b": 1})
                assert result.structuredContent == {"sum": number + 1}
            # Both answers go to the other worker than the call: one question, one answer at a time.
            chatted = await client.call_tool("chat", on_progress=reports.append)
            assert chatted.text == "one={'answer': 'my one'} two={'answer': 'my two'}"

            async def echo() -> str:
                return (await client.call_tool("echo", {"text": "x"})).text

            assert await gather(runtime, [echo] * 12) == ["x"] * 12

    with alternating(redis.url) as (url, both):
        run(runtime, body, url)
        assert asked == ["one", "two"]
        assert [each.progress for each in reports] == [1]
        assert {number for _, number in both.seen} == {0, 1}
        assert both.seen[-1][0] == "DELETE"
        sessions = {seen for shop in both.shops for seen in shop.sessions_seen}
        assert len(sessions) == 1, "it was one session all the time"
        assert all(shop.sessions_seen for shop in both.shops)


@RUNTIME
def test_a_client_survives_redis(tmp_path_factory: pytest.TempPathFactory, runtime: str) -> None:
    once = RetryPolicy(attempts=1)

    async def body(url: str, server: RedisServer) -> None:
        async with make_client(runtime, url=url, protocol=HANDSHAKE, retry=once) as client:
            assert (await client.call_tool("saw")).text == "sawn"
            server.stop()
            started = time.monotonic()
            with pytest.raises(MCPError, match=r"503|session store") as caught:
                await client.call_tool("saw")
            assert time.monotonic() - started < STORE_SECONDS + 1.0
            assert PASSWORD not in str(caught.value)
            server.start()
            assert (await client.call_tool("saw")).text == "sawn", "in a new session"

    with (
        redis_server(tmp_path_factory.mktemp("redis")) as server,
        alternating(server.url) as (url, both),
    ):
        run(runtime, body, url, server)
        assert sum(shop.ran["saw"] for shop in both.shops) == 2


# ---- request by request --------------------------------------------------------------------------------


def test_an_answer_at_the_other_worker(pair: Pair) -> None:
    one, other = pair
    session = one.initialize()
    call = request("tools/call", {"name": "ask_name"})
    with one.stream(session, call) as lines:
        question = message_in(lines)
        assert question["method"] == "elicitation/create"
        wrong = other.post({"jsonrpc": "2.0", "id": 1, "result": {"action": "decline"}}, session)
        assert wrong.status_code == 202
        content = {"action": "accept", "content": {"name": "Ada"}}
        taken = other.post({"jsonrpc": "2.0", "id": question["id"], "result": content}, session)
        assert taken.status_code == 202
        assert message_in(lines)["result"]["content"][0]["text"] == "Hello, Ada!"


@contextmanager
def waiting(at: Worker, session: str) -> Generator[Callable[[], list[str]]]:
    """Have a call of ``wait`` under way; what is given waits for all that is answered."""
    lines: list[str] = []

    def call() -> None:
        with at.stream(session, request("tools/call", {"name": "wait"})) as answer:
            lines.extend(answer)

    thread = threading.Thread(target=call)
    thread.start()

    def ended() -> list[str]:
        thread.join(PATIENCE)
        assert not thread.is_alive()
        return [line for line in lines if line.startswith(("data", "{"))]

    assert at.shop.begun.wait(PATIENCE)
    yield ended


def test_a_cancellation_at_the_other_worker(pair: Pair) -> None:
    one, other = pair
    session = one.initialize()
    with waiting(one, session) as ended:
        assert other.post({**CANCEL, "params": {"requestId": 8}}, session).status_code == 202
        assert not one.shop.cancelled.is_set()
        assert other.post(CANCEL, session).status_code == 202
        assert one.shop.cancelled.wait(PATIENCE)
        assert ended() == [], "a cancelled request is not answered"
    assert one.request("ping", session=session).status_code == 200


def test_the_end_of_a_session_at_the_other_worker(pair: Pair) -> None:
    one, other = pair
    session = one.initialize()
    with one.stream(session) as lines, waiting(one, session) as ended:
        assert other.delete(session) == 204
        assert one.shop.cancelled.wait(PATIENCE)
        assert ended() == []
        assert [line for line in lines if line.startswith("data")] == []
    for each in pair:
        assert each.request("ping", session=session).status_code == 404
        assert each.delete(session) == 404


def test_a_stream_hears_what_is_announced_at_the_other_worker(pair: Pair) -> None:
    one, other = pair
    session = one.initialize()
    with one.stream(session) as lines:
        assert next(lines) == ":"
        second = loopback.get(other.url, headers=headers(session))
        assert second.status_code == 409
        for at, data in ((other, "a"), (one, "b"), (other, "c")):
            announce(at, data)
            assert message_in(lines)["params"] == {"data": data}, "each once"
    until(lambda: opens(other, session))


def test_a_stream_that_was_left_can_be_opened_again_while_the_session_is_in_use(pair: Pair) -> None:
    one, other = pair
    session = one.initialize()
    with waiting(one, session) as ended:
        for each in (one, one, other, one):
            until(lambda each=each: opens(each, session))
        assert other.post(CANCEL, session).status_code == 202
        assert ended() == []


def announce(at: Worker, data: str) -> None:
    """Announce from the event loop of a worker."""
    original = at.shop.saw

    async def saw(arguments: Any, caller: Any) -> Any:
        at.app.announce("notifications/message", {"data": data})
        return await original(arguments, caller)

    at.shop.saw = saw  # type: ignore[method-assign]
    try:
        assert at.request("tools/call", {"name": "saw"}).status_code == 200
    finally:
        at.shop.saw = original  # type: ignore[method-assign]


def opens(at: Worker, session: str) -> bool:
    with loopback.stream("GET", at.url, headers=headers(session)) as answer:
        return answer.status_code == 200


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_log_level_that_was_set_at_the_other_worker(pair: Pair) -> None:
    one, other = pair
    session = one.initialize()
    count = {"name": "count", "arguments": {"to": 1, "delay_ms": 0}}
    quiet = one.request("tools/call", count, session)
    assert quiet.headers["content-type"] == "application/json"
    assert other.request("logging/setLevel", {"level": "debug"}, session).json()["result"] == {}
    assert "notifications/message" in one.request("tools/call", count, session).text
    wrong = other.request("logging/setLevel", {"level": "loud"}, session)
    assert wrong.json()["error"]["code"] == -32602


def test_a_session_expires_for_all_workers(redis: RedisServer) -> None:
    with worker(redis.url, session_idle=1.5) as one, worker(redis.url, session_idle=1.5) as other:
        session = one.initialize()
        assert other.request("ping", session=session).status_code == 200
        time.sleep(2.0)  # the time that this is about, which is told by Redis
        assert other.request("ping", session=session).status_code == 404
        assert one.request("ping", session=session).status_code == 404


def test_what_needs_no_session_needs_no_redis(tmp_path_factory: pytest.TempPathFactory) -> None:
    with redis_server(tmp_path_factory.mktemp("redis")) as server, worker(server.url) as one:
        session = one.initialize()
        server.stop()
        assert one.request("tools/list").status_code == 200
        for refused in (
            one.request("ping", session=session),
            one.request("initialize", INITIALIZE),
        ):
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            error = refused.json()["error"]
            assert (error["code"], "session store" in error["message"]) == (-32603, True)
            assert PASSWORD not in refused.text

"""How much the gateway takes on."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from routermcp import ConfigError, RetryPolicy, TransportError
from routermcp.gateway.errors import Rejected
from routermcp.gateway.http.asgi import RequestHead
from routermcp.gateway.http.body import RequestBody
from routermcp.gateway.http.rate_limit import MAX_OWNERS, MemoryRates, RateLimit
from routermcp_proto.error_codes import HEADER_MISMATCH
from tests import loopback
from tests.gateway.gateways import (
    BOTH,
    HANDSHAKE,
    INITIALIZE,
    PATIENCE,
    Bench,
    error,
    request,
    served_gateway,
)
from tests.three_runtimes import RUNTIMES, make_client, run

RUNTIME = pytest.mark.parametrize("runtime", RUNTIMES)
ERA = pytest.mark.parametrize("era", ["2026-07-28", "2025-11-25"])


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_what_the_endpoint_refuses_has_the_id_of_its_request() -> None:
    with served_gateway() as bench:
        meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
        answer = bench.post(request("tools/list", {"_meta": meta}), mcp_protocol_version="2025-11-25")
    assert error(answer)[:2] == (400, HEADER_MISMATCH)


# ---- the rate limit ----------------------------------------------------------------------------------


def test_requests_come_back_with_time(clock: Clock) -> None:
    rates = MemoryRates(RateLimit(4, 8.0), clock)

    def take(requests: int) -> float | None:
        return asyncio.run(rates.take(b"ada", requests))

    assert [take(1) for _ in range(5)] == [None, None, None, None, 2.0]
    clock.now += 1.5
    assert take(1) == 0.5
    clock.now += 0.5
    assert take(1) is None
    assert take(1) == 2.0, "what was refused was not counted"
    clock.now += 1_000_000
    assert take(4) is None
    assert take(3) == 6.0, "no more than the limit is saved up"


def test_each_owner_has_a_limit_of_its_own_and_their_number_is_bounded(clock: Clock) -> None:
    async def body() -> None:
        rates = MemoryRates(RateLimit(2, 60.0), clock)
        assert [await rates.take(b"greedy", 1) for _ in range(3)] == [None, None, 30.0]
        assert await rates.take(b"modest", 1) is None
        for number in range(MAX_OWNERS):
            assert await rates.take(b"%d" % number, 1) is None
        assert len(rates) <= MAX_OWNERS
        assert await rates.take(b"greedy", 1) == 30.0, "an owner that has used its limit is remembered"

    asyncio.run(body())


@pytest.mark.parametrize(
    ("requests", "seconds"), [(0, 1), (-1, 1), (1, 0), (1, -1), (1, float("inf")), (1, float("nan"))]
)
def test_a_limit_lets_something_through(requests: int, seconds: float) -> None:
    with pytest.raises(ConfigError, match="rate limit"):
        RateLimit(requests, seconds)


def test_requests_that_come_too_soon_are_answered_as_the_hosted_gateway_does(clock: Clock) -> None:
    with served_gateway(limit=RateLimit(2, 58.2), projects=("default", "second"), clock=clock) as bench:
        for path in ("/v1/mcp/default", "/mcp"):
            assert bench.post(request("ping"), path).status_code == 200
        answer = bench.post(request("ping"))
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "30"
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == {
            "error": "rate_limit_exceeded",
            "message": "more than 2 requests in 58.2 s; try again in 30 s",
            "retryAfter": 30,
        }
        assert type(answer.json()["retryAfter"]) is int
        assert bench.post(request("ping"), "/v1/mcp/second").status_code == 200, "each project has its own"
        assert bench.http.get(bench.url("/health")).status_code == 200
        clock.now += 29.2
        assert bench.post(request("ping")).status_code == 200


def test_what_asks_for_nothing_is_not_counted(clock: Clock) -> None:
    with served_gateway(limit=RateLimit(1, 60.0), clock=clock) as bench:
        session = bench.open()
        notification = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        assert bench.post(notification, Mcp_Session_Id=session).status_code == 202
        assert bench.post(request("ping"), Mcp_Session_Id=session).status_code == 429
        assert bench.http.delete(bench.url(), headers={"Mcp-Session-Id": session}).status_code == 204


def test_every_request_of_a_batch_counts(clock: Clock) -> None:
    with served_gateway(limit=RateLimit(4, 60.0), clock=clock) as bench:
        answer = bench.post(request("initialize", {**INITIALIZE, "protocolVersion": "2025-03-26"}))
        session = answer.headers["mcp-session-id"]
        batch = [request("ping", None, number) for number in range(3)]
        assert bench.post(batch, Mcp_Session_Id=session).status_code == 200
        assert bench.post(request("ping"), Mcp_Session_Id=session).status_code == 429
        clock.now += 60
        answer = bench.post([request("ping", None, number) for number in range(5)], Mcp_Session_Id=session)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32600), "it would never fit"


def test_what_is_no_message_counts(clock: Clock) -> None:
    with served_gateway(limit=RateLimit(1, 60.0), clock=clock) as bench:
        assert bench.post({"nothing": 1}).status_code == 400
        assert bench.post({"nothing": 1}).status_code == 429


def test_the_longest_body_is_the_same_with_a_limit(clock: Clock) -> None:
    with served_gateway(limit=RateLimit(5, 60.0), clock=clock, max_body=100_000) as bench:
        assert bench.post({**request("ping"), "padding": "x" * 90_000}).status_code == 200
        answer = bench.post({**request("ping"), "padding": "x" * 100_000})
        assert (answer.status_code, answer.json()["id"]) == (413, None)


@RUNTIME
@ERA
def test_our_clients_learn_how_long_to_wait(runtime: str, era: str, clock: Clock) -> None:
    with served_gateway(limit=RateLimit(2, 60.0), clock=clock) as bench:

        async def body() -> None:
            async with make_client(
                runtime, url=bench.url(), protocol=era, retry=RetryPolicy(attempts=1)
            ) as client:
                await client.list_tools()
                with pytest.raises(TransportError, match="rate_limit_exceeded") as caught:
                    await client.call_tool("add", {"a": 1, "b": 2})
                assert (caught.value.code, caught.value.retry_after) == ("http_429", 30.0)

        run(runtime, body)


def test_a_call_ends_with_its_client_where_its_body_was_body(clock: Clock) -> None:
    with served_gateway(limit=RateLimit(9, 60.0), clock=clock) as bench:
        message = httpx.Request(
            "POST", bench.url(), json=request("tools/call", {"name": "sleep"}), headers=BOTH
        )
        head = "".join(f"{name}: {value}\r\n" for name, value in message.headers.items())
        with socket.create_connection(
            (message.url.host, message.url.port or 0), timeout=PATIENCE
        ) as connection:
            connection.sendall(f"POST {message.url.path} HTTP/1.1\r\n{head}\r\n".encode() + message.content)
            assert bench.tools.begun.wait(PATIENCE)
        assert bench.tools.cancelled.wait(PATIENCE)
        assert bench.post(request("ping")).status_code == 200


def test_the_rest_of_a_body_that_is_too_long_is_not_taken_for_another() -> None:
    chunks = [b" " * 11, b'{"jsonrpc":"2.0","id":7,"method":"ping"}']

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    async def body() -> None:
        body = RequestBody(RequestHead({"method": "POST", "path": "/", "headers": []}), receive)
        with pytest.raises(Rejected):
            await body.messages(10)
        assert await body.request_id() is None

    run("asyncio", body)


def test_a_body_that_somebody_else_read_is_not_waited_for() -> None:
    received = 0

    async def receive() -> dict[str, Any]:
        nonlocal received
        received += 1
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def body() -> None:
        body = RequestBody(RequestHead({"method": "POST", "path": "/", "headers": []}), receive)
        assert (await body.receive())["body"] == b"{}"
        assert await body.request_id() is None
        assert received == 1

    run("asyncio", body)


# ---- requests at once --------------------------------------------------------------------------------


@contextmanager
def occupied(bench: Bench) -> Iterator[None]:
    """Have a call under way."""
    answers: list[int] = []
    with loopback.Client(timeout=PATIENCE) as http:
        message = request("tools/call", {"name": "wait"})
        thread = threading.Thread(
            target=lambda: answers.append(http.post(bench.url(), json=message, headers=BOTH).status_code)
        )
        thread.start()
        try:
            assert bench.tools.begun.wait(PATIENCE)
            yield
        finally:
            bench.tools.go_on.set()
            thread.join(PATIENCE)
    assert answers == [200]


def test_more_requests_than_there_is_room_for_are_put_off() -> None:
    with served_gateway(max_requests=1) as bench:
        with occupied(bench):
            answer = bench.post(request("ping"))
            assert error(answer) == (503, -32600, None)
            assert answer.headers["retry-after"] == "1"
            large = bench.post({**request("ping"), "padding": "x" * 70_000})
            assert (large.status_code, large.json()["id"]) == (503, None)
            assert bench.http.get(bench.url("/health")).status_code == 200
        assert bench.post(request("ping")).status_code == 200
        assert bench.call("unknown").status_code == 200
        assert bench.post(request("ping")).status_code == 200, "what failed makes room too"


def test_the_answer_that_a_request_waits_for_is_taken_where_there_is_no_room() -> None:
    with served_gateway(max_requests=1) as bench:

        async def body() -> None:
            async with make_client(
                "asyncio", url=bench.url(), protocol=HANDSHAKE, on_elicitation=lambda _: {"name": "Ada"}
            ) as client:
                assert (await client.call_tool("ask_name")).text == "Hello, Ada!"

        run("asyncio", body)

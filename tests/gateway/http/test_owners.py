"""Limits of each owner, a key and its user, and numbers that clients send."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from routermcp.gateway.errors import Rejected
from routermcp.gateway.http.asgi import RequestHead, read_body
from routermcp.gateway.http.authentication import APIKey
from routermcp.gateway.http.gateway_app import GatewayApp
from routermcp.gateway.http.project_gateway import ProjectGateway
from routermcp.gateway.http.rate_limit import RateLimit
from routermcp.gateway.serving.uvicorn import serve_in_thread
from routermcp.gateway.sessions.memory import MemorySessions
from routermcp_proto.server_session import ServerSession
from tests import loopback
from tests.gateway.gateways import PATIENCE, Bench, WaitingTools, request, served_gateway


def machine() -> ServerSession:
    return ServerSession(server_info={"name": "s", "version": "1"}, capabilities={})


def table(most: int) -> MemorySessions:
    return MemorySessions(most, 100.0, lambda: 0.0)


async def open_for(sessions: MemorySessions, owner: bytes, *, busy: bool = False) -> str:
    session = await sessions.admit(machine(), owner)
    if busy:
        await sessions.open_stream(session)
    return session.id


@pytest.mark.parametrize("others", [1, 2, 5])
def test_an_owner_who_opens_sessions_without_end_loses_its_own(others: int) -> None:
    async def body() -> None:
        sessions = table(10)
        theirs = [await open_for(sessions, b"other%d" % number) for number in range(others)]
        for _ in range(50):
            await open_for(sessions, b"greedy")
        assert {session.id for session in sessions} >= set(theirs)

    asyncio.run(body())


def test_a_newcomer_has_a_place_of_the_owner_with_the_most() -> None:
    async def body() -> None:
        sessions = table(6)
        kept = [await open_for(sessions, b"modest") for _ in range(2)]
        greedy = [await open_for(sessions, b"greedy") for _ in range(4)]
        kept.append(await open_for(sessions, b"new"))
        left = {session.id for session in sessions}
        assert left == {*kept, *greedy[1:]}

    asyncio.run(body())


def test_an_owner_whose_sessions_are_all_in_use_has_no_more_at_others_cost() -> None:
    async def body() -> None:
        sessions = table(4)
        modest = await open_for(sessions, b"modest")
        for _ in range(3):
            await open_for(sessions, b"greedy", busy=True)
        with pytest.raises(Rejected) as caught:
            await open_for(sessions, b"greedy")
        assert caught.value.status == 503
        assert modest in {session.id for session in sessions}

    asyncio.run(body())


@pytest.mark.parametrize("headers", [{"Authorization": "Bearer rmc_b"}, {"X-API-Key": "rmc_b"}])
def test_sessions_of_a_key_outlive_those_that_another_key_opens(headers: dict[str, str]) -> None:
    app = GatewayApp(WaitingTools(), max_sessions=5)
    gateway = ProjectGateway(app, keys=[APIKey("rmc_a"), APIKey("rmc_b")])
    with serve_in_thread(gateway) as url, loopback.Client(timeout=PATIENCE) as http:
        bench = Bench(url, WaitingTools(), http)
        session = bench.open(**headers)
        for _ in range(20):
            bench.open(Authorization="Bearer rmc_a")
        answer = bench.post(request("tools/list"), **headers, Mcp_Session_Id=session)
        assert answer.status_code == 200


def test_a_key_may_come_in_a_header_of_its_own() -> None:
    with served_gateway(keys=[APIKey("rmc_a")]) as bench:
        assert bench.call("who", **{"X-API-Key": "rmc_a"}).status_code == 200
        assert bench.call("who", **{"X-API-Key": "rmc_b"}).status_code == 401
        assert bench.call("who", **{"X-API-Key": "rmc_a", "Authorization": "Bearer no"}).status_code == 401


# ---- requests ----------------------------------------------------------------------------------------


class Caller:
    """Sends requests with one key to an application, without a server."""

    def __init__(self, app: ProjectGateway, key: str) -> None:
        self._app = app
        self._headers = [
            (b"host", b"127.0.0.1"),
            (b"content-type", b"application/json"),
            (b"accept", b"application/json, text/event-stream"),
            (b"x-api-key", key.encode()),
        ]

    async def ping(self) -> int:
        return await self._post(json.dumps(request("ping")).encode())

    async def begin(self) -> asyncio.Task[int]:
        """Begin a request whose body does not come."""
        task = asyncio.create_task(self._post(None))
        await asyncio.sleep(0)
        return task

    async def _post(self, body: bytes | None) -> int:
        statuses: list[int] = []

        async def receive() -> dict[str, Any]:
            if body is None:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": body}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        scope = {"type": "http", "method": "POST", "path": "/mcp", "headers": self._headers}
        await self._app(scope, receive, send)
        return statuses[0]


def test_an_owner_that_has_its_share_of_requests_keeps_nobody_out() -> None:
    async def body() -> None:
        keys = [APIKey("rmc_greedy"), APIKey("rmc_other"), APIKey("rmc_third")]
        app = ProjectGateway(GatewayApp(WaitingTools()), keys=keys, max_requests=10)
        greedy, other, third = (Caller(app, f"rmc_{name}") for name in ("greedy", "other", "third"))
        held = [await greedy.begin() for _ in range(8)]
        assert (await greedy.ping(), await other.ping()) == (503, 200)
        held += [await other.begin() for _ in range(1)]
        assert await third.ping() == 200, "two that take all they can leave room as well"
        for task in held:
            task.cancel()
        await asyncio.wait(held)
        assert await greedy.ping() == 200

    asyncio.run(body())


def test_the_requests_of_an_owner_may_be_bounded_further() -> None:
    async def body() -> None:
        keys = [APIKey("rmc_a"), APIKey("rmc_b")]
        app = ProjectGateway(GatewayApp(WaitingTools()), keys=keys, max_owner_requests=2)
        one, other = Caller(app, "rmc_a"), Caller(app, "rmc_b")
        held = [await one.begin() for _ in range(2)]
        assert (await one.ping(), await other.ping()) == (503, 200)
        for task in held:
            task.cancel()
        await asyncio.wait(held)

    asyncio.run(body())


def test_an_owner_that_has_used_its_rate_keeps_nobody_out() -> None:
    async def body() -> None:
        keys = [APIKey("rmc_a"), APIKey("rmc_b")]
        limit = RateLimit(2, 60.0)
        app = ProjectGateway(GatewayApp(WaitingTools()), keys=keys, limit=limit, clock=lambda: 0.0)
        one, other = Caller(app, "rmc_a"), Caller(app, "rmc_b")
        assert [await one.ping() for _ in range(3)] == [200, 200, 429]
        assert await other.ping() == 200

    asyncio.run(body())


# ---- numbers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", ["101", "0" * 5_000 + "101", "9" * 5_000])
def test_a_body_that_says_it_is_too_long_is_not_read(length: str) -> None:
    async def receive() -> dict[str, Any]:
        raise AssertionError("read")

    scope = {"method": "POST", "path": "/mcp", "headers": [(b"content-length", length.encode())]}
    with pytest.raises(Rejected) as caught:
        asyncio.run(read_body(RequestHead(scope), receive, 100))
    assert caught.value.status == 413


@pytest.mark.parametrize("length", ["2", "100", "0" * 5_000 + "2"])
def test_a_body_that_fits_is_read_however_its_length_is_written(length: str) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}"}

    scope = {"method": "POST", "path": "/mcp", "headers": [(b"content-length", length.encode())]}
    assert asyncio.run(read_body(RequestHead(scope), receive, 100)) == b"{}"

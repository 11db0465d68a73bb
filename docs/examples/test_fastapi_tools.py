import asyncio
from collections.abc import Iterator

import fastapi_tools
import pytest
from fastapi import HTTPException, Request
from fastapi.testclient import TestClient

from routermcp import RouterMCPClient
from routermcp.testing import FakeServer


@pytest.fixture
def mcp_server() -> FakeServer:
    server = FakeServer()

    @server.tool
    def add(a: int, b: int) -> int:
        if a + b > 100:
            raise ValueError("too much")
        return a + b

    return server


@pytest.fixture
def web(mcp_server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(fastapi_tools, "make_client", lambda: RouterMCPClient(transport=mcp_server))
    with TestClient(fastapi_tools.app) as web:
        yield web


def test_a_sum(web: TestClient, mcp_server: FakeServer) -> None:
    assert web.get("/sum?a=1&b=2").json() == {"sum": "3"}
    assert [call.arguments for call in mcp_server.calls] == [{"a": 1, "b": 2}]


def test_a_tool_that_fails(web: TestClient) -> None:
    answer = web.get("/sum?a=100&b=1")
    assert answer.status_code == 422
    assert "too much" in answer.text


def test_a_lost_connection(web: TestClient, mcp_server: FakeServer) -> None:
    mcp_server.fail("add", ConnectionResetError("cut"))
    assert web.get("/sum?a=1&b=2").status_code == 502


def test_a_timeout(mcp_server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    mcp_server.delay("add", 60_000)
    client = RouterMCPClient(transport=mcp_server, timeout=2_000)
    monkeypatch.setattr(fastapi_tools, "make_client", lambda: client)
    with TestClient(fastapi_tools.app) as web:
        assert web.get("/sum?a=1&b=2").status_code == 504


def test_a_browser_that_goes_away_ends_its_call(mcp_server: FakeServer) -> None:
    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def main() -> None:
        mcp_server.delay("add", 60_000)
        async with RouterMCPClient(transport=mcp_server) as client:
            with pytest.raises(HTTPException):
                await fastapi_tools.while_wanted(
                    Request({"type": "http"}, gone), client.call_tool("add", {"a": 1, "b": 2})
                )

    asyncio.run(main())

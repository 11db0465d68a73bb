"""Servers that are ASGI applications in the same process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from mcp.server.mcpserver import Context, MCPServer
from pytest_examples import find_examples

from routermcp import RouterMCPClient
from routermcp.testing import asgi_client
from routermcp.testing.three_runtimes import run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "testing.md"

URL = "http://localhost:8000/mcp"

#: Milliseconds after which a call that hangs is given up here.
GUARD_MS = 20_000


class StreamingApp:
    """Sends the second half of its response when the test says so, and keeps what happens to it."""

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.go_on = anyio.Event()

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                self.happened.append((await receive())["type"])
                await send({"type": f"{self.happened[-1]}.complete"})
            return
        request = await receive()
        self.happened.append(f"{scope['method']} {scope['path']}?{scope['query_string'].decode()}")
        await send({"type": "http.response.start", "status": 201, "headers": [(b"x-by", b"app")]})
        await send({"type": "http.response.body", "body": request["body"], "more_body": True})
        await self.go_on.wait()
        await send({"type": "http.response.body", "body": b"second"})
        self.happened.append((await receive())["type"])


@pytest.mark.parametrize("runtime", ["asyncio", "trio"])
def test_responses_come_in_pieces(runtime: str) -> None:
    async def body() -> list[str]:
        app = StreamingApp()
        received: list[bytes] = []
        with anyio.fail_after(GUARD_MS / 1000):
            async with (
                asgi_client(app) as client,
                client.stream("POST", "http://app/a%20b?c=d", content=b"first") as response,
            ):
                assert (response.status_code, response.headers["x-by"]) == (201, "app")
                async for chunk in response.aiter_raw():
                    received.append(chunk)
                    app.go_on.set()
        assert received == [b"first", b"second"]
        return app.happened

    happened = run(runtime, body)
    assert happened[:2] == ["lifespan.startup", "POST /a b?c=d"]
    assert sorted(happened[2:]) == ["http.disconnect", "lifespan.shutdown"]  # tasks of trio run in any order


def test_errors_of_the_test_and_of_the_application() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    async def fail() -> None:
        async with asgi_client(broken) as client:
            response: httpx.Response = await client.get("http://app/")
            assert response.status_code == 500
            raise AssertionError("of the test")

    async def start() -> None:
        async with asgi_client(stubborn):
            pass

    with pytest.raises(AssertionError, match="of the test"):
        run("asyncio", fail)
    with pytest.raises(RuntimeError, match="did not start: no database"):
        run("asyncio", start)


@pytest.mark.parametrize(("runtime", "protocol"), [("asyncio", "2025-11-25"), ("trio", "2026-07-28")])
def test_a_server_of_the_official_package(runtime: str, protocol: str) -> None:
    """With reports and log messages while a call runs."""
    server = MCPServer("in process", log_level="ERROR")
    reported: list[str | None] = []

    @server.tool()
    async def count(ctx: Context) -> str:
        await ctx.report_progress(1, 2, "half")
        return "done"

    async def body() -> str:
        async with (
            asgi_client(server.streamable_http_app()) as http_client,
            RouterMCPClient(URL, http_client=http_client, protocol=protocol, timeout=GUARD_MS) as client,
        ):
            result = await client.call_tool(
                "count", on_progress=lambda report: reported.append(report.message)
            )
            return result.text

    assert run(runtime, body) == "done"
    assert reported == ["half"]


def test_the_example_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = [each for each in find_examples(str(PAGE)) if "asgi_client" in each.source]
    exec(compile(example.source, str(PAGE), "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out == "3\n"

"""HTTP+SSE as ``routermcp proxy`` serves it: what is refused, and what pages may read."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from routermcp.gateway.builtin.tools import BuiltinTools
from routermcp.gateway.serving.legacy_sse import LegacySSEApp

PAGE = {"Origin": "http://localhost:6274"}
JSON = {"Content-Type": "application/json"}


def answer(method: str, path: str, headers: dict[str, str], content: bytes = b"") -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(LegacySSEApp(BuiltinTools()))  # pyright: ignore[reportArgumentType]
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, headers=headers, content=content)

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/sse", JSON, 405),
        ("POST", "/sse/", JSON, 405),
        ("GET", "/message", {}, 405),
        ("GET", "/message/", {}, 405),
        ("POST", "/message", JSON, 404),
        ("POST", "/message?sessionId=unknown", JSON, 404),
        ("POST", "/message/?sessionId=unknown", JSON, 404),
        ("POST", "/message?sessionId=unknown", {"Content-Type": "text/plain"}, 415),
        ("GET", "/sse", {"Origin": "https://evil.example"}, 403),
        ("GET", "/sse", {"Host": "evil.example"}, 403),
    ],
)
def test_what_is_refused(method: str, path: str, headers: dict[str, str], status: int) -> None:
    got = answer(method, path, headers, b"{}" if method == "POST" else b"")
    assert got.status_code == status
    assert "access-control-allow-origin" not in got.headers


def test_how_clients_find_out_that_it_is_the_older_transport() -> None:
    """A body of JSON-RPC would be the answer to what they asked."""
    got = answer("POST", "/sse", JSON, b"{}")
    assert (got.headers["allow"], got.headers["content-type"]) == ("GET", "text/plain")


def test_pages_of_this_machine_may_use_it() -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    got = answer("OPTIONS", "/message", {**PAGE, **asked})
    assert (got.status_code, got.headers["access-control-allow-headers"]) == (204, "content-type")
    got = answer("POST", "/message", {**PAGE, **JSON}, b"{}")
    assert got.headers["access-control-allow-origin"] == PAGE["Origin"]

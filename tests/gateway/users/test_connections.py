"""How many may come at once."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import httpx
import pytest

from routermcp.gateway import BuiltinTools, GatewayApp, serve_in_thread
from routermcp.gateway.serving import uvicorn as server

#: A request whose body does not come: while it is under way, its connection is not closed for another.
UNDER_WAY = (
    b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
)


def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(server._OPTIONS, "limit_concurrency", 5)
    with serve_in_thread(GatewayApp(BuiltinTools())) as url, ExitStack() as held:
        place = ("127.0.0.1", httpx.URL(url).port or 0)
        for _ in range(5):
            held.enter_context(socket.create_connection(place)).sendall(UNDER_WAY)
        while httpx.post(url).status_code != 503:
            pass
        held.close()
        while httpx.post(url).status_code == 503:
            pass

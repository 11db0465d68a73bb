"""Clients that send without end, or not at all; and what is under way when the gateway ends."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
import pytest

from routermcp.gateway import serve_in_thread
from routermcp.gateway.http.gateway_app import GatewayApp
from routermcp.gateway.http.project_gateway import ProjectGateway
from routermcp.gateway.serving import uvicorn as serving
from routermcp.gateway.serving.protocol import MAX_HEAD, BoundedProtocol
from tests.gateway.gateways import BOTH, PATIENCE, WaitingTools, request

#: Far beyond the longest head.
LINES = 40


@pytest.fixture
def tools() -> WaitingTools:
    return WaitingTools()


@pytest.fixture
def place(tools: WaitingTools) -> Iterator[tuple[str, int]]:
    with serve_in_thread(ProjectGateway(GatewayApp(tools), drain_seconds=0.2)) as url:
        yield urlsplit(url).hostname or "", urlsplit(url).port or 0
        tools.go_on.set()


def dial(place: tuple[str, int]) -> socket.socket:
    return socket.create_connection(place, timeout=PATIENCE)


def everything(connection: socket.socket) -> bytes:
    """Return what comes until the connection is closed."""
    received = b""
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except ConnectionResetError:  # closed while more was sent than was read
        pass
    return received


def endless(connection: socket.socket, piece: bytes) -> None:
    try:
        for _ in range(LINES):
            connection.sendall(piece)
    except OSError:
        pass


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n", b"X: " + b"a" * 8000 + b"\r\n"),
        (b"GET /health HTTP/1.1\r\nX: ", b"a" * 8000),
        (b"GET /", b"a" * 8000),
        (b"GET /health?", b"a" * 8000),
    ],
    ids=["headers", "one header", "path", "query"],
)
def test_a_head_without_end_is_refused(place: tuple[str, int], begin: bytes, piece: bytes) -> None:
    with dial(place) as connection:
        connection.sendall(begin)
        endless(connection, piece)
        assert everything(connection)[:12] in (b"HTTP/1.1 431", b"")
    assert len(piece) * LINES > 2 * MAX_HEAD
    assert httpx.get(f"http://{place[0]}:{place[1]}/health", trust_env=False).status_code == 200


@pytest.mark.parametrize(
    "piece", [b"X: " + b"a" * 8000 + b"\r\n", b"a" * 8000], ids=["trailers", "a trailer"]
)
def test_a_body_without_end_that_says_nothing_is_cut_off(place: tuple[str, int], piece: bytes) -> None:
    head = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
    with dial(place) as connection:
        connection.sendall(head + b"Content-Type: application/json\r\n\r\n0\r\nX: ")
        endless(connection, piece)
        everything(connection)


@pytest.mark.parametrize("sent", [b"", b"GET /health HT", b"GET /health HTTP/1.1\r\nHost: a\r\n"])
def test_a_head_that_does_not_come_is_not_waited_for(
    place: tuple[str, int], monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(BoundedProtocol, "head_seconds", 0.1)
    with dial(place) as connection:
        connection.sendall(sent)
        assert everything(connection) == b""


def test_a_body_that_stops_is_not_waited_for(place: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    # The first look is when a head would be late.
    monkeypatch.setattr(BoundedProtocol, "head_seconds", 0.1)
    monkeypatch.setattr(BoundedProtocol, "body_seconds", 0.1)
    with dial(place) as connection:
        connection.sendall(b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n")
        connection.sendall(b"Content-Type: application/json\r\n\r\n{")
        assert everything(connection) == b""


@pytest.mark.parametrize("head", [b"", b"GET /health HT"])
def test_silent_connections_keep_nobody_out(
    place: tuple[str, int], monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    options = vars(serving)["_OPTIONS"]
    monkeypatch.setitem(options, "limit_concurrency", 10)
    with serve_in_thread(ProjectGateway(GatewayApp(WaitingTools()))) as url, ExitStack() as stack:
        at = urlsplit(url).hostname or "", urlsplit(url).port or 0
        for _ in range(30):
            stack.enter_context(dial(at)).sendall(head)
        assert httpx.get(url.replace("/mcp", "/health"), trust_env=False).status_code == 200


@pytest.mark.parametrize("tool", ["wait", "sleep"])
def test_a_call_under_way_has_an_answer_when_the_gateway_ends(tool: str) -> None:
    """One that ends in time has its result, and one that does not has an error."""
    tools = WaitingTools()
    found: list[httpx.Response] = []
    app = ProjectGateway(GatewayApp(tools), drain_seconds=0.2 if tool == "sleep" else PATIENCE)
    with serve_in_thread(app) as url:

        def call() -> None:
            message = request("tools/call", {"name": tool, "arguments": {}})
            found.append(httpx.post(url, json=message, headers=BOTH, timeout=PATIENCE, trust_env=False))

        thread = threading.Thread(target=call)
        thread.start()
        assert tools.begun.wait(PATIENCE)
        if tool == "wait":
            tools.go_on.set()
    thread.join(PATIENCE)
    (answer,) = found
    document = json.loads(answer.text.removeprefix(":\n\n").partition("data: ")[2] or answer.text)
    assert document["id"] == 7
    if tool == "wait":
        assert document["result"] == {"content": []}
    else:
        assert document["error"]["data"] == {"reason": "shutdown"}

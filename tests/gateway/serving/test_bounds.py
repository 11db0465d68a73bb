"""Clients that send without end, or not at all; and what is under way when the gateway ends."""

from __future__ import annotations

import json
import select
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from routermcp.gateway import Caller, serve_in_thread
from routermcp.gateway.http.gateway_app import GatewayApp
from routermcp.gateway.http.project_gateway import ProjectGateway
from routermcp.gateway.serving.bounds import MAX_PER_ADDRESS, ConnectionBounds, source_of
from routermcp.gateway.serving.protocol import MAX_HEAD
from tests import loopback
from tests.gateway.gateways import BOTH, PATIENCE, WaitingTools, request

#: Far beyond the longest head.
LINES = 40


#: A request whose body does not come: while it is under way, its connection is not closed for another.
UNDER_WAY = (
    b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
)

HEALTH = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.fixture(scope="module", params=["httptools", "h11"])
def parser(request: pytest.FixtureRequest) -> Iterator[None]:
    """Read requests with httptools, and with h11 as where httptools is missing."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "h11":
            patch.setitem(sys.modules, "routermcp.gateway.serving.httptools_protocol", None)
        yield


@contextmanager
def served(bounds: ConnectionBounds) -> Iterator[tuple[str, int]]:
    with serve_in_thread(GatewayApp(WaitingTools()), bounds=bounds) as url:
        yield urlsplit(url).hostname or "", urlsplit(url).port or 0


@pytest.fixture(scope="module")
def place(parser: None) -> Iterator[tuple[str, int]]:
    gateway = ProjectGateway(GatewayApp(WaitingTools()))
    with serve_in_thread(gateway) as url:
        yield urlsplit(url).hostname or "", urlsplit(url).port or 0


@pytest.fixture(scope="module")
def hurried(parser: None) -> Iterator[tuple[str, int]]:
    """A gateway that waits for nothing."""
    with served(ConnectionBounds(head_seconds=0.05, body_seconds=0.05)) as place:
        yield place


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


def test_a_response_without_a_body_arrives_while_its_connection_is_open(place: tuple[str, int]) -> None:
    with dial(place) as connection:
        for method in (b"HEAD", b"GET"):
            connection.sendall(HEALTH.replace(b"GET", method) + b"\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


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
    assert loopback.get(f"http://{place[0]}:{place[1]}/health").status_code == 200


@pytest.mark.parametrize(
    "piece", [b"X: " + b"a" * 8000 + b"\r\n", b"a" * 8000], ids=["trailers", "a trailer"]
)
def test_a_body_without_end_that_says_nothing_is_cut_off(place: tuple[str, int], piece: bytes) -> None:
    head = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
    with dial(place) as connection:
        connection.sendall(head + b"Content-Type: application/json\r\n\r\n0\r\nX: ")
        endless(connection, piece)
        everything(connection)


@pytest.mark.parametrize(("more", "status"), [(0, b"200"), (1, b"431")])
def test_a_head_has_64_kib_however_it_comes(place: tuple[str, int], more: int, status: bytes) -> None:
    head = HEALTH + b"X: %b\r\n\r\n"
    padding = b"a" * (MAX_HEAD - len(head % b"") + more)
    with dial(place) as connection:
        connection.sendall(head % padding)
        assert connection.recv(12) == b"HTTP/1.1 " + status


@pytest.mark.parametrize("sent", [b"", b"GET /health HT", HEALTH])
def test_a_head_that_does_not_come_is_not_waited_for(hurried: tuple[str, int], sent: bytes) -> None:
    with dial(hurried) as connection:
        connection.sendall(sent)
        assert everything(connection) == b""


def test_the_head_of_a_second_request_is_not_waited_for_either(hurried: tuple[str, int]) -> None:
    with dial(hurried) as connection:
        connection.sendall(HEALTH + b"\r\n" + HEALTH)
        answer = everything(connection)
        assert answer.startswith(b"HTTP/1.1 404")
        assert answer.count(b"HTTP/1.1 ") == 1


def test_a_body_that_stops_is_not_waited_for(hurried: tuple[str, int]) -> None:
    with dial(hurried) as connection:
        connection.sendall(UNDER_WAY)
        assert everything(connection) == b""


@pytest.mark.parametrize("length", [b"Content-Length: %d", b"Transfer-Encoding: chunked"])
def test_a_long_body_that_comes_at_once_is_read(place: tuple[str, int], length: bytes) -> None:
    body = json.dumps({**request("ping"), "padding": "x" * 300_000}).encode()
    head = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    head += b"Accept: application/json, text/event-stream\r\n"
    if b"%d" in length:
        length %= len(body)
    else:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    with dial(place) as connection:
        connection.sendall(head + length + b"\r\n\r\n" + body)
        assert connection.recv(12) == b"HTTP/1.1 200"


# ---- many connections --------------------------------------------------------------------------------


def health(place: tuple[str, int], source: str = "127.0.0.1") -> int:
    """Return the status that a new connection from an address gets; the application has no such page."""
    transport = httpx.HTTPTransport(local_address=source)
    with httpx.Client(transport=transport, timeout=PATIENCE) as http:
        return http.get(f"http://{place[0]}:{place[1]}/health").status_code


@pytest.mark.parametrize("head", [b"", b"GET /health HT"])
def test_silent_connections_keep_nobody_out(parser: None, head: bytes) -> None:
    with served(ConnectionBounds(connections=10)) as place, ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(dial(place)).sendall(head)
        assert health(place) == 404


def test_connections_are_bounded(parser: None) -> None:
    with served(ConnectionBounds(connections=5)) as place, ExitStack() as held:
        for _ in range(5):
            held.enter_context(dial(place)).sendall(UNDER_WAY)
        while health(place) != 503:
            pass
        held.close()
        while health(place) == 503:
            pass


def test_an_address_has_no_more_than_its_share(parser: None) -> None:
    with served(ConnectionBounds(per_address=3)) as place, ExitStack() as held:
        first = held.enter_context(dial(place))
        for _ in range(2):
            held.enter_context(dial(place)).sendall(UNDER_WAY)
        assert health(place) == 404, "an idle connection of the same address gives way"
        assert everything(first) == b""
        held.enter_context(dial(place)).sendall(UNDER_WAY)
        while health(place) != 503:  # until the third request has arrived
            pass
        assert health(place, "127.0.0.2") == 404, "another address has its own"


class Wordy(WaitingTools):
    """Answers with more than the system's own buffers of a connection take."""

    async def call_tool(self, name: str, arguments: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        return {"content": [{"type": "text", "text": "a" * WORDS}]}


WORDS = 16 * 1024 * 1024


def ask_without_reading(place: tuple[str, int]) -> socket.socket:
    """Ask for a long answer, and return when it begins."""
    connection = dial(place)
    body = json.dumps(request("tools/call", {"name": "words", "arguments": {}})).encode()
    head = "".join(f"{name}: {value}\r\n" for name, value in BOTH.items())
    connection.sendall(
        f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    assert connection.recv(1, socket.MSG_PEEK)
    return connection


def is_cut_off(connection: socket.socket) -> bool:
    """Wait until the other side gives a connection up, without reading from it."""
    watcher = select.poll()
    watcher.register(connection, 0)
    return bool(watcher.poll(PATIENCE * 1000))


@pytest.mark.skipif(not hasattr(select, "poll"), reason="needs poll(), which Windows does not have")
def test_a_client_that_does_not_read_is_given_up(parser: None) -> None:
    app = GatewayApp(Wordy())
    with serve_in_thread(app, bounds=ConnectionBounds(unread_seconds=0.05)) as url:
        place = urlsplit(url).hostname or "", urlsplit(url).port or 0
        with ask_without_reading(place) as connection:
            assert is_cut_off(connection)


@pytest.mark.skipif(not hasattr(select, "poll"), reason="needs poll(), which Windows does not have")
def test_what_waits_for_clients_that_do_not_read_is_bounded_for_all_together(parser: None) -> None:
    app = GatewayApp(Wordy())
    with serve_in_thread(app, bounds=ConnectionBounds(unread_bytes=WORDS * 3 // 2)) as url:
        place = urlsplit(url).hostname or "", urlsplit(url).port or 0
        with ask_without_reading(place) as first, ask_without_reading(place) as second:
            assert is_cut_off(first)
            with second.makefile("rb") as answer:
                assert len(answer.read(WORDS)) == WORDS


def test_what_an_address_is() -> None:
    networks = ["2001:db8:1:2::7", "2001:db8:1:2:ffff::", "2001:db8:1:3::7", "::ffff:192.0.2.1", "192.0.2.1"]
    assert len({source_of(address) for address in networks}) == 3
    assert source_of("testclient") == "testclient"
    usual = ConnectionBounds(connections=500)
    assert usual.share_of("192.0.2.1") == usual.share_of(source_of("2001:db8::1")) == MAX_PER_ADDRESS
    here = ("127.0.0.1", source_of("::1"), source_of("::ffff:127.0.0.1"), None)
    assert {usual.share_of(source) for source in here} == {500}, "behind a proxy it is everybody's"
    assert ConnectionBounds(per_address=7).share_of("127.0.0.1") == 7


# ---- the end -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", ["wait", "sleep"])
def test_a_call_under_way_has_an_answer_when_the_gateway_ends(tool: str) -> None:
    """One that ends in time has its result, and one that does not has an error."""
    tools = WaitingTools()
    found: list[httpx.Response] = []
    app = ProjectGateway(GatewayApp(tools), drain_seconds=0.2 if tool == "sleep" else PATIENCE)
    with serve_in_thread(app) as url:

        def call() -> None:
            message = request("tools/call", {"name": tool, "arguments": {}})
            found.append(loopback.post(url, json=message, headers=BOTH, timeout=PATIENCE))

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

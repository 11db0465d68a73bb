"""The fault table: what a server does to one ``tools/call``, and what the caller gets."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from tests.routermcp.server import Action, Exchange

#: Milliseconds that a call may take where the server is silent.
TIMEOUT = 400

#: Seconds for which a server drips or repeats itself: longer than any deadline here.
LONG = 3.0

#: Seconds for which it goes on with what never ends: until the client has had enough, which takes
#: 64 MB, on a busy machine too.
ENDLESS = 60.0


@dataclass(frozen=True)
class Row:
    """One fault.

    Attributes:
        name: What the server does.
        action: Does it.
        code: ``TransportError.code``, or the name of another error, or "" for a right result.
        words: What the error's text has to say.
        executed: How often the server has executed the call.
        status: ``TransportError.status_code``.
        retry_after: Seconds that the server asked to wait.
        silent: Whether only the deadline ends the call.
    """

    name: str
    action: Action
    code: str
    words: str = ""
    executed: int = 1
    status: int | None = None
    retry_after: float | None = None
    silent: bool = False
    hangs_up: bool = False
    """Whether the next call has to wait until it has hung up, which is after its answer."""


def head(length: int | str, content_type: str = "application/json", *more: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Type: {content_type}", f"Content-Length: {length}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


def body_of(exchange: Exchange) -> bytes:
    """Carry the call out and return its answer as bytes."""
    return json.dumps(exchange.execute()).encode()


def then_close(act: Callable[[Exchange], None], *, reset: bool = False) -> Action:
    def action(exchange: Exchange) -> None:
        act(exchange)
        exchange.hang_up(reset=reset)
        exchange.server.events["hung up"].set()

    return action


def then_silence(act: Callable[[Exchange], None]) -> Action:
    def action(exchange: Exchange) -> None:
        act(exchange)
        exchange.closed_by_client()

    return action


def execute(exchange: Exchange) -> None:
    exchange.execute()


def nothing(exchange: Exchange) -> None:
    del exchange


def raw(data: bytes, *, run: bool = True) -> Callable[[Exchange], None]:
    def act(exchange: Exchange) -> None:
        if run:
            exchange.execute()
        exchange.raw(data)

    return act


def answered(content: bytes, content_type: str = "application/json") -> Callable[[Exchange], None]:
    return raw(head(len(content), content_type) + content)


def message(**members: Any) -> Callable[[Exchange], None]:
    """Answer with a JSON-RPC message whose members are these; ``id`` is right unless given."""

    def act(exchange: Exchange) -> None:
        exchange.execute()
        exchange.json({"jsonrpc": "2.0", "id": exchange.id, **members})

    return act


def half_a_body(exchange: Exchange) -> None:
    body = body_of(exchange)
    exchange.raw(head(len(body)) + body[: len(body) // 2])


def half_a_chunk(exchange: Exchange) -> None:
    body = body_of(exchange)
    exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    exchange.raw(b"%x\r\n" % len(body) + body[:20])


def length_too_small(exchange: Exchange) -> None:
    body = body_of(exchange)
    exchange.raw(head(len(body) - 5) + body)


def drip(exchange: Exchange) -> None:
    body = body_of(exchange)
    exchange.raw(head(len(body)))
    _repeat(exchange, [bytes([byte]) for byte in body], 0.02)


def _repeat(exchange: Exchange, pieces: list[bytes], pause: float, seconds: float = LONG) -> None:
    """Send pieces until they or the patience of the client end."""
    exchange.keep = False
    until = time.monotonic() + seconds
    with contextlib.suppress(OSError):
        for piece in pieces:
            exchange.sock.sendall(piece)
            time.sleep(pause)
            if time.monotonic() > until:
                return


def big_head(exchange: Exchange) -> None:
    exchange.execute()
    lines = "".join(f"X-{number}: {'x' * 1000}\r\n" for number in range(1000))
    exchange.raw(f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode())


def endless_line(exchange: Exchange) -> None:
    """An event that never ends, faster than anybody can count."""
    exchange.execute()
    exchange.stream()
    exchange.raw(b"ffffffff\r\ndata: ")
    _repeat(exchange, [b"x" * 1_000_000] * 200, 0, ENDLESS)


def endless_body(exchange: Exchange) -> None:
    exchange.execute()
    exchange.raw(head(10**12) + b'{"jsonrpc":"2.0","id":1,"result":{"content":"')
    _repeat(exchange, [b"x" * 1_000_000] * 200, 0, ENDLESS)


def endless_page(exchange: Exchange) -> None:
    exchange.raw(head(10**12, "text/html").replace(b"200 OK", b"500 Sorry"))
    _repeat(exchange, [b"x" * 1_000_000] * 200, 0, ENDLESS)


def bad_utf8(exchange: Exchange) -> None:
    body = body_of(exchange)[:-1] + b', "note": "\xff"}'
    exchange.raw(head(len(body)) + body)


def compressed(exchange: Exchange) -> None:
    body = gzip.compress(body_of(exchange))
    exchange.raw(head(len(body), "application/json", "Content-Encoding: gzip") + body)


def stream_then(act: Callable[[Exchange], None]) -> Callable[[Exchange], None]:
    def begun(exchange: Exchange) -> None:
        exchange.execute()
        exchange.stream().notify("notifications/message", level="info", data="at work")
        act(exchange)

    return begun


def two_answers(exchange: Exchange) -> None:
    answer = exchange.execute()
    exchange.stream()
    exchange.event(answer)
    exchange.event(answer)
    exchange.end()


def refused(status: int, kind: str, **headers: str) -> Action:
    """Refuse before anything is executed."""
    bodies = {
        "JSON": (json.dumps({"error": "no"}), "application/json"),
        "HTML": ("<html><body><h1>No</h1></body></html>", "text/html"),
        "nothing": ("", "text/plain"),
    }

    def action(exchange: Exchange) -> None:
        exchange.status(status, *bodies[kind], **headers)

    return action


def gateway_429(exchange: Exchange) -> None:
    exchange.status(429, {"error": "Rate limit exceeded", "retryAfter": 2.5})


def http_date(exchange: Exchange) -> None:
    # A date means something only beside the server's own idea of what time it is.
    now = datetime.now(UTC)
    later = format_datetime(now + timedelta(seconds=30), usegmt=True)
    exchange.status(429, "", Retry_After=later, Date=format_datetime(now, usegmt=True))


BOMB = b'{"jsonrpc":"2.0","id":2,"result":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
RESULT = {"content": [{"type": "text", "text": ""}], "resultType": "complete"}

ROWS = [
    Row("resets before the answer", then_close(execute, reset=True), "interrupted", "may have run"),
    Row("resets during the answer", then_close(half_a_body, reset=True), "interrupted", "may have run"),
    Row("closes after the request", then_close(execute), "interrupted", "may have run"),
    Row("answers and resets", then_close(lambda exchange: exchange.answer(), reset=True), "", hangs_up=True),
    Row("says nothing", then_silence(execute), "timeout", "timeout=", silent=True),
    Row("sends half a head", then_silence(raw(b"HTTP/1.1 200 OK\r\nContent-")), "timeout", silent=True),
    Row("sends half a head and closes", then_close(raw(b"HTTP/1.1 200 OK\r\nContent-")), "interrupted"),
    Row("drips", drip, "timeout", silent=True),
    Row("cuts a body short", then_close(half_a_body), "interrupted", "may have run"),
    Row("cuts a chunk short", then_close(half_a_chunk), "interrupted", "may have run"),
    Row("says a length that is too small", then_close(length_too_small), "protocol", "JSON"),
    Row("sends garbage", then_close(raw(b"\x00\xff\x13garbage\r\n\r\n")), "protocol"),
    Row(
        "sends a page with 200",
        answered(b"<html><h1>Hello</h1></html>", "text/html"),
        "protocol",
        "text/html",
    ),
    Row("sends bad JSON", answered(b'{"jsonrpc": "2.0", "id": 2, '), "protocol", "JSON"),
    Row("sends bad UTF-8", bad_utf8, ""),
    Row("answers another request", message(id=999_999, result=RESULT), "protocol"),
    Row("answers without a result", message(), "ResponseValidationError"),
    Row("answers in the wrong shape", message(result={"content": 7}), "ResponseValidationError", "content"),
    Row("sends a nesting bomb", answered(BOMB), "protocol", "recursion"),
    Row("sends 1 MB of headers", then_close(big_head), "protocol", "head"),
    Row("sends a line without end", endless_line, "protocol", "67108864"),
    Row("sends a body without end", endless_body, "protocol", "67108864"),
    Row("sends an error page without end", endless_page, "interrupted", executed=0),
    Row("cuts an event stream", then_close(stream_then(nothing)), "interrupted", "may have run"),
    Row("falls silent in an event stream", then_silence(stream_then(nothing)), "timeout", silent=True),
    Row(
        "ends an event stream without the answer", stream_then(lambda exchange: exchange.end()), "interrupted"
    ),
    Row("answers twice", two_answers, ""),
    *(
        Row(f"answers {status} with {kind}", refused(status, kind), f"http_{status}", str(status), 0, status)
        for status in (401, 403, 404, 408, 409, 429, 500, 502, 503, 504)
        for kind in ("JSON", "HTML", "nothing")
    ),
    Row("answers 429 as the gateway does", gateway_429, "http_429", "2.5 s", 0, 429, 2.5),
    Row("answers 429 with seconds", refused(429, "nothing", Retry_After="7"), "http_429", "7 s", 0, 429, 7),
    Row("answers 429 with a date", http_date, "http_429", "asks to wait", 0, 429, 30),
    Row(
        "answers 429 with an hour",
        refused(429, "nothing", Retry_After="3600"),
        "http_429",
        "3600",
        0,
        429,
        3600,
    ),
    Row(
        "redirects to another origin",
        refused(307, "nothing", Location="http://127.0.0.2/mcp"),
        "redirect",
        "127.0.0.2",
        0,
        307,
    ),
    Row("compresses unasked", compressed, ""),
]


def circle(exchange: Exchange) -> None:
    exchange.status(307, "", Location="/mcp")


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        return gone.getsockname()[1]

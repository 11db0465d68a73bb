"""A server of HTTP+SSE, the transport of 2024-11-05, that a test can change.

It runs in threads on a free port of the loopback interface. ``GET /sse`` is the event stream of a
session, and ``POST`` on the endpoint that it names takes the session's messages.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

#: Seconds that anything here waits for the client: many times what any test needs.
PATIENCE = 10.0

TOOLS = [{"name": name, "inputSchema": {"type": "object"}} for name in ("echo", "ask", "leave", "never")]


@dataclass
class LegacyServer:
    """What it has seen, and what a test changes."""

    port: int = 0
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, target and headers of each request."""
    messages: list[dict[str, Any]] = field(default_factory=list)
    """The messages that were posted."""
    answers: dict[str, dict[str, str] | int] = field(default_factory=dict)
    """For a method and path such as ``POST /sse``: a status that refuses, or headers of a redirect."""
    first_event: str | None = None
    """The beginning of the stream, None for the endpoint."""
    endpoint: str = "/messages?session_id={id}"
    required_token: str | None = None
    on_post: Callable[[dict[str, Any]], object] = lambda _message: None
    """Called with each message before its POST is answered."""
    on_request: Callable[[], object] = lambda: None
    """Called when a request has come."""
    unknown_session: int = 404
    modern: bool = False
    """Whether it answers POST on the URL of the stream, as Streamable HTTP does."""
    sessions: dict[str, queue.Queue[str | None]] = field(default_factory=dict)
    count: int = 0
    asking: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/sse"

    def requests(self) -> list[str]:
        """Return method and path of each request."""
        return [f"{method} {urlsplit(target).path}" for method, target, _ in self.seen]

    def send(self, session: str, message: Mapping[str, Any] | str) -> None:
        """Send a message on the event stream of a session."""
        data = message if isinstance(message, str) else json.dumps(message)
        self.sessions[session].put(f"event: message\ndata: {data}\n\n")

    def end(self, session: str) -> None:
        """End the event stream of a session, and forget the session."""
        self.sessions.pop(session).put(None)

    def take(self, session: str, message: dict[str, Any]) -> None:
        """Answer a message on the event stream."""
        method, number = message.get("method"), message.get("id")
        if number == "q1":
            # The answer to the question of the tool "ask", which answers with it.
            number, text = self.asking.pop(session), json.dumps(message.get("result"))
            result = {"content": [{"type": "text", "text": text}]}
            return self.send(session, {"jsonrpc": "2.0", "id": number, "result": result})
        if method is None or number is None:
            return None
        params = message.get("params") or {}
        result: dict[str, Any] = {}
        if method == "initialize":
            info = {"name": "legacy", "version": "1"}
            result = {
                "protocolVersion": "2024-11-05",
                "capabilities": {"tools": {}},
                "serverInfo": info,
            }
        elif method == "tools/list":
            result = {"tools": TOOLS}
        elif method == "tools/call":
            name = params["name"]
            if name == "ask":
                self.asking[session] = number
                self.send(session, {"jsonrpc": "2.0", "id": "q1", "method": "roots/list"})
            if name == "leave":
                self.end(session)
            if name != "echo":
                return None
            result = {"content": [{"type": "text", "text": json.dumps(params.get("arguments"))}]}
        return self.send(session, {"jsonrpc": "2.0", "id": number, "result": result})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base
        del format, args

    def _refused(self) -> bool:
        state = self.server.state
        path = urlsplit(self.path).path
        state.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        state.on_request()
        answer = state.answers.get(f"{self.command} {path}")
        if state.required_token is not None and not self._has(state.required_token):
            answer = 401
        if answer is None:
            return False
        if isinstance(answer, int):
            self._answer(answer)
        else:
            self._answer(307, answer)
        return True

    def _has(self, token: str) -> bool:
        return self.headers.get("Authorization") == f"Bearer {token}"

    def _answer(self, status: int, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        if self._refused():
            return
        state = self.server.state
        state.count += 1
        session = f"s{state.count}"
        messages = state.sessions[session] = queue.Queue()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        endpoint = state.endpoint.format(id=session, port=state.port)
        first = state.first_event
        self.wfile.write((f"event: endpoint\ndata: {endpoint}\n\n" if first is None else first).encode())
        self.close_connection = True
        try:
            while (text := messages.get(timeout=PATIENCE * 3)) is not None:
                self.wfile.write(text.encode())
        except (OSError, queue.Empty):
            pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self._refused():
            return None
        state = self.server.state
        parts = urlsplit(self.path)
        if parts.path == "/sse":
            return self._answer_as_today(json.loads(body)) if state.modern else self._answer(405)
        session = parse_qs(parts.query).get("session_id", [""])[0]
        message = json.loads(body)
        state.messages.append(message)
        if session not in state.sessions:
            return self._answer(state.unknown_session)
        state.on_post(message)
        self._answer(202)
        return state.take(session, message)

    def _answer_as_today(self, message: dict[str, Any]) -> None:
        """Answer in the body of the POST, by way of a session that is there for that only."""
        state = self.server.state
        messages = state.sessions["modern"] = queue.Queue()
        if message["method"] == "server/discover":
            return self._answer(400)
        state.take("modern", message)
        if messages.empty():
            return self._answer(202)
        text = (messages.get() or "").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    state: LegacyServer


@contextmanager
def legacy_server(**changes: Any) -> Iterator[LegacyServer]:
    """Run a server."""
    server = _Server(("127.0.0.1", 0), _Handler)
    state = server.state = LegacyServer(port=server.server_address[1], **changes)
    thread = threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        for session in list(state.sessions):
            state.end(session)
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE)

"""An MCP server of our own that does what a test tells it.

It runs in threads, on a free port of the loopback interface, and speaks HTTP/1.1 over plain
sockets, so that it can misbehave at any byte. Each request is answered by an *action*: the
next one that a test scripted for its method, or else :meth:`Exchange.answer`. Everything it
receives is kept in :attr:`ScriptedServer.seen`, and everything it carries out is counted in
:attr:`ScriptedServer.executed`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import queue
import socket
import ssl
import struct
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

STATELESS = "2026-07-28"
HANDSHAKE = "2025-11-25"
ERAS = (STATELESS, HANDSHAKE)

#: Seconds that anything here waits for the client: many times what any test needs.
PATIENCE = 10.0

#: The last chunk of an event stream.
END_OF_STREAM = b"0\r\n\r\n"

Result = Mapping[str, Any] | Callable[["Exchange", dict[str, Any]], Mapping[str, Any]]


class ServerError(Exception):
    """What a result function raises to be answered with an error object."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.error: dict[str, Any] = {"code": code, "message": message}
        if data is not None:
            self.error["data"] = data


@dataclass
class Seen:
    """One HTTP request as it arrived."""

    verb: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    message: dict[str, Any] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """The MCP method, or the HTTP verb where there is none; ``answer`` for one to a question."""
        if self.verb != "POST":
            return self.verb
        return self.message.get("method") or "answer"

    @property
    def params(self) -> dict[str, Any]:
        return self.message.get("params") or {}


class Exchange:
    """One request of the client, and the ways to treat it."""

    def __init__(self, server: ScriptedServer, sock: socket.socket, seen: Seen) -> None:
        self.server = server
        self.sock = sock
        self.seen = seen
        self.id = seen.message.get("id")
        self.keep = True
        self._chunked = False

    # ---- the usual way ---------------------------------------------------------------

    def execute(self) -> dict[str, Any]:
        """Carry the request out, count it, and return the message that answers it."""
        self.server.count(self.seen)
        try:
            result = self.server.result_of(self)
        except ServerError as error:
            return {"jsonrpc": "2.0", "id": self.id, "error": error.error}
        return {"jsonrpc": "2.0", "id": self.id, "result": dict(result)}

    def answer(self) -> None:
        """Do what a good server does."""
        message = self.execute()
        if self._chunked:
            self.event(message, more=END_OF_STREAM)
        else:
            self.json(message)

    # ---- in detail -------------------------------------------------------------------

    def raw(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self.sock.sendall(data)

    def status(
        self,
        status: int,
        body: bytes | str | Mapping[str, Any] = b"",
        content_type: str = "text/plain",
        **headers: str,
    ) -> None:
        """Answer with any status; an underscore in a header's name stands for a dash."""
        if isinstance(body, Mapping):
            body, content_type = json.dumps(body), "application/json"
        data = body.encode() if isinstance(body, str) else body
        head = (
            f"HTTP/1.1 {status} Whatever\r\nContent-Type: {content_type}\r\nContent-Length: {len(data)}\r\n"
        )
        head += "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self.raw(head.encode("latin-1") + b"\r\n" + data)

    def json(self, message: Any, **headers: str) -> None:
        session = self.server.assigned.pop(self.seen.connection, None)
        if session is not None:
            headers["Mcp_Session_Id"] = session
        self.status(200, json.dumps(message), "application/json", **headers)

    def error(self, code: int, message: str, *, status: int = 200, data: Any = None, **headers: str) -> None:
        error: dict[str, Any] = {"code": code, "message": message}
        if data is not None:
            error["data"] = data
        body = json.dumps({"jsonrpc": "2.0", "id": self.id, "error": error})
        self.status(status, body, "application/json", **headers)

    def stream(self) -> Self:
        """Begin an event stream."""
        self._chunked = True
        session = self.server.assigned.pop(self.seen.connection, None)
        more = f"Mcp-Session-Id: {session}\r\n" if session else ""
        self.raw(
            f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{more}"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        return self

    def event(
        self, message: Any, event_id: str | None = None, retry: int | None = None, more: bytes = b""
    ) -> None:
        text = f"id: {event_id}\n" if event_id is not None else ""
        text += f"retry: {retry}\n" if retry is not None else ""
        text += f"data: {json.dumps(message)}\n\n" if message is not None else "data:\n\n"
        data = text.encode()
        self.raw(b"%x\r\n%b\r\n%b" % (len(data), data, more))

    def notify(self, method: str, **params: Any) -> None:
        self.event({"jsonrpc": "2.0", "method": method, "params": params})

    def progress(self, progress: float, total: float | None = None) -> None:
        token = self.seen.params["_meta"]["progressToken"]
        self.notify("notifications/progress", progressToken=token, progress=progress, total=total)

    def end(self) -> None:
        """End the event stream properly."""
        self.raw(END_OF_STREAM)

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask the client on the stream of this exchange, and wait for its whole answer."""
        return self.server.ask(self.event, method, params)

    def hang_up(self, *, reset: bool = False) -> None:
        """Close the connection now."""
        self.keep = False
        if reset:
            with contextlib.suppress(OSError):
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def closed_by_client(self) -> bool:
        """Wait until the client closes the connection; say whether it did."""
        self.keep = False
        try:
            self.sock.settimeout(PATIENCE)
            return self.sock.recv(1) == b""
        except ConnectionError:
            return True
        except OSError:
            return False


Action = Callable[[Exchange], None]


def refused(status: int, body: str = "", **headers: str) -> Action:
    """Make the action of refusing without carrying anything out."""
    return lambda exchange: exchange.status(status, body, **headers)


def lost(exchange: Exchange) -> None:
    """Carry the request out and hang up before the answer."""
    exchange.execute()
    exchange.hang_up()


def dropped(exchange: Exchange) -> None:
    """Hang up without having carried anything out."""
    exchange.hang_up()


def silent(exchange: Exchange) -> None:
    """Never answer."""
    exchange.closed_by_client()


class Events(dict[str, threading.Event]):
    """Events by name, each made by the thread that names it first.

    Not a ``defaultdict``: with that, two threads that name an event at the same moment get two.
    """

    def __missing__(self, name: str) -> threading.Event:
        return self.setdefault(name, threading.Event())


class ScriptedServer:
    """The server; use it as a context manager.

    Args:
        era: The newest revision it speaks: ``2026-07-28``, or one of the handshake era.
        path: Where its endpoint is.
        tls: Speak TLS with this context.
        port: Which port, 0 for any that is free.
        listens: Announce changes: on the stream that a client opens with GET (handshake era) or
            on that of ``subscriptions/listen``.
        sessions: Assign session ids (handshake era).
    """

    address = "127.0.0.1"
    name = address
    """What its URL calls it."""

    def __init__(
        self,
        era: str = STATELESS,
        *,
        path: str = "/mcp",
        tls: ssl.SSLContext | None = None,
        port: int = 0,
        unix: Path | None = None,
        listens: bool = False,
        sessions: bool = True,
    ) -> None:
        self.era = era
        self.path = path
        self.tls = tls
        self.port = port
        self.unix = unix
        self.listens = listens
        self.with_sessions = sessions
        self.seen: list[Seen] = []
        self.executed: Counter[str] = Counter()
        self.connections = 0
        self.sessions: dict[str, Exchange | None] = {}
        self.assigned: dict[int, str] = {}
        self.results: dict[str, Result] = dict(RESULTS)
        self.tools: dict[str, Callable[[Exchange, dict[str, Any]], Mapping[str, Any]]] = dict(TOOLS)
        self.events: dict[str, threading.Event] = Events()
        self._scripts: dict[str, deque[Action]] = defaultdict(deque)
        self._answers: dict[str, queue.SimpleQueue[dict[str, Any] | None]] = {}
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._closing = False

    def __enter__(self) -> Self:
        if self.unix is not None:
            self._listening = socket.socket(socket.AF_UNIX)
            self._listening.bind(str(self.unix))
            self._listening.listen(200)
            self.url = f"http+unix://{quote(str(self.unix), safe='')}{self.path}"
        else:
            self._listening = socket.create_server((self.address, self.port), backlog=200)
            self.port = self._listening.getsockname()[1]
            self.scheme = "http" if self.tls is None else "https"
            self.url = f"{self.scheme}://{self.name}:{self.port}{self.path}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        for event in list(self.events.values()):
            event.set()
        for answers in list(self._answers.values()):
            answers.put(None)
        self.stop_listening()
        self.close_connections()

    def stop_listening(self) -> None:
        """Refuse new connections."""
        with contextlib.suppress(OSError):
            # Wakes accept(), which close() alone does not do on Linux.
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def close_connections(self) -> None:
        """Close all connections, whatever they carry."""
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    # ---- what tests say and ask --------------------------------------------------------

    def script(self, method: str, *actions: Action) -> None:
        """Treat the next requests of a method (or an HTTP verb) so, one after the other."""
        self._scripts[method].extend(actions)

    def forget_scripts(self) -> None:
        """Treat all further requests as usual."""
        self._scripts.clear()

    def requests(self, method: str) -> list[Seen]:
        """Return the requests of a method (or an HTTP verb, or ``answer``), in order."""
        with self._lock:
            return [seen for seen in self.seen if seen.method == method]

    def methods(self) -> list[str]:
        with self._lock:
            return [seen.method for seen in self.seen]

    def ask(self, send: Callable[[Any], None], method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Send a question by any way, and wait for the answer that the client posts."""
        key = f"question-{next(self._ids)}"
        answers = self._answers[key] = queue.SimpleQueue()
        send({"jsonrpc": "2.0", "id": key, "method": method, "params": params})
        answer = answers.get(timeout=PATIENCE)
        if answer is None:
            raise ConnectionAbortedError("the server closes, and nobody has answered")
        return answer

    def take_answer(self, seen: Seen) -> None:
        """Hand an answer to the question that waits for it."""
        self._answers[seen.message["id"]].put(seen.message)

    def forget_sessions(self) -> None:
        """Do as a server that was started anew."""
        with self._lock:
            self.sessions.clear()

    def wait_for(self, name: str) -> None:
        """Wait until a test sets the event of that name."""
        self.events[name].wait(PATIENCE)

    # ---- carrying out --------------------------------------------------------------------

    def count(self, seen: Seen) -> None:
        name = f"{seen.method}:{seen.params['name']}" if seen.method == "tools/call" else seen.method
        with self._lock:
            self.executed[name] += 1

    def result_of(self, exchange: Exchange) -> Mapping[str, Any]:
        result = self.results.get(exchange.seen.method)
        if result is None:
            raise ServerError(-32601, f"no method {exchange.seen.method}")
        return result(exchange, exchange.seen.params) if callable(result) else result

    # ---- HTTP ----------------------------------------------------------------------------

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(sock.close)
            try:
                if self.unix is None:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self.tls is not None:
                    sock.settimeout(PATIENCE)
                    sock = stack.enter_context(self.tls.wrap_socket(sock, server_side=True))
                    sock.settimeout(None)
                with self._lock:
                    self._sockets.add(sock)
                    self.connections += 1
                    number = self.connections
                for seen in self._read(sock, number):
                    exchange = Exchange(self, sock, seen)
                    self._treat(exchange)
                    if not exchange.keep:
                        return
            except OSError:
                return
            finally:
                with self._lock:
                    self._sockets.discard(sock)

    def _read(self, sock: socket.socket, number: int) -> Iterator[Seen]:
        received = b""
        while not self._closing:
            while b"\r\n\r\n" not in received:
                data = sock.recv(65536)
                if not data:
                    return
                received += data
                if not b"A" <= received[:1] <= b"Z":
                    # A TLS handshake, for example.
                    sock.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
                    return
            head, _, received = received.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            verb, target, _ = first.split(" ")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
            length = int(headers.get("content-length", "0"))
            while len(received) < length:
                data = sock.recv(65536)
                if not data:
                    return
                received += data
            body, received = received[:length], received[length:]
            form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
            seen = Seen(verb, target, headers, body, number, json.loads(body) if body and not form else {})
            with self._lock:
                self.seen.append(seen)
            yield seen

    def _treat(self, exchange: Exchange) -> None:
        seen = exchange.seen
        with self._lock:
            script = self._scripts[seen.method]
            action = script.popleft() if script else None
        if action is not None:
            action(exchange)
        elif seen.target.partition("?")[0] != self.path:
            exchange.status(404, "no such path")
        elif seen.verb == "POST":
            self._treat_post(exchange)
        elif self.era == STATELESS:
            exchange.status(405)
        elif seen.verb == "GET":
            self._treat_get(exchange)
        else:
            with self._lock:
                self.sessions.pop(seen.headers.get("mcp-session-id", ""), None)
            exchange.status(200)

    def _treat_post(self, exchange: Exchange) -> None:
        seen = exchange.seen
        if "method" not in seen.message:
            self.take_answer(seen)
            exchange.status(202)
        elif "id" not in seen.message:
            exchange.status(202)
        elif self.era == STATELESS:
            self._treat_stateless(exchange)
        elif seen.method == "server/discover":
            exchange.error(-32600, "Bad Request: Server not initialized", status=400)
        elif seen.method == "initialize":
            self._open_session(exchange)
        elif self.with_sessions and "mcp-session-id" not in seen.headers:
            exchange.error(-32600, "Bad Request: no session id", status=400)
        elif self.with_sessions and seen.headers["mcp-session-id"] not in self.sessions:
            exchange.error(-32001, "Session not found", status=404)
        else:
            exchange.answer()

    def _treat_stateless(self, exchange: Exchange) -> None:
        seen = exchange.seen
        meta = seen.params.get("_meta", {})
        version = meta.get("io.modelcontextprotocol/protocolVersion")
        if version != STATELESS or seen.headers.get("mcp-protocol-version") != version:
            exchange.error(-32022, "unsupported version", status=400, data={"supported": [STATELESS]})
        elif seen.headers.get("mcp-method") != seen.method:
            exchange.error(-32020, "Mcp-Method does not match", status=400)
        elif seen.method == "subscriptions/listen" and self.listens:
            self._treat_subscription(exchange)
        else:
            exchange.answer()

    def _treat_subscription(self, exchange: Exchange) -> None:
        key = "io.modelcontextprotocol/subscriptionId"
        accepted = exchange.seen.params["notifications"]
        acknowledged = {"_meta": {key: exchange.id}, "notifications": accepted}
        exchange.stream().notify("notifications/subscriptions/acknowledged", **acknowledged)
        with self._lock:
            self.sessions[f"subscription-{exchange.id}"] = exchange
        if exchange.closed_by_client():
            self.events["subscription closed"].set()

    def _open_session(self, exchange: Exchange) -> None:
        if self.with_sessions:
            session = f"session-{next(self._ids)}"
            with self._lock:
                self.sessions[session] = None
            self.assigned[exchange.seen.connection] = session
        exchange.answer()

    def _treat_get(self, exchange: Exchange) -> None:
        if not self.listens:
            exchange.status(405)
            return
        with self._lock:
            self.sessions[exchange.seen.headers["mcp-session-id"]] = exchange
        exchange.stream()
        exchange.closed_by_client()


class StrictServer(ScriptedServer):
    """A server that leaves nothing out that clients of the stateless era may insist on."""

    def result_of(self, exchange: Exchange) -> Mapping[str, Any]:
        if self.era != STATELESS:
            return super().result_of(exchange)
        return {"resultType": "complete", "ttlMs": 0, "cacheScope": "private", **super().result_of(exchange)}


# ---- what it offers by default -----------------------------------------------------------

CAPABILITIES = {"tools": {}, "resources": {}, "prompts": {}, "completions": {}, "logging": {}}
SERVER_INFO = {"name": "scripted", "version": "1"}


def text(value: str, **more: Any) -> dict[str, Any]:
    """Make the result of a tool that says something."""
    return {"content": [{"type": "text", "text": value}], **more}


def _discover(exchange: Exchange, params: dict[str, Any]) -> dict[str, Any]:
    return {
        "resultType": "complete",
        "supportedVersions": [STATELESS],
        "capabilities": {**CAPABILITIES, "tools": {"listChanged": exchange.server.listens}},
        "instructions": "Be scripted.",
        "_meta": {"io.modelcontextprotocol/serverInfo": SERVER_INFO},
    }


def _initialize(exchange: Exchange, params: dict[str, Any]) -> dict[str, Any]:
    return {
        "protocolVersion": exchange.server.era,
        "capabilities": CAPABILITIES,
        "serverInfo": SERVER_INFO,
        "instructions": "Be scripted.",
    }


def _call_tool(exchange: Exchange, params: dict[str, Any]) -> Mapping[str, Any]:
    tool = exchange.server.tools.get(params["name"])
    if tool is None:
        raise ServerError(-32602, f"Unknown tool: {params['name']}")
    return tool(exchange, params.get("arguments") or {})


def _get_user(exchange: Exchange, arguments: dict[str, Any]) -> dict[str, Any]:
    user = {"id": arguments["id"], "name": "Ada", "email": "ada@example.com"}
    return text(json.dumps(user), structuredContent=user)


def _count(exchange: Exchange, arguments: dict[str, Any]) -> dict[str, Any]:
    """Report progress where it is wanted."""
    to = int(arguments["to"])
    if "progressToken" in exchange.seen.params.get("_meta", {}):
        exchange.stream()
        for number in range(1, to + 1):
            exchange.progress(number, to)
    return text(f"counted to {to}")


def _wait(exchange: Exchange, arguments: dict[str, Any]) -> dict[str, Any]:
    exchange.server.wait_for(arguments["for"])
    return text("done")


TOOLS: dict[str, Callable[[Exchange, dict[str, Any]], Mapping[str, Any]]] = {
    "add": lambda exchange, arguments: text(str(arguments["a"] + arguments["b"])),
    "echo": lambda exchange, arguments: text(json.dumps(arguments)),
    "tool_name": lambda exchange, arguments: text(json.dumps(arguments)),
    "fail": lambda exchange, arguments: text("it went wrong", isError=True),
    "get_user": _get_user,
    "count": _count,
    "wait": _wait,
}

_SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
}


def _list_tools(exchange: Exchange, params: dict[str, Any]) -> dict[str, Any]:
    tools: list[dict[str, Any]] = [
        {"name": "add", "description": "Adds two numbers", "inputSchema": _SCHEMA},
        {"name": "echo", "description": "Gives back what it gets", "inputSchema": {"type": "object"}},
    ]
    return {"tools": tools}


def _read_resource(exchange: Exchange, params: dict[str, Any]) -> dict[str, Any]:
    uri = params["uri"]
    if "missing" in uri:
        raise ServerError(-32002, "Resource not found", {"uri": uri})
    return {"contents": [{"uri": uri, "mimeType": "text/plain", "text": "the text"}]}


def _get_prompt(exchange: Exchange, params: dict[str, Any]) -> dict[str, Any]:
    said = f"Summarize: {(params.get('arguments') or {}).get('text', '')}"
    return {"messages": [{"role": "user", "content": {"type": "text", "text": said}}]}


RESULTS: dict[str, Result] = {
    "server/discover": _discover,
    "initialize": _initialize,
    "ping": {},
    "tools/list": _list_tools,
    "tools/call": _call_tool,
    "resources/list": {"resources": [{"uri": "file:///path/to/file.txt", "name": "file.txt"}]},
    "resources/templates/list": {"resourceTemplates": [{"uriTemplate": "file:///{path}", "name": "files"}]},
    "resources/read": _read_resource,
    "prompts/list": {"prompts": [{"name": "summarize", "description": "Summarizes a text"}]},
    "prompts/get": _get_prompt,
    "completion/complete": {"completion": {"values": ["alpha", "beta"], "total": 2, "hasMore": False}},
}

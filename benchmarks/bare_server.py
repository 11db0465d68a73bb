"""A bare asyncio server that knows just enough MCP of both eras: the other end of the benchmarks.

It answers ``tools/call`` with the text it was given, as JSON at ``/mcp`` and as a chunked event
stream at ``/events``, as uvicorn writes one; behind a number in the path, as in ``/events/65536``,
with so many letters. At ``/list/1000`` it has so many tools, else one. ``/handshake`` is ``/mcp`` of the
handshake era, with sessions. ``/progress/1000`` reports progress so often before it answers, and
``/late`` once, a while before. Run as a program, it prints its port and serves on loopback until it is
killed, over TLS where it is given a certificate; with ``--stdio`` it is a server of the handshake era on
its pipes.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Reports of progress in one write: as many as an application makes in a turn of its event loop.
REPORTS_AT_ONCE = 16
NOT_FOUND = {"code": -32601, "message": "method not found"}
#: Connections that wait to be accepted: a thousand callers open theirs at once.
BACKLOG = 1024
#: Seconds from the report of ``/late`` to its answer.
LATE_SECONDS = 0.05


@contextmanager
def started(certificate: Path | None = None) -> Generator[str]:
    """Run the server in a process of its own for as long as the block runs, and yield its URL."""
    command = [sys.executable, __file__, *([str(certificate)] if certificate else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            scheme = "https" if certificate else "http"
            yield f"{scheme}://127.0.0.1:{int(server.stdout.readline())}/mcp"
        finally:
            server.kill()


@contextmanager
def trusted_certificate() -> Generator[Path]:
    """Make a certificate that this process trusts for as long as the block runs, by openssl."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "certificate.pem")
        names = ["subjectAltName=IP:127.0.0.1", "keyUsage=critical,digitalSignature,keyCertSign"]
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1"]
        command += [argument for name in names for argument in ("-addext", name)]
        key = subprocess.run([*command, "-keyout", "-"], check=True, capture_output=True).stdout
        made.write_bytes(key)
        before = os.environ.get("SSL_CERT_FILE")
        os.environ["SSL_CERT_FILE"] = str(made)
        try:
            yield made
        finally:
            del os.environ["SSL_CERT_FILE"]
            if before is not None:
                os.environ["SSL_CERT_FILE"] = before


class Server(asyncio.Protocol):
    """One connection of the server."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            head, separator, rest = self.buffer.partition(b"\r\n\r\n")
            if not separator:
                return
            length = 0
            for line in head.split(b"\r\n")[1:]:
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if len(rest) < length:
                return
            body, self.buffer = rest[:length], rest[length:]
            method, target, _ = head.split(b" ", 2)
            _, kind, *size = target.decode().split("/")
            self.kind, self.size = kind, int(size[0]) if size else None
            self.respond(body if method == b"POST" else b"")

    def respond(self, body: bytes) -> None:
        if not body:
            return self.send(b"405 Method Not Allowed", b"")
        message = json.loads(body)
        if "id" not in message:
            return self.send(b"202 Accepted", b"")
        method, params = message["method"], message.get("params", {})
        result = self.result(method, params)
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        if result is None:
            answer["error"] = NOT_FOUND
        else:
            answer["result"] = result
        encoded = json.dumps(answer).encode()
        if method == "tools/call" and self.kind in STREAMED:
            return self.report(encoded, params.get("_meta", {}).get("progressToken"))
        return self.stream(encoded) if self.kind == "events" else self.send(b"200 OK", encoded)

    def result(self, method: str, params: dict[str, Any]) -> dict[str, Any] | None:
        server_info = {"name": "bench", "version": "1"}
        complete = {"resultType": "complete"}
        cached = {**complete, "ttlMs": 0, "cacheScope": "private"}
        if method == "tools/call":
            text = params["arguments"]["text"]
            if self.size is not None and self.kind not in STREAMED:
                text = "a" * self.size
            return {**complete, "content": [{"type": "text", "text": text}]}
        if method == "tools/list":
            schema = {"type": "object", "properties": {"text": {"type": "string"}}}
            count = (self.size or 1) if self.kind == "list" else 1
            names = ["echo", *(f"tool_{number}" for number in range(1, count))]
            return {**cached, "tools": [{"name": name, **described(name, schema)} for name in names]}
        if method == "server/discover" and self.kind != "handshake":
            return {
                **cached,
                "supportedVersions": ["2026-07-28"],
                "capabilities": {"tools": {}},
                "_meta": {"io.modelcontextprotocol/serverInfo": server_info},
            }
        if method == "initialize":
            return {
                "protocolVersion": params["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": server_info,
            }
        return None

    def send(self, status: bytes, body: bytes) -> None:
        assert isinstance(self.transport, asyncio.Transport)
        session = b"mcp-session-id: 6f9619ff8b86d011\r\n" if self.kind == "handshake" else b""
        self.transport.write(
            b"HTTP/1.1 %b\r\n%bcontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (status, session, len(body), body)
        )

    def stream(self, body: bytes) -> None:
        self.begin_stream()
        self.write_events(body)
        self.end_stream()

    def begin_stream(self) -> None:
        assert isinstance(self.transport, asyncio.Transport)
        self.transport.write(
            b"HTTP/1.1 200 OK\r\ncache-control: no-cache, no-transform\r\nconnection: keep-alive\r\n"
            b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )

    def write_events(self, *messages: bytes) -> None:
        assert isinstance(self.transport, asyncio.Transport)
        events = [b"event: message\r\ndata: %b\r\n\r\n" % message for message in messages]
        self.transport.write(b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events))

    def end_stream(self) -> None:
        assert isinstance(self.transport, asyncio.Transport)
        self.transport.write(b"0\r\n\r\n")

    def report(self, answer: bytes, token: Any) -> None:
        """Report progress before the answer."""
        count = 1 if self.size is None else self.size
        self.begin_stream()
        for first in range(0, count, REPORTS_AT_ONCE):
            self.write_events(
                *(progress(token, each) for each in range(first, min(first + REPORTS_AT_ONCE, count)))
            )

        def finish() -> None:
            self.write_events(answer)
            self.end_stream()

        if self.kind == "late":
            asyncio.get_running_loop().call_later(LATE_SECONDS, finish)
        else:
            finish()


#: Parts of the server that report progress.
STREAMED = frozenset(["progress", "late"])


def progress(token: Any, number: int) -> bytes:
    """Return a report."""
    params = {"progressToken": token, "progress": number + 1, "message": f"step {number + 1}"}
    return json.dumps({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}).encode()


def described(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return what a list says of a tool beside its name: a line of text, and parameters with a line each."""
    about = f"What {name} does, in a line or two of plain text for a language model."
    properties = {
        parameter: {"type": "string", "description": f"What {parameter} is for, in a line."}
        for parameter in ("owner", "repository", "path", "branch")
    }
    whole = {**schema, "properties": {**schema["properties"], **properties}, "required": ["text"]}
    return {"description": about, "inputSchema": whole, "annotations": {"readOnlyHint": True}}


async def serve() -> None:
    """Serve on a free port, after printing it."""
    context = None
    if sys.argv[1:]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(sys.argv[1])
    server = await asyncio.get_running_loop().create_server(
        Server, "127.0.0.1", 0, ssl=context, backlog=BACKLOG
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def serve_pipes() -> None:
    """Answer what comes on standard input, a message a line."""
    server = Server()
    server.kind, server.size = "handshake", None
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if "id" not in message:
            continue
        result = server.result(message["method"], message.get("params", {}))
        answer = {"error": NOT_FOUND} if result is None else {"result": result}
        answer = {"jsonrpc": "2.0", "id": message["id"], **answer}
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    if sys.argv[1:] == ["--stdio"]:
        serve_pipes()
    else:
        asyncio.run(serve())

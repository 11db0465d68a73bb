"""A bare asyncio server that knows just enough MCP of both eras: the other end of the benchmarks.

It answers ``tools/call`` with the text it was given, as JSON at ``/mcp`` and as a chunked event
stream at ``/events``, as uvicorn writes one; behind a number in the path, as in ``/events/65536``,
with so many letters. At ``/list/1000`` it has so many tools, else one. Run as a program, it prints its
port and serves on loopback until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any


@contextmanager
def started() -> Generator[str]:
    """Run the server in a process of its own for as long as the block runs, and yield its URL."""
    with subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/mcp"
        finally:
            server.kill()


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
        result = self.result(message["method"], message.get("params", {}))
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        if result is None:
            answer["error"] = {"code": -32601, "message": "method not found"}
        else:
            answer["result"] = result
        encoded = json.dumps(answer).encode()
        send = self.stream if self.kind == "events" else self.send
        return send(b"200 OK", encoded)

    def result(self, method: str, params: dict[str, Any]) -> dict[str, Any] | None:
        server_info = {"name": "bench", "version": "1"}
        complete = {"resultType": "complete"}
        cached = {**complete, "ttlMs": 0, "cacheScope": "private"}
        if method == "tools/call":
            text = params["arguments"]["text"] if self.size is None else "a" * self.size
            return {**complete, "content": [{"type": "text", "text": text}]}
        if method == "tools/list":
            schema = {"type": "object", "properties": {"text": {"type": "string"}}}
            count = (self.size or 1) if self.kind == "list" else 1
            names = ["echo", *(f"tool_{number}" for number in range(1, count))]
            return {**cached, "tools": [{"name": name, **described(name, schema)} for name in names]}
        if method == "server/discover":
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
        self.transport.write(
            b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (status, len(body), body)
        )

    def stream(self, status: bytes, body: bytes) -> None:
        assert isinstance(self.transport, asyncio.Transport)
        event = b"event: message\r\ndata: %b\r\n\r\n" % body
        self.transport.write(
            b"HTTP/1.1 %b\r\ncache-control: no-cache, no-transform\r\nconnection: keep-alive\r\n"
            b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n" % status
        )
        self.transport.write(b"%x\r\n%b\r\n" % (len(event), event))
        self.transport.write(b"0\r\n\r\n")


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
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())

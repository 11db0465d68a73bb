"""Memory of open sessions on one client, and the requests that it takes to connect them.

::

    python benchmarks/bench_sessions.py [--check] [--short] [--json FILE]

The client opens 10,000 sessions of as many users, and then each makes a call: at a server in another
process that lets everybody keep what it says of itself, at one that does not, and at one of the
handshake era; then all again with OAuth, each user with tokens in the store, whose own memory is not
counted. What the process has grown by is read from ``/proc`` (Linux), after a garbage collection and
with the pool warm: when all are connected, and when all have made their call.

``--check`` ends with 1 where a session takes more than ``MOST_BYTES``, where connecting one takes a
request in the stateless era, or where 10,000 sessions without an open stream have begun a task or thread.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import results

from routermcp import RouterMCPClient
from routermcp.oauth import OAuthConfig, memory_adapter

#: Sessions that are opened.
SESSIONS, SHORT_SESSIONS = 10_000, 2_000
#: Sessions that are opened before, so that the pool and all caches are as they will be.
WARM_UP = 200
STATELESS, HANDSHAKE = "2026-07-28", "2025-11-25"
#: The servers, by name: their revision, and whether what they say of themselves may be kept.
SERVERS = {
    "stateless": (STATELESS, True),
    "stateless, not cacheable": (STATELESS, False),
    "handshake": (HANDSHAKE, False),
}
#: The most bytes of a session before its first call and after it, whatever the server says of caching.
MOST_BYTES = (4096, 4608)
#: The same of one with tokens, by server: without a request to connect, they are read at the first call.
MOST_WITH_TOKENS = {
    "stateless": (4096, 6656),
    "stateless, not cacheable": (6144, 6656),
    "handshake": (6144, 6656),
}
#: What it is to take one day.
STRETCH_BYTES = (3072, 3584)
#: The most requests to connect one, by server: a server that lets nobody keep its words is asked again.
MOST_REQUESTS = {"stateless": 0.0, "stateless, not cacheable": 1.0, "handshake": 2.0}

INFO = {"name": "bench", "version": "1"}


class Server(asyncio.Protocol):
    """One connection of a server that knows how to begin a session, and nothing else."""

    era = ""
    cacheable = False
    requests = 0
    numbers = itertools.count(1)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, rest = self.buffer.partition(b"\r\n\r\n")
            length = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line[15:])
            if len(rest) < length:
                return
            body, self.buffer = rest[:length], rest[length:]
            self.transport.write(self.answer(head, body))  # type: ignore[attr-defined]

    def answer(self, head: bytes, body: bytes) -> bytes:
        if head.startswith(b"GET /count"):
            return response(200, {"requests": Server.requests})
        Server.requests += 1
        if not head.startswith(b"POST"):
            return response(405, None)
        message = json.loads(body)
        if "id" not in message:
            return response(202, None)
        return self.result(message)

    def result(self, message: dict[str, Any]) -> bytes:
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        if message["method"] == "tools/call":
            content = [{"type": "text", "text": message["params"]["arguments"]["text"]}]
            answer["result"] = {"resultType": "complete", "content": content}
            return response(200, answer)
        if message["method"] == "server/discover" and self.era == STATELESS:
            answer["result"] = {
                "resultType": "complete",
                "ttlMs": 3_600_000 if self.cacheable else 0,
                "cacheScope": "public" if self.cacheable else "private",
                "supportedVersions": [self.era],
                "capabilities": {"tools": {}},
                "_meta": {"io.modelcontextprotocol/serverInfo": INFO},
            }
            return response(200, answer)
        if message["method"] == "initialize" and self.era != STATELESS:
            agreed = {"protocolVersion": self.era, "capabilities": {"tools": {}}, "serverInfo": INFO}
            session = f"Mcp-Session-Id: session-{next(self.numbers):032}\r\n"
            return response(200, {**answer, "result": agreed}, session)
        answer["error"] = {"code": -32601, "message": "no such method"}
        return response(404 if self.era == STATELESS else 400, answer)


def response(status: int, document: Any, more: str = "") -> bytes:
    """Return an answer."""
    body = b"" if document is None else json.dumps(document).encode()
    head = f"HTTP/1.1 {status} Any\r\nContent-Type: application/json\r\n{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def serve(name: str) -> None:
    """Serve until killed, and print the port."""
    Server.era, Server.cacheable = SERVERS[name]
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def resident() -> int:
    """Return the bytes of memory that this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def counted(port: int) -> int:
    """Return the requests that the server has seen."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /count HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    found = json.loads(await reader.readuntil(b"}"))
    writer.close()
    return int(found["requests"])


def signed_in(url: str, users: int) -> OAuthConfig:
    """Return a configuration whose store has tokens of every user."""
    adapter = memory_adapter()
    origin = url.rpartition("/")[0]
    for number in range(users):
        now = time.time()
        record = {
            "endpoint": url,
            "resource": url,
            "issuer": origin,
            "token_endpoint": f"{origin}/token",
            "client": {"client_id": "bench", "token_endpoint_auth_method": "none"},
            "tokens": {
                "access_token": f"access-{number:025}",
                "refresh_token": f"refresh-{number:024}",
                "token_type": "bearer",
                "issuer": origin,
                "obtained_at": now,
                "expires_at": now + 3600,
            },
        }
        adapter.set(f"user-{number}", "bench", record)
    return OAuthConfig(adapter, server_id="bench", redirect_uri="https://app.example/back")


@dataclass(frozen=True, slots=True)
class Row:
    """What each session took: bytes and requests before its first call, bytes after it, microseconds."""

    server: str
    tokens: bool
    connected: float
    called: float
    requests: float
    microseconds: float
    tasks: int
    """Tasks and threads that all sessions together have begun."""


async def measure(port: int, name: str, count: int, with_tokens: bool) -> Row:
    """Open the sessions and let each make a call."""
    url = f"http://127.0.0.1:{port}/mcp"
    oauth = signed_in(url, WARM_UP + count) if with_tokens else None
    async with RouterMCPClient(url, user_id="admin", oauth=oauth) as client:
        kept: list[Any] = [None] * (count + WARM_UP)

        async def connect(first: int, last: int) -> None:
            for number in range(first, last):
                kept[number] = client.create_session(f"user-{number}")
                await kept[number].connect()

        async def call(first: int, last: int) -> None:
            for number in range(first, last):
                assert (await kept[number].call_tool("echo", {"text": "a"})).text == "a"

        await connect(0, WARM_UP)
        await call(0, WARM_UP)
        requests, memory, began = await counted(port), resident(), time.perf_counter()
        tasks = len(asyncio.all_tasks()) + threading.active_count()
        await connect(WARM_UP, WARM_UP + count)
        took = time.perf_counter() - began
        asked, connected = await counted(port) - requests, resident() - memory
        begun = len(asyncio.all_tasks()) + threading.active_count() - tasks
        await call(WARM_UP, WARM_UP + count)
        called = resident() - memory
        # Without a farewell to the server, which is not what is measured.
        kept.clear()
    each = (connected / count, called / count, asked / count, took / count * 1e6)
    return Row(name, with_tokens, *each, begun)


def measure_alone(name: str, count: int, with_tokens: bool) -> Row:
    """Measure in a process of its own: what another one has freed would be used again."""
    command = [sys.executable, __file__]
    with subprocess.Popen([*command, "--serve", name], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        port = server.stdout.readline().decode().strip()
        more = ["--of", name, "--sessions", str(count), *(["--tokens"] if with_tokens else [])]
        measured = json.loads(subprocess.check_output([*command, "--measure", port, *more]))
        server.kill()
    return Row(**measured)


def bounds(rows: list[Row]) -> list[results.Bound]:
    """Return what must hold: all of it counts something, so that no noise is allowed."""
    made: list[results.Bound] = []

    def at_most(
        name: str, measured: float, most: float, unit: str = "", stretch: float | None = None
    ) -> None:
        made.append(results.Bound(name, measured, most, at_most=True, stretch=stretch, unit=unit, exact=True))

    for each in rows:
        name = f"{each.server}{', tokens' if each.tokens else ''}"
        most = MOST_WITH_TOKENS[each.server] if each.tokens else MOST_BYTES
        stretch = (None, None) if each.tokens else STRETCH_BYTES
        at_most(f"bytes of a session, connected: {name}", each.connected, most[0], " B", stretch[0])
        at_most(f"bytes of a session, after a call: {name}", each.called, most[1], " B", stretch[1])
        at_most(f"requests to connect: {name}", each.requests, MOST_REQUESTS[each.server])
        at_most(f"tasks of all sessions: {name}", each.tasks, 0)
    return made


def main() -> int:
    """Run the benchmark and return its exit code."""
    parser = results.parser(__doc__)
    parser.add_argument("--serve", metavar="SERVER", help=argparse.SUPPRESS)
    parser.add_argument("--measure", metavar="PORT", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--of", metavar="SERVER", help=argparse.SUPPRESS)
    parser.add_argument("--sessions", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--tokens", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.serve))
    if options.measure:
        row = asyncio.run(measure(options.measure, options.of, options.sessions, options.tokens))
        print(json.dumps(asdict(row)))
        return 0
    rows: list[Row] = []
    print(f"{'server':<25} tokens  connected  after a call  requests  time each  tasks of all")
    for with_tokens, name in itertools.product((False, True), SERVERS):
        each = measure_alone(name, SHORT_SESSIONS if options.short else SESSIONS, with_tokens)
        rows.append(each)
        print(
            f"{name:<25} {'yes' if with_tokens else 'no':<6} {each.connected:>8.0f} B {each.called:>11.0f} B"
            f" {each.requests:>9.2f} {each.microseconds:>7.0f} us {each.tasks:>13}",
            flush=True,
        )
    return results.finish(options, bounds(rows), rows=[asdict(each) for each in rows])


if __name__ == "__main__":
    sys.exit(main())

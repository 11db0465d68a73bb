"""Memory of open sessions on one client, and the requests that it takes to connect them.

::

    python benchmarks/bench_sessions.py [--check]

The client opens 10,000 sessions of as many users, at a server in another process that lets
everybody keep what it says of itself, and then at one of the handshake era; then both again with
OAuth, each user with tokens in the store, whose own memory is not counted. What the process has
grown by is read from ``/proc`` (Linux), after a garbage collection and with the pool warm.

``--check`` ends with 1 where a session takes more than 4 KB (stateless era) or 6 KB (handshake
era), where connecting one takes a request in the stateless era, or where 10,000 sessions without an
open stream have begun a task or thread.
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
from pathlib import Path
from typing import Any

from routermcp import RouterMCPClient
from routermcp.oauth import OAuthConfig, memory_adapter

#: Sessions that are opened.
SESSIONS = 10_000
#: Sessions that are opened before, so that the pool and all caches are as they will be.
WARM_UP = 200
#: The most that one may take, in bytes, by era.
MOST_BYTES = {"2026-07-28": 4096, "2025-11-25": 6144}
#: The most requests to connect one.
MOST_REQUESTS = {"2026-07-28": 0.0, "2025-11-25": 2.0}

INFO = {"name": "bench", "version": "1"}


class Server(asyncio.Protocol):
    """One connection of a server that knows how to begin a session, and nothing else."""

    era = ""
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
        if message["method"] == "server/discover" and self.era == "2026-07-28":
            answer["result"] = {
                "resultType": "complete",
                "ttlMs": 3_600_000,
                "cacheScope": "public",
                "supportedVersions": [self.era],
                "capabilities": {"tools": {}},
                "_meta": {"io.modelcontextprotocol/serverInfo": INFO},
            }
            return response(200, answer)
        if message["method"] == "initialize" and self.era != "2026-07-28":
            agreed = {"protocolVersion": self.era, "capabilities": {"tools": {}}, "serverInfo": INFO}
            session = f"Mcp-Session-Id: session-{next(self.numbers):032}\r\n"
            return response(200, {**answer, "result": agreed}, session)
        answer["error"] = {"code": -32601, "message": "no such method"}
        return response(404 if self.era == "2026-07-28" else 400, answer)


def response(status: int, document: Any, more: str = "") -> bytes:
    """Return an answer."""
    body = b"" if document is None else json.dumps(document).encode()
    head = f"HTTP/1.1 {status} Any\r\nContent-Type: application/json\r\n{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def serve(era: str) -> None:
    """Serve until killed, and print the port."""
    Server.era = era
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


def signed_in(url: str) -> OAuthConfig:
    """Return a configuration whose store has tokens of every user."""
    adapter = memory_adapter()
    origin = url.rpartition("/")[0]
    for number in range(WARM_UP + SESSIONS):
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


async def measure(port: int, with_tokens: bool) -> tuple[float, float, float, int]:
    """Return bytes, requests and microseconds for each session, and the tasks and threads of all."""
    url = f"http://127.0.0.1:{port}/mcp"
    oauth = signed_in(url) if with_tokens else None
    async with RouterMCPClient(url, user_id="admin", oauth=oauth) as client:
        kept: list[Any] = [None] * (SESSIONS + WARM_UP)
        for number in range(WARM_UP):
            kept[number] = client.create_session(f"user-{number}")
            await kept[number].connect()
        requests, memory, began = await counted(port), resident(), time.perf_counter()
        tasks = len(asyncio.all_tasks()) + threading.active_count()
        for number in range(WARM_UP, WARM_UP + SESSIONS):
            kept[number] = client.create_session(f"user-{number}")
            await kept[number].connect()
        took = time.perf_counter() - began
        begun = len(asyncio.all_tasks()) + threading.active_count() - tasks
        grown, asked = resident() - memory, await counted(port) - requests
        # Without a farewell to the server, which is not what is measured.
        kept.clear()
    return grown / SESSIONS, asked / SESSIONS, took / SESSIONS * 1e6, begun


def measure_alone(era: str, with_tokens: bool) -> tuple[float, float, float, int]:
    """Measure in a process of its own: what another one has freed would be used again."""
    command = [sys.executable, __file__]
    with subprocess.Popen([*command, "--serve", era], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        port = server.stdout.readline().decode().strip()
        more = ["--tokens"] if with_tokens else []
        measured = json.loads(subprocess.check_output([*command, "--measure", port, *more]))
        server.kill()
    size, requests, took, begun = measured
    return size, requests, took, begun


def main() -> int:
    """Run the benchmark and return its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail beyond the bounds")
    parser.add_argument("--serve", metavar="ERA", help=argparse.SUPPRESS)
    parser.add_argument("--measure", metavar="PORT", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--tokens", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.serve))
    if options.measure:
        print(json.dumps(asyncio.run(measure(options.measure, options.tokens))))
        return 0
    missed = False
    print("era         tokens  bytes each   most  requests each  most    time each  tasks of all")
    for with_tokens, (era, most) in itertools.product((False, True), MOST_BYTES.items()):
        size, requests, took, begun = measure_alone(era, with_tokens)
        missed = missed or size > most or requests > MOST_REQUESTS[era] or begun > 0
        print(
            f"{era}  {'yes' if with_tokens else 'no':<6}  {size:>10.0f}  {most:>5}  "
            f"{requests:>13.2f}  {MOST_REQUESTS[era]:>4.0f}  {took:>8.0f} us  {begun:>12}"
        )
    return int(options.check and missed)


if __name__ == "__main__":
    sys.exit(main())

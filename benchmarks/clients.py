"""The clients that ``bench_http.py`` compares: each opens a session and makes one kind of call.

A client is a function that runs a block of calls and returns what they took. It opens its session
and warms up within the block, outside of the time that counts, so that no client needs a loop that
outlives the block.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import socket
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from routermcp import RouterMCPClient, SyncRouterMCPClient

ARGUMENTS = {"text": "a" * 60}

OURS, OFFICIAL, SOCKET = "routermcp", "mcp", "socket"
THROUGH_HTTPX = "routermcp, httpx"

Call = Callable[[], Awaitable[str]]
"""Makes one call and returns the text of its result."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured.

    Attributes:
        url: Where the server is.
        length: Letters that a result has to have.
        concurrency: Calls at once.
        calls: Calls that count; a third as many before them do not.
    """

    url: str
    length: int
    concurrency: int
    calls: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What a block of calls took, in microseconds: CPU of the process, and time, each per call."""

    cpu: float
    elapsed: float
    latencies: list[float]


class _Meter:
    """Counts the calls of one block."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._latencies: list[float] = []
        self.began()

    def began(self) -> None:
        self._latencies.clear()
        self._cpu, self._clock = time.process_time(), time.perf_counter()

    def called(self, since: float, text: str) -> None:
        self._latencies.append((time.perf_counter() - since) * 1e6)
        assert len(text) == self._case.length

    def figures(self) -> Figures:
        cpu, elapsed = time.process_time() - self._cpu, time.perf_counter() - self._clock
        calls = len(self._latencies)
        return Figures(cpu / calls * 1e6, elapsed / calls * 1e6, sorted(self._latencies))

    async def repeat(self, call: Call, calls: int) -> None:
        for _ in range(calls):
            began = time.perf_counter()
            self.called(began, await call())


def _text(result: Any) -> str:
    item: Any = result.content[0]
    return str(item["text"] if isinstance(item, dict) else item.text)


# ---- sessions ------------------------------------------------------------------------------------


@asynccontextmanager
async def routermcp_session(url: str, **settings: Any) -> AsyncGenerator[Call]:
    """Give a call of this project's client."""
    async with RouterMCPClient(url=url, **settings) as client:

        async def call() -> str:
            return _text(await client.call_tool("echo", ARGUMENTS))

        yield call


@asynccontextmanager
async def through_httpx(url: str) -> AsyncGenerator[Call]:
    """Give a call of this project's client, which sends it through a client of httpx."""
    httpx = importlib.import_module("httpx")
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
    async with (
        httpx.AsyncClient(limits=limits, timeout=60) as http_client,
        routermcp_session(url, http_client=http_client) as call,
    ):
        yield call


@asynccontextmanager
async def client_session(module: str, url: str) -> AsyncGenerator[Call]:
    """Give a call of the ``Client`` of another package: the official one, or fastmcp."""
    async with importlib.import_module(module).Client(url) as client:

        async def call() -> str:
            return _text(await client.call_tool("echo", ARGUMENTS))

        yield call


_REQUEST = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "echo", "arguments": ARGUMENTS},
}


def _read(body: bytes) -> str:
    """Return the text of a response, with no more work than an HTTP client leaves to its caller."""
    return json.loads(body[body.index(b"{") :])["result"]["content"][0]["text"]


@asynccontextmanager
async def httpx_session(module: str, url: str) -> AsyncGenerator[Call]:
    """Give a bare POST of httpx or httpx2: no MCP, no check of the answer."""
    httpx = importlib.import_module(module)
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:

        async def call() -> str:
            return _read((await client.post(url, json=_REQUEST)).content)

        yield call


@asynccontextmanager
async def aiohttp_session(url: str) -> AsyncGenerator[Call]:
    """Give a bare POST of aiohttp."""
    async with importlib.import_module("aiohttp").ClientSession() as client:

        async def call() -> str:
            async with client.post(url, json=_REQUEST) as response:
                return _read(await response.read())

        yield call


Session = Callable[[str], Any]
Client = Callable[[Case], Figures]

# ---- runtimes ------------------------------------------------------------------------------------


def on_asyncio(session: Session, run: Callable[[Any], Figures] = asyncio.run) -> Client:
    """Return a client whose calls at once are tasks of asyncio, or of another loop that ``run`` runs."""

    async def block(case: Case) -> Figures:
        meter = _Meter(case)
        async with session(case.url) as call:

            async def calls(count: int) -> None:
                each = count // case.concurrency
                await asyncio.gather(*(meter.repeat(call, each) for _ in range(case.concurrency)))

            await calls(case.calls // 3)
            meter.began()
            await calls(case.calls)
            return meter.figures()

    return lambda case: run(block(case))


def on_trio(case: Case) -> Figures:
    """Run this project's client under trio."""
    trio = importlib.import_module("trio")

    async def block() -> Figures:
        meter = _Meter(case)
        async with routermcp_session(case.url) as call:

            async def calls(count: int) -> None:
                async with trio.open_nursery() as nursery:
                    for _ in range(case.concurrency):
                        nursery.start_soon(meter.repeat, call, count // case.concurrency)

            await calls(case.calls // 3)
            meter.began()
            await calls(case.calls)
            return meter.figures()

    return trio.run(block)


def in_threads(case: Case) -> Figures:
    """Run this project's blocking client, each call at once in a thread."""
    meter, lock = _Meter(case), threading.Lock()
    with SyncRouterMCPClient(url=case.url) as client:

        def repeat(count: int) -> None:
            for _ in range(count):
                began = time.perf_counter()
                text = _text(client.call_tool("echo", ARGUMENTS))
                with lock:
                    meter.called(began, text)

        def calls(count: int) -> None:
            each = [count // case.concurrency] * case.concurrency
            list(threads.map(repeat, each))

        with ThreadPoolExecutor(case.concurrency) as threads:
            calls(case.calls // 3)
            meter.began()
            calls(case.calls)
            return meter.figures()


def over_a_socket(case: Case) -> Figures:
    """Send the same bytes over a socket, one after another: what no client can undercut."""
    at = urlsplit(case.url)
    body = json.dumps(_REQUEST).encode()
    head = f"POST {at.path} HTTP/1.1\r\nHost: {at.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
    request = head.encode() + body
    meter = _Meter(case)
    with socket.create_connection((at.hostname or "", at.port or 80)) as connection:

        def calls(count: int) -> None:
            for _ in range(count):
                began = time.perf_counter()
                connection.sendall(request)
                received = bytearray()
                while not received.endswith((b"}", b"0\r\n\r\n")):
                    received += connection.recv(256 * 1024)
                body = bytes(received)
                meter.called(began, _read(body[: body.rindex(b"}") + 1]))

        calls(case.calls // 3)
        meter.began()
        calls(case.calls)
        return meter.figures()


def installed() -> dict[str, Client]:
    """Return the clients that can run here, by name; this project's on asyncio is the first."""
    clients: dict[str, Client] = {OURS: on_asyncio(routermcp_session)}
    if importlib.util.find_spec("uvloop"):
        clients["routermcp, uvloop"] = on_asyncio(routermcp_session, importlib.import_module("uvloop").run)
    if importlib.util.find_spec("trio"):
        clients["routermcp, trio"] = on_trio
    clients["routermcp, threads"] = in_threads
    clients[THROUGH_HTTPX] = on_asyncio(through_httpx)
    others = {
        OFFICIAL: partial(client_session, OFFICIAL),
        "fastmcp": partial(client_session, "fastmcp"),
        "httpx": partial(httpx_session, "httpx"),
        "httpx2": partial(httpx_session, "httpx2"),
        "aiohttp": aiohttp_session,
    }
    for name, session in others.items():
        if importlib.util.find_spec(name):
            clients[name] = on_asyncio(session)
    clients[SOCKET] = over_a_socket
    return clients

"""Clients that mean no good against a gateway in a process of its own, and one that means well.

::

    python tests/security/hostile_clients.py                   three seconds with the usual seed
    python tests/security/hostile_clients.py --seconds 600 --seed random

The hostile ones send without end, or nothing, or slowly; close half, do not read, come with many keys
and open sessions without end. Meanwhile one client with a key and a session of its own asks for
``/health`` and calls a tool, again and again: each has to be answered, the session has to last, and
the gateway's memory must not grow with what the others send.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "adapters")]

from routermcp.gateway import serve_in_thread  # noqa: E402
from routermcp.gateway.http.authentication import APIKey  # noqa: E402
from routermcp.gateway.http.gateway_app import GatewayApp  # noqa: E402
from routermcp.gateway.http.project_gateway import ProjectGateway  # noqa: E402
from routermcp.gateway.serving import protocol  # noqa: E402
from tests.gateway.gateways import Bench, WaitingTools, request  # noqa: E402

#: Seconds that the good client waits for an answer: many times the second that it should take.
PATIENCE = 10.0

#: Megabytes that the gateway may need more afterwards: its sessions, its connections, and what the
#: allocator keeps of the bodies that were under way.
ROOM_MB = 96.0

#: Connections that are silent, more than the gateway serves at once.
SILENT = 1_100

#: Hostile clients at a time.
HOSTILE = 8

#: Bytes that an endless client sends at most.
ENDLESS = 32 * 1024 * 1024

PIECE = b"a" * 65536
SEED = 20261130
KEY, THEIR_KEY = "rmc_good", "rmc_hostile"
HEAD = (
    b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Accept: application/json, text/event-stream\r\nAuthorization: Bearer " + THEIR_KEY.encode() + b"\r\n"
)


# ---- the gateway ---------------------------------------------------------------------------------


def serve(planted: bool) -> None:
    """Serve until the input ends."""
    if planted:
        protocol._close_one = lambda connections: False
    tools = WaitingTools()
    app = GatewayApp(tools, max_sessions=100)
    with serve_in_thread(ProjectGateway(app, keys=[APIKey(KEY), APIKey(THEIR_KEY)])) as url:
        print(url, flush=True)
        sys.stdin.read()
        tools.go_on.set()


# ---- hostile clients -----------------------------------------------------------------------------

Act = Callable[[socket.socket, random.Random], None]


def _send_endlessly(connection: socket.socket, begin: bytes, piece: bytes) -> None:
    connection.sendall(begin)
    for _ in range(ENDLESS // len(piece)):
        connection.sendall(piece)


def endless_head(connection: socket.socket, chance: random.Random) -> None:
    begin = chance.choice(
        [b"GET /", b"GET /health HTTP/1.1\r\nX: ", b"GET /health HTTP/1.1\r\nX", HEAD + b"X: "]
    )
    _send_endlessly(connection, begin, chance.choice([PIECE, b"X: " + PIECE + b"\r\n"]))


def endless_body(connection: socket.socket, chance: random.Random) -> None:
    chunk = b"%x\r\n%b\r\n" % (len(PIECE), PIECE)
    begin, piece = chance.choice(
        [
            (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", chunk),
            (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", PIECE),
            (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", PIECE),
            (HEAD + b"Content-Length: %d\r\n\r\n" % (1 << 60), PIECE),
        ]
    )
    _send_endlessly(connection, begin, piece)


def drip(connection: socket.socket, chance: random.Random) -> None:
    for byte in HEAD[: chance.randrange(5, 30)]:
        connection.sendall(bytes([byte]))
        time.sleep(0.01)


def half_close(connection: socket.socket, chance: random.Random) -> None:
    connection.sendall(HEAD[: chance.randrange(len(HEAD))] + chance.choice([b"", b"\r\n", b"\r\n\r\n"]))
    connection.shutdown(socket.SHUT_WR)
    connection.recv(65536)


def never_read(connection: socket.socket, chance: random.Random) -> None:
    body = json.dumps(request("tools/list")).encode()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for _ in range(chance.randrange(20, 200)):
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def reset(connection: socket.socket, chance: random.Random) -> None:
    body = json.dumps(request("tools/call", {"name": "sleep", "arguments": {}})).encode()
    connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def open_sessions(connection: socket.socket, chance: random.Random) -> None:
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}
    _pipeline(connection, HEAD, json.dumps(request("initialize", hello)).encode())


def many_keys(connection: socket.socket, chance: random.Random) -> None:
    key = b"Bearer %x\r\n" % chance.getrandbits(128)
    _pipeline(connection, HEAD.replace(b"Bearer rmc_hostile\r\n", key), json.dumps(request("ping")).encode())


def nonsense(connection: socket.socket, chance: random.Random) -> None:
    bodies = [b"[" * 100_000, b"{}" * 1000, b"[" + b"{}," * 10_000 + b"{}]", b'{"id":' + b"9" * 6_000 + b"}"]
    _pipeline(connection, HEAD, chance.choice(bodies), times=3)


def _pipeline(connection: socket.socket, head: bytes, body: bytes, times: int = 20) -> None:
    for _ in range(times):
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        connection.recv(65536)


ACTS: tuple[Act, ...] = (
    endless_head,
    endless_body,
    drip,
    half_close,
    never_read,
    reset,
    open_sessions,
    many_keys,
    nonsense,
)


def be_hostile(place: tuple[str, int], chance: random.Random, until: float, done: Counter[str]) -> None:
    """Do one thing after the other until the time is over."""
    while time.monotonic() < until:
        act = chance.choice(ACTS)
        with contextlib.suppress(OSError), socket.create_connection(place, timeout=PATIENCE) as connection:
            act(connection, chance)
        done[act.__name__] += 1


# ---- the good client -----------------------------------------------------------------------------


class GoodClient:
    """A client with a session, which wants answers.

    Args:
        bench: The gateway.
    """

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._headers = {"Authorization": f"Bearer {KEY}"}
        self._session = bench.open("/mcp", **self._headers)
        self.slowest = 0.0
        self.rounds = 0

    def ask(self) -> None:
        """Ask for the gateway's health and call a tool in the session; raise where one has no answer."""
        # As a load balancer does, which comes on a new connection each time.
        close = {"Connection": "close"}
        self._timed(lambda: self._bench.http.get(self._bench.url("/health"), headers=close))
        call = request("tools/call", {"name": "who", "arguments": {}})
        headers: dict[str, Any] = {**self._headers, "Mcp_Session_Id": self._session}
        self._timed(lambda: self._bench.post(call, "/mcp", **headers))
        self.rounds += 1

    def _timed(self, send: Callable[[], httpx.Response]) -> None:
        began = time.monotonic()
        answer = send()
        if answer.status_code != 200:
            raise SystemExit(f"the good client was refused: {answer.status_code} {answer.text[:200]}")
        self.slowest = max(self.slowest, time.monotonic() - began)


def memory_of(process: int) -> float:
    """Return the resident size of a process in MB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def attack(url: str, process: int, seconds: float, number: int) -> str:
    """Attack a gateway, and say how it went.

    Raises:
        SystemExit: The good client suffered.
        httpx.HTTPError: It had no answer.
    """
    parts = httpx.URL(url)
    place = parts.host, parts.port or 0
    done: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        http = stack.enter_context(httpx.Client(timeout=PATIENCE, trust_env=False))
        good = GoodClient(Bench(url, WaitingTools(), http))
        good.ask()
        before = memory_of(process)
        for _ in range(SILENT):
            stack.enter_context(socket.create_connection(place, timeout=PATIENCE))
        until = time.monotonic() + seconds
        threads = [
            threading.Thread(target=be_hostile, args=(place, random.Random(number + each), until, done))
            for each in range(HOSTILE)
        ]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                good.ask()
        finally:
            for thread in threads:
                thread.join()
        grown = memory_of(process) - before
    if grown > ROOM_MB:
        raise SystemExit(f"the gateway has grown by {grown:.0f} MB")
    return (
        f"{good.rounds} rounds of the good client, the slowest answer after {good.slowest:.2f} s; "
        f"{sum(done.values())} acts: {dict(done.most_common())}; memory {grown:+.1f} MB"
    )


def main() -> None:
    """Start a gateway and attack it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--seed", default=str(SEED), help='a number, or "random"')
    parser.add_argument(
        "--planted", action="store_true", help="attack a gateway that closes no idle connection"
    )
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if options.serve:
        serve(options.planted)
        return
    number = random.SystemRandom().randrange(2**31) if options.seed == "random" else int(options.seed)
    print(f"seed {number}", flush=True)
    command = [sys.executable, __file__, "--serve", *(["--planted"] if options.planted else [])]
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=said, text=True) as gateway,
    ):
        assert gateway.stdin is not None
        assert gateway.stdout is not None
        try:
            print(attack(gateway.stdout.readline().strip(), gateway.pid, options.seconds, number))
        finally:
            gateway.stdin.close()
            gateway.wait(6 * PATIENCE)
            said.seek(0)
            problems = said.read()
            if problems:
                print(f"the gateway says:\n{problems}")
        if problems:
            raise SystemExit(1)


if __name__ == "__main__":
    main()

"""The servers of :mod:`tests.soak.chaos`, in a process of their own, and the proxy that does them harm.

They count what they carry out. It talks to them by lines: ``wild`` and ``calm`` switch the proxy,
``check`` with a JSON object compares what callers were told with what ran.
"""

from __future__ import annotations

import contextlib
import json
import random
import select
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from tests.routermcp.server import HANDSHAKE, STATELESS, Exchange
from tests.soak.soak import MischievousServer

#: Seconds that the proxy keeps silent before it closes a connection: longer than a call has there.
SILENCE = 1.2

#: Seconds without a byte after which the proxy gives a connection up.
IDLE = 60.0

#: Bytes of the pieces into which the proxy splits what it passes on.
SPLINTER = 17

#: The parts of the pieces with which the proxy does something, in its order.
HARM = {"reset": 0.015, "truncate": 0.015, "half close": 0.01, "silence": 0.01, "delay": 0.1, "split": 0.1}


class CountingServer(MischievousServer):
    """Counts the calls by their number."""

    def __init__(self, era: str) -> None:
        super().__init__(era, listens=True)
        self.ran: Counter[int] = Counter()

    def _do(self, exchange: Exchange, arguments: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            self.ran[arguments["number"]] += 1
        return super()._do(exchange, arguments)

    def _treat(self, exchange: Exchange) -> None:
        if exchange.seen.method == "GET" and exchange.seen.headers.get("mcp-session-id") not in self.sessions:
            exchange.status(404)
        else:
            super()._treat(exchange)


class ChaosProxy:
    """Passes bytes on, and while it is wild, delays, splits, cuts and swallows them.

    Args:
        target: Where to pass them on to.
        seed: Of what it does.
    """

    def __init__(self, target: tuple[str, int], seed: int) -> None:
        self.wild = False
        self._target = target
        self._chance = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(self._target) as server:
            while True:
                readable, _, _ = select.select([client, server], [], [], IDLE)
                for each in readable:
                    data, other = each.recv(65536), server if each is client else client
                    if not data or not self._pass_on(data, other):
                        return
                if not readable:
                    return

    def _pass_on(self, data: bytes, other: socket.socket) -> bool:
        """Pass bytes on; return whether the connection goes on."""
        harm = self._harm() if self.wild else None
        if harm in ("truncate", "half close"):
            other.sendall(data[: self._chance.randrange(len(data) + 1)])
            if harm == "half close":
                other.shutdown(socket.SHUT_WR)
        elif harm == "silence":
            time.sleep(SILENCE)
        if harm in ("reset", "truncate", "half close", "silence"):
            return False
        if harm == "delay":
            time.sleep(self._chance.random() * 0.2)
        size = SPLINTER if harm == "split" else len(data)
        for start in range(0, len(data), size):
            other.sendall(data[start : start + size])
        return True

    def _harm(self) -> str | None:
        chance = self._chance.random()
        for harm, part in HARM.items():
            chance -= part
            if chance < 0:
                return harm
        return None


def wrongs(said: dict[str, list[int]], ran: Counter[int]) -> Iterator[str]:
    """Yield what callers were told that is not so."""
    twice = [number for number in said["once"] if ran[number] > 1]
    if twice:
        yield f"{len(twice)} calls ran twice: {twice[:3]}"
    denied = [number for number in said["not run"] if ran[number]]
    if denied:
        yield f"{len(denied)} calls ran that were said not to have: {denied[:3]}"
    lost = [number for number in said["answered"] if not ran[number]]
    if lost:
        yield f"{len(lost)} calls were answered that never ran: {lost[:3]}"


def serve(seed: int, planted: bool) -> None:
    """Serve both eras, with a proxy in front of each, until the input ends."""
    with CountingServer(STATELESS) as stateless, CountingServer(HANDSHAKE) as handshake:
        servers = (stateless, handshake)
        places = [urlsplit(server.url) for server in servers]
        proxies = [ChaosProxy((place.hostname or "", place.port or 0), seed) for place in places]
        proxied = [
            f"http://127.0.0.1:{proxy.port}{place.path}" for proxy, place in zip(proxies, places, strict=True)
        ]
        print(json.dumps([server.url for server in servers] + proxied), flush=True)
        for line in sys.stdin:
            order, _, rest = line.partition(" ")
            if order.strip() == "check":
                ran = sum((server.ran for server in servers), Counter[int]())
                if planted:
                    ran += ran
                print(json.dumps(list(wrongs(json.loads(rest), ran))), flush=True)
                for server in servers:
                    server.ran.clear()
            else:
                for proxy in proxies:
                    proxy.wild = order.strip() == "wild"
                print("{}", flush=True)

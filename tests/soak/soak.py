"""Two hundred callers, faults and cancels for a while: what is left afterwards is what was there before.

``python tests/soak/soak.py --seconds 20`` runs on asyncio, trio and blocking, a third of the time
each. The server runs in a process of its own, so that what is counted here is the client's. It
announces changes meanwhile and asks questions, which each client hears and answers between its calls,
and so do children over stdio, one after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import trio

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "adapters")]

from routermcp import RouterMCPClient, SyncRouterMCPClient  # noqa: E402
from routermcp.transports import stdio  # noqa: E402
from routermcp.types import ElicitRequest, ElicitResult, MCPError, RetryPolicy, TransportError  # noqa: E402
from tests.routermcp.server import HANDSHAKE, STATELESS, Exchange, ScriptedServer, Seen  # noqa: E402
from tests.three_runtimes import make_client, run  # noqa: E402

CALLERS = 200

#: Blocking callers are threads, whose stacks would say more about Python than about us.
THREADS = 50

#: Children over stdio, one after the other.
CHILDREN = 10

SPEAKER = [sys.executable, "-I", "-S", str(ROOT / "tests" / "stdio" / "speaker.py")]

#: Calls that all have to succeed when everything is over.
GOOD_CALLS = 20

#: Megabytes by which the resident size may differ: allocators keep what they had.
SLACK_MB = 16.0

#: Seconds for descriptors and threads to be gone, and for connections to be given back.
PATIENCE = 10.0

#: Seconds between two looks at that.
SETTLING = 0.05

QUICK = RetryPolicy(backoff=5, max_backoff=20)


#: What the server asks between calls, again and again.
QUESTION = {
    "jsonrpc": "2.0",
    "method": "elicitation/create",
    "params": {"message": "which one?", "requestedSchema": {"type": "object", "properties": {}}},
}


# ---- the server ----------------------------------------------------------------------------------


class MischievousServer(ScriptedServer):
    """Treats each call as its argument asks."""

    def __enter__(self) -> Self:
        self.tools["do"] = self._do
        self._announcing = threading.Lock()
        return super().__enter__()

    @staticmethod
    def _do(exchange: Exchange, arguments: dict[str, Any]) -> dict[str, Any]:
        if arguments["how"] == "slow":
            time.sleep(0.05)
        return {"content": [{"type": "text", "text": str(arguments["number"])}]}

    def _treat(self, exchange: Exchange) -> None:
        known = exchange.seen.headers.get("mcp-session-id") in self.sessions or self.era == STATELESS
        if exchange.seen.method == "tools/call" and known:
            how = exchange.seen.params.get("arguments", {}).get("how")
            getattr(self, f"_{how}", Exchange.answer)(exchange)
        else:
            super()._treat(exchange)
        with self._lock:
            self.seen.clear()

    def _announce(self, exchange: Exchange) -> None:
        for stream in tuple(self.sessions.values()):
            if stream is not None:
                with self._announcing:
                    stream.notify("notifications/tools/list_changed")
                    if self.era == HANDSHAKE:
                        stream.event({**QUESTION, "id": f"question {next(self._ids)}"})
        exchange.answer()

    def take_answer(self, seen: Seen) -> None:
        """Take an answer that nothing waits for."""

    _reset = staticmethod(lambda exchange: exchange.hang_up(reset=True))
    _unavailable = staticmethod(lambda exchange: exchange.status(503))
    _silent = staticmethod(lambda exchange: exchange.closed_by_client())

    @staticmethod
    def _drop(exchange: Exchange) -> None:
        exchange.execute()
        exchange.hang_up()

    @staticmethod
    def _stream(exchange: Exchange) -> None:
        exchange.stream().notify("notifications/message", level="info", data="x")
        exchange.answer()

    @staticmethod
    def _cut(exchange: Exchange) -> None:
        exchange.execute()
        exchange.stream().hang_up()

    def _forget(self, exchange: Exchange) -> None:
        self.forget_sessions()
        exchange.answer()


def serve() -> None:
    """Serve both eras until the input ends."""
    with (
        MischievousServer(STATELESS, listens=True) as stateless,
        MischievousServer(HANDSHAKE, listens=True) as handshake,
    ):
        print(stateless.url, handshake.url, flush=True)
        sys.stdin.read()


# ---- the callers ---------------------------------------------------------------------------------

WAYS = ["well"] * 8 + [
    "announce",
    "stream",
    "stream",
    "slow",
    "drop",
    "reset",
    "unavailable",
    "cut",
    "silent",
]

#: The part of the calls after which the server has forgotten all sessions. Were it large, a call
#: would often meet it twice, which is an error.
FORGETTING = 0.001


class Tally:
    """What became of the calls."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.heard: Counter[str] = Counter()

    def hear(self, method: str, params: Mapping[str, Any]) -> None:
        """Count a notification."""
        del params
        with self.lock:
            self.heard[method] += 1

    def ask(self, request: ElicitRequest) -> ElicitResult:
        """Count a question, and decline it."""
        del request
        with self.lock:
            self.heard["elicitation/create"] += 1
        return ElicitResult(action="decline")

    @property
    def callbacks(self) -> dict[str, Any]:
        """What a client calls between its calls."""
        return {"on_notification": self.hear, "on_elicitation": self.ask}

    def note(self, number: int, text: str | None, error: BaseException | None) -> None:
        """Note one outcome."""
        with self.lock:
            if error is not None:
                self.counts[error.code if isinstance(error, TransportError) else type(error).__name__] += 1
            else:
                self.counts["answered"] += 1
            if error is None and text != str(number):
                self.wrong.append(f"asked for {number}, got {text!r}")


def plan(chance: random.Random) -> tuple[dict[str, Any], int, float | None]:
    """Return the arguments of a call, its timeout, and when it is cancelled."""
    how, number = chance.choice(WAYS), chance.randrange(10**9)
    if chance.random() < FORGETTING:
        how = "forget"
    timeout = 100 if how == "silent" else 10_000
    cancel = chance.random() * 0.02 if chance.random() < 0.1 else None
    return {"how": how, "number": number}, timeout, cancel


async def call(client: RouterMCPClient, arguments: dict[str, Any], timeout: int, tally: Tally) -> None:
    """Make one call."""
    try:
        retry = arguments["number"] % 2 == 0
        text = (await client.call_tool("do", arguments, timeout=timeout, retry=retry)).text
    except MCPError as error:
        tally.note(arguments["number"], None, error)
    else:
        tally.note(arguments["number"], text, None)


async def asyncio_caller(client: RouterMCPClient, until: float, seed: int, tally: Tally) -> None:
    """Call until the time is over."""
    chance = random.Random(seed)
    while time.monotonic() < until:
        arguments, timeout, cancel = plan(chance)
        task = asyncio.ensure_future(call(client, arguments, timeout, tally))
        if cancel is not None:
            asyncio.get_running_loop().call_later(cancel, task.cancel)
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


async def trio_caller(client: RouterMCPClient, until: float, seed: int, tally: Tally) -> None:
    """Call until the time is over."""
    chance = random.Random(seed)
    while time.monotonic() < until:
        arguments, timeout, cancel = plan(chance)
        with trio.move_on_after(cancel if cancel is not None else 60):
            await call(client, arguments, timeout, tally)


def blocking_caller(client: SyncRouterMCPClient, until: float, seed: int, tally: Tally) -> None:
    """Call until the time is over; a deadline is what cancels here."""
    chance = random.Random(seed)
    while time.monotonic() < until:
        arguments, timeout, cancel = plan(chance)
        limit = timeout if cancel is None else max(1, round(cancel * 1000))
        try:
            retry = arguments["number"] % 2 == 0
            text = client.call_tool("do", arguments, timeout=limit, retry=retry).text
        except MCPError as error:
            tally.note(arguments["number"], None, error)
        else:
            tally.note(arguments["number"], text, None)


def burn(runtime: str, urls: list[str], seconds: float, tally: Tally) -> None:
    """Let the callers of one runtime run for so long against each era."""
    for url in urls:
        until = time.monotonic() + seconds / len(urls)
        if runtime == "asyncio":
            asyncio.run(burn_asyncio(url, until, tally))
        elif runtime == "trio":
            trio.run(burn_trio, url, until, tally)
        else:
            with (
                SyncRouterMCPClient(url, retry=QUICK, **tally.callbacks) as client,
                ThreadPoolExecutor(THREADS) as pool,
            ):
                for future in [
                    pool.submit(blocking_caller, client, until, seed, tally) for seed in range(THREADS)
                ]:
                    future.result()
                until = time.monotonic() + PATIENCE
                while busy(client) and time.monotonic() < until:
                    time.sleep(SETTLING)
                check(client)
                for number in range(GOOD_CALLS):
                    expect(number, client.call_tool("do", {"how": "well", "number": number}).text)
    run(runtime, children, runtime, tally)


async def children(runtime: str, tally: Tally) -> None:
    """Have one child after the other speak between its calls."""
    for era in (STATELESS, HANDSHAKE) * (CHILDREN // 2):
        settings = {"transport": stdio(SPEAKER), "protocol": era, **tally.callbacks}
        async with make_client(runtime, **settings) as client:
            for what in ("changed", "stderr", "elicit" if era == HANDSHAKE else "changed"):
                if (await client.call_tool("speak", {"what": what})).text != "ok":
                    raise SystemExit("a child gave another answer")


def expect(number: int, text: str) -> None:
    """See that a call has its own answer."""
    if text != str(number):
        raise SystemExit(f"asked for {number}, got {text!r}")


async def afterwards(client: RouterMCPClient) -> None:
    """See that the client is as good as new."""
    for number in range(GOOD_CALLS):
        expect(number, (await client.call_tool("do", {"how": "well", "number": number})).text)


async def burn_asyncio(url: str, until: float, tally: Tally) -> None:
    """Run the callers as tasks."""
    async with RouterMCPClient(url, retry=QUICK, **tally.callbacks) as client:
        await asyncio.gather(*(asyncio_caller(client, until, seed, tally) for seed in range(CALLERS)))
        until = time.monotonic() + PATIENCE
        while busy(client) and time.monotonic() < until:
            await asyncio.sleep(SETTLING)
        check(client)
        await afterwards(client)
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    if tasks:
        raise SystemExit(f"tasks are left: {tasks}")


async def burn_trio(url: str, until: float, tally: Tally) -> None:
    """Run the callers in a nursery."""
    before = trio.lowlevel.current_statistics().tasks_living
    async with RouterMCPClient(url, retry=QUICK, **tally.callbacks) as client:
        async with trio.open_nursery() as nursery:
            for seed in range(CALLERS):
                nursery.start_soon(trio_caller, client, until, seed, tally)
        until = time.monotonic() + PATIENCE
        while busy(client) and time.monotonic() < until:
            await trio.sleep(SETTLING)
        check(client)
        await afterwards(client)
    left = trio.lowlevel.current_statistics().tasks_living - before
    if left > 0:
        raise SystemExit(f"{left} tasks are left")


def busy(client: Any) -> bool:
    """Whether a connection is held or waited for; the shared stream may be open."""
    stats = client.stats()
    return stats.waiting or stats.in_use > 1


def check(client: Any) -> None:
    """See that no connection is in use any more, not even for the answer to the last question."""
    gc.collect()
    if busy(client):
        raise SystemExit(f"connections are still in use: {client.stats()}")


# ---- what is left --------------------------------------------------------------------------------


def resident() -> float:
    """Return the resident size in MB."""
    with Path("/proc/self/statm").open() as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def remains() -> tuple[int, int]:
    """Return how many descriptors are open and threads alive."""
    gc.collect()
    return len(os.listdir("/proc/self/fd")), threading.active_count()


def soak(runtime: str, urls: list[str], seconds: float) -> str | None:
    """Run one runtime, and say what is left behind, None for nothing."""
    burn(runtime, urls, min(4.0, seconds / 3), Tally())
    before, size = remains(), resident()
    tally = Tally()
    burn(runtime, urls, seconds * 2 / 3, tally)
    until = time.monotonic() + PATIENCE
    while remains() > before and time.monotonic() < until:
        time.sleep(0.05)
    after, grown = remains(), resident() - size
    print(
        f"{runtime:9} {sum(tally.counts.values())} calls, {dict(tally.counts.most_common())}, "
        f"heard {dict(tally.heard)}; "
        f"descriptors {before[0]} -> {after[0]}, threads {before[1]} -> {after[1]}, memory {grown:+.1f} MB"
    )
    if not {"notifications/tools/list_changed", "elicitation/create"} <= tally.heard.keys():
        return f"{runtime}: only {dict(tally.heard)} was heard between the calls"
    if tally.wrong:
        return f"{runtime}: answers went astray: {tally.wrong[:3]}"
    if after[0] > before[0] or after[1] > before[1]:
        return f"{runtime}: {before} descriptors and threads have become {after}"
    return f"{runtime}: memory has grown by {grown:.1f} MB" if grown > SLACK_MB else None


def main() -> None:
    """Run all three runtimes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--serve", action="store_true")
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    logging.getLogger("routermcp").setLevel(logging.ERROR)
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        urls = (server.stdout.readline() if server.stdout else "").split()
        try:
            found = [soak(runtime, urls, options.seconds / 3) for runtime in ("asyncio", "trio", "blocking")]
        finally:
            if server.stdin:
                server.stdin.close()
    problems = [problem for problem in found if problem]
    if problems:
        raise SystemExit("\n".join(problems))


if __name__ == "__main__":
    main()

"""A storm of cancels, and a proxy that does harm: no call runs twice, none is lost, late or left behind.

``python tests/soak/chaos.py --seconds 20`` runs on asyncio, trio and blocking, a third of the time
each: with few connections while half of the calls are cancelled, and through a proxy that delays, splits,
cuts and swallows. The servers run in a process of their own and know what ran. A client hears its
server between calls. The seed is printed; with ``--seed random`` it is another one each time.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import logging
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import trio

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "adapters")]

from routermcp import PoolLimits, RouterMCPClient, SyncRouterMCPClient  # noqa: E402
from routermcp.types import MCPError, TransportError  # noqa: E402
from tests.soak.mischief import serve  # noqa: E402
from tests.soak.soak import (  # noqa: E402
    CALLERS,
    FORGETTING,
    GOOD_CALLS,
    PATIENCE,
    QUICK,
    SLACK_MB,
    THREADS,
    WAYS,
    check,
    expect,
    remains,
    resident,
)

SEED = 20261130

#: A number for each call.
NUMBERS = itertools.count(1_000)


# ---- the servers ---------------------------------------------------------------------------------


class Servers:
    """The servers in their process, with the proxy in front of each.

    Args:
        seed: Of what the proxy does.
        planted: Count each call twice, to see that it is found.
    """

    def __init__(self, seed: int, planted: bool) -> None:
        command = [
            sys.executable,
            __file__,
            "--serve",
            "--seed",
            str(seed),
            *(["--planted"] if planted else []),
        ]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.urls: list[str] = self._answer()

    def order(self, order: str) -> Any:
        """Give an order, and return the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@dataclass(frozen=True)
class Weather:
    """What the callers of one turn go through."""

    wild: bool
    """Through the proxy, which does harm."""
    cancels: float
    """The part of the calls that are cancelled."""
    connections: int
    """Those that the client may have."""
    timeout: int
    """Of a call, in milliseconds."""


STORM = Weather(wild=False, cancels=0.5, connections=8, timeout=10_000)
CHAOS = Weather(wild=True, cancels=0.1, connections=PoolLimits().max_connections, timeout=1_000)


# ---- the callers ---------------------------------------------------------------------------------


class Tally:
    """What became of the calls."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.said: dict[str, list[int]] = {"once": [], "not run": [], "answered": []}
        """Numbers of the calls that may run once only, that are said not to have run, that have an answer."""

    def note(self, plan: Plan, began: float, text: str | None, error: MCPError | None) -> None:
        """Note one outcome."""
        number, late = plan.number, time.monotonic() - began - plan.timeout / 1000
        with self.lock:
            if error is None:
                self.counts["answered"] += 1
                self.said["answered"].append(number)
            else:
                self.counts[error.code if isinstance(error, TransportError) else type(error).__name__] += 1
                if isinstance(error, TransportError) and error.not_run:
                    self.said["not run"].append(number)
            if error is None and text != str(number):
                self.wrong.append(f"asked for {number}, got {text!r}")
            if late > PATIENCE:
                self.wrong.append(f"an outcome came {late:.1f} s after its deadline")


@dataclass(frozen=True)
class Plan:
    """One call."""

    number: int
    how: str
    timeout: int
    cancel: float | None
    """Seconds after which it is cancelled, None for never."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the tool."""
        return {"how": self.how, "number": self.number}

    @property
    def retry(self) -> bool:
        """Whether it may run twice."""
        return self.number % 2 == 0


def make_plan(chance: random.Random, weather: Weather, tally: Tally) -> Plan:
    """Plan a call."""
    how, number = chance.choice(WAYS), next(NUMBERS)
    if chance.random() < FORGETTING:
        how = "forget"
    timeout = 100 if how == "silent" else weather.timeout
    cancel = chance.random() * 0.02 if chance.random() < weather.cancels else None
    plan = Plan(number, how, timeout, cancel)
    if not plan.retry:
        with tally.lock:
            tally.said["once"].append(number)
    return plan


async def call(client: RouterMCPClient, plan: Plan, tally: Tally) -> None:
    """Make one call."""
    began = time.monotonic()
    try:
        result = await client.call_tool("do", plan.arguments, timeout=plan.timeout, retry=plan.retry)
    except MCPError as error:
        tally.note(plan, began, None, error)
    else:
        tally.note(plan, began, result.text, None)


async def asyncio_caller(client: RouterMCPClient, turn: Turn, seed: int) -> None:
    """Call until the time is over."""
    chance = random.Random(seed)
    while time.monotonic() < turn.until:
        plan = make_plan(chance, turn.weather, turn.tally)
        task = asyncio.ensure_future(call(client, plan, turn.tally))
        if plan.cancel is not None:
            asyncio.get_running_loop().call_later(plan.cancel, task.cancel)
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


async def trio_caller(client: RouterMCPClient, turn: Turn, seed: int) -> None:
    """Call until the time is over."""
    chance = random.Random(seed)
    while time.monotonic() < turn.until:
        plan = make_plan(chance, turn.weather, turn.tally)
        with trio.move_on_after(plan.cancel if plan.cancel is not None else 60):
            await call(client, plan, turn.tally)


def blocking_caller(client: SyncRouterMCPClient, turn: Turn, seed: int) -> None:
    """Call until the time is over; a deadline is what cancels here."""
    chance = random.Random(seed)
    while time.monotonic() < turn.until:
        plan = make_plan(chance, turn.weather, turn.tally)
        limit = plan.timeout if plan.cancel is None else max(1, round(plan.cancel * 1000))
        began = time.monotonic()
        try:
            text = client.call_tool("do", plan.arguments, timeout=limit, retry=plan.retry).text
        except MCPError as error:
            turn.tally.note(plan, began, None, error)
        else:
            turn.tally.note(plan, began, text, None)


@dataclass(frozen=True)
class Turn:
    """The callers of one client against one server, for a while."""

    servers: Servers
    url: str
    weather: Weather
    seconds: float
    seed: int
    tally: Tally
    until: float = 0.0

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of the client, which hears its server between calls."""
        limits = PoolLimits(
            max_connections=self.weather.connections, max_connections_per_origin=self.weather.connections
        )
        return {
            "url": self.url,
            "retry": QUICK,
            "limits": limits,
            "on_notification": _ignored,
        }

    def begin(self) -> Turn:
        """Let the harm begin; return the turn with its end."""
        self.servers.order("wild" if self.weather.wild else "calm")
        return replace(self, until=time.monotonic() + self.seconds)

    def end(self) -> None:
        """Let the harm end."""
        self.servers.order("calm")


def _ignored(*_: object) -> None:
    pass


def burn_blocking(turn: Turn) -> None:
    """Run the callers as threads."""
    with SyncRouterMCPClient(**turn.settings) as client, ThreadPoolExecutor(THREADS) as pool:
        turn = turn.begin()
        for future in [pool.submit(blocking_caller, client, turn, turn.seed + n) for n in range(THREADS)]:
            future.result()
        turn.end()
        check(client)
        for number in range(GOOD_CALLS):
            expect(number, client.call_tool("do", {"how": "well", "number": number}, retry=True).text)


async def burn_asyncio(turn: Turn) -> None:
    """Run the callers as tasks."""
    async with RouterMCPClient(**turn.settings) as client:
        turn = turn.begin()
        await asyncio.gather(*(asyncio_caller(client, turn, turn.seed + n) for n in range(CALLERS)))
        turn.end()
        check(client)
        await afterwards(client)
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    if tasks:
        raise SystemExit(f"tasks are left: {tasks}")


async def burn_trio(turn: Turn) -> None:
    """Run the callers in a nursery."""
    async with RouterMCPClient(**turn.settings) as client:
        turn = turn.begin()
        async with trio.open_nursery() as nursery:
            for number in range(CALLERS):
                nursery.start_soon(trio_caller, client, turn, turn.seed + number)
        turn.end()
        check(client)
        await afterwards(client)


BURN: dict[str, Callable[[Turn], None]] = {
    "asyncio": lambda turn: asyncio.run(burn_asyncio(turn)),
    "trio": lambda turn: trio.run(burn_trio, turn),
    "blocking": burn_blocking,
}


def burn(runtime: str, servers: Servers, seconds: float, seed: int, tally: Tally) -> None:
    """Let the callers of one runtime run for so long against each era, in any weather."""
    stateless, handshake, wild_stateless, wild_handshake = servers.urls
    turns = ((stateless, STORM), (wild_stateless, CHAOS), (handshake, STORM), (wild_handshake, CHAOS))
    for url, weather in turns:
        BURN[runtime](Turn(servers, url, weather, seconds / len(turns), seed, tally))


async def afterwards(client: RouterMCPClient) -> None:
    """See that the client is as good as new."""
    for number in range(GOOD_CALLS):
        expect(number, (await client.call_tool("do", {"how": "well", "number": number}, retry=True)).text)


def soak(runtime: str, servers: Servers, seconds: float, seed: int) -> list[str]:
    """Run one runtime, and return what is wrong or left behind."""
    burn(runtime, servers, min(4.0, seconds / 3), seed, Tally())
    before, size = remains(), resident()
    tally = Tally()
    burn(runtime, servers, seconds * 2 / 3, seed + 1_000, tally)
    until = time.monotonic() + PATIENCE
    while remains() > before and time.monotonic() < until:
        time.sleep(0.05)
    after, grown = remains(), resident() - size
    print(
        f"{runtime:9} {sum(tally.counts.values())} calls, {dict(tally.counts.most_common())}; "
        f"descriptors {before[0]} -> {after[0]}, threads {before[1]} -> {after[1]}, memory {grown:+.1f} MB",
        flush=True,
    )
    problems = tally.wrong[:3] + servers.order(f"check {json.dumps(tally.said)}")
    if after[0] > before[0] or after[1] > before[1]:
        problems.append(f"{before} descriptors and threads have become {after}")
    if grown > SLACK_MB:
        problems.append(f"memory has grown by {grown:.1f} MB")
    return [f"{runtime}: {problem}" for problem in problems]


def main() -> None:
    """Run all three runtimes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", default=str(SEED), help='a number, or "random"')
    parser.add_argument("--planted", action="store_true", help="count each call twice, to see it found")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(2**31) if options.seed == "random" else int(options.seed)
    if options.serve:
        serve(seed, options.planted)
        return
    logging.getLogger("routermcp").setLevel(logging.ERROR)
    print(f"seed {seed}", flush=True)
    servers = Servers(seed, options.planted)
    try:
        problems = [
            problem for runtime in BURN for problem in soak(runtime, servers, options.seconds / 3, seed)
        ]
    finally:
        servers.close()
    if problems:
        raise SystemExit("\n".join(problems))


if __name__ == "__main__":
    main()

"""Ctrl-C in blocking code, wherever CPython looks at signals (:mod:`tests.adapters.ctrl_c`)."""

from __future__ import annotations

import _thread
import gc
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from routermcp_adapters.concurrency.gc_pause import PAUSE_SIZE
from routermcp_adapters.http.connection import PooledConnection
from routermcp_adapters.http.pooled import PooledTransport
from routermcp_adapters.http.session import HTTPSession
from routermcp_adapters.limits import PoolLimits
from routermcp_adapters.runtimes.blocking import BlockingRuntime
from routermcp_adapters.runtimes.run_sync import limits, run_sync
from routermcp_proto import calls
from routermcp_proto.exceptions import TransportError
from routermcp_proto.retry import RetryPolicy
from tests.adapters.ctrl_c import CtrlC, points
from tests.adapters.rig import (
    END,
    HANDSHAKE,
    STATELESS,
    Answer,
    Request,
    Rig,
    answer,
    event,
    http,
    says,
    stream_head,
)
from tests.adapters.runtimes import wait_until
from tests.adapters.scripted_runtime import Break, MemoryRuntime, Move, Pause

# ---- what is interrupted -----------------------------------------------------------------------

QUESTION = {"mode": "form", "message": "?", "requestedSchema": {"type": "object", "properties": {}}}


def result_of(request: Request) -> dict[str, Any]:
    """The message that answers a call of a tool: what it was given, so that answers cannot be mixed up."""
    content = [{"type": "text", "text": str((request.params.get("arguments") or {}).get("number"))}]
    return {
        "jsonrpc": "2.0",
        "id": request.message["id"],
        "result": {"resultType": "complete", "content": content},
    }


def plainly(request: Request) -> list[Move]:
    return [Pause(0.001), http(200, result_of(request))]


def on_a_stream(request: Request) -> list[Move]:
    return [Pause(0.001), stream_head(), Pause(0.001), event(result_of(request)), Pause(0.001), END]


def asking(request: Request) -> list[Move]:
    asked = event({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": QUESTION})
    return [stream_head(), asked, Pause(0.001), event(result_of(request)), END]


def echo(rig: Rig, number: int) -> str:
    return rig.call(calls.call_tool("echo", {"number": number})).text


class Interrupted(Rig):
    """A driver that goes on after Ctrl-C."""

    def assert_works(self) -> None:
        """See that nothing is held, and that each call gets its own answer."""
        gc.collect()
        assert not limits.scopes, "a limit of the call that was interrupted is in force"
        carrier, pool = self.driver._transport, self.transport._pool
        assert isinstance(carrier, HTTPSession)
        assert pool is None or not pool._lock.locked()
        self.assert_nothing_held(carrier)
        self.answers.clear()
        self.connect()
        assert [echo(self, number) for number in range(3)] == ["0", "1", "2"]
        self.assert_nothing_held(carrier)

    def assert_nothing_held(self, carrier: HTTPSession) -> None:
        stats = self.transport.stats()
        listening = carrier._stream._connection is not None
        assert (stats.in_use, stats.waiting) == (int(listening), 0)
        assert not carrier._stream._readers
        assert carrier._handshake._flight._flight is None


def connected(protocol: str, **usual: Answer) -> Interrupted:
    made = unconnected(protocol, **usual)
    made.connect()
    return made


def unconnected(protocol: str, **usual: Answer) -> Interrupted:
    return Interrupted(protocol, usual={"tools/call": plainly, **usual}, retry=RetryPolicy(backoff=0.001))


#: What is interrupted, in the middle of what.
Scenario = Callable[[str], tuple[Interrupted, Callable[[], object]]]


def a_call(protocol: str) -> tuple[Interrupted, Callable[[], object]]:
    rig = connected(protocol)
    return rig, lambda: echo(rig, 7)


def a_first_call(protocol: str) -> tuple[Interrupted, Callable[[], object]]:
    """One that opens a connection."""
    rig = connected(protocol)
    rig.transport.pool()._idle.clear()
    return rig, lambda: echo(rig, 7)


def a_call_on_a_stream(protocol: str) -> tuple[Interrupted, Callable[[], object]]:
    rig = connected(protocol)
    rig.answers["tools/call"] = [on_a_stream]
    return rig, lambda: echo(rig, 7)


def a_question(protocol: str) -> tuple[Interrupted, Callable[[], object]]:
    """Asked in the middle of the call, or aside where the era has a stream for that."""
    rig = connected(protocol, GET=says(stream_head()))
    rig.answers["tools/call"] = [asking]
    return rig, lambda: echo(rig, 7)


def a_large_answer(protocol: str) -> tuple[Interrupted, Callable[[], object]]:
    """One for which the cyclic garbage collector pauses."""

    def large(request: Request) -> list[Move]:
        message = result_of(request)
        message["result"]["_meta"] = {"example.com/filling": "x" * PAUSE_SIZE}
        return [http(200, message)]

    rig = connected(protocol)
    rig.answers["tools/call"] = [large]
    return rig, lambda: echo(rig, 7)


def a_forgotten_session(protocol: str) -> tuple[Interrupted, Callable[[], object]]:
    rig = connected(protocol)
    if protocol == HANDSHAKE:
        rig.answers["tools/call"] = [says(http(404))]
    return rig, lambda: echo(rig, 7)


def a_retry(protocol: str) -> tuple[Interrupted, Callable[[], object]]:
    rig = connected(protocol)
    rig.answers["tools/list"] = [says(http(503)), says(Break())]
    return rig, lambda: rig.call(calls.list_tools())


def a_timeout(protocol: str) -> tuple[Interrupted, Callable[[], object]]:
    """After which the server is told on another connection, where the era has a word for it."""
    rig = connected(protocol)
    pool = rig.transport.pool()
    held = [run_sync(pool.lease(rig.transport.endpoint)) for _ in range(2)]
    for connection in held:
        pool.release(connection)
    rig.answers["tools/call"] = [says()]

    def call() -> None:
        with pytest.raises(TransportError, match="timeout"):
            rig.call(calls.call_tool("echo", {"number": 7}), 1000)

    return rig, call


def connecting(protocol: str) -> tuple[Interrupted, Callable[[], object]]:
    rig = unconnected(protocol, GET=says(stream_head()))
    return rig, rig.connect


def disconnecting(protocol: str) -> tuple[Interrupted, Callable[[], object]]:
    rig = connected(protocol, GET=says(stream_head()))
    return rig, rig.disconnect


SCENARIOS = [
    a_call,
    a_first_call,
    a_call_on_a_stream,
    a_question,
    a_large_answer,
    a_forgotten_session,
    a_retry,
    a_timeout,
    connecting,
    disconnecting,
]


@pytest.mark.usefixtures("_small_garbage", "_interrupted_finalizers")
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")  # Ctrl-C just before it begins
@pytest.mark.parametrize("protocol", [STATELESS, HANDSHAKE])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_ctrl_c_anywhere(scenario: Scenario, protocol: str) -> None:
    _, act = scenario(protocol)
    with CtrlC() as counting:
        act()
    assert counting.points > 20
    failed = []
    for at in points(counting.points, len(scenario.__name__)):
        rig, act = scenario(protocol)
        with CtrlC(at) as ctrl_c:
            try:  # noqa: SIM105 - contextlib is one of those that are interrupted
                act()
            except KeyboardInterrupt:
                pass
        del act
        assert gc.isenabled(), ctrl_c.where
        try:
            rig.assert_works()
        except Exception as error:  # noqa: BLE001 - all of them are shown together
            failed.append((at, ctrl_c.where, repr(error)[:200]))
    assert not failed, "\n".join(map(str, failed)) + f"\n{len(failed)} of {counting.points}"


# ---- somebody else waits -----------------------------------------------------------------------


class Waiting:
    """A thread that waits for the only place, which somebody has."""

    def __init__(self) -> None:
        rig = unconnected(STATELESS)
        runtime = MemoryRuntime(rig._connection)
        runtime.now = lambda: 0.0
        self.transport = PooledTransport(rig.transport.endpoint, ssl.create_default_context, PoolLimits(1))
        self.transport.open(runtime, object())
        self.pool = self.transport.pool()
        self.held = [answer(run_sync(self.pool.lease(self.transport.endpoint)))]
        self._kept: list[PooledConnection] = self.held[:]
        """As a traceback may keep it. Once it was given back, nobody waits until it is garbage."""
        self.ends: list[str] = []
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()
        wait_until(lambda: self.pool.counts()[2])

    def _wait(self) -> None:
        try:
            self.pool.release(run_sync(self.pool.lease(self.transport.endpoint)))
            self.ends.append("served")
        except TransportError as error:
            self.ends.append(error.code)

    def act(self, way: str) -> None:
        """Give the place free."""
        if way == "close":
            self.transport.close_all()
        else:
            getattr(self.pool, way)(self.held.pop())

    def outcome(self) -> list[str]:
        """Wait until the thread has got what it waits for, or not."""
        if self._kept[0].ref in self.pool._leased:
            self._kept.clear()
        gc.collect()
        self._thread.join(20)
        self.transport.close_all()
        return self.ends


@pytest.mark.usefixtures("_small_garbage", "_interrupted_finalizers")
@pytest.mark.parametrize(
    ("way", "outcome"), [("release", "served"), ("discard", "served"), ("close", "closed")]
)
def test_who_waits_is_woken_wherever_ctrl_c_comes(way: str, outcome: str) -> None:
    waiting = Waiting()
    with CtrlC() as counting:
        waiting.act(way)
    assert waiting.outcome() == [outcome]
    for at in range(counting.points):
        waiting = Waiting()
        with CtrlC(at) as ctrl_c:
            try:  # noqa: SIM105 - contextlib is one of those that are interrupted
                waiting.act(way)
            except KeyboardInterrupt:
                pass
        if way == "close":
            waiting.act(way)  # who has pressed Ctrl-C may close again
        assert waiting.outcome() == [outcome], ctrl_c.where


# ---- the system's waits --------------------------------------------------------------------------


async def wait_for_data(runtime: BlockingRuntime) -> None:
    here, there = socket.socketpair()
    with here, there:
        await runtime.wait_ready([here], [])


async def wait_for_a_flag(runtime: BlockingRuntime) -> None:
    await runtime.event().wait()


async def wait_for_a_time(runtime: BlockingRuntime) -> None:
    await runtime.sleep(60)


@pytest.mark.parametrize("wait", [wait_for_data, wait_for_a_flag, wait_for_a_time])
def test_ctrl_c_that_does_not_end_a_wait_is_noticed_soon(
    wait: Callable[[BlockingRuntime], Coroutine[Any, Any, None]],
) -> None:
    """As when it comes between CPython's last look and the system call."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.2, _thread.interrupt_main)
    try:
        timer.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            run_sync(wait(BlockingRuntime(longest_wait=0.1)))
        assert time.monotonic() - began < 30
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)

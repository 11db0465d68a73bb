"""Stepping, single flight, abandoned threads, the pause of the collector."""

from __future__ import annotations

import asyncio
import gc
import queue
import sys
import threading
import types
import weakref
from collections.abc import Callable

import pytest

from routermcp_adapters.concurrency import gc_pause
from routermcp_adapters.concurrency.single_flight import SingleFlight
from routermcp_adapters.concurrency.threads import Job, ThreadPool
from routermcp_adapters.logs import get_logger
from routermcp_adapters.runtime import Runtime
from routermcp_adapters.runtimes.auto import running
from routermcp_adapters.runtimes.run_sync import native, run_sync
from routermcp_proto.exceptions import ConfigError, MCPError
from tests.adapters.runtimes import PATIENCE, run, wait_until


class Suspends:
    def __await__(self):
        yield


async def forty_two() -> int:
    return 42


def test_a_coroutine_that_never_suspends_is_run_at_once() -> None:
    assert run_sync(forty_two()) == 42

    async def fails() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        run_sync(fails())


def test_a_coroutine_that_suspends_is_a_mistake() -> None:
    ended: list[bool] = []

    async def waits() -> None:
        try:
            await Suspends()
        finally:
            ended.append(True)

    with pytest.raises(RuntimeError, match="event loop"):
        run_sync(waits())
    assert ended == [True]


def test_the_event_loop_gets_the_coroutine_itself() -> None:
    coroutine = forty_two()
    assert native(coroutine) is coroutine
    coroutine.close()


def test_work_is_done_once_for_all_who_ask_in_turn() -> None:
    done: list[int] = []

    async def body(runtime: Runtime) -> None:
        flight = SingleFlight()

        async def work() -> None:
            done.append(1)

        await flight.run(runtime, work)
        await flight.run(runtime, work)

    run("blocking", body)
    assert done == [1, 1]


def test_threads_share_one_flight_and_its_error() -> None:
    started, proceed = threading.Event(), threading.Event()
    flight, errors, runs = SingleFlight(), list[MCPError](), list[int]()

    async def work() -> None:
        runs.append(1)
        started.set()
        proceed.wait(20)
        raise ConfigError("no")

    async def body(runtime: Runtime) -> None:
        try:
            await flight.run(runtime, work)
        except ConfigError as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=("blocking", body), daemon=True) for _ in range(4)]
    threads[0].start()
    assert started.wait(20)
    for thread in threads[1:]:
        thread.start()
    proceed.set()
    for thread in threads:
        thread.join(20)
    assert len(errors) == 4
    assert len({id(error) for error in errors}) == 4, "each caller has an error of its own"
    assert {str(error) for error in errors} == {"no"}
    assert len(runs) <= 4


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_a_leader_that_gives_up_is_followed_by_another(name: str) -> None:
    runs: list[str] = []

    async def body(runtime: Runtime) -> None:
        flight, leading = SingleFlight(), runtime.event()

        async def slow() -> None:
            runs.append("slow")
            leading.set()
            await runtime.sleep(30)

        async def quick() -> None:
            runs.append("quick")

        async def leader() -> None:
            with pytest.raises(TimeoutError):
                async with runtime.deadline(runtime.now() + 0.05):
                    await flight.run(runtime, slow)

        async def follower() -> None:
            await leading.wait()
            await flight.run(runtime, quick)

        await both(name, leader, follower)

    run(name, body)
    assert runs == ["slow", "quick"]


async def both(name: str, first, second) -> None:
    if name == "asyncio":
        import asyncio  # noqa: PLC0415

        await asyncio.gather(first(), second())
    else:
        import trio  # noqa: PLC0415

        async with trio.open_nursery() as nursery:
            nursery.start_soon(first)
            nursery.start_soon(second)


class OneThread(ThreadPool):
    """One thread, a queue of two jobs, and a record of how the jobs ended."""

    def __init__(self) -> None:
        super().__init__(1, 2)
        self.proceed = threading.Event()
        self.ended: queue.SimpleQueue[tuple[str, BaseException | None]] = queue.SimpleQueue()
        self.begin("first", self.proceed.wait)

    def begin(self, name: str, work: Callable[[], object] = bool) -> Job:
        return self.start(work, lambda result, error: self.ended.put((name, error)))

    def next(self) -> str:
        name, error = self.ended.get(timeout=PATIENCE)
        assert error is None
        return name


def test_work_waits_for_a_thread_and_the_queue_is_bounded() -> None:
    pool = OneThread()
    pool.begin("second")
    pool.begin("third")
    with pytest.raises(OSError, match="at work"):
        pool.begin("fourth")
    pool.proceed.set()
    assert [pool.next() for _ in range(3)] == ["first", "second", "third"]
    pool.begin("fifth")
    assert pool.next() == "fifth"


def test_work_that_is_abandoned_is_not_started() -> None:
    pool = OneThread()
    pool.begin("second").abandon()
    pool.begin("third").abandon()
    pool.begin("fourth")
    pool.begin("fifth")
    pool.proceed.set()
    assert [pool.next() for _ in range(3)] == ["first", "fourth", "fifth"]


def test_a_report_that_fails_holds_nobody_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pool = OneThread()
    pool.start(lambda: None, lambda result, error: 1 // 0)
    pool.begin("third")
    pool.proceed.set()
    assert [pool.next() for _ in range(2)] == ["first", "third"]
    assert "could not be reported" in caplog.text


def test_threads_that_cannot_be_started_leave_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = OneThread()
    pool.proceed.set()
    assert pool.next() == "first"
    wait_until(lambda: pool._threads == 0)
    with monkeypatch.context() as broken:
        broken.setattr(threading.Thread, "start", lambda thread: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            pool.begin("second")
    pool.begin("third")
    assert pool.next() == "third"


def test_the_collector_is_paused_while_anybody_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROUTERMCP_NO_GC_PAUSE", raising=False)
    assert gc.isenabled()
    with gc_pause.paused():
        assert not gc.isenabled()
        with pytest.raises(KeyError), gc_pause.paused():
            raise KeyError("x")
        assert not gc.isenabled()
    assert gc.isenabled()
    monkeypatch.setenv("ROUTERMCP_NO_GC_PAUSE", "1")
    with gc_pause.paused():
        assert gc.isenabled()
    monkeypatch.delenv("ROUTERMCP_NO_GC_PAUSE")
    gc.disable()
    try:
        with gc_pause.paused():
            pass
        assert not gc.isenabled(), "whoever has switched it off wants it off"
    finally:
        gc.enable()


def test_a_paused_collector_is_asked_to_look_through_what_is_new() -> None:
    class Node:
        pass

    def garbage() -> weakref.ref[Node]:
        node = Node()
        vars(node)["itself"] = node
        return weakref.ref(node)

    with gc_pause.paused():
        node = garbage()
        gc_pause.collect_new()
        assert node() is None
    gc.disable()
    try:
        node = garbage()
        gc_pause.collect_new()
        assert node() is not None, "whoever has switched it off wants it off"
    finally:
        gc.enable()


def test_the_collector_does_not_look_through_what_was_made_in_a_pause() -> None:
    with gc_pause.paused():
        made = [[each] for each in range(10)]
    assert any(each is made for each in gc.get_objects(generation=2))
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with gc_pause.paused():
            made = [[each] for each in range(10)]
        assert gc.get_freeze_count() == pytest.approx(frozen, abs=100), "what an application froze stays so"
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("half", [{}, {"lowlevel": types.ModuleType("trio.lowlevel")}])
def test_trio_may_be_half_imported_by_another_thread(
    half: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module is there for all to see before its names are."""
    trio = types.ModuleType("trio")
    vars(trio).update(half)
    monkeypatch.setitem(sys.modules, "trio", trio)

    async def body() -> str:
        return running().name

    assert asyncio.run(body()) == "asyncio"
    with pytest.raises(ConfigError, match="needs asyncio or trio"):
        running()


def test_a_message_in_the_log_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    get_logger("routermcp.lines").warning("a server says %s", "one\r\n2026 routermcp ERROR two")
    (record,) = caplog.records
    assert record.getMessage() == "a server says one\N{REPLACEMENT CHARACTER}\\n2026 routermcp ERROR two"

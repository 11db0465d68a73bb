"""Stepping, single flight, abandoned threads, the pause of the collector."""

from __future__ import annotations

import gc
import threading

import pytest

from routermcp_adapters import _gc_pause, _threads
from routermcp_adapters._single_flight import SingleFlight
from routermcp_adapters._stepping import native, step
from routermcp_adapters.runtime import Runtime
from routermcp_proto.exceptions import ConfigError, MCPError
from tests.adapters.runtimes import run


class Suspends:
    def __await__(self):
        yield


async def forty_two() -> int:
    return 42


def test_a_coroutine_that_never_suspends_is_run_at_once() -> None:
    assert step(forty_two()) == 42

    async def fails() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        step(fails())


def test_a_coroutine_that_suspends_is_a_mistake() -> None:
    ended: list[bool] = []

    async def waits() -> None:
        try:
            await Suspends()
        finally:
            ended.append(True)

    with pytest.raises(RuntimeError, match="event loop"):
        step(waits())
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
        thread.join(5)
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


def test_abandoned_threads_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_threads, "_slots", threading.BoundedSemaphore(1))
    proceed, reported = threading.Event(), threading.Event()
    _threads.start(lambda: proceed.wait(20), lambda result, error: reported.set())
    with pytest.raises(OSError, match="under way"):
        _threads.start(lambda: None, lambda result, error: None)
    proceed.set()
    assert reported.wait(20)
    again = threading.Event()
    _threads.start(lambda: None, lambda result, error: again.set())
    assert again.wait(20)


def test_the_collector_is_paused_while_anybody_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROUTERMCP_NO_GC_PAUSE", raising=False)
    assert gc.isenabled()
    with _gc_pause.paused():
        assert not gc.isenabled()
        with pytest.raises(KeyError), _gc_pause.paused():
            raise KeyError("x")
        assert not gc.isenabled()
    assert gc.isenabled()
    monkeypatch.setenv("ROUTERMCP_NO_GC_PAUSE", "1")
    with _gc_pause.paused():
        assert gc.isenabled()
    monkeypatch.delenv("ROUTERMCP_NO_GC_PAUSE")
    gc.disable()
    try:
        with _gc_pause.paused():
            pass
        assert not gc.isenabled(), "whoever has switched it off wants it off"
    finally:
        gc.enable()

"""What only the runtime of asyncio has to see to: deadlines there are cancellations of our own."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from typing import Any

import pytest

from routermcp_adapters.runtime import ByteStream
from routermcp_adapters.runtimes.asyncio import LEAST_ROOM, AsyncioRuntime


@pytest.mark.parametrize("cancelled", [False, True])
def test_who_is_cancelled_at_the_deadline_hears_of_the_cancellation(cancelled: bool) -> None:
    async def body() -> None:
        scope = AsyncioRuntime().deadline(None)
        task = asyncio.current_task()
        assert task is not None

        async def wait() -> None:
            async with scope:
                scope.move(0.0)
                if cancelled:
                    asyncio.get_running_loop().call_soon(task.cancel)
                await asyncio.sleep(20)

        with pytest.raises(asyncio.CancelledError if cancelled else TimeoutError):
            await wait()
        if cancelled:
            task.uncancel()
        assert not task.cancelling()

    asyncio.run(body())


def test_who_gives_up_waiting_for_a_flag_leaves_the_others_waiting() -> None:
    async def body() -> None:
        runtime = AsyncioRuntime()
        flag = runtime.event()
        others = [
            asyncio.ensure_future(wait)
            for wait in (flag.wait(), runtime.wait_ready([], [], flag), flag.wait())
        ]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await flag.wait()
        assert not any(other.done() for other in others)
        flag.set()
        async with asyncio.timeout(20):
            await asyncio.gather(*others)
            await flag.wait()

    asyncio.run(body())


def test_limits_that_were_not_needed_leave_one_timer_and_little_else() -> None:
    async def body() -> None:
        loop: Any = asyncio.get_running_loop()
        runtime: Any = AsyncioRuntime()
        for number in range(10 * LEAST_ROOM):
            async with runtime.deadline(loop.time() + 1000 - number / 1000) as scope:
                scope.move(loop.time() + 2000)
        assert len([timer for timer in loop._scheduled if not timer.cancelled()]) == 1
        kept = [each for each in gc.get_objects() if type(each) is type(scope)]
        assert sum(each._alarm is scope._alarm for each in kept) <= LEAST_ROOM + 1

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(body())


@pytest.mark.parametrize("others", [(), (1000.0, 0.02)])
def test_limits_are_kept_in_any_order(others: tuple[float, ...]) -> None:
    async def wait(seconds: float, ended: list[float]) -> None:
        runtime_scope = runtimes[0].deadline(asyncio.get_running_loop().time() + seconds)
        with pytest.raises(TimeoutError):
            async with runtime_scope:
                await asyncio.sleep(20)
        ended.append(seconds)

    async def body() -> None:
        runtimes.append(AsyncioRuntime())
        loop = asyncio.get_running_loop()
        for each in others:
            async with runtimes[0].deadline(loop.time() + each):
                pass
        ended: list[float] = []
        await asyncio.gather(*(wait(seconds, ended) for seconds in (0.03, 0.01, 0.0, 0.05, 0.03)))
        assert ended == sorted(ended)

    runtimes: list[AsyncioRuntime] = []
    asyncio.run(body())


class Turns(asyncio.SelectorEventLoop):
    """A loop that counts its turns."""

    def __init__(self) -> None:
        self.turns = 0
        super().__init__()

    def _run_once(self) -> None:
        self.turns += 1
        super()._run_once()  # type: ignore[misc]


async def connected() -> tuple[ByteStream, socket.socket]:
    """Return a stream, and the peer's end of the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = socket.AF_INET, server.getsockname()
        stream = await AsyncioRuntime().connect([address], None, "")
        peer, _ = server.accept()
        return stream, peer


def test_a_task_that_waits_for_data_runs_in_the_turn_in_which_it_comes() -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Turns)
        stream, peer = await connected()
        with peer:
            receiving = asyncio.ensure_future(turn_of(stream, loop))
            await asyncio.sleep(0)
            peer.send(b"data")
            before = loop.turns
            assert await receiving == (b"data", before + 1)
            stream.abort()

    async def turn_of(stream: ByteStream, loop: Turns) -> tuple[bytes, int]:
        return await stream.receive_some(), loop.turns

    with asyncio.Runner(loop_factory=Turns) as runner:
        runner.run(body())


def test_a_task_that_is_cancelled_as_data_comes_leaves_the_data() -> None:
    problems: list[dict[str, Any]] = []

    async def body() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        stream, peer = await connected()
        with peer:
            receiving = asyncio.ensure_future(stream.receive_some())
            await asyncio.sleep(0)
            peer.send(b"data")
            asyncio.get_running_loop().call_soon(receiving.cancel)  # in the turn in which the data comes
            with pytest.raises(asyncio.CancelledError):
                await receiving
            assert await stream.receive_some() == b"data"
            stream.abort()

    asyncio.run(body())
    assert not problems


def test_an_exit_of_the_task_that_got_data_ends_the_program() -> None:
    async def body() -> None:
        stream, peer = await connected()
        with peer:
            asyncio.get_running_loop().call_soon(peer.send, b"data")
            try:
                sys.exit((await stream.receive_some()).decode())
            finally:
                stream.abort()

    with pytest.raises(SystemExit, match="data"):
        asyncio.run(body())

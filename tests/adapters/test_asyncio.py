"""What only the runtime of asyncio has to see to: deadlines there are cancellations of our own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from routermcp_adapters.runtimes.asyncio import AsyncioRuntime


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


def test_a_limit_that_was_not_needed_leaves_no_timer() -> None:
    async def body() -> None:
        loop: Any = asyncio.get_running_loop()
        async with AsyncioRuntime().deadline(loop.time() + 1000) as scope:
            scope.move(loop.time() + 2000)
        assert all(timer.cancelled() for timer in loop._scheduled)

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(body())

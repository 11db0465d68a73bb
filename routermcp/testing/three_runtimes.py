"""One test body for asyncio, for trio and for plain blocking code.

A body is an ``async def`` that awaits nothing but the methods of a client from
:func:`make_client` and the functions below. On ``blocking`` it is stepped: the client is a
:class:`~routermcp.SyncRouterMCPClient` whose methods, made awaitable here, do their work
and return, so the body runs to its end without ever suspending.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar, cast

import trio

from routermcp import RouterMCPClient, SyncRouterMCPClient, TransportError
from routermcp_adapters.runtimes.run_sync import run_sync

T = TypeVar("T")

RUNTIMES = ("asyncio", "trio", "blocking")

#: Methods that are plain functions on the async classes too; what they return has methods again.
_NOT_AWAITED = frozenset({"create_session", "stats"})


def run(runtime: str, body: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
    """Run a body on a runtime and return its result."""
    if runtime == "asyncio":
        return asyncio.run(body(*args))
    if runtime == "trio":
        return trio.run(body, *args)
    return run_sync(body(*args))


class _Awaitable:
    """A blocking client or session whose methods can be awaited."""

    def __init__(self, plain: Any) -> None:
        self._plain = plain

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._plain, name)
        if name in _NOT_AWAITED:

            def make(*args: Any, **named: Any) -> _Awaitable:
                return _Awaitable(value(*args, **named))

            return make
        if not callable(value):
            return value

        async def method(*args: Any, **named: Any) -> Any:
            return value(*args, **named)

        return method

    async def __aenter__(self) -> Self:
        self._plain.__enter__()
        return self

    async def __aexit__(self, *exc_info: object) -> Any:
        return self._plain.__exit__(*exc_info)


def make_client(runtime: str, **settings: Any) -> RouterMCPClient:
    """Make a client for a runtime; it is not connected yet."""
    if runtime == "blocking":
        return cast("RouterMCPClient", _Awaitable(SyncRouterMCPClient(**settings)))
    return RouterMCPClient(**settings)


async def gather(runtime: str, calls: Sequence[Callable[[], Coroutine[Any, Any, T]]]) -> list[T]:
    """Make calls all at once (on ``blocking``, in a thread each) and return their results in order."""
    if runtime == "asyncio":
        return list(await asyncio.gather(*(call() for call in calls)))
    if runtime == "trio":
        return await _gather_trio(calls)

    def stepped(call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return run_sync(call())

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(stepped, calls))


async def _gather_trio(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    results: dict[int, T] = {}

    async def keep(index: int, call: Callable[[], Awaitable[T]]) -> None:
        results[index] = await call()

    async with trio.open_nursery() as nursery:
        for index, call in enumerate(calls):
            nursery.start_soon(keep, index, call)
    return [results[index] for index in range(len(calls))]


async def abandon(runtime: str, seconds: float, call: Callable[..., Coroutine[Any, Any, Any]]) -> bool:
    """Start a call and give it up, in the way of the runtime; return whether it was given up.

    asyncio cancels the task, trio the scope. Blocking code has no cancellation: there the
    call is made with ``timeout=``, in milliseconds, and has to raise that it took too long.
    """
    if runtime == "asyncio":
        task = asyncio.ensure_future(call())
        asyncio.get_running_loop().call_later(seconds, task.cancel)
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()
        return task.cancelled()
    if runtime == "trio":
        with trio.move_on_after(seconds) as scope:
            await call()
        return scope.cancelled_caught
    try:
        run_sync(call(timeout=round(seconds * 1000)))
    except TransportError as error:
        return error.code == "timeout"
    return False

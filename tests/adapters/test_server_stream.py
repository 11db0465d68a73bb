"""The server stream while several parties open and close it: one connection is kept, others given back.

A party is interrupted at each point at which opening waits, and another one acts there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from routermcp_adapters.http.server_stream import REOPENING_SECONDS, ServerStream
from routermcp_proto.events import Event, NotificationReceived

POINTS = ("headers", "lease", "send")

each_point = pytest.mark.parametrize("point", POINTS)


class _Connection:
    """A connection, its stream and its reader."""

    def __init__(self, world: _World) -> None:
        self.stream = self.reader = self
        self.drained = False
        self.events: list[Event] = []
        self._world = world

    def start(self, method: bytes) -> None:
        pass

    async def send_all(self, data: bytes) -> None:
        await self._world.reach("send")

    def receive_nowait(self) -> bytes:
        return b""

    def take(self, data: bytes, exchange: object) -> list[Event]:
        return self.events


class _Exchange:
    """An exchange whose server accepts the stream at once; it is a request too."""

    accepted, last_event_id, method = True, "", b"GET"

    def secrets(self) -> list[str]:
        return []

    def resume(self) -> None:
        pass

    def to_bytes(self) -> bytes:
        return b""


class _World:
    """The binding, the pool and the runtime of a stream; it lets another party act at one point, once."""

    listens, endpoint = True, None

    def __init__(self) -> None:
        self.time = 0.0
        self.leased: list[_Connection] = []
        self.discarded: list[object] = []
        self.slept: list[float] = []
        self.acts: dict[str, Callable[[], Awaitable[object]]] = {}
        self.stream = ServerStream(self)  # type: ignore[arg-type]

    async def reach(self, point: str) -> None:
        act = self.acts.pop(point, None)
        if act is not None:
            await act()

    async def headers(self) -> None:
        await self.reach("headers")

    async def open(self) -> None:
        await self.stream.open(self, self, self.headers)  # type: ignore[arg-type]

    async def call(self) -> object:
        """Begin a call, which opens the stream again where it is closed."""
        return await self.stream.reader(self)  # type: ignore[arg-type]

    def cut(self) -> None:
        """Have the server close the stream, some time ago."""
        self.stream._drop()
        self.time += REOPENING_SECONDS

    def end(self, *events: Event) -> None:
        """Have the server end the stream, after some events."""
        self.leased[-1].drained, self.leased[-1].events = True, list(events)
        self.stream.read()

    async def reopened(self) -> float:
        """Begin calls until one has opened the stream again, and return the seconds that took."""
        began = self.time
        while await self.call() is None:
            self.time += 0.5
        return self.time - began

    @property
    def open_connections(self) -> list[object]:
        return [each for each in self.leased if each not in self.discarded]

    # ---- the binding, the pool and the runtime

    def exchange(self, outgoing: object) -> Any:
        return _Exchange()

    def resume(self, last: str, headers: object) -> Any:
        return _Exchange()

    async def lease(self, endpoint: object, *, control: bool) -> Any:
        connection = _Connection(self)
        self.leased.append(connection)
        await self.reach("lease")
        return connection

    def discard(self, connection: object) -> None:
        self.discarded.append(connection)

    def now(self) -> float:
        return self.time

    def event(self) -> asyncio.Event:
        return asyncio.Event()

    def shield(self, seconds: float) -> contextlib.nullcontext[None]:
        return contextlib.nullcontext()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


async def _world() -> _World:
    """Return a world whose server has closed its stream."""
    world = _World()
    await world.open()
    world.cut()
    return world


@each_point
def test_a_stream_that_is_closed_while_a_call_opens_it_stays_closed(point: str) -> None:
    async def body() -> None:
        world = await _world()

        async def close() -> None:
            world.stream.close()

        world.acts[point] = close
        assert await world.call() is None
        assert world.stream.stream is None
        assert world.open_connections == []

    asyncio.run(body())


@each_point
def test_a_renewed_session_keeps_its_own_stream(point: str) -> None:
    """A call of the session before it comes back later than the handshake of the new one."""

    async def body() -> None:
        world = await _world()
        of_the_session: list[object] = []

        async def renew() -> None:
            await world.open()
            of_the_session.append(world.stream.stream)

        world.acts[point] = renew
        await world.call()
        assert [world.stream.stream] == of_the_session == world.open_connections

    asyncio.run(body())


@each_point
def test_a_session_that_is_closed_while_its_stream_is_opened_has_none(point: str) -> None:
    async def body() -> None:
        world = _World()

        async def close() -> None:
            world.stream.close()

        world.acts[point] = close
        await world.open()
        assert world.stream.stream is None
        assert world.open_connections == []

    asyncio.run(body())


@each_point
def test_one_call_opens_the_stream_however_long_that_takes(point: str) -> None:
    async def body() -> None:
        world = await _world()
        others: list[object] = []

        async def call() -> None:
            world.time += 10 * REOPENING_SECONDS
            others.append(await world.call())

        world.acts[point] = call
        assert await world.call() is not None
        assert others == [None], "it goes without"
        assert [world.stream.stream] == world.open_connections

    asyncio.run(body())


@each_point
def test_the_attendant_waits_while_a_call_opens_the_stream(point: str) -> None:
    async def body() -> None:
        world = await _world()

        async def attend() -> None:
            world.time += 10 * REOPENING_SECONDS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(_until_it_has_slept(world), 10)

        world.acts[point] = attend
        await world.call()
        assert world.slept == [REOPENING_SECONDS]

    asyncio.run(body())


async def _until_it_has_slept(world: _World) -> None:
    """Let the attendant look at the stream until it sleeps."""

    async def sleep(seconds: float) -> None:
        world.slept.append(seconds)
        world.stream.wanted = not seconds  # ends it

    world.sleep = sleep  # type: ignore[method-assign]
    await world.stream.watch(world, world.headers)  # type: ignore[arg-type]
    world.stream.wanted = True


@each_point
def test_a_call_that_is_given_up_leaves_the_stream_to_the_next_one(point: str) -> None:
    async def body() -> None:
        world = await _world()

        async def give_up() -> None:
            raise asyncio.CancelledError

        world.acts[point] = give_up
        with pytest.raises(asyncio.CancelledError):
            await world.call()
        world.time += REOPENING_SECONDS
        assert await world.call() is not None
        assert world.open_connections[-1] is world.stream.stream

    asyncio.run(body())


def test_a_stream_that_brings_nothing_again_and_again_is_opened_less_and_less_often() -> None:
    async def body() -> None:
        world, waits = _World(), list[float]()
        await world.open()
        for _ in range(8):
            world.end()
            waits.append(await world.reopened())
        assert waits == [2, 4, 8, 16, 32, 60, 60, 60]
        world.end(NotificationReceived("notifications/tools/list_changed", {}))
        assert await world.reopened() == REOPENING_SECONDS

    asyncio.run(body())


def test_a_stream_that_has_lasted_is_opened_again_at_once() -> None:
    async def body() -> None:
        world = _World()
        await world.open()
        for _ in range(20):
            world.time += 60
            world.end()
            assert await world.reopened() == 0

    asyncio.run(body())

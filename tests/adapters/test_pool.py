"""The pool: what is used again, what is not, and who waits."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterable
from typing import Any

import pytest

from routermcp_adapters._connection import Connection
from routermcp_adapters._dial import Resolver
from routermcp_adapters._limits import PoolLimits, PoolStats
from routermcp_adapters._pool import ConnectionPool
from routermcp_adapters._stepping import step
from routermcp_adapters.memory import Break, MemoryRuntime, Move, Pause
from routermcp_adapters.runtime import Runtime
from routermcp_proto import calls
from routermcp_proto.exceptions import ConfigError, TransportError
from routermcp_proto.http.url import EndpointURL
from routermcp_proto.timers import RetryPolicy
from tests.adapters.rig import END, Rig, event, http, says, stream_head
from tests.adapters.runtimes import peer, read_until_closed
from tests.adapters.runtimes import run as run_on
from tests.adapters.test_driver import answered

TOOL = calls.call_tool("add")


LIMITS = PoolLimits()


class Pool(ConnectionPool):
    """A pool whose connections lead to one place."""

    def __init__(self, runtime: Runtime, url: str = "http://127.0.0.1:1/mcp", **limits: int) -> None:
        super().__init__(runtime, ssl.create_default_context, Resolver(), PoolLimits(**limits))
        self.there = EndpointURL.parse(url)

    async def one(self, *, control: bool = False) -> Connection:
        """Lease a connection."""
        return await self.lease(self.there, control=control)


def silent_runtime() -> MemoryRuntime:
    return MemoryRuntime(lambda: lambda data: [])


def lease(pool: Pool, *, control: bool = False) -> Connection:
    return step(pool.one(control=control))


def answer(connection: Connection) -> Connection:
    """Let a connection have carried an exchange."""
    connection.reader.start("POST")
    connection.drained = False
    connection.reader.receive_data(http(200, b"{}"))
    while not connection.drained:
        connection._next()
    return connection


def test_one_connection_serves_call_after_call() -> None:
    rig = Rig().connect()
    for _ in range(20):
        rig.call(TOOL)
    assert len(rig.runtime.streams) == 1


@pytest.mark.parametrize(
    "late",
    [
        [Break()],
        [http(200, {"jsonrpc": "2.0"})],
        [b"HTTP/1.1 408 Request Timeout\r\n\r\n"],
        [b"\0"],
        [http(200, b"x" * 100), Break()],
    ],
    ids=["closed", "an answer", "a farewell", "rubbish", "an answer and the end"],
)
def test_what_comes_unasked_ends_a_connection(late: list[Move]) -> None:
    rig = Rig().connect()
    good = rig.usual["tools/call"]
    rig.answers["tools/call"] = [lambda request: [*good(request), Pause(1), *late]]
    rig.call(TOOL)
    rig.runtime.streams[0].let_pass(1)
    assert rig.call(TOOL).text == "done"
    assert len(rig.runtime.streams) == 2
    assert rig.runtime.streams[0].closed
    assert len(rig.at("tools/call")) == 2, "nothing was sent on a connection that is of no use"


@pytest.mark.parametrize("token", ["Connection: close", "connection: Keep-Alive, Close"])
def test_a_server_that_wants_to_close_is_let(token: str) -> None:
    rig = Rig().connect()
    message = {"jsonrpc": "2.0", "id": 2, "result": {"resultType": "complete", "content": []}}

    def closing(request: object) -> Iterable[Move]:
        return [http(200, {**message, "id": rig.requests[-1].message["id"]}, token)]

    rig.answers["tools/call"] = [closing]
    rig.call(TOOL)
    rig.call(TOOL)
    assert len(rig.runtime.streams) == 2


def test_the_end_of_an_event_stream_may_come_after_the_answer() -> None:
    rig = Rig().connect()
    rig.answers["tools/call"] = [
        lambda request: [stream_head(), event(answered(request)), Pause(0.1), b"0\r\n", Pause(0.1), b"\r\n"]
    ]
    assert rig.call(TOOL).text == "done"
    assert rig.runtime.now() == 0, "nobody waits for it"
    stream = rig.runtime.streams[0]
    stream.let_pass(1)
    assert stream.receive_nowait() == b"0\r\n"
    assert not stream.closed


def test_a_connection_whose_event_stream_has_ended_meanwhile_is_used_again() -> None:
    rig = Rig().connect()
    rig.answers["tools/call"] = [lambda request: [stream_head(), event(answered(request)), END]]
    rig.call(TOOL)
    rig.call(TOOL)
    assert len(rig.runtime.streams) == 1


def test_a_stream_that_goes_on_and_on_is_dropped() -> None:
    news = event({"jsonrpc": "2.0", "method": "notifications/message", "params": {}})
    rig = Rig().connect()
    rig.answers["tools/call"] = [lambda request: [stream_head(), event(answered(request)), *[news] * 50]]
    rig.call(TOOL)
    rig.call(TOOL)
    assert len(rig.runtime.streams) == 2
    assert rig.runtime.streams[0].closed


def test_a_connection_that_has_rested_too_long_is_not_trusted() -> None:
    rig = Rig().connect()
    step(rig.runtime.sleep(LIMITS.idle_expiry / 1000 + 1))
    rig.call(TOOL)
    assert len(rig.runtime.streams) == 2


def test_the_freshest_connection_is_taken_first() -> None:
    pool = Pool(silent_runtime())
    first, second = lease(pool), lease(pool)
    pool.release(answer(first))
    pool.release(answer(second))
    assert lease(pool) is second
    assert lease(pool) is first


def test_only_so_many_rest() -> None:
    runtime = silent_runtime()
    pool = Pool(runtime)
    connections = [lease(pool) for _ in range(LIMITS.max_idle + 5)]
    for connection in connections:
        pool.release(answer(connection))
    assert sum(not stream.closed for stream in runtime.streams) == LIMITS.max_idle


def test_a_connection_in_use_is_given_to_nobody_else() -> None:
    pool = Pool(silent_runtime())
    leased = [lease(pool) for _ in range(10)]
    assert len({id(connection.stream) for connection in leased}) == 10


def test_a_failed_dial_gives_its_place_back() -> None:
    def refuse() -> None:
        raise ConnectionRefusedError(111, "refused")

    pool = Pool(MemoryRuntime(refuse), max_connections=1)  # pyright: ignore[reportArgumentType]
    for _ in range(3):
        with pytest.raises(TransportError):
            lease(pool)


def test_a_closed_pool_leases_nothing_and_keeps_nothing() -> None:
    runtime = silent_runtime()
    pool = Pool(runtime)
    leased, resting = lease(pool), lease(pool)
    pool.release(answer(resting))
    pool.close()
    assert all(stream.closed for stream in runtime.streams)
    pool.release(leased)
    with pytest.raises(TransportError, match="disconnected") as caught:
        lease(pool)
    assert (caught.value.code, caught.value.not_run) == ("closed", True)


def test_the_control_lane_does_not_wait_for_a_place() -> None:
    pool = Pool(silent_runtime(), max_connections=1)
    lease(pool)
    for _ in range(3):
        pool.release(answer(lease(pool, control=True)))


def test_who_waits_for_a_place_has_a_deadline() -> None:
    rig = Rig(max_connections=1).connect()
    rig.runtime.event = quiet_event(rig.runtime)  # pyright: ignore[reportAttributeAccessIssue]
    held = step(rig.transport.pool().lease(rig.transport.endpoint))
    with pytest.raises(TransportError) as caught:
        rig.call(TOOL, 1000)
    assert caught.value.code == "timeout"
    assert not rig.of("tools/call")
    assert held.is_open


def quiet_event(runtime: MemoryRuntime):
    """A flag that nobody raises, on the clock that only moves when somebody waits."""

    class Quiet:
        def set(self) -> None: ...

        async def wait(self) -> None:
            await runtime.sleep(float("inf"))

    return Quiet


# ---- torn away ---------------------------------------------------------------------------------


def test_the_place_of_an_abandoned_connection_is_recovered() -> None:
    runtime = silent_runtime()
    pool = Pool(runtime, max_connections=1)
    for _ in range(5):
        lease(pool)
    assert all(stream.closed for stream in runtime.streams[:-1])
    assert pool.counts() == (0, 0, 0)


def test_who_waits_is_served_when_a_connection_is_abandoned() -> None:
    pool = Pool(MemoryRuntime(lambda: lambda data: []), max_connections=1)
    held = [lease(pool)]
    got: list[Connection] = []
    waiting = threading.Thread(target=lambda: got.append(lease(pool)), daemon=True)
    waiting.start()
    while not pool.counts()[2]:
        pass
    held.clear()
    waiting.join(20)
    assert len(got) == 1


def test_garbage_that_is_collected_under_the_lock_blocks_nobody() -> None:
    pool = Pool(silent_runtime(), max_connections=1)
    held = [lease(pool)]
    with pool._lock:
        held.clear()
        assert not pool._leased
    assert pool._abandoned
    assert lease(pool).is_open


# ---- limits ------------------------------------------------------------------------------------


def test_connections_to_one_origin_have_a_limit_of_their_own() -> None:
    runtime = silent_runtime()
    runtime.event = quiet_event(runtime)  # pyright: ignore[reportAttributeAccessIssue]
    pool = Pool(runtime, max_connections_per_origin=1, max_connections=3)
    other, third = EndpointURL.parse("http://127.0.0.2:1/"), EndpointURL.parse("https://127.0.0.1:1/")
    held = [lease(pool), step(pool.lease(other)), step(pool.lease(third))]
    assert len({connection.origin for connection in held}) == 3
    with pytest.raises(RuntimeError, match="for ever"):
        step(pool.lease(other))
    pool.release(answer(held[1]))
    assert step(pool.lease(other)) is held[1]


def test_a_connection_that_has_lived_too_long_is_replaced() -> None:
    rig = Rig().connect()
    step(rig.runtime.sleep(LIMITS.max_lifetime / 1000 - 1))
    rig.runtime.streams.clear()
    for _ in range(3):
        rig.call(TOOL)
        step(rig.runtime.sleep(0.9))
    assert len(rig.runtime.streams) == 1
    step(rig.runtime.sleep(LIMITS.idle_expiry / 2000))
    rig.call(TOOL)
    assert len(rig.runtime.streams) == 1


@pytest.mark.parametrize(
    "wrong", [{"max_connections": 0}, {"max_idle": -1}, {"idle_expiry": 1.5}, {"max_lifetime": True}]
)
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        PoolLimits(**wrong)


def test_what_the_pool_does_can_be_seen() -> None:
    rig = Rig(retry=RetryPolicy(backoff=0)).connect()
    rig.answers["tools/list"] = [says(http(503)), says(http(503))]
    rig.call(calls.list_tools())
    assert rig.transport.stats() == PoolStats(
        open=1, idle=1, in_use=0, waiting=0, reused=3, opened=1, retries=2
    )
    rig.disconnect()
    stats = rig.transport.stats()
    assert (stats.open, stats.reused, stats.retries) == (0, 3, 2)


# ---- on real runtimes -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_a_place_that_gets_free_goes_to_who_waited_first(name: str) -> None:
    arrived: list[int] = []
    served: list[int] = []
    opened: list[int] = []

    async def body(runtime: Runtime) -> None:
        pool = Pool(runtime, f"http://127.0.0.1:{serving.address[1]}/", max_connections=1)
        held = await pool.one()
        queued = [runtime.event() for _ in range(3)]

        async def wait_for(number: int) -> None:
            queued[number].set()
            arrived.append(number)
            connection = await pool.one()
            served.append(number)
            pool.release(answer(connection))

        async def release() -> None:
            for flag in queued:
                await flag.wait()
            await runtime.sleep(0)
            pool.release(answer(held))

        await together(name, lambda: wait_for(0), lambda: wait_for(1), lambda: wait_for(2), release)
        opened.append(pool.opened)
        pool.close()

    with peer(read_until_closed) as serving:  # pyright: ignore[reportArgumentType]
        run_on(name, body)
    assert served == arrived
    assert opened == [1]


@pytest.mark.parametrize("name", ["asyncio", "trio"])
@pytest.mark.parametrize("way", ["discard", "close"])
def test_who_waits_is_woken_whatever_becomes_of_the_connection(name: str, way: str) -> None:
    ends: list[str] = []

    async def body(runtime: Runtime) -> None:
        pool = Pool(runtime, f"http://127.0.0.1:{serving.address[1]}/", max_connections=1)
        held = await pool.one()
        waiting = runtime.event()

        async def wait() -> None:
            waiting.set()
            try:
                pool.discard(await pool.one())
                ends.append("leased")
            except TransportError as error:
                ends.append(error.code)

        async def end() -> None:
            await waiting.wait()
            await runtime.sleep(0)
            if way == "discard":
                pool.discard(held)
            else:
                pool.close()

        await together(name, wait, end)
        pool.close()

    with peer(read_until_closed) as serving:  # pyright: ignore[reportArgumentType]
        run_on(name, body)
    assert ends == ["leased" if way == "discard" else "closed"]


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_who_gives_up_waiting_leaves_the_queue(name: str) -> None:
    async def body(runtime: Runtime) -> None:
        pool = Pool(runtime, f"http://127.0.0.1:{serving.address[1]}/", max_connections=1)
        held = await pool.one()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with runtime.deadline(runtime.now() + 0.01):
                    await pool.one()
        pool.release(answer(held))
        assert await pool.one() is held
        pool.close()

    with peer(read_until_closed) as serving:  # pyright: ignore[reportArgumentType]
        run_on(name, body)


async def together(name: str, *works) -> None:
    if name == "asyncio":
        import asyncio  # noqa: PLC0415

        await asyncio.gather(*(work() for work in works))
    else:
        import trio  # noqa: PLC0415

        async with trio.open_nursery() as nursery:
            for work in works:
                nursery.start_soon(work)

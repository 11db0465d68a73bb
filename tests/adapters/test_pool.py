"""The pool: what is used again, what is not, and who waits."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from routermcp_adapters.http.connect import Resolver
from routermcp_adapters.http.connection import Origin, PooledConnection
from routermcp_adapters.http.pool import TALKING_SECONDS, ConnectionPool
from routermcp_adapters.limits import PoolLimits, PoolStats
from routermcp_adapters.runtime import Runtime
from routermcp_adapters.runtimes.run_sync import run_sync
from routermcp_proto import calls
from routermcp_proto.exceptions import ConfigError, TransportError
from routermcp_proto.http.url import EndpointURL
from routermcp_proto.retry import RetryPolicy
from tests.adapters.rig import END, LoneRuntime, Rig, answer, event, http, says, stream_head
from tests.adapters.runtimes import PATIENCE, RUNTIMES, peer, read_until_closed, wait_until
from tests.adapters.runtimes import run as run_on
from tests.adapters.scripted_runtime import Break, MemoryRuntime, Move, Pause
from tests.adapters.test_driver import answered

TOOL = calls.call_tool("add")


LIMITS = PoolLimits()

ONCE = RetryPolicy(attempts=1)

OTHER = EndpointURL.parse("http://127.0.0.2:1/")


class Pool(ConnectionPool):
    """A pool whose connections lead to one place."""

    def __init__(self, runtime: Runtime, url: str = "http://127.0.0.1:1/mcp", **limits: int) -> None:
        super().__init__(runtime, ssl.create_default_context, Resolver(), PoolLimits(**limits))
        self.there = EndpointURL.parse(url)

    async def one(self, *, control: bool = False) -> PooledConnection:
        """Lease a connection."""
        return await self.lease(self.there, control=control)


def silent_runtime() -> MemoryRuntime:
    return LoneRuntime(lambda: lambda data: [])


def shared_runtime() -> MemoryRuntime:
    """One whose flags threads can wait for."""
    return MemoryRuntime(lambda: lambda data: [])


class Waiting:
    """A thread that waits for a place."""

    def __init__(self, pool: Pool, endpoint: EndpointURL) -> None:
        self._got: list[PooledConnection] = []
        before = pool.counts()[2]
        self._thread = threading.Thread(
            target=lambda: self._got.append(run_sync(pool.lease(endpoint))), daemon=True
        )
        self._thread.start()
        wait_until(lambda: pool.counts()[2] > before)

    def served(self) -> PooledConnection:
        """Wait for what it is given."""
        self._thread.join(PATIENCE)
        assert self._got, "it was forgotten"
        return self._got[0]


def lease(pool: Pool, *, control: bool = False) -> PooledConnection:
    return run_sync(pool.one(control=control))


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
    rig = Rig(retry=ONCE).connect()
    good = rig.usual["tools/call"]
    rig.answers["tools/call"] = [lambda request: [*good(request), Pause(1), *late]]
    rig.call(TOOL)
    rig.runtime.streams[0].let_pass(1)
    assert rig.call(TOOL).text == "done"
    assert len(rig.runtime.streams) == 2
    assert rig.runtime.streams[0].closed
    assert len(rig.at("tools/call")) == 2, "nothing was sent on a connection that is of no use"


@pytest.mark.parametrize("late", [b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"\0", b"\r\n"])
def test_what_comes_unasked_with_the_end_of_an_event_stream(late: bytes) -> None:
    rig = Rig(retry=ONCE).connect()
    rig.answers["tools/call"] = [
        lambda request: [stream_head(), event(answered(request)), Pause(1), END + late]
    ]
    rig.call(TOOL)
    rig.runtime.streams[0].let_pass(1)
    assert rig.call(TOOL).text == "done"
    assert [stream.closed for stream in rig.runtime.streams] == [True, False]


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


def test_a_stream_that_is_kept_open_after_the_answer_holds_its_connection_for_a_while() -> None:
    rig = Rig().connect()
    rig.answers["tools/call"] = [lambda request: [stream_head(), event(answered(request))]]
    for _ in range(2):
        rig.call(TOOL)
    assert [stream.closed for stream in rig.runtime.streams] == [False, False]
    run_sync(rig.runtime.sleep(TALKING_SECONDS + 1))
    pool = rig.transport.pool()
    held = [run_sync(pool.lease(rig.transport.endpoint)) for _ in range(2)]
    assert [stream.closed for stream in rig.runtime.streams] == [True, False, False]
    assert all(connection.is_open for connection in held)


def test_a_connection_that_has_rested_too_long_is_not_trusted() -> None:
    rig = Rig().connect()
    run_sync(rig.runtime.sleep(LIMITS.idle_expiry / 1000 + 1))
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
    pool = Pool(runtime, max_idle=20)
    connections = [lease(pool) for _ in range(25)]
    for connection in connections:
        pool.release(answer(connection))
    assert sum(not stream.closed for stream in runtime.streams) == 20


def test_a_burst_opens_no_connection_after_the_same_burst_before() -> None:
    runtime = silent_runtime()
    pool = Pool(runtime)
    for _ in range(3):
        burst = [lease(pool) for _ in range(LIMITS.max_connections)]
        for connection in burst:
            pool.release(answer(connection))
    assert len(runtime.streams) == LIMITS.max_connections


def test_none_rest_where_none_may() -> None:
    runtime = silent_runtime()
    pool = Pool(runtime, max_idle=0)
    pool.release(answer(lease(pool)))
    assert runtime.streams[0].closed
    assert pool.counts() == (0, 0, 0)


def test_one_that_has_rested_too_long_is_closed_when_another_comes_to_rest() -> None:
    runtime = silent_runtime()
    pool = Pool(runtime)
    first, second = lease(pool), lease(pool)
    pool.release(answer(first))
    run_sync(runtime.sleep(LIMITS.idle_expiry / 1000 + 1))
    pool.release(answer(second))
    assert [stream.closed for stream in runtime.streams] == [True, False]


def test_one_that_rests_makes_room_for_another_origin() -> None:
    runtime = silent_runtime()
    pool = Pool(runtime, max_connections=2)
    for connection in [lease(pool), lease(pool)]:
        pool.release(answer(connection))
    held = run_sync(pool.lease(OTHER))
    assert held.is_open
    assert [stream.closed for stream in runtime.streams] == [True, False, False]


def test_a_connection_in_use_is_given_to_nobody_else() -> None:
    pool = Pool(silent_runtime())
    leased = [lease(pool) for _ in range(10)]
    assert len({id(connection.stream) for connection in leased}) == 10


def test_a_failed_dial_gives_its_place_back() -> None:
    def refuse() -> None:
        raise ConnectionRefusedError(111, "refused")

    pool = Pool(LoneRuntime(refuse), max_connections=1)  # pyright: ignore[reportArgumentType]
    kept: list[TransportError] = []
    for _ in range(3):
        with pytest.raises(TransportError) as caught:
            lease(pool)
        kept.append(caught.value)  # with all that its traceback holds
    assert pool.counts() == (0, 0, 0)


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
    held = [lease(pool), *[lease(pool, control=True) for _ in range(3)]]
    assert pool.counts() == (0, 4, 0)
    for connection in held:
        pool.release(answer(connection))
    resting = [lease(pool, control=True) for _ in range(2)]
    assert lease(pool).is_open, "and takes none"
    assert (pool.opened, pool.reused, len(resting)) == (4, 3, 2)


def test_who_waits_for_a_place_has_a_deadline() -> None:
    rig = Rig(max_connections=1).connect()
    held = run_sync(rig.transport.pool().lease(rig.transport.endpoint))
    with pytest.raises(TransportError) as caught:
        rig.call(TOOL, 1000)
    assert caught.value.code == "timeout"
    assert not rig.of("tools/call")
    assert held.is_open


# ---- torn away ---------------------------------------------------------------------------------


def test_the_place_of_an_abandoned_connection_is_recovered() -> None:
    runtime = silent_runtime()
    pool = Pool(runtime, max_connections=1)
    for _ in range(5):
        lease(pool)
    assert all(stream.closed for stream in runtime.streams[:-1])
    assert pool.counts() == (0, 0, 0)


def test_who_waits_is_served_when_a_connection_is_abandoned() -> None:
    pool = Pool(shared_runtime(), max_connections=1)
    held = [lease(pool)]
    waiting = Waiting(pool, pool.there)
    held.clear()
    assert waiting.served().is_open


def test_garbage_that_is_collected_under_the_lock_blocks_nobody() -> None:
    pool = Pool(silent_runtime(), max_connections=1)
    held = [lease(pool)]
    with pool._lock:
        held.clear()
        assert not pool._leased
    assert pool._abandoned
    assert lease(pool).is_open


class Littering(Pool):
    """A pool in which garbage is collected in the middle of an operation."""

    held: list[PooledConnection] | None = None
    """What becomes garbage then."""

    def _drop(self) -> None:
        if self.held:
            assert self._lock.locked()
            self.held.clear()

    def _take_idle(self, origin: Origin) -> PooledConnection | None:
        self._drop()
        return super()._take_idle(origin)

    def _sweep(self) -> None:
        super()._sweep()
        self._drop()


@pytest.mark.parametrize(
    "operate",
    [
        lambda pool: lease(pool, control=True),
        lambda pool: pool.counts(),
    ],
    ids=["lease", "counts"],
)
def test_garbage_that_is_collected_under_the_lock_serves_who_waits(
    operate: Callable[[Littering], object],
) -> None:
    pool = Littering(shared_runtime(), max_connections=1)
    held = [lease(pool)]
    pool.release(answer(lease(pool, control=True)))
    waiting = Waiting(pool, pool.there)
    pool.held = held
    kept = operate(pool)
    assert waiting.served().is_open
    del kept  # which would be garbage too


class CutShort(Pool):
    """A pool whose finalizers Ctrl-C has cut short."""

    def _on_abandoned(self, ref: object) -> None: ...


def test_a_place_is_recovered_though_its_finalizer_was_cut_short() -> None:
    pool = CutShort(silent_runtime(), max_connections=1)
    for _ in range(3):
        lease(pool)
    assert pool.counts() == (0, 0, 0)


# ---- limits ------------------------------------------------------------------------------------


def test_connections_to_one_origin_have_a_limit_of_their_own() -> None:
    pool = Pool(silent_runtime(), max_connections_per_origin=1, max_connections=4)
    third = EndpointURL.parse("https://127.0.0.1:1/")
    held = [lease(pool), run_sync(pool.lease(OTHER)), run_sync(pool.lease(third))]
    assert len({connection.origin for connection in held}) == 3
    with pytest.raises(RuntimeError, match="for ever"):
        run_sync(pool.lease(OTHER))
    pool.release(answer(held[1]))
    assert run_sync(pool.lease(OTHER)) is held[1]


def test_who_waits_for_a_full_origin_holds_up_nobody_who_waits_for_another() -> None:
    pool = Pool(shared_runtime(), max_connections_per_origin=1, max_connections=2)
    held = [lease(pool), run_sync(pool.lease(OTHER))]
    first, second = Waiting(pool, pool.there), Waiting(pool, OTHER)
    pool.discard(held.pop())
    assert second.served().is_open
    assert pool.counts() == (0, 2, 1)
    pool.discard(held.pop())
    assert first.served().is_open


def test_a_connection_that_has_lived_too_long_is_replaced() -> None:
    runtime = silent_runtime()
    pool = Pool(runtime, max_lifetime=50_000)
    for _ in range(6):  # it never rests for long
        pool.release(answer(lease(pool)))
        run_sync(runtime.sleep(9))
    assert len(runtime.streams) == 1
    for _ in range(3):
        pool.release(answer(lease(pool)))
    assert [stream.closed for stream in runtime.streams] == [True, False]


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


def test_a_place_is_recovered_by_the_callers_that_come_while_others_wait() -> None:
    async def body(runtime: Runtime) -> None:
        pool = CutShort(runtime, f"http://127.0.0.1:{serving.address[1]}/", max_connections=3)
        held = [await pool.one() for _ in range(3)]
        callers = [asyncio.ensure_future(pool.one())]
        await asyncio.sleep(0)
        del held[0]
        for _ in range(3):
            callers.append(asyncio.ensure_future(pool.one()))
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE):
            assert (await callers[0]).is_open
        for caller in callers[1:]:
            caller.cancel()
        pool.close()

    with peer(read_until_closed) as serving:  # pyright: ignore[reportArgumentType]
        run_on("asyncio", body)


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


@pytest.mark.parametrize("name", RUNTIMES)
def test_who_gives_up_waiting_leaves_the_queue(name: str) -> None:
    async def body(runtime: Runtime) -> None:
        pool = Pool(runtime, f"http://127.0.0.1:{serving.address[1]}/", max_connections=1)
        held = await pool.one()
        too_long = threading.Timer(5, pool.close)
        too_long.start()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with runtime.deadline(runtime.now() + 0.01):
                    await pool.one()
        pool.release(answer(held))
        too_long.cancel()
        assert await pool.one() is held
        pool.close()

    with peer(read_until_closed) as serving:  # pyright: ignore[reportArgumentType]
        run_on(name, body)


def test_who_is_cancelled_when_the_place_is_theirs_already_hands_it_on() -> None:
    """The task was given the connection, and is cancelled before it has run again."""

    async def body(runtime: Runtime) -> None:
        pool = Pool(runtime, f"http://127.0.0.1:{serving.address[1]}/", max_connections=1)
        held = await pool.one()
        waiting = asyncio.ensure_future(pool.one())
        while not pool.counts()[2]:
            await asyncio.sleep(0)
        pool.release(answer(held))
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        assert await pool.one() is held
        pool.close()

    with peer(read_until_closed) as serving:  # pyright: ignore[reportArgumentType]
        run_on("asyncio", body)


async def together(name: str, *works) -> None:
    if name == "asyncio":
        await asyncio.gather(*(work() for work in works))
    else:
        import trio  # noqa: PLC0415

        async with trio.open_nursery() as nursery:
            for work in works:
                nursery.start_soon(work)


def test_a_connection_that_opens_while_the_pool_closes_is_of_no_use() -> None:
    def closing() -> Any:
        pool.close()
        return lambda data: []

    runtime = LoneRuntime(closing)
    pool = Pool(runtime)
    with pytest.raises(TransportError, match="disconnected meanwhile") as caught:
        lease(pool)
    assert (caught.value.code, caught.value.not_run) == ("closed", True)
    assert runtime.streams[0].closed
    assert pool.counts() == (0, 0, 0)

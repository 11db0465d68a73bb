"""The pool: what is used again, what is not, and who waits."""

from __future__ import annotations

import ssl
from collections.abc import Iterable

import pytest

from routermcp_adapters._dial import Resolver
from routermcp_adapters._pool import IDLE_LIFETIME, MAX_IDLE, Connection, ConnectionPool
from routermcp_adapters._stepping import step
from routermcp_adapters.memory import Break, MemoryRuntime, Move, Pause
from routermcp_adapters.runtime import Runtime
from routermcp_proto import calls
from routermcp_proto.exceptions import TransportError
from routermcp_proto.http.url import EndpointURL
from tests.adapters.rig import END, Rig, event, http, stream_head
from tests.adapters.runtimes import peer, read_until_closed
from tests.adapters.runtimes import run as run_on
from tests.adapters.test_driver import answered

TOOL = calls.call_tool("add")


def make_pool(runtime: Runtime, url: str = "http://127.0.0.1:1/mcp", limit: int = 100) -> ConnectionPool:
    return ConnectionPool(runtime, EndpointURL.parse(url), ssl.create_default_context, Resolver(), limit)


def silent_runtime() -> MemoryRuntime:
    return MemoryRuntime(lambda: lambda data: [])


def lease(pool: ConnectionPool, *, control: bool = False) -> Connection:
    return step(pool.lease(control=control))


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
    step(rig.runtime.sleep(IDLE_LIFETIME + 1))
    rig.call(TOOL)
    assert len(rig.runtime.streams) == 2


def test_the_freshest_connection_is_taken_first() -> None:
    pool = make_pool(silent_runtime())
    first, second = lease(pool), lease(pool)
    pool.release(answer(first))
    pool.release(answer(second))
    assert lease(pool) is second
    assert lease(pool) is first


def test_only_so_many_rest() -> None:
    runtime = silent_runtime()
    pool = make_pool(runtime)
    connections = [lease(pool) for _ in range(MAX_IDLE + 5)]
    for connection in connections:
        pool.release(answer(connection))
    assert sum(not stream.closed for stream in runtime.streams) == MAX_IDLE


def test_a_connection_in_use_is_given_to_nobody_else() -> None:
    pool = make_pool(silent_runtime())
    leased = {id(lease(pool)) for _ in range(10)}
    assert len(leased) == 10


def test_a_failed_dial_gives_its_place_back() -> None:
    def refuse() -> None:
        raise ConnectionRefusedError(111, "refused")

    pool = make_pool(MemoryRuntime(refuse), limit=1)  # pyright: ignore[reportArgumentType]
    for _ in range(3):
        with pytest.raises(TransportError):
            lease(pool)


def test_a_closed_pool_leases_nothing_and_keeps_nothing() -> None:
    runtime = silent_runtime()
    pool = make_pool(runtime)
    leased, resting = lease(pool), lease(pool)
    pool.release(answer(resting))
    pool.close()
    assert all(stream.closed for stream in runtime.streams)
    pool.release(leased)
    with pytest.raises(TransportError, match="disconnected") as caught:
        lease(pool)
    assert (caught.value.code, caught.value.not_run) == ("closed", True)


def test_the_control_lane_does_not_wait_for_a_place() -> None:
    pool = make_pool(silent_runtime(), limit=1)
    lease(pool)
    for _ in range(3):
        pool.release(answer(lease(pool, control=True)))


def test_who_waits_for_a_place_has_a_deadline() -> None:
    rig = Rig(max_connections=1).connect()
    rig.runtime.event = quiet_event(rig.runtime)  # pyright: ignore[reportAttributeAccessIssue]
    step(rig.transport.pool().lease())
    with pytest.raises(TransportError) as caught:
        rig.call(TOOL, 1000)
    assert caught.value.code == "timeout"
    assert not rig.of("tools/call")


def quiet_event(runtime: MemoryRuntime):
    """A flag that nobody raises, on the clock that only moves when somebody waits."""

    class Quiet:
        def set(self) -> None: ...

        async def wait(self) -> None:
            await runtime.sleep(float("inf"))

    return Quiet


# ---- on real runtimes -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_a_place_that_gets_free_goes_to_who_waited_first(name: str) -> None:
    order: list[int] = []

    async def body(runtime: Runtime) -> None:
        pool = make_pool(runtime, f"http://127.0.0.1:{serving.address[1]}/", limit=1)
        held = await pool.lease()
        queued = [runtime.event() for _ in range(3)]

        async def wait_for(number: int) -> None:
            queued[number].set()
            connection = await pool.lease()
            order.append(number)
            pool.release(answer(connection))

        async def release() -> None:
            for flag in queued:
                await flag.wait()
            await runtime.sleep(0)
            pool.release(answer(held))

        await together(name, lambda: wait_for(0), lambda: wait_for(1), lambda: wait_for(2), release)
        pool.close()

    with peer(read_until_closed) as serving:  # pyright: ignore[reportArgumentType]
        run_on(name, body)
    assert sorted(order) == [0, 1, 2]
    assert serving.accepted == 1


@pytest.mark.parametrize("name", ["asyncio", "trio"])
@pytest.mark.parametrize("way", ["discard", "close"])
def test_who_waits_is_woken_whatever_becomes_of_the_connection(name: str, way: str) -> None:
    ends: list[str] = []

    async def body(runtime: Runtime) -> None:
        pool = make_pool(runtime, f"http://127.0.0.1:{serving.address[1]}/", limit=1)
        held = await pool.lease()
        waiting = runtime.event()

        async def wait() -> None:
            waiting.set()
            try:
                pool.discard(await pool.lease())
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
        pool = make_pool(runtime, f"http://127.0.0.1:{serving.address[1]}/", limit=1)
        held = await pool.lease()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with runtime.deadline(runtime.now() + 0.01):
                    await pool.lease()
        pool.release(answer(held))
        assert await pool.lease() is held
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

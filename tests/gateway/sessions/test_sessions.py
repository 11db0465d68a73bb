"""Where sessions are kept: one contract for one process and for Redis, and what only several workers have."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from routermcp.gateway.errors import Rejected
from routermcp.gateway.sessions import redis_pubsub, redis_records
from routermcp.gateway.sessions.base import (
    MAX_PARENT_LEVELS,
    KeptSession,
    RunningRequest,
    SessionStore,
    concerns,
    watched_among,
)
from routermcp.gateway.sessions.memory import MemorySessions
from routermcp.gateway.sessions.redis import STORE_SECONDS, redis_store
from routermcp_proto.calls import Call
from routermcp_proto.events import MessageDropped, RequestReceived
from routermcp_proto.exceptions import ConfigError, RPCError
from routermcp_proto.jsonrpc import encode_notification
from routermcp_proto.server_session import ServerSession
from routermcp_proto.states import SessionState
from routermcp_proto.types.base import WireModel
from tests.gateway.sessions.redis_server import PASSWORD, RedisServer, redis_server

#: Seconds that anything here is waited for: many times what it takes.
PATIENCE = 10.0

#: Seconds after which sessions are forgotten where a test waits for that.
SHORT = 1.5

CLIENT = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"elicitation": {}},
    "clientInfo": {"name": "tést", "version": "1"},
}
CHANGED: tuple[str, dict[str, Any]] = ("notifications/tools/list_changed", {})
ENCODED = encode_notification(*CHANGED)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One that a test may stop."""
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


# ---- what a worker does ------------------------------------------------------------------------------


class Worker:
    """A store and what the application does with it."""

    def __init__(self, store: SessionStore, skip: Callable[[float], Awaitable[None]]) -> None:
        self.store = store
        self.skip = skip
        """Lets time pass, in seconds."""
        store.on_announced = self.announce_here

    def announce_here(self, method: str, params: Any, *_clients: str | None) -> None:
        for session in self.store:
            session.announce(encode_notification(method, params))

    def announce(self, method: str, params: Any) -> None:
        """Announce something, as the application does."""
        self.announce_here(method, params)
        self.store.spread(method, params)

    def machine(self) -> ServerSession:
        prefix = self.store.request_prefix()
        return ServerSession(
            server_info={"name": "s", "version": "1"}, capabilities={}, request_prefix=prefix
        )

    async def admit(self, owner: bytes = b"") -> KeptSession:
        machine = self.machine()
        body = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":%b}' % encode(CLIENT)
        machine.receive_message(body)
        return await self.store.admit(machine, owner)

    async def opened(self, owner: bytes = b"") -> str:
        """Open a session that nobody uses just now."""
        session = await self.admit(owner)
        await self.store.used(session)
        return session.id

    async def find(self, session_id: str) -> KeptSession:
        return await self.store.find(session_id, self.machine)

    @asynccontextmanager
    async def using(self, session_id: str) -> AsyncGenerator[KeptSession]:
        session = await self.find(session_id)
        try:
            yield session
        finally:
            await self.store.used(session)

    async def knows(self, session_id: str) -> bool:
        try:
            async with self.using(session_id):
                return True
        except Rejected as rejected:
            if rejected.status != 404:
                raise
            return False

    async def say(self, session: KeptSession, body: bytes) -> None:
        """Take what the client says, as the application does."""
        await self.store.settle(session, body, session.machine.receive_message(body))


def encode(value: Any) -> bytes:
    return encode_notification("x", value).partition(b'"params":')[2][:-1]


def working(session: KeptSession) -> asyncio.Task[bool]:
    """Have a request 7 of the client under way; the result says whether it was withdrawn."""

    async def work() -> bool:
        request = session.machine.receive_message(b'{"jsonrpc":"2.0","id":7,"method":"tools/list"}')
        assert request
        own = session.running[7] = RunningRequest()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return own.uncancel()
        return False

    return asyncio.create_task(work())


def ask(session: KeptSession) -> tuple[Any, asyncio.Future[Any]]:
    """Have a question to the client under way."""
    call: Call[WireModel] = Call("elicitation/create", {}, WireModel, safe=False)
    request_id = session.machine.start_request(call).request_id
    assert request_id is not None
    answer = session.answers[request_id] = asyncio.get_running_loop().create_future()
    return request_id, answer


async def until(holds: Callable[[], Awaitable[bool] | bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            held = holds()
            if held if isinstance(held, bool) else await held:
                return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def on_redis(url: str, **settings: Any) -> AsyncGenerator[Worker]:
    store = redis_store(url, **settings)
    try:
        yield Worker(store, asyncio.sleep)
    finally:
        await store.close()


@asynccontextmanager
async def two_workers(url: str, **settings: Any) -> AsyncGenerator[tuple[Worker, Worker]]:
    async with on_redis(url, **settings) as one, on_redis(url, **settings) as other:
        yield one, other


@asynccontextmanager
async def connected(server: RedisServer) -> AsyncGenerator[Any]:
    client: Any = Redis.from_url(server.url)
    try:
        yield client
    finally:
        await client.aclose()


# ---- the contract --------------------------------------------------------------------------------------

Make = Callable[..., Any]


@pytest.fixture(params=["in memory", "in redis"])
def make(request: pytest.FixtureRequest) -> Make:
    """Make a worker on a store of each kind, empty."""
    if request.param == "in memory":

        @asynccontextmanager
        async def in_memory(
            max_sessions: int = 10, session_idle: float = 300.0, lease_seconds: float = 0.0
        ) -> AsyncGenerator[Worker]:
            now = [0.0]

            async def skip(seconds: float) -> None:
                now[0] += seconds

            yield Worker(MemorySessions(max_sessions, session_idle, lambda: now[0]), skip)

        return in_memory
    server: RedisServer = request.getfixturevalue("redis")

    @asynccontextmanager
    async def in_redis(
        max_sessions: int = 10, session_idle: float = 300.0, **settings: float
    ) -> AsyncGenerator[Worker]:
        async with connected(server) as client:
            await client.flushall()
        bounds: dict[str, Any] = {"max_sessions": max_sessions, "session_idle": session_idle}
        async with on_redis(server.url, **bounds, **settings) as worker:
            yield worker

    return in_redis


def test_a_session_is_found_as_it_was_admitted(make: Make) -> None:
    async def body() -> None:
        async with make() as worker:
            first, second = await worker.opened(), await worker.opened()
            assert first != second
            assert len(worker.store) == 2
            async with worker.using(first) as session:
                machine = session.machine
                assert (session.id, machine.state) == (first, SessionState.READY)
                assert machine.client == CLIENT
                assert machine.revision is not None
                assert machine.revision.name == "2025-06-18"
                assert session.log_level == "info"
                assert session in list(worker.store)

    asyncio.run(body())


@pytest.mark.parametrize("session_id", ["", "x", "*", "a" * 43, "é" * 43, "a:b" * 9, "-" * 5000])
def test_ids_that_were_never_given_out_are_unknown(make: Make, session_id: str) -> None:
    async def body() -> None:
        async with make() as worker:
            assert not await worker.knows(session_id)

    asyncio.run(body())


def test_a_session_that_nobody_uses_is_forgotten(make: Make) -> None:
    async def body() -> None:
        async with make(session_idle=SHORT) as worker:
            session_id = await worker.opened()
            await worker.opened()  # and never heard of again
            for _ in range(3):
                await worker.skip(SHORT * 0.4)
                assert await worker.knows(session_id), "each use counts"
            await worker.skip(SHORT * 1.5)
            assert not await worker.knows(session_id)
            await worker.opened()
            assert len(worker.store) == 1

    asyncio.run(body())


def test_a_session_whose_stream_is_open_is_not_forgotten(make: Make) -> None:
    async def body() -> None:
        async with make(session_idle=SHORT, lease_seconds=SHORT) as worker:
            session = await worker.admit()
            await worker.store.open_stream(session)
            await worker.skip(SHORT * 2)
            assert await worker.knows(session.id)
            await worker.store.close_stream(session)
            await worker.store.used(session)
            await worker.skip(SHORT * 1.5)
            assert not await worker.knows(session.id)

    asyncio.run(body())


def test_a_full_store_gives_up_the_idlest_and_never_one_in_use(make: Make) -> None:
    async def body() -> None:
        async with make(max_sessions=3) as worker:
            busy = await worker.admit()
            await worker.store.open_stream(busy)
            ids: list[str] = []
            for _ in range(2):
                await worker.skip(0.01)
                ids.append(await worker.opened())
            await worker.skip(0.01)
            assert await worker.knows(ids[0]), "which is then not the idlest any more"
            await worker.skip(0.01)
            new = await worker.opened()
            assert [await worker.knows(each) for each in (*ids, new, busy.id)] == [True, False, True, True]

    asyncio.run(body())


def test_the_owner_with_the_most_sessions_loses_first(make: Make) -> None:
    """One key's sessions put out its own, and never those of an owner with fewer."""

    async def body() -> None:
        async with make(max_sessions=4) as worker:
            opened: list[tuple[str, str]] = []

            async def opens(owners: str) -> str:
                """Open sessions; return the owners of those that are left."""
                opened.extend([(owner, await worker.opened(owner.encode())) for owner in owners])
                return "".join(sorted([owner for owner, each in opened if await worker.knows(each)]))

            assert await opens("baaa") == "aaab"
            assert await opens("c") == "aabc", "the idlest is that of b, and a has the most"
            assert await opens("b") == "abbc"
            assert await opens("b") == "abbc", "no other owner has more than b"
            removed = next(each for owner, each in reversed(opened) if owner == "b")
            await worker.store.remove(await worker.find(removed))
            assert await opens("cc") == "abcc", "what was removed counts no more"
            for owner, each in opened:
                if owner == "c" and await worker.knows(each):
                    await worker.store.open_stream(await worker.find(each))
            with pytest.raises(Rejected, match="too many sessions"):
                await worker.admit(b"c")

    asyncio.run(body())


def test_there_is_no_room_where_all_are_in_use(make: Make) -> None:
    async def body() -> None:
        async with make(max_sessions=2) as worker:
            await worker.opened()
            for _ in range(2):
                await worker.store.open_stream(await worker.admit())
            with pytest.raises(Rejected, match="too many sessions") as caught:
                await worker.admit()
            assert (caught.value.status, dict(caught.value.headers)[b"retry-after"]) == (503, b"5")
            assert len(worker.store) == 2

    asyncio.run(body())


def test_a_shared_stream_is_open_once(make: Make) -> None:
    async def body() -> None:
        async with make() as worker:
            session = await worker.admit()
            queue = await worker.store.open_stream(session)
            with pytest.raises(Rejected) as caught:
                await worker.store.open_stream(session)
            assert caught.value.status == 409
            worker.announce(*CHANGED)
            assert queue.get_nowait() == ENCODED
            assert queue.empty()
            await worker.store.close_stream(session)
            worker.announce(*CHANGED)
            again = await worker.store.open_stream(session)
            assert again.empty(), "what is announced to nobody is dropped"

    asyncio.run(body())


def test_what_is_removed_is_stopped(make: Make) -> None:
    async def body() -> None:
        async with make() as worker:
            session = await worker.admit()
            queue = await worker.store.open_stream(session)
            task = working(session)
            await asyncio.sleep(0)
            async with worker.using(session.id) as found:
                await worker.store.remove(found)
            assert await asyncio.wait_for(task, PATIENCE)
            assert queue.get_nowait() is None
            assert not await worker.knows(session.id)
            await worker.store.close_stream(session)
            await worker.store.used(session)
            assert not await worker.knows(session.id), "its end does not bring it back"

    asyncio.run(body())


def test_what_is_lost_in_use_stays_lost(redis: RedisServer) -> None:
    async def body() -> None:
        async with connected(redis) as client, on_redis(redis.url) as worker:
            session = await worker.admit()
            await client.flushall()
            await session.set_log_level("debug")
            await worker.store.used(session)
            assert await client.keys("*") == []

    asyncio.run(body())


def test_what_a_client_says_reaches_who_waits_for_it(make: Make) -> None:
    async def body() -> None:
        async with make() as worker:
            session = await worker.admit()
            task = working(session)
            await asyncio.sleep(0)
            request_id, answer = ask(session)
            await worker.say(
                session, b'{"jsonrpc":"2.0","id":%b,"result":{"action":"accept"}}' % quoted(request_id)
            )
            assert answer.result() == {"action": "accept"}
            await worker.say(session, CANCEL)
            assert await asyncio.wait_for(task, PATIENCE)

    asyncio.run(body())


CANCEL = b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}'


def quoted(request_id: Any) -> bytes:
    return encode({"id": request_id})[6:-1]


class LookedUp(set[str]):
    """Resources among which none is searched, however many there are."""

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("all were gone through")


@pytest.mark.parametrize(
    ("watched", "uri", "concerned"),
    [
        ("file:///a", "file:///a", True),
        ("file:///a", "file:///a/b/c", True),
        ("file:///a/", "file:///a/b", True),
        ("file:///", "file:///a/b", True),
        ("file:///a", "file:///ab", False),
        ("file:///a/b", "file:///a", False),
        ("file:///a", None, False),
        ("file:///a", "file:///a" + "/b" * 10_000, True),
        ("h" + "/b" * MAX_PARENT_LEVELS, "h" + "/b" * 10_000, False),
    ],
)
def test_a_change_concerns_what_is_watched_and_its_parts(watched: str, uri: object, concerned: bool) -> None:
    """Each session is asked with each change: that must not take longer where much is watched."""
    assert concerns(uri, LookedUp([watched, "file:///other"])) is concerned


def test_many_changes_at_once_are_asked_of_all_sessions_together() -> None:
    sessions = [{f"file:///{number}"} for number in range(3)]
    uris = {"file:///0", "file:///2/part", "file:///4"}
    assert watched_among(uris, sessions) == {"file:///0", "file:///2/part"}
    assert watched_among(["file:///1/part"], sessions) == {"file:///1/part"}
    assert watched_among([], sessions) == set()


def test_a_log_level_is_kept(make: Make) -> None:
    async def body() -> None:
        async with make() as worker:
            session_id = await worker.opened()
            async with worker.using(session_id) as session:
                await session.set_log_level("error")
                assert session.log_level == "error"
            async with worker.using(session_id) as session:
                assert session.log_level == "error"

    asyncio.run(body())


def test_closing_stops_what_is_under_way(make: Make) -> None:
    async def body() -> None:
        async with make() as worker:
            task = working(await worker.admit())
            await asyncio.sleep(0)
            await worker.store.close()
            assert await asyncio.wait_for(task, PATIENCE)

    asyncio.run(body())


# ---- several workers -----------------------------------------------------------------------------------


def test_any_worker_takes_a_session_up(redis: RedisServer) -> None:
    async def body() -> None:
        async with two_workers(redis.url) as (one, other):
            session_id = await one.opened()
            async with other.using(session_id) as session:
                assert (session.machine.client, session.log_level) == (CLIENT, "info")
                await session.set_log_level("debug")
                async with one.using(session_id) as same:
                    assert same is not session
                    assert same.log_level == "debug"
                    await session.set_log_level("alert")
                    await until(lambda: same.log_level == "alert")
            await until(lambda: not list(one.store))
            assert not list(other.store), "nothing is left of what nobody uses"

    asyncio.run(body())


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (b'"result":{"action":"accept"}', {"action": "accept"}),
        (b'"error":{"code":-1,"message":"the user left"}', "the user left"),
        (b'"result":7', "malformed"),
    ],
    ids=["an answer", "an error", "nonsense"],
)
def test_an_answer_finds_the_worker_that_asked(redis: RedisServer, reply: bytes, outcome: Any) -> None:
    async def body() -> None:
        async with two_workers(redis.url) as (one, other):
            session = await one.admit()
            request_id, answer = ask(session)
            async with other.using(session.id) as elsewhere:
                wrong, another = ask(elsewhere)
                assert wrong != request_id
                await other.say(elsewhere, b'{"jsonrpc":"2.0","id":%b,%b}' % (quoted(request_id), reply))
                assert not another.done()
            if isinstance(outcome, str):
                with pytest.raises(RPCError, match=outcome):
                    await asyncio.wait_for(answer, PATIENCE)
            else:
                assert await asyncio.wait_for(answer, PATIENCE) == outcome

    asyncio.run(body())


def test_a_machine_that_took_a_session_up_again_asks_under_new_ids(redis: RedisServer) -> None:
    """Else a late answer to the old question would be taken for one to the new."""

    async def body() -> None:
        async with on_redis(redis.url) as worker:
            session_id = await worker.opened()
            async with worker.using(session_id) as session:
                first, _ = ask(session)
            async with worker.using(session_id) as session:
                second, answer = ask(session)
                assert first != second
                dropped = session.machine.receive_message(
                    b'{"jsonrpc":"2.0","id":%b,"result":{}}' % quoted(first)
                )
                assert isinstance(dropped[0], MessageDropped)
                assert not answer.done()

    asyncio.run(body())


def test_a_batch_is_passed_on_without_its_requests(redis: RedisServer) -> None:
    async def body() -> None:
        async with two_workers(redis.url) as (one, other):
            session = await one.admit()
            task = working(session)
            await asyncio.sleep(0)
            request = b'{"jsonrpc":"2.0","id":8,"method":"tools/list"}'
            async with other.using(session.id) as elsewhere:
                batch = b"[%b,%b]" % (request, CANCEL)
                events = elsewhere.machine.receive_message(CANCEL)
                await other.store.settle(elsewhere, batch, events)
            assert await asyncio.wait_for(task, PATIENCE)
            (event,) = session.machine.receive_message(request)
            assert isinstance(event, RequestReceived), "it is new here"

    asyncio.run(body())


def test_what_ends_at_one_worker_ends_everywhere(redis: RedisServer) -> None:
    async def body() -> None:
        async with two_workers(redis.url) as (one, other):
            session = await one.admit()
            queue = await one.store.open_stream(session)
            task = working(session)
            await asyncio.sleep(0)
            async with other.using(session.id) as elsewhere:
                await other.store.remove(elsewhere)
            assert await asyncio.wait_for(task, PATIENCE)
            assert await asyncio.wait_for(queue.get(), PATIENCE) is None
            await one.store.used(session)
            assert not await one.knows(session.id)

    asyncio.run(body())


def test_the_end_of_an_old_use_is_not_that_of_a_new_one(redis: RedisServer) -> None:
    """Where a worker was told that a session has ended, and finds it again."""

    async def body() -> None:
        async with connected(redis) as client, on_redis(redis.url) as worker:
            old = await worker.admit()
            await client.publish("routermcp:3:news", json.dumps(["x", "ended", old.id, "", None]))
            await until(lambda: old.machine.state is SessionState.CLOSED)
            async with worker.using(old.id) as new:
                assert new is not old
                await worker.store.used(old)
                assert list(worker.store) == [new]

    asyncio.run(body())


def test_an_announcement_reaches_each_client_once(redis: RedisServer) -> None:
    async def body() -> None:
        async with AsyncExitStack() as stack:
            workers = [await stack.enter_async_context(on_redis(redis.url)) for _ in range(3)]
            foreign = redis.url.replace("/3", "/4")
            stranger = await stack.enter_async_context(on_redis(foreign))
            queues = [await each.store.open_stream(await each.admit()) for each in (*workers, stranger)]
            for number, worker in enumerate(workers):
                worker.announce("notifications/message", {"data": number})
            heard = [sorted([await asyncio.wait_for(q.get(), PATIENCE) for _ in workers]) for q in queues[:3]]
            assert heard[0] == heard[1] == heard[2]
            assert len(set(heard[0])) == 3
            # One more, of which each worker hears after all that went before.
            workers[0].announce(*CHANGED)
            assert [await asyncio.wait_for(queue.get(), PATIENCE) for queue in queues[:3]] == [ENCODED] * 3
            assert queues[3].empty(), "another database is another gateway"

    asyncio.run(body())


def test_a_stream_that_is_open_elsewhere_is_not_opened_here(redis: RedisServer) -> None:
    async def body() -> None:
        async with two_workers(redis.url) as (one, other):
            session = await one.admit()
            await one.store.open_stream(session)
            async with other.using(session.id) as elsewhere:
                with pytest.raises(Rejected) as caught:
                    await other.store.open_stream(elsewhere)
                assert (caught.value.status, elsewhere.announcements) == (409, None)
                await one.store.close_stream(session)
                await other.store.open_stream(elsewhere)

    asyncio.run(body())


def test_a_stream_that_stays_open_is_not_opened_elsewhere_after_a_while(redis: RedisServer) -> None:
    async def body() -> None:
        async with two_workers(redis.url, session_idle=SHORT, lease_seconds=SHORT) as (one, other):
            session = await one.admit()
            await one.store.open_stream(session)
            await one.skip(SHORT * 2)
            async with other.using(session.id) as elsewhere:
                with pytest.raises(Rejected):
                    await other.store.open_stream(elsewhere)

    asyncio.run(body())


def test_what_a_dead_worker_had_in_use_is_free_after_a_while(redis: RedisServer) -> None:

    async def body() -> None:
        async with connected(redis) as client:
            await client.flushall()
        async with two_workers(redis.url, max_sessions=1, lease_seconds=SHORT) as (one, other):
            session = await one.admit()
            await one.store.open_stream(session)
            await client_dies(one)
            async with other.using(session.id) as elsewhere:

                async def opens() -> bool:
                    try:
                        await other.store.open_stream(elsewhere)
                    except Rejected:
                        return False
                    return True

                assert not await opens()
                await until(opens)

    asyncio.run(body())


async def client_dies(worker: Worker) -> None:
    """Let a worker do nothing any more."""
    store: Any = worker.store
    store._renewing.cancel()
    await asyncio.wait([store._renewing])


# ---- what others write into Redis ------------------------------------------------------------------------

GOOD = {"client": encode(CLIENT), "revision": b"2025-06-18"}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"client": b"{}"},
        {**GOOD, "revision": b"2026-07-28"},
        {**GOOD, "revision": b"1999-01-01"},
        {**GOOD, "revision": b"\xff"},
        {**GOOD, "client": b"[]"},
        {**GOOD, "client": b"{"},
        {**GOOD, "client": b"\xff{}"},
    ],
)
def test_what_is_no_session_is_none(redis: RedisServer, fields: dict[str, bytes]) -> None:
    async def body() -> None:
        async with connected(redis) as client, on_redis(redis.url) as worker:
            key = f"{redis_records.SESSION_PREFIX}{'a' * 43}"
            await client.delete(key)
            if fields:
                await client.hset(key, mapping=fields)
            assert not await worker.knows("a" * 43)
            await client.delete(key)
            await client.set(key, "text")
            assert not await worker.knows("a" * 43)
            assert await client.get(key) == b"text"
            await client.delete(key)

    asyncio.run(body())


@pytest.mark.parametrize("session_id", ["x", "x" * 44, "x" * 42 + "*"])
def test_what_has_an_id_that_is_never_given_out_is_no_session(redis: RedisServer, session_id: str) -> None:
    async def body() -> None:
        async with connected(redis) as client, on_redis(redis.url) as worker:
            await client.hset(redis_records.SESSION_PREFIX + session_id, mapping=GOOD)
            assert not await worker.knows(session_id)

    asyncio.run(body())


def test_facts_that_are_none_are_left_aside(redis: RedisServer) -> None:
    async def body() -> None:
        async with connected(redis) as client, on_redis(redis.url) as worker:
            key = f"{redis_records.SESSION_PREFIX}{'b' * 43}"
            await client.hset(key, mapping={**GOOD, "fact:log_level": "loud", "fact:unknown": "1"})
            async with worker.using("b" * 43) as session:
                assert session.log_level == "info"

    asyncio.run(body())


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff",
        b"{}",
        b"[]",
        b'["x","announced","","",5]',
        b'["x","announced","","",null]',
        b'["x","announced","","","{}"]',
        b'["x","announced","","","[]"]',
        b'["x","ended","","",null]',
        b'["x","said","$","","nonsense"]',
        b'["x","said","$","",null]',
        b'["x","set","$","log_level","loud"]',
        b'["x","set","$","log_level",null]',
        b'["x","conquered","$","",null]',
        b'["x",["ended"],"$","",null]',
    ],
)
def test_a_malformed_message_of_a_worker_is_ignored(redis: RedisServer, payload: bytes) -> None:
    async def body() -> None:
        async with connected(redis) as client, on_redis(redis.url) as worker:
            session = await worker.admit()
            queue = await worker.store.open_stream(session)
            channel = "routermcp:3:news"
            assert await client.publish(channel, payload.replace(b"$", session.id.encode())) == 1
            announced = b'["x","announced","","","{\\"jsonrpc\\": \\"2.0\\",\\n\\"method\\": \\"m\\"}"]'
            await client.publish(channel, announced)
            heard = await asyncio.wait_for(queue.get(), PATIENCE)
            assert heard is not None
            assert b"\n" not in heard, "it goes out on a stream of lines"
            assert (session.log_level, session.machine.state) == ("info", SessionState.READY)

    asyncio.run(body())


# ---- Redis away ------------------------------------------------------------------------------------------


async def refused(awaitable: Awaitable[object]) -> Rejected:
    started = time.monotonic()
    with pytest.raises(Rejected) as caught:
        await awaitable
    assert time.monotonic() - started < STORE_SECONDS + 1.0
    assert (caught.value.status, dict(caught.value.headers)[b"retry-after"]) == (503, b"1")
    assert PASSWORD not in str(caught.value) + caught.value.error.message
    return caught.value


def test_it_goes_on_by_itself_when_redis_was_away(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def body() -> None:
        async with two_workers(own_redis.url, session_idle=3.0) as (one, other):
            session = await one.admit()
            queue = await one.store.open_stream(session)
            task = working(session)
            own_redis.stop()
            await refused(
                one.find(
                    session.id,
                )
            )
            await refused(other.find("a" * 43))
            await refused(one.admit())
            await refused(one.store.remove(session))
            with pytest.raises(RPCError, match="does not answer"):
                await session.set_log_level("debug")
            one.announce(*CHANGED)
            assert queue.get_nowait() == ENCODED, "who is here needs no Redis"
            own_redis.start()
            assert not await one.knows(session.id), "it went with Redis"
            assert await asyncio.wait_for(queue.get(), PATIENCE) is None, "so that the client notices"
            assert not task.done(), "what was begun may end"
            task.cancel()
            await one.store.close_stream(session)
            await one.store.used(session)
            new = await one.admit()
            request_id, answer = ask(new)
            async with other.using(new.id) as elsewhere:
                await other.say(elsewhere, b'{"jsonrpc":"2.0","id":%b,"result":{}}' % quoted(request_id))
            assert await asyncio.wait_for(answer, PATIENCE) == {}

    asyncio.run(body())
    assert "the session store does not answer: ConnectionError" in caplog.text
    assert "the session store answers again" in caplog.text
    assert caplog.text.count("does not answer: ") == 2, "once for each worker, however often it is asked"
    assert PASSWORD not in caplog.text


def test_a_redis_that_says_nothing_is_waited_for_a_while(own_redis: RedisServer) -> None:
    async def body() -> None:
        async with two_workers(own_redis.url, quiet_seconds=0.1) as (one, other):
            session_id = await one.opened()
            with own_redis.frozen():
                await refused(one.find(session_id))
                await refused(other.find(session_id))
                store: Any = one.store
                await until(lambda: not store._pubsub.subscribed)
            assert await one.knows(session_id), "it had only slept"
            assert await other.knows(session_id)

    asyncio.run(body())


def test_a_wrong_password_is_a_refusal_that_does_not_say_it(redis: RedisServer) -> None:
    async def body() -> None:
        async with on_redis(redis.url.replace(PASSWORD, "wr0ng-value")) as worker:
            refusal = await refused(worker.admit())
            assert "wr0ng" not in str(refusal) + str(refusal.__cause__)

    asyncio.run(body())


def test_a_redis_where_nobody_may_listen_is_not_waited_for_without_end(redis: RedisServer) -> None:
    async def body() -> None:
        async with connected(redis) as client:
            rules = ["on", ">other-value", "~*", "+@all", "resetchannels"]
            await client.execute_command("ACL", "SETUSER", "deaf", *rules)
        async with on_redis(redis.url.replace(f":{PASSWORD}", "deaf:other-value")) as worker:
            await refused(worker.admit())

    asyncio.run(body())


def test_a_task_that_swallows_a_cancellation_is_stopped_all_the_same() -> None:
    async def stubborn() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    async def body() -> None:
        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        await redis_pubsub.cancel_all([task])
        assert task.cancelled()

    asyncio.run(body())


def test_redis_is_not_imported_before_it_is_used() -> None:
    program = "import sys, routermcp.gateway; sys.exit('redis' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize(
    "url", ["", "http://x", "redis://:wr0ng-value@host:port/0", "redis://:wr0ng-value@h:99999999"]
)
def test_a_url_that_is_none_is_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        redis_store(url)
    assert "wr0ng" not in str(caught.value)
    assert caught.value.__suppress_context__, "a traceback does not show it either"

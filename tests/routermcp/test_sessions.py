"""Sessions and their clients: opened and closed in any order, by anybody, any number of times."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import trio

from routermcp import RouterMCPClient, SyncRouterMCPClient
from routermcp.types import ConfigError, MCPError, PoolLimits, RetryPolicy, TransportError
from tests.routermcp.server import HANDSHAKE, STATELESS, Exchange, ScriptedServer, refused
from tests.three_runtimes import gather, make_client, run

ONCE = RetryPolicy(attempts=1)


# ---- making them ------------------------------------------------------------------------------


@pytest.mark.parametrize("user_id", ["", " ", "\t\n", None, 5, b"ada"])
@pytest.mark.parametrize("runtime", ["asyncio", "blocking"])
def test_a_session_needs_a_user(runtime: str, user_id: Any) -> None:
    client = make_client(runtime, url="http://127.0.0.1:9/mcp")
    with pytest.raises(ConfigError, match="user_id"):
        client.create_session(user_id)


@pytest.mark.parametrize("user_id", ["a\r\nX-Admin: 1", "a\nb", "Zoë"])
def test_a_user_id_has_to_fit_into_a_header(user_id: str) -> None:
    with pytest.raises(ConfigError, match="X-RouterMCP-User-Id"):
        SyncRouterMCPClient("http://127.0.0.1:9/mcp").create_session(user_id)


def test_a_session_knows_its_user(server: ScriptedServer) -> None:
    client = SyncRouterMCPClient(server.url, user_id="admin", timeout=1234)
    session = client.create_session("ada")
    assert (client.user_id, session.user_id) == ("admin", "ada")
    assert "user_id='ada'" in repr(session)


# ---- sharing ------------------------------------------------------------------------------------


def test_sessions_share_the_connections(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=any_server.url) as client:
            for number in range(5):
                async with client.create_session(f"user-{number}") as session:
                    await session.list_tools()
            await client.list_tools()

    run(runtime, body)
    assert any_server.connections == 1
    assert len(any_server.requests("tools/list")) == 6


def test_sessions_have_mcp_sessions_of_their_own(sessions_server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=sessions_server.url) as client:
            async with client.create_session("ada") as ada, client.create_session("grace") as grace:
                for each in (client, ada, grace):
                    await each.list_tools()
                assert len(sessions_server.sessions) == 3
            assert len(sessions_server.sessions) == 1

    run(runtime, body)
    ids = [seen.headers["mcp-session-id"] for seen in sessions_server.requests("tools/list")]
    assert len(set(ids)) == 3
    assert sessions_server.sessions == {}
    assert {seen.headers["mcp-session-id"] for seen in sessions_server.requests("DELETE")} == set(ids)


def test_the_era_is_remembered(sessions_server: ScriptedServer, runtime: str) -> None:
    """What the first session found out by asking, the others know."""

    async def body() -> None:
        client = make_client(runtime, url=sessions_server.url)
        async with client, client.create_session("ada"):
            pass
        async with client:
            pass

    run(runtime, body)
    assert len(sessions_server.requests("server/discover")) == 1
    assert len(sessions_server.requests("initialize")) == 3


def cacheable(exchange: Exchange, params: dict[str, Any]) -> dict[str, Any]:
    return {
        "resultType": "complete",
        "supportedVersions": [STATELESS],
        "capabilities": {"tools": {}},
        "ttlMs": exchange.server.results["ttl"],  # type: ignore[dict-item]
        "cacheScope": exchange.server.results["scope"],  # type: ignore[dict-item]
    }


@pytest.mark.parametrize(
    ("ttl", "scope", "probes"),
    [(60_000, "public", 1), (60_000, "private", 3), (0, "public", 3)],
)
def test_a_public_discovery_is_used_by_all(
    server: ScriptedServer, runtime: str, ttl: Any, scope: Any, probes: int
) -> None:
    server.results.update({"server/discover": cacheable, "ttl": ttl, "scope": scope})

    async def body() -> None:
        async with make_client(runtime, url=server.url) as client:
            for user in ("ada", "grace"):
                async with client.create_session(user) as session:
                    assert session.server == client.server
                    await session.list_tools()

    run(runtime, body)
    assert len(server.requests("server/discover")) == probes
    assert len(server.requests("tools/list")) == 2


# ---- orders -----------------------------------------------------------------------------------------


def test_a_session_may_be_connected_before_its_client(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        client = make_client(runtime, url=any_server.url)
        session = client.create_session("ada")
        await session.connect()
        await client.connect()
        await session.list_tools()
        await client.list_tools()
        await session.disconnect()
        await client.list_tools()
        await client.disconnect()

    run(runtime, body)
    assert any_server.connections == 1


def test_a_session_may_be_used_without_its_client(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        client = make_client(runtime, url=any_server.url)
        first, second = client.create_session("ada"), client.create_session("grace")
        await first.connect()
        await second.connect()
        await first.disconnect()
        await second.list_tools()
        await second.disconnect()
        with pytest.raises(MCPError, match="not connected"):
            await client.list_tools()

    run(runtime, body)


def test_sessions_end_with_their_client(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        client = make_client(runtime, url=any_server.url, retry=ONCE)
        session = client.create_session("ada")
        await client.connect()
        await session.connect()
        await client.disconnect()
        with pytest.raises(MCPError, match=r"disconnected|not connected"):
            await session.list_tools()
        await session.disconnect()
        async with session:
            await session.list_tools()

    run(runtime, body)


def test_disconnecting_a_client_that_was_never_connected_leaves_its_sessions(
    any_server: ScriptedServer, runtime: str
) -> None:
    async def body() -> None:
        client = make_client(runtime, url=any_server.url)
        async with client.create_session("ada") as session:
            await client.disconnect()
            await session.list_tools()

    run(runtime, body)


def test_connect_and_disconnect_may_be_repeated(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        client = make_client(runtime, url=any_server.url)
        await client.disconnect()
        first = await client.connect()
        assert await client.connect() == first
        await client.list_tools()
        await client.disconnect()
        await client.disconnect()

    run(runtime, body)
    assert len(any_server.requests("initialize" if any_server.era == HANDSHAKE else "server/discover")) == 1
    assert len(any_server.requests("DELETE")) == (any_server.era == HANDSHAKE)


def test_a_client_may_be_connected_again(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        client = make_client(runtime, url=any_server.url)
        for _ in range(3):
            async with client:
                assert client.server is not None
                await client.list_tools()
            assert client.server is None

    run(runtime, body)
    assert any_server.executed["tools/list"] == 3


def test_two_runs_on_one_client(any_server: ScriptedServer) -> None:
    client = RouterMCPClient(any_server.url)

    async def body() -> int:
        async with client, client.create_session("ada") as session:
            return len(await client.list_tools()) + len(await session.list_tools())

    assert [asyncio.run(body()), asyncio.run(body()), trio.run(body), asyncio.run(body())] == [4] * 4


# ---- the wrong place -----------------------------------------------------------------------------


def test_use_before_connect(server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        client = make_client(runtime, url=server.url)
        for call in (client.list_tools, client.ping, client.create_session("ada").list_tools):
            with pytest.raises(MCPError, match=r"not connected.*connect\(\)"):
                await call()

    run(runtime, body)
    assert server.connections == 0


def test_use_after_disconnect(server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=server.url) as client:
            pass
        with pytest.raises(MCPError, match="not connected"):
            await client.call_tool("echo")

    run(runtime, body)
    assert server.executed["tools/call:echo"] == 0


def test_use_in_another_event_loop(any_server: ScriptedServer) -> None:
    client = RouterMCPClient(any_server.url)

    async def elsewhere() -> None:
        for call in (
            client.list_tools,
            client.connect,
            client.disconnect,
            client.create_session("a").connect,
        ):
            with pytest.raises(ConfigError, match="another event loop"):
                await call()

    async def body() -> None:
        async with client:
            await asyncio.to_thread(asyncio.run, elsewhere())
            await client.list_tools()

    asyncio.run(body())


def test_use_under_another_runtime(any_server: ScriptedServer) -> None:
    client = RouterMCPClient(any_server.url)

    async def elsewhere() -> None:
        with pytest.raises(ConfigError, match="another"):
            await client.list_tools()

    async def under_asyncio() -> None:
        async with client:
            await asyncio.to_thread(trio.run, elsewhere)

    async def under_trio() -> None:
        async with client:
            await trio.to_thread.run_sync(asyncio.run, elsewhere())

    asyncio.run(under_asyncio())
    trio.run(under_trio)


def test_a_blocking_client_inside_a_running_loop(any_server: ScriptedServer) -> None:
    """It blocks the loop, as any blocking call does, and works."""

    async def body() -> str:
        with SyncRouterMCPClient(any_server.url) as client:
            return client.call_tool("add", {"a": 1, "b": 2}).text

    assert asyncio.run(body()) == "3"
    assert trio.run(body) == "3"


def test_a_blocking_client_in_many_threads(any_server: ScriptedServer) -> None:
    results: list[str] = []
    with SyncRouterMCPClient(any_server.url, limits=PoolLimits(max_connections=3)) as client:

        def work(number: int) -> None:
            results.extend(client.call_tool("add", {"a": number, "b": 1}).text for _ in range(5))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert sorted(results) == sorted([str(number + 1) for number in range(8)] * 5)
    assert any_server.connections <= 4


def test_a_client_may_be_opened_and_closed_by_different_tasks(any_server: ScriptedServer) -> None:
    async def body() -> None:
        client = RouterMCPClient(any_server.url)
        await asyncio.create_task(client.connect())
        await asyncio.create_task(client.list_tools())
        await asyncio.create_task(client.disconnect())

    asyncio.run(body())


# ---- connecting at the same time --------------------------------------------------------------------


def test_concurrent_connects_are_one(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        client = make_client(runtime, url=any_server.url)
        results = await gather(runtime, [client.connect] * 8)
        assert all(result == results[0] for result in results)
        await client.disconnect()

    run(runtime, body)
    assert len(any_server.requests("server/discover")) == 1
    assert len(any_server.requests("initialize")) == (any_server.era == HANDSHAKE)


def test_concurrent_connects_fail_as_one(server: ScriptedServer, runtime: str) -> None:
    server.script("server/discover", refused(403, "no"))
    server.script("initialize", refused(403, "no"))

    async def body() -> None:
        client = make_client(runtime, url=server.url, retry=ONCE)
        errors: list[TransportError] = []

        async def connect() -> None:
            try:
                await client.connect()
            except TransportError as error:
                errors.append(error)

        await gather(runtime, [connect] * 4)
        # Whoever comes after the failure may be luckier; all who waited for it share it.
        assert errors
        assert all(error.code == "http_403" for error in errors)
        assert len({id(error) for error in errors}) == len(errors)
        async with client:
            await client.list_tools()

    run(runtime, body)


def test_whoever_waits_goes_on_when_the_first_gives_up(server: ScriptedServer) -> None:
    def slow(exchange: Exchange) -> None:
        exchange.server.events["asked"].set()
        exchange.closed_by_client()

    server.script("server/discover", slow)

    async def body() -> None:
        client = RouterMCPClient(server.url)
        first = asyncio.create_task(client.connect())
        await asyncio.to_thread(server.wait_for, "asked")
        second = asyncio.create_task(client.connect())
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).serverInfo.name == "scripted"
        with pytest.raises(asyncio.CancelledError):
            await first
        await client.list_tools()
        await client.disconnect()

    asyncio.run(body())
    assert len(server.requests("server/discover")) == 2


def test_a_failed_connect_leaves_nothing(server: ScriptedServer, runtime: str) -> None:
    server.script("server/discover", refused(401), refused(401))

    async def body() -> None:
        client = make_client(runtime, url=server.url, retry=ONCE)
        for _ in range(2):
            with pytest.raises(TransportError):
                await client.connect()
            assert client.server is None
        async with client:
            await client.list_tools()

    run(runtime, body)


def test_a_failed_context_manager_is_not_entered(server: ScriptedServer, runtime: str) -> None:
    server.script("server/discover", refused(401))

    async def body() -> None:
        with pytest.raises(TransportError):
            async with make_client(runtime, url=server.url):
                pytest.fail("entered")  # pragma: no cover

    run(runtime, body)


def test_the_server_may_refuse_the_end_of_a_session(sessions_server: ScriptedServer, runtime: str) -> None:
    sessions_server.script("DELETE", refused(405), refused(404), lambda exchange: exchange.hang_up())

    async def body() -> None:
        for _ in range(3):
            async with make_client(runtime, url=sessions_server.url) as client:
                await client.list_tools()

    run(runtime, body)
    assert len(sessions_server.requests("DELETE")) == 3


def test_a_server_without_session_ids(runtime: str) -> None:
    with ScriptedServer(HANDSHAKE, sessions=False) as server:

        async def body() -> None:
            async with make_client(runtime, url=server.url) as client:
                await client.list_tools()

        run(runtime, body)
        assert server.methods()[-1] == "tools/list"


@pytest.mark.parametrize("revision", ["2025-06-18", "2025-03-26", "2024-11-05"])
def test_older_revisions(runtime: str, revision: str) -> None:
    with ScriptedServer(revision) as server:

        async def body() -> str:
            async with make_client(runtime, url=server.url) as client:
                await client.list_tools()
                assert client.server is not None
                return client.server.protocolVersion

        assert run(runtime, body) == revision
        (listed,) = server.requests("tools/list")
        header = listed.headers.get("mcp-protocol-version")
        assert header == (revision if revision >= "2025-06-18" else None)

"""Sessions by user: borrowed, shared, and ended when there are too many or nobody uses them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from routermcp import RouterMCPClient, SyncRouterMCPClient
from routermcp._sync.sessions import Sessions
from routermcp.types import ConfigError, TransportError
from tests.routermcp.server import HANDSHAKE, ScriptedServer, refused


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(HANDSHAKE) as server:
        yield server


def client_of(server: ScriptedServer) -> SyncRouterMCPClient:
    return SyncRouterMCPClient(server.url, user_id="app", send_user_id=True)


def begun(server: ScriptedServer) -> list[str]:
    """The users whose sessions were begun at the server, in order."""
    return [seen.headers["x-routermcp-user-id"] for seen in server.requests("initialize")]


def ended(server: ScriptedServer) -> list[str]:
    return [seen.headers["x-routermcp-user-id"] for seen in server.requests("DELETE")]


def test_a_user_has_one_session_as_long_as_it_is_used(server: ScriptedServer) -> None:
    with client_of(server) as client, client.sessions() as sessions:
        for user in ("ada", "eve", "ada"):
            with sessions.get(user) as session:
                assert session.user_id == user
                assert session.call_tool("add", {"a": 1, "b": 2}).text == "3"
        assert len(sessions) == 2
    assert begun(server) == ["app", "ada", "eve"]
    assert sorted(ended(server)) == ["ada", "app", "eve"]


def test_the_one_that_was_not_used_for_longest_goes_first(server: ScriptedServer) -> None:
    with client_of(server) as client, client.sessions(max_open=2) as sessions:
        for user in ("ada", "bob", "ada", "eve", "ada"):
            with sessions.get(user):
                pass
        assert ended(server) == ["bob"]
        assert begun(server) == ["app", "ada", "bob", "eve"]


def test_what_is_in_use_is_not_ended(server: ScriptedServer) -> None:
    with client_of(server) as client, client.sessions(max_open=1) as sessions:
        with sessions.get("ada") as ada, sessions.get("eve"), sessions.get("ada") as again:
            assert ada is again
            assert len(sessions) == 2
            assert ended(server) == []
            assert ada.call_tool("add", {"a": 1, "b": 2}).text == "3"
        assert len(sessions) == 1


def test_what_nobody_uses_for_too_long_is_ended(server: ScriptedServer) -> None:
    now = 0.0
    with client_of(server) as client:
        sessions = Sessions(client.create_session, idle_timeout=60_000, clock=lambda: now)
        with sessions.get("ada"):
            now = 100.0
        now = 159.9
        with sessions.get("eve"):
            assert ended(server) == []
        now = 160.0
        with sessions.get("eve"):
            assert ended(server) == ["ada"]
        sessions.close()


def test_it_is_the_last_use_that_counts_not_the_first(server: ScriptedServer) -> None:
    now = 0.0
    with client_of(server) as client:
        sessions = Sessions(client.create_session, max_open=2, idle_timeout=0, clock=lambda: now)
        with sessions.get("ada"):
            with sessions.get("bob"):
                now = 1.0
            now = 50.0
        with sessions.get("eve"):
            assert ended(server) == ["bob"]
        sessions.close()


def test_a_session_that_is_used_for_long_hides_none_that_nobody_uses(server: ScriptedServer) -> None:
    now = 0.0
    with client_of(server) as client:
        sessions = Sessions(client.create_session, idle_timeout=60_000, clock=lambda: now)
        with sessions.get("ada"):
            with sessions.get("bob"):
                pass
            now = 59.0
        now = 61.0
        with sessions.get("eve"):
            assert ended(server) == ["bob"]
        sessions.close()


def test_a_session_is_used_until_all_have_given_it_back(server: ScriptedServer) -> None:
    now = 0.0
    with client_of(server) as client:
        sessions = Sessions(client.create_session, idle_timeout=60_000, clock=lambda: now)
        with sessions.get("ada"):
            with sessions.get("ada"):
                pass
            now = 100.0
            with sessions.get("bob"):
                assert ended(server) == []
            now = 150.0
        now = 160.0
        with sessions.get("eve"):
            assert ended(server) == ["bob"]
        sessions.close()


def test_a_session_that_cannot_be_connected_is_tried_again(server: ScriptedServer) -> None:
    with client_of(server) as client, client.sessions() as sessions:
        server.script("initialize", refused(403))
        with pytest.raises(TransportError, match="403"), sessions.get("ada"):
            pass
        with sessions.get("ada") as session:
            assert session.call_tool("add", {"a": 1, "b": 2}).text == "3"


def test_sessions_that_are_closed_are_no_more(server: ScriptedServer) -> None:
    with client_of(server) as client:
        sessions = client.sessions()
        with sessions.get("ada"):
            sessions.close()
            assert ended(server) == ["ada"]
        with pytest.raises(ConfigError, match="closed"), sessions.get("ada"):
            pass


@pytest.mark.parametrize("numbers", [{"max_open": 0}, {"max_open": True}, {"idle_timeout": -1}])
def test_numbers_that_make_no_sense(server: ScriptedServer, numbers: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(numbers))):
        client_of(server).sessions(**numbers)


def test_from_many_threads(server: ScriptedServer) -> None:
    problems: list[BaseException] = []
    with client_of(server) as client, client.sessions(max_open=3) as sessions:

        def work(number: int) -> None:
            try:
                for turn in range(5):
                    user = f"user-{(number + turn) % 6}"
                    with sessions.get(user) as session:
                        assert session.user_id == user
                        assert session.call_tool("add", {"a": number, "b": 0}).text == str(number)
            except BaseException as error:  # noqa: BLE001 - shown by the test
                problems.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []
        assert len(sessions) <= 3


@pytest.mark.parametrize("users", [1, 4])
def test_tasks_share_the_session_of_a_user(server: ScriptedServer, users: int) -> None:
    async def body() -> None:
        client = RouterMCPClient(server.url, user_id="app", send_user_id=True)
        async with client, client.sessions(max_open=2) as sessions:

            async def work(number: int) -> str:
                async with sessions.get(f"user-{number % users}") as session:
                    return (await session.call_tool("add", {"a": number, "b": 0})).text

            assert await asyncio.gather(*(work(number) for number in range(8))) == [
                str(number) for number in range(8)
            ]
            assert len(sessions) <= 2

    asyncio.run(body())
    assert sorted(set(begun(server))) == sorted({"app", *(f"user-{number}" for number in range(users))})

"""An application is told of a session that was renewed, and restores its state before the call goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from routermcp.types import MCPError, SessionRenewal, TransportError
from tests.routermcp.server import HANDSHAKE, Action, Exchange, ScriptedServer, refused
from tests.three_runtimes import gather, make_client, run


def tools_called(server: ScriptedServer) -> list[str]:
    return [seen.params["name"] for seen in server.requests("tools/call")]


def callback_of(runtime: str, act: Callable[[Any], Any], clients: list[Any]) -> Callable[[Any], Any]:
    """Return a callback that has the client of the test do something, as its runtime wants it."""
    if runtime == "blocking":
        return lambda _: act(clients[0]._plain)

    async def callback(_: object) -> None:
        await act(clients[0])

    return callback


def test_a_renewed_session_is_told_and_logged(
    sessions_server: ScriptedServer, runtime: str, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[SessionRenewal] = []

    async def body() -> str:
        url = sessions_server.url
        async with make_client(runtime, url=url, user_id="ada", on_session_renewed=told.append) as client:
            await client.call_tool("echo")
            assert told == []
            sessions_server.forget_sessions()
            return (await client.call_tool("add", {"a": 1, "b": 2})).text

    with caplog.at_level(logging.WARNING, "routermcp"):
        assert run(runtime, body) == "3"
    reason = "the server has forgotten the session"
    assert told == [SessionRenewal(sessions_server.url, reason, "ada")]
    (logged,) = caplog.records
    assert logged.levelname == "WARNING"
    assert reason in logged.getMessage()


def rejected(code: int, message: str) -> Action:
    return lambda exchange: exchange.error(code, message)


UNINITIALIZED: dict[str, Action] = {
    "error": rejected(-32002, "Server not initialized"),
    "of Python": rejected(-32600, "Received request before initialization was complete"),
    "400": refused(400, "the client is not initialized"),
    "422": refused(422, "Unexpected message, expect initialize request"),
}


@pytest.mark.parametrize("way", UNINITIALIZED)
def test_a_session_without_an_id_is_renewed_where_the_server_waits_for_that(runtime: str, way: str) -> None:
    told: list[SessionRenewal] = []

    async def body() -> str:
        async with make_client(runtime, url=server.url, on_session_renewed=told.append) as client:
            server.script("tools/call", UNINITIALIZED[way])
            server.script("tools/list", UNINITIALIZED[way])
            text = (await client.call_tool("add", {"a": 1, "b": 2})).text
            server.script("tools/call", UNINITIALIZED[way], UNINITIALIZED[way])
            server.script("tools/list", UNINITIALIZED[way], UNINITIALIZED[way])
            with pytest.raises(MCPError):
                await client.call_tool("add", {"a": 1, "b": 2})
            return text

    with ScriptedServer(HANDSHAKE, sessions=False) as server:
        assert run(runtime, body) == "3"
        assert server.executed["tools/call:add"] == 1
        assert len(server.requests("initialize")) == 3
    assert [each.reason for each in told] == ["the server has forgotten the session"] * 2


def test_each_session_is_told_of_its_own_user(sessions_server: ScriptedServer, runtime: str) -> None:
    told: list[str | None] = []

    async def body() -> None:
        def on_renewed(renewal: SessionRenewal) -> None:
            told.append(renewal.user_id)

        async with (
            make_client(runtime, url=sessions_server.url, on_session_renewed=on_renewed) as client,
            client.create_session("ada") as ada,
            client.create_session("bob") as bob,
        ):
            sessions_server.forget_sessions()
            await bob.call_tool("echo")
            await ada.call_tool("echo")
            await ada.call_tool("echo")

    run(runtime, body)
    assert told == ["bob", "ada"]


def test_the_state_is_restored_before_the_call_goes_on(sessions_server: ScriptedServer, runtime: str) -> None:
    """The callback calls the client itself, in the new session."""
    clients: list[Any] = []
    log_in = callback_of(runtime, lambda client: client.call_tool("add", {"a": 1, "b": 1}), clients)

    async def body() -> None:
        async with make_client(runtime, url=sessions_server.url, on_session_renewed=log_in) as client:
            clients.append(client)
            sessions_server.forget_sessions()
            await client.call_tool("echo")

    run(runtime, body)
    assert tools_called(sessions_server) == ["echo", "add", "echo"]
    assert sessions_server.executed == {"initialize": 2, "tools/call:add": 1, "tools/call:echo": 1}


@pytest.mark.parametrize("error", [LookupError("no password"), TransportError("gone", code="connect")])
def test_a_callback_that_fails_ends_the_call_unsent(
    sessions_server: ScriptedServer, runtime: str, error: Exception
) -> None:
    def fail(renewal: SessionRenewal) -> None:
        raise error

    async def body() -> None:
        async with make_client(runtime, url=sessions_server.url, on_session_renewed=fail) as client:
            sessions_server.forget_sessions()
            with pytest.raises((LookupError, MCPError), match=str(error)):
                await client.call_tool("echo")
            await client.call_tool("add", {"a": 1, "b": 1})

    run(runtime, body)
    assert tools_called(sessions_server) == ["echo", "add"]
    assert sessions_server.executed["tools/call:echo"] == 0


def test_calls_that_meet_it_together_tell_it_once(sessions_server: ScriptedServer, runtime: str) -> None:
    told: list[SessionRenewal] = []

    async def body() -> None:
        async with make_client(runtime, url=sessions_server.url, on_session_renewed=told.append) as client:
            sessions_server.forget_sessions()
            await gather(runtime, [client.list_tools] * 20)

    run(runtime, body)
    assert len(told) == 1


def unsupported(exchange: Exchange) -> None:
    exchange.error(-32022, "unsupported version", status=400, data={"supported": ["2026-07-28"]})


@pytest.mark.parametrize("way", ["connected again", "without a session", "refused for good"])
def test_what_loses_no_state_is_not_told(
    server: ScriptedServer, sessions_server: ScriptedServer, runtime: str, way: str
) -> None:
    told: list[SessionRenewal] = []

    async def body() -> None:
        url = server.url if way == "without a session" else sessions_server.url
        client = make_client(runtime, url=url, on_session_renewed=told.append)
        async with client:
            await client.list_tools()
            if way == "without a session":
                server.script("tools/call", unsupported)
                await client.call_tool("echo")
            elif way == "refused for good":
                sessions_server.script("tools/call", refused(403))
                with pytest.raises(TransportError):
                    await client.call_tool("echo")
            else:
                sessions_server.forget_sessions()
        async with client:
            await client.list_tools()

    run(runtime, body)
    assert told == []

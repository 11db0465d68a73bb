"""Over HTTP, too, a session hears its server between calls."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from routermcp.types import MCPError
from tests.lifecycles import pause
from tests.routermcp.server import HANDSHAKE, Exchange, ScriptedServer
from tests.three_runtimes import gather, make_client, run


def stream_of(server: ScriptedServer) -> Exchange:
    """Wait for the stream that the client has opened."""
    while not (open_ones := [each for each in server.sessions.values() if each is not None]):
        threading.Event().wait(0.01)
    return open_ones[0]


@pytest.mark.parametrize("times", [1, 5])
def test_what_the_server_tells_between_calls_is_heard(runtime: str, times: int) -> None:
    heard: list[str] = []

    def on_notification(method: str, params: Mapping[str, Any]) -> None:
        heard.append(method)

    with ScriptedServer(HANDSHAKE, listens=True) as server:

        async def body() -> None:
            async with make_client(runtime, url=server.url, on_notification=on_notification) as client:
                for number in range(times):
                    stream_of(server).notify("notifications/tools/list_changed")
                    while len(heard) == number:
                        await pause(runtime)
                    # A call beside it reads the same stream, which the attendant reads again after it.
                    assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"

        run(runtime, body)
    assert heard == ["notifications/tools/list_changed"] * times


def test_calls_and_the_attendant_share_the_stream(runtime: str) -> None:
    with ScriptedServer(HANDSHAKE, listens=True) as server:

        async def body() -> None:
            async with make_client(runtime, url=server.url, on_notification=lambda *_: None) as client:
                for _ in range(5):
                    await gather(runtime, [client.list_tools] * 8)

        run(runtime, body)


@pytest.mark.parametrize("attend", [False, True])
def test_a_client_with_an_attendant_can_be_connected_again(runtime: str, attend: bool) -> None:
    with ScriptedServer(HANDSHAKE, listens=True) as server:

        async def body() -> None:
            client = make_client(runtime, url=server.url, on_log=lambda _: None, attend=attend)
            for _ in range(3):
                async with client:
                    await client.call_tool("echo")
            with pytest.raises(MCPError, match="not connected"):
                await client.list_tools()

        run(runtime, body)

"""Messages that ask for nothing are done with the head of their response, whatever that is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.routermcp.server import HANDSHAKE, Action, Exchange, ScriptedServer, refused
from tests.three_runtimes import make_client, run

#: Milliseconds that are plenty, and less than a silent server stays silent.
TIMEOUT = 9_000


def open_stream(exchange: Exchange) -> None:
    exchange.stream()
    exchange.closed_by_client()


def unfinished(exchange: Exchange) -> None:
    exchange.raw(b"HTTP/1.1 202 Accepted\r\nContent-Length: 10\r\n\r\n")
    exchange.closed_by_client()


def endless(exchange: Exchange) -> None:
    """A body that goes on until the connection closes, which it does not."""
    exchange.raw(b"HTTP/1.1 200 OK\r\n\r\nok")
    exchange.closed_by_client()


HEADS: list[Action] = [open_stream, unfinished, endless, refused(405), refused(500, "Traceback")]


def ask(server: ScriptedServer, runtime: str) -> str:
    """Call a tool that asks for the roots of its user."""

    def listed(exchange: Exchange, arguments: dict[str, Any]) -> dict[str, Any]:
        answer = exchange.stream().ask("roots/list")
        return {"content": [{"type": "text", "text": answer["result"]["roots"][0]["uri"]}]}

    server.tools["ask"] = listed

    async def body() -> str:
        client = make_client(
            runtime,
            url=server.url,
            timeout=TIMEOUT,
            on_roots=lambda: ["file:///here"],
            protocol=HANDSHAKE,
        )
        async with client:
            await client.send_roots_list_changed()
            return (await client.call_tool("ask")).text

    return run(runtime, body)


def heard(action: Action) -> Action:
    """Take an answer, and treat its request so."""

    def act(exchange: Exchange) -> None:
        exchange.server.take_answer(exchange.seen)
        action(exchange)

    return act


@pytest.mark.parametrize("head", HEADS, ids=["stream", "unfinished", "endless", "405", "500"])
def test_the_body_is_not_waited_for(runtime: str, head: Action) -> None:
    with ScriptedServer(HANDSHAKE) as server:
        server.script("notifications/initialized", head)
        server.script("notifications/roots/list_changed", head)
        server.script("answer", heard(head))
        assert ask(server, runtime) == "file:///here"
        assert not server._scripts["answer"]

"""What a request leaves behind when it has been answered."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from collections.abc import Mapping, MutableMapping
from typing import Any

import pytest

from routermcp.gateway import BuiltinTools, Caller, GatewayApp
from tests.gateway.gateways import PATIENCE, request


class Connection:
    """A client that sends one request and stays connected."""

    def __init__(self) -> None:
        self.watched = asyncio.Event()
        self._sent = False

    async def receive(self) -> MutableMapping[str, Any]:
        """Give the request, and then wait for the end of the connection."""
        if self._sent:
            self.watched.set()
            await asyncio.Event().wait()
        self._sent = True
        body = json.dumps(request("tools/call", {"name": "add", "arguments": {}})).encode()
        return {"type": "http.request", "body": body, "more_body": False}


class Answers(list[MutableMapping[str, Any]]):
    """What the gateway sends."""

    async def take(self, message: MutableMapping[str, Any]) -> None:
        self.append(message)


def scope(**more: str) -> dict[str, Any]:
    """Return the head of a request, with more headers."""
    headers = {"host": "localhost", "content-type": "application/json", **more}
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "POST", "path": "/mcp", "headers": pairs}


class SlowTools(BuiltinTools):
    """Answers when the gateway has begun to watch the connection."""

    def __init__(self, watched: asyncio.Event) -> None:
        self._watched = watched

    async def call_tool(self, name: str, arguments: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        await self._watched.wait()
        for _ in range(10):  # turns of the loop, in which a comment would leave
            await asyncio.sleep(0)
        return {"content": []}


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("application/json", b"application/json"),
        ("application/json, application/mcp+json", b"application/json"),
        ("application/json, text/event-stream", b"text/event-stream"),
    ],
)
def test_an_answer_that_takes_long_is_of_a_type_that_the_client_takes(accept: str, media_type: bytes) -> None:
    answers = Answers()

    async def body() -> None:
        connection = Connection()
        app = GatewayApp(SlowTools(connection.watched), keep_alive_seconds=0)
        async with asyncio.timeout(PATIENCE):
            await app(scope(accept=accept), connection.receive, answers.take)

    asyncio.run(body())
    assert dict(answers[0]["headers"])[b"content-type"] == media_type


def test_the_collector_has_nothing_to_do_after_a_request_that_was_watched() -> None:
    answers = Answers()

    async def body() -> None:
        connection = Connection()
        gone = asyncio.Event()
        weakref.finalize(connection, gone.set)
        app = GatewayApp(SlowTools(connection.watched))
        receive = connection.receive
        del connection
        await app(scope(), receive, answers.take)
        del receive
        async with asyncio.timeout(PATIENCE):
            await gone.wait()

    gc.disable()
    try:
        asyncio.run(body())
    finally:
        gc.enable()
    assert answers[0]["status"] == 200

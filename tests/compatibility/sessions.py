"""Rows about what goes on between two calls, over pipes, and with servers of HTTP+SSE."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.compatibility.clients import Client, Session
from tests.compatibility.rows import Kind, Row, add
from tests.routermcp.legacy_server import legacy_server
from tests.routermcp.server import HANDSHAKE, StrictServer

#: Seconds for which a client is left alone, at most, until the server has got what it waits for.
IDLE_SECONDS = 20.0
#: Seconds between two looks.
LOOK_SECONDS = 0.02

CHILD = [sys.executable, str(Path(__file__).with_name("child.py"))]


async def happens(reached: Callable[[], object]) -> bool:
    """Return whether something has happened before the client is used again."""
    for _ in range(int(IDLE_SECONDS / LOOK_SECONDS)):
        if reached():
            return True
        await asyncio.sleep(LOOK_SECONDS)
    return False


# ---- over pipes --------------------------------------------------------------------------------


def child(what: str, name: str, gets: str, *reports: str) -> Row:
    """A child does something after the answer to its call."""

    async def play(client: Client) -> object:
        with tempfile.TemporaryDirectory() as folder:
            mark = Path(folder) / "mark"
            async with client.open(CHILD) as session:
                await session.call("start", {"what": what, "mark": str(mark)})
                return await happens(mark.exists), await session.call("start")

    return Row(name, reports, play, (True, "3"), gets)


def probed(way: str, name: str, report: str) -> Row:
    """A child does this when it is probed."""

    async def play(client: Client) -> object:
        async with client.open([*CHILD, way]) as session:
            return await add(session)

    return Row(name, (report,), play, "3")


# ---- over HTTP -----------------------------------------------------------------------------------


@asynccontextmanager
async def listening(client: Client, heard: list[str]) -> AsyncGenerator[tuple[StrictServer, Session]]:
    """Give a session whose server may speak between two calls, as soon as it may."""
    with StrictServer(HANDSHAKE, listens=True) as server:
        async with client.open(server.url, heard=heard.append) as session:
            await add(session)
            await happens(lambda: any(server.sessions.values()))
            yield server, session


async def pinged(client: Client) -> object:
    heard: list[str] = []
    async with listening(client, heard) as (server, session):
        (stream,) = server.sessions.values()
        assert stream is not None
        answer = await asyncio.to_thread(server.ask, stream.event, "ping", {})
        return answer.get("result"), await add(session)


async def told_of_changes(client: Client) -> object:
    heard: list[str] = []
    method = "notifications/tools/list_changed"
    async with listening(client, heard) as (server, _session):
        (stream,) = server.sessions.values()
        assert stream is not None
        stream.notify(method)
        return await happens(lambda: method in heard)


async def told_of_renewal(client: Client) -> object:
    renewals: list[object] = []
    with StrictServer(HANDSHAKE) as server:
        async with client.open(server.url, renewed=renewals.append) as session:
            await add(session)
            server.forget_sessions()
            return await add(session), len(renewals)


BETWEEN_CALLS = Kind(
    "A session lives between calls",
    (
        Row(
            "A server pings over HTTP between two calls",
            ("microsoft/playwright#41373",),
            pinged,
            ({}, "3"),
            "the ping is answered",
        ),
        Row(
            "A server says over HTTP that its tools have changed",
            ("stacklok/mecatl#193",),
            told_of_changes,
            True,
            "`on_notification` is called at once",
        ),
        Row(
            "A server has forgotten a session and what it kept in it",
            ("microsoft/playwright#41373",),
            told_of_renewal,
            ("3", 1),
            "`on_session_renewed` is called, then the result",
        ),
        child(
            "ping", "A child pings between two calls", "the ping is answered", "microsoft/playwright#41373"
        ),
        child(
            "stderr",
            "A child writes more to its standard error than a pipe holds",
            "it is not blocked",
            "mark3labs/mcp-go#956",
        ),
        child(
            "stdout",
            "A child sends more notifications than a pipe holds",
            "it is not blocked",
            "mark3labs/mcp-go#956",
        ),
    ),
)

OLD_CHILDREN = Kind(
    "The same over stdio",
    (
        probed(
            "leaves", "A child ends when it is asked `server/discover`", "modelcontextprotocol/go-sdk#1177"
        ),
        probed("silent", "A child does not answer `server/discover`", "modelcontextprotocol/rust-sdk#1142"),
    ),
)

# ---- HTTP+SSE ------------------------------------------------------------------------------------


async def of_2024(client: Client) -> object:
    with legacy_server() as server:
        async with client.open(server.url) as session:
            return await session.call("echo", {"a": 1})


async def elsewhere(client: Client) -> object:
    with legacy_server(endpoint="http://127.0.0.2:{port}/messages?session_id={id}") as server:
        async with client.open(server.url, sse=True) as session:
            return await session.call("echo", {"a": 1})


HTTP_SSE = Kind(
    "Servers of HTTP+SSE",
    (
        Row(
            "A server of 2024-11-05 is given by its URL alone",
            ("tadata-org/fastapi_mcp#154",),
            of_2024,
            '{"a": 1}',
        ),
        Row(
            "Its endpoint is of another origin",
            ("tadata-org/fastapi_mcp#154",),
            elsewhere,
            "origin",
            "an error that says so",
            is_error=True,
        ),
    ),
)

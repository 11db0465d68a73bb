"""Rows about what users do: their headers, arguments, time limits, HTTP clients and callbacks."""

from __future__ import annotations

import asyncio
import enum
import importlib
import json
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.compatibility.clients import CALL_SECONDS, Client, NotOffered, RouterMCP, Session
from tests.compatibility.rows import Kind, Row, add, scripted
from tests.routermcp.server import HANDSHAKE, Exchange, StrictServer

# ---- headers -------------------------------------------------------------------------------------

HEADERS_REPORT = "modelcontextprotocol/python-sdk#2377"


def header(name: str, value: str) -> Row:
    """A user's configuration has this header."""
    play = scripted({}, headers={name: value})
    return Row(f"`{name}: {value}` is in the configuration", (HEADERS_REPORT,), play, "3")


HEADERS = Kind(
    "Headers from a configuration",
    (
        header("Content-Type", "application/json"),
        header("content-type", "application/json; charset=utf-8"),
        header("Accept", "application/json, text/event-stream"),
        header("Accept-Encoding", "identity"),
    ),
)

# ---- arguments -------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: int


def argument(name: str, value: Any, wanted: Any) -> Row:
    """A user gives this to a tool."""

    async def ask(session: Session) -> object:
        return json.loads(await session.call("echo", {"value": value}))["value"]

    play = scripted({}, ask=ask)
    return Row(f"An argument is {name}", ("microsoft/agent-framework#3465",), play, wanted, "it arrives")


IDENTIFIER = uuid.UUID(int=7)

ARGUMENTS = Kind(
    "Values of Python as arguments",
    (
        argument("a `datetime`", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05Z"),
        argument("a `date`", date(2026, 1, 2), "2026-01-02"),
        argument("a `UUID`", IDENTIFIER, str(IDENTIFIER)),
        argument("a `Decimal`", Decimal("1.50"), "1.50"),
        argument("a path", Path("/a/b"), "/a/b"),
        argument("a member of an `Enum`", Colour.RED, "red"),
        argument("a `set`", {5}, [5]),
        argument("a dataclass", Point(1, 2), {"x": 1, "y": 2}),
        argument("`bytes` that are no text", b"\xff\x00", "/wA="),
    ),
)

# ---- time limits -------------------------------------------------------------------------------------


def goes_on(exchange: Exchange) -> None:
    """Report progress for longer than the call may take."""
    exchange.stream()
    for step in range(12):
        time.sleep(CALL_SECONDS / 6)
        exchange.progress(step)
    exchange.answer()


async def patiently(session: Session) -> str:
    return await session.call("add", {"a": 1, "b": 2}, patient=True, on_progress=lambda _progress: None)


TIME_LIMITS = Kind(
    "Progress may extend the time",
    (
        Row(
            "A tool takes twice its time limit, and reports progress meanwhile",
            ("modelcontextprotocol/python-sdk#2589", "modelcontextprotocol/typescript-sdk#245"),
            scripted({"tools/call": goes_on}, ask=patiently),
            "3",
            "the result, with `reset_on_progress=True`",
            is_long=True,
        ),
    ),
)

# ---- HTTP clients --------------------------------------------------------------------------------------


def httpx2_client() -> Any:
    return importlib.import_module("httpx2").AsyncClient(headers={"X-Tenant": "a"})


async def with_httpx2(client: Client) -> object:
    with StrictServer() as server:
        async with client.open(server.url, http_client=httpx2_client) as session:
            result = await add(session)
        return result, server.seen[-1].headers.get("x-tenant")


HTTP_CLIENTS = Kind(
    "HTTP clients of a user's own",
    (
        Row(
            "A user brings an `httpx2.AsyncClient` with headers",
            ("vstorm-co/agenticos#1820",),
            with_httpx2,
            ("3", "a"),
        ),
    ),
)

# ---- the interface ---------------------------------------------------------------------------------------


async def of_an_extension(client: Client) -> object:
    with StrictServer() as server:
        server.results["acme/search"] = {"hits": 2}
        async with client.open(server.url) as session:
            return (await session.request("acme/search", {"words": "x"}))["hits"]


async def failing(session: Session) -> str:
    return await session.call("fail", raise_on_error=True)


async def declared_text(session: Session) -> str:
    return json.loads(await session.text("echo"))


async def wrong_answer(client: Client) -> object:
    """A callback for questions returns a number."""
    schema = {"type": "object", "properties": {}}

    def asks(exchange: Exchange) -> None:
        exchange.stream()
        answer = exchange.ask("elicitation/create", message="who?", requestedSchema=schema)
        text = answer.get("error", {}).get("message", "a result")
        result = {"content": [{"type": "text", "text": f"the client said: {text}"}]}
        exchange.event({"jsonrpc": "2.0", "id": exchange.id, "result": result})
        exchange.end()

    with StrictServer(HANDSHAKE) as server:
        server.script("tools/call", asks)
        async with client.open(server.url, asked=lambda: 42) as session:
            return await session.call("echo")


INTERFACE = Kind(
    "The interface that migrators miss",
    (
        Row(
            "A user calls a method of an extension",
            ("modelcontextprotocol/python-sdk#535",),
            of_an_extension,
            2,
        ),
        Row(
            "A user wants an exception for a result with `isError`",
            ("googleapis/mcp-toolbox-sdk-python#633",),
            scripted({}, ask=failing),
            "it went wrong",
            "`ToolError`",
            is_error=True,
        ),
        Row(
            "A user wants the plain text of a result as `str`",
            (),
            scripted({}, ask=declared_text),
            {},
            "the text",
        ),
        Row(
            "A user enters a connected client once more",
            ("PrefectHQ/fastmcp#4975",),
            scripted({}, twice=True),
            "3",
        ),
        Row(
            "A callback for questions returns a number",
            (),
            wrong_answer,
            "ElicitResult",
            "an error that says what to return",
            is_error=True,
        ),
    ),
)

# ---- debugging --------------------------------------------------------------------------------------------

PROGRAM = """
import logging, sys
from routermcp import SyncRouterMCPClient
logging.getLogger("routermcp").addHandler(logging.NullHandler())
with SyncRouterMCPClient(sys.argv[1], debug=True) as client:
    client.call_tool("echo")
"""


async def debugging(client: Client) -> object:
    """Return whether the traffic is on standard error."""
    if not isinstance(client, RouterMCP):
        raise NotOffered
    with StrictServer() as server:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", PROGRAM, server.url],
            capture_output=True,
            text=True,
            check=True,
        )
    return "tools/call" in done.stderr


DEBUGGING = Kind(
    "Debugging",
    (
        Row(
            "A user wants to see the traffic of a program whose logger has a `NullHandler`",
            (),
            debugging,
            True,
            "`debug=True` shows it",
        ),
    ),
)


async def core_by_itself(client: Client) -> object:
    """Return whether a call of the core by itself ends when its peer closes."""
    if not isinstance(client, RouterMCP):
        raise NotOffered
    proto = importlib.import_module("routermcp_proto")
    session = proto.ClientSession(client_info={"name": "core", "version": "1"})
    session.connect()
    session.receive_eof()
    return [type(event).__name__ for event in session.events_received()]


CORE = Kind(
    "The protocol by itself",
    (
        Row(
            "A program drives the protocol over a connection of its own, and its peer closes",
            (),
            core_by_itself,
            ["RequestLost"],
            "the event `RequestLost`",
        ),
    ),
)

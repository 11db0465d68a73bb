"""The compatibility table: what servers and users do in public bug reports, and what a user wants of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.compatibility.clients import Client, Session
from tests.routermcp.server import STATELESS, Action, Exchange, StrictServer

Play = Callable[[Client], Awaitable[object]]
"""Brings a client into the situation, and returns what its user gets."""


@dataclass(frozen=True)
class Row:
    """One situation.

    Attributes:
        name: What the server, or the user, does.
        reports: Public reports of it, ``owner/repository#number``.
        play: Does it.
        wanted: What the user has to get, or for an error, words that its text has to have.
        gets: The same in words.
        is_error: Whether an error is wanted.
        is_long: Whether it is left out where there are only seconds: its client waits on purpose.
    """

    name: str
    reports: tuple[str, ...]
    play: Play
    wanted: object
    gets: str = "the result"
    is_error: bool = False
    is_long: bool = False


@dataclass(frozen=True)
class Kind:
    """Rows of one kind, under one heading."""

    title: str
    rows: tuple[Row, ...]
    note: str = ""


async def add(session: Session) -> str:
    """Make the call whose right result is "3"."""
    return await session.call("add", {"a": 1, "b": 2})


Ask = Callable[[Session], Awaitable[object]]


def scripted(
    scripts: Mapping[str, Action], *, era: str = STATELESS, times: int = 1, ask: Ask = add, **options: Any
) -> Play:
    """Connect to a server that treats the next requests of some methods so, and ask it for something."""

    async def play(client: Client) -> object:
        with StrictServer(era) as server:
            for method, action in scripts.items():
                server.script(method, *[action] * times)
            async with client.open(server.url, **options) as session:
                return await ask(session)

    return play


def message(exchange: Exchange, **members: Any) -> dict[str, Any]:
    """Carry a request out, and return its answer with other members."""
    return {**exchange.execute(), **members}

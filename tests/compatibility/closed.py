"""Reports from the public that users of a client feel most, each with the row that plays it."""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.compatibility.clients import CLIENTS, Session, Target

#: The programs in the order of the page, each with its heading.
PROGRAMS = {
    "call_a_tool": "Calling a tool",
    "list_tools": "Listing tools",
    "read_a_resource": "Reading a resource",
    "call_a_slow_tool": "Calling a slow tool",
    "enter_twice": "Entering a client twice",
}


@dataclass(frozen=True)
class ClosedIssue:
    """One report.

    Attributes:
        row: The name of the row of the compatibility table that does what the report is about.
        program: The program that meets it.
        felt: What its user notices.
    """

    row: str
    program: str
    felt: str


CLOSED = (
    ClosedIssue(
        "A forgotten session is told with 404, as the specification has it",
        "call_a_tool",
        "After a server was restarted, every call fails until the program is restarted too",
    ),
    ClosedIssue(
        "A forgotten session is told with 400 and -32000",
        "call_a_tool",
        "The same, with a server that tells it in the words of the TypeScript SDK",
    ),
    ClosedIssue(
        "`notifications/initialized` is answered with nothing at all",
        "call_a_tool",
        "The client waits for the end of an answer that nothing depends on",
    ),
    ClosedIssue(
        "`server/discover` is answered with a hang-up",
        "call_a_tool",
        "An older server hangs up on a request that it does not know, and cannot be used",
    ),
    ClosedIssue(
        "An error has the id `null`",
        "call_a_tool",
        "A server refuses a request that it could not read, and the caller waits forever",
    ),
    ClosedIssue(
        "A text has half a surrogate pair",
        "call_a_tool",
        "One broken emoji in a page costs the whole result",
    ),
    ClosedIssue(
        "A byte order mark comes before the JSON",
        "call_a_tool",
        "Three bytes from a server on Windows cost the whole result",
    ),
    ClosedIssue(
        "JSON is labelled `text/plain`",
        "call_a_tool",
        "A proxy or a framework labels the answer wrongly, and it is thrown away",
    ),
    ClosedIssue(
        "A result comes as an array of one",
        "call_a_tool",
        "A server answers with a batch of one message, as older revisions allow",
    ),
    ClosedIssue(
        "One tool of two has a `title` that is a number",
        "list_tools",
        "One bad tool hides all the others",
    ),
    ClosedIssue(
        "One tool of two has no `inputSchema`",
        "list_tools",
        "A tool without arguments hides all the others",
    ),
    ClosedIssue(
        "`nextCursor` is a number",
        "list_tools",
        "A server that counts its pages offers no tools at all",
    ),
    ClosedIssue(
        "A list is answered with 520 once",
        "list_tools",
        "One hiccup of a proxy fails a request that could be made again",
    ),
    ClosedIssue(
        "The bytes of a resource are base64 of the URL-safe alphabet",
        "read_a_resource",
        "A file arrives with other bytes than it has, and nothing says so",
    ),
    ClosedIssue(
        "The bytes of a resource are base64 in a `data:` URI",
        "read_a_resource",
        "An image that other programs show cannot be read",
    ),
    ClosedIssue(
        "A tool takes twice its time limit, and reports progress meanwhile",
        "call_a_slow_tool",
        "A tool that is at work and says so is given up",
    ),
    ClosedIssue(
        "A user enters a connected client once more",
        "enter_twice",
        "Two parts of a program cannot share a client",
    ),
)


class ProgramClient:
    """A client whose session runs a program of the page, whatever it is asked."""

    def __init__(self, name: str, program: str) -> None:
        self._name = name
        self._run = getattr(importlib.import_module(f"tests.compatibility.programs.with_{name}"), program)

    @asynccontextmanager
    async def open(self, target: Target, **_options: Any) -> AsyncGenerator[Session]:
        yield _ProgramSession(self._run, target)

    def is_own(self, error: BaseException) -> bool:
        return CLIENTS[self._name].is_own(error)


class _ProgramSession:
    def __init__(self, run: Any, url: Target) -> None:
        self._run, self._url = run, url

    async def call(self, name: str, arguments: Mapping[str, Any] | None = None, **options: Any) -> str:
        return await self._run(self._url)

    async def tools(self) -> list[str]:
        return await self._run(self._url)

    async def read(self, uri: str) -> bytes:
        return await self._run(self._url)

    async def structured(self, name: str) -> Any:
        return await self._run(self._url)

    async def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        return await self._run(self._url)

    async def text(self, name: str) -> str:
        return await self._run(self._url)

"""The gateway's own tool, which finds tools by the task that they are for."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from routermcp_proto.error_codes import INTERNAL_ERROR
from routermcp_proto.exceptions import RPCError

from ..names import DOTTED, GATEWAY_ALIAS, Naming
from .entries import Entry

#: Tools that a search gives where the client names no number.
DEFAULT_TOOLS_FOUND = 10
#: The most tools that a client may ask for.
MAX_TOOLS_FOUND = 50

#: Tools of one server with which the search is offered: with fewer of them a model chooses by itself.
MIN_TOOLS_SEARCHED = 20

SEARCH_NAME = "searchMcpForTask"

SEARCH_TOOL: Mapping[str, Any] = {
    "name": DOTTED.name(GATEWAY_ALIAS, SEARCH_NAME),
    "title": "Search for tools",
    "description": "Find the tools of this gateway that fit a task best. Describe what is to be done.",
    "inputSchema": {
        "type": "object",
        "properties": {
            "task": {"type": "string", "description": "what is to be done"},
            "limit": {
                "type": "integer",
                "description": "how many tools to show",
                "minimum": 1,
                "maximum": MAX_TOOLS_FOUND,
                "default": DEFAULT_TOOLS_FOUND,
            },
        },
        "required": ["task"],
    },
    "annotations": {"readOnlyHint": True, "openWorldHint": False},
}


def search_tool(naming: Naming) -> Mapping[str, Any]:
    """Return the tool as it is listed, with a name made like those of the servers' tools."""
    return {**SEARCH_TOOL, "name": naming.name(GATEWAY_ALIAS, SEARCH_NAME)}


def search_helps(servers: int, tools: int) -> bool:
    """Return whether the search is worth its place in a list, by the servers and tools that are seen."""
    return servers != 1 or tools >= MIN_TOOLS_SEARCHED


class TaskSearch:
    """Searches one list of tools.

    Args:
        tools: Returns the tools that are listed, by name.
    """

    def __init__(self, tools: Callable[[], Mapping[str, Entry]]) -> None:
        self._tools = tools
        self._index: asyncio.Future[SearchIndex] | None = None

    def invalidate(self) -> None:
        """Drop the index; the next search makes a new one."""
        self._index = None

    async def matches(self, task: str, limit: int) -> list[dict[str, Any]]:
        """Return the tools that fit best, the best first.

        Raises:
            RPCError: This Python cannot search.
        """
        tools = self._tools()
        if self._index is None:
            # A hundred thousand tools take a second or two, in which others are to be served.
            self._index = asyncio.ensure_future(asyncio.to_thread(_index_of, tuple(tools.values())))
        try:
            index = await asyncio.shield(self._index)
            found = await asyncio.to_thread(index.search, task, limit)
        except sqlite3.Error as error:
            self.invalidate()
            raise RPCError("this gateway's SQLite cannot search texts", code=INTERNAL_ERROR) from error
        return [_search_hit(tools[name], score) for name, score in found if name in tools]


async def search(searches: Sequence[TaskSearch], arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the ``CallToolResult`` of a search."""
    task, limit = arguments.get("task"), arguments.get("limit", DEFAULT_TOOLS_FOUND)
    if not isinstance(task, str) or type(limit) is not int or not 1 <= limit <= MAX_TOOLS_FOUND:
        problem = f"task has to be a text, and limit a number from 1 to {MAX_TOOLS_FOUND}"
        return {"content": [{"type": "text", "text": problem}], "isError": True}
    found = [match for each in searches for match in await each.matches(task, limit)]
    matches = sorted(found, key=lambda match: -match["score"])[:limit]
    text = json.dumps(matches, ensure_ascii=False, indent=2)
    return {"content": [{"type": "text", "text": text}], "structuredContent": {"tools": matches}}


def _search_hit(entry: Entry, score: float) -> dict[str, Any]:
    listed = entry.listed()
    shown = {key: listed[key] for key in ("name", "title", "description", "inputSchema") if key in listed}
    return {**shown, "score": score}


def _index_of(entries: tuple[Entry, ...]) -> SearchIndex:
    return SearchIndex(_search_document(entry.listed()) for entry in entries)


def _search_document(listed: Mapping[str, Any]) -> Document:
    schema = listed.get("inputSchema")
    properties: Any = cast("dict[str, Any]", schema).get("properties") if isinstance(schema, dict) else None
    words: list[str] = []
    for name, value in cast("dict[str, Any]", properties).items() if isinstance(properties, dict) else ():
        description: Any = cast("dict[str, Any]", value).get("description") if isinstance(value, dict) else ""
        words += [name, description if isinstance(description, str) else ""]
    described = f"{listed.get('title') or ''} {listed.get('description') or ''}"
    return Document(str(listed["name"]), described, " ".join(words))


#: Words of a task that are searched for: more come from a pasted document.
MAX_WORDS = 64

#: Characters of a task in which they are looked for.
MAX_TASK_CHARACTERS = 4_096

#: Characters of a name, a description, and the names and descriptions of all arguments that a tool is
#: found by: several times those of the longest that people write.
MAX_INDEXED_CHARACTERS = 16 * 1024

#: Matches that one search may give.
MAX_MATCHES = 100

#: The weights of a match in the name of a tool, in its title and description, and in the names and
#: descriptions of its arguments.
WEIGHTS = (4.0, 2.0, 1.0)

_WORD = re.compile(r"\w+")
# createIssue and create_issue are found by "create issue".
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|_|[.\-/]")


@dataclass(frozen=True, slots=True)
class Document:
    """The text by which a tool is found."""

    name: str
    description: str
    arguments: str


class SearchIndex:
    """An index of tools, in memory; may be used from any thread.

    Args:
        documents: The tools.

    Raises:
        sqlite3.OperationalError: This Python's SQLite has no full-text search.
    """

    def __init__(self, documents: Iterable[Document]) -> None:
        self._lock = threading.Lock()
        self._names: list[str] = []
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.execute(
            "CREATE VIRTUAL TABLE tools USING fts5(name, description, arguments, "
            "tokenize='porter unicode61 remove_diacritics 2')"
        )
        self._database.executemany("INSERT INTO tools VALUES (?, ?, ?)", map(self._row, documents))

    def _row(self, document: Document) -> tuple[str, str, str]:
        self._names.append(document.name)
        name, description, arguments = (
            _spread_words(text[:MAX_INDEXED_CHARACTERS])
            for text in (document.name, document.description, document.arguments)
        )
        return name, description, arguments

    def search(self, task: str, limit: int) -> list[tuple[str, float]]:
        """Return the names of the tools that fit best, the best first, each with a score from 0 up.

        Args:
            task: The task, in any words.
            limit: The most tools to return.
        """
        words = list(dict.fromkeys(_WORD.findall(_spread_words(task[:MAX_TASK_CHARACTERS]))))[:MAX_WORDS]
        if not words:
            return []
        query = " OR ".join(f'"{word}"' for word in words)
        with self._lock:
            rows = self._database.execute(
                "SELECT rowid, -bm25(tools, ?, ?, ?) AS score FROM tools WHERE tools MATCH ? "
                "ORDER BY score DESC, rowid LIMIT ?",
                (*WEIGHTS, query, min(limit, MAX_MATCHES)),
            ).fetchall()
        return [(self._names[row - 1], round(score, 6)) for row, score in rows]

    def close(self) -> None:
        """Free the memory."""
        with self._lock:
            self._database.close()


def _spread_words(text: str) -> str:
    """Separate the words of which names are made."""
    return _HUMP.sub(" ", text)

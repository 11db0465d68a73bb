"""The gateway's own tool, which finds tools by what they are for."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from routermcp_proto.exceptions import RPCError

from .catalog import Entry
from .search import Document, SearchIndex

#: Tools that a search gives where nobody says how many, and at most.
DEFAULT_LIMIT = 10
MAX_LIMIT = 50

SEARCH_TOOL: Mapping[str, Any] = {
    "name": "routermcp.searchMcpForTask",
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
                "maximum": MAX_LIMIT,
                "default": DEFAULT_LIMIT,
            },
        },
        "required": ["task"],
    },
    "annotations": {"readOnlyHint": True, "openWorldHint": False},
}


class TaskSearch:
    """Searches one list of tools.

    Args:
        tools: Returns the tools that are listed, by name.
    """

    def __init__(self, tools: Callable[[], Mapping[str, Entry]]) -> None:
        self._tools = tools
        self._index: asyncio.Future[SearchIndex] | None = None

    def forget(self) -> None:
        """Look at the tools anew for the next search."""
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
            self.forget()
            raise RPCError("this gateway's SQLite cannot search texts", code=-32603) from error
        return [_shown(tools[name], score) for name, score in found if name in tools]


async def search(searches: Sequence[TaskSearch], arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the ``CallToolResult`` of a search."""
    task, limit = arguments.get("task"), arguments.get("limit", DEFAULT_LIMIT)
    if not isinstance(task, str) or type(limit) is not int or not 1 <= limit <= MAX_LIMIT:
        problem = f"task is a text, and limit a number from 1 to {MAX_LIMIT}"
        return {"content": [{"type": "text", "text": problem}], "isError": True}
    found = [match for each in searches for match in await each.matches(task, limit)]
    matches = sorted(found, key=lambda match: -match["score"])[:limit]
    text = json.dumps(matches, ensure_ascii=False, indent=2)
    return {"content": [{"type": "text", "text": text}], "structuredContent": {"tools": matches}}


def _shown(entry: Entry, score: float) -> dict[str, Any]:
    listed = entry.listed()
    shown = {key: listed[key] for key in ("name", "title", "description", "inputSchema") if key in listed}
    return {**shown, "score": score}


def _index_of(entries: tuple[Entry, ...]) -> SearchIndex:
    return SearchIndex(_document(entry.listed()) for entry in entries)


def _document(listed: Mapping[str, Any]) -> Document:
    schema = listed.get("inputSchema")
    properties: Any = cast("dict[str, Any]", schema).get("properties") if isinstance(schema, dict) else None
    words: list[str] = []
    for name, value in cast("dict[str, Any]", properties).items() if isinstance(properties, dict) else ():
        description: Any = cast("dict[str, Any]", value).get("description") if isinstance(value, dict) else ""
        words += [name, description if isinstance(description, str) else ""]
    described = f"{listed.get('title') or ''} {listed.get('description') or ''}"
    return Document(str(listed["name"]), described, " ".join(words))

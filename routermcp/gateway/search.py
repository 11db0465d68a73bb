"""Finding tools by what they are for, with the full-text search of SQLite.

Source: https://www.sqlite.org/fts5.html
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import dataclass

#: Words of a question that are looked for: more come from a pasted document.
MAX_WORDS = 64

#: Matches that one search may give.
MAX_MATCHES = 100

#: How much a match in the name of a tool, in its title and description, and in the names and
#: descriptions of its arguments counts.
WEIGHTS = (4.0, 2.0, 1.0)

_WORD = re.compile(r"\w+")
# createIssue and create_issue are found by "create issue".
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|_|[.\-/]")


@dataclass(frozen=True, slots=True)
class Document:
    """What is known of a tool."""

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
        return _spread(document.name), _spread(document.description), _spread(document.arguments)

    def search(self, task: str, limit: int) -> list[tuple[str, float]]:
        """Return the names of the tools that fit best, the best first, each with a score from 0 up.

        Args:
            task: What is to be done, in any words.
            limit: How many, at most.
        """
        words = list(dict.fromkeys(_WORD.findall(_spread(task))))[:MAX_WORDS]
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


def _spread(text: str) -> str:
    """Part the words that names are made of."""
    return _HUMP.sub(" ", text)

"""Roots: directories and files that a client lets a server work in.

Source: https://modelcontextprotocol.io/specification/2026-07-28/client/roots
"""

from __future__ import annotations

from .base import Meta, WireModel


class Root(WireModel):
    """A directory or a file.

    Attributes:
        uri: A ``file://`` URI.
        name: Name for people.
    """

    uri: str
    name: str | None = None
    meta: Meta = None


class ListRootsResult(WireModel):
    """A client's answer to ``roots/list``."""

    roots: list[Root]
    meta: Meta = None

"""Completion: suggested values for an argument.

Source: https://modelcontextprotocol.io/specification/2026-07-28/server/utilities/completion
"""

from __future__ import annotations

from typing import Annotated

from .base import EmptyForNull, Lenient, Meta, Strings, WireModel


class Completion(WireModel):
    """Suggested values.

    Attributes:
        values: The best suggestions, at most 100.
        total: The number of all suggestions.
        hasMore: Whether there are more than these.
    """

    values: Annotated[Strings, EmptyForNull]
    total: Annotated[int | None, Lenient()] = None
    hasMore: Annotated[bool | None, Lenient()] = None


class CompleteResult(WireModel):
    """A server's answer to ``completion/complete``."""

    completion: Completion
    meta: Meta = None

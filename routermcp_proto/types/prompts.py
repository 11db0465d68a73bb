"""Prompts: templates of messages that a server offers.

Source: https://modelcontextprotocol.io/specification/2026-07-28/server/prompts
"""

from __future__ import annotations

from typing import Annotated, Any

from .base import FAIL_FAST, PARTS, EmptyForNull, Icons, Meta, PaginatedResult, WireModel


class PromptArgument(WireModel):
    """An argument of a prompt; the value is always a string."""

    name: str
    title: str | None = None
    description: str | None = None
    required: bool | None = None


class Prompt(WireModel):
    """A prompt that a server offers."""

    name: str
    title: str | None = None
    description: str | None = None
    arguments: Annotated[list[PromptArgument], PARTS] | None = None
    icons: Icons = None
    meta: Meta = None


class PromptMessage(WireModel):
    """A message of a prompt.

    Attributes:
        role: ``user`` or ``assistant``.
        content: The content item as the server sent it; ``content_model`` makes a model of it.
    """

    role: str
    content: dict[str, Any]


class GetPromptResult(WireModel):
    """A prompt with its arguments filled in."""

    description: str | None = None
    messages: Annotated[list[PromptMessage], PARTS, EmptyForNull]
    meta: Meta = None


class ListPromptsResult(PaginatedResult):
    """One page of a server's prompts."""

    prompts: Annotated[list[Prompt], FAIL_FAST, EmptyForNull]

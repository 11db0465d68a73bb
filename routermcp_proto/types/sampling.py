"""Sampling: a server asks the client's language model.

Source: https://modelcontextprotocol.io/specification/2026-07-28/client/sampling
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import model_validator

from .base import PARTS, EmptyForNull, Lenient, Meta, Objects, Strings, WireModel
from .tools import Tool


class SamplingMessage(WireModel):
    """A message of the conversation.

    Attributes:
        role: ``user`` or ``assistant``.
        content: One content item, or a list of them (2025-11-25 on).
    """

    role: str
    content: dict[str, Any] | Objects
    meta: Meta = None


class ModelHint(WireModel):
    """The name of a model, or a part of it, that the server prefers."""

    name: str | None = None


class ModelPreferences(WireModel):
    """Preferences for a model; each priority is from 0 (unimportant) to 1 (most important)."""

    hints: Annotated[Annotated[list[ModelHint], PARTS] | None, Lenient()] = None
    costPriority: Annotated[float | None, Lenient()] = None
    speedPriority: Annotated[float | None, Lenient()] = None
    intelligencePriority: Annotated[float | None, Lenient()] = None


class ToolChoice(WireModel):
    """Whether the model may use tools: ``auto``, ``required`` or ``none``."""

    mode: str | None = None


class CreateMessageRequest(WireModel):
    """A server's request to the client's language model.

    Attributes:
        maxTokens: The largest number of tokens to sample; required by the specification.
        includeContext: ``none``, ``thisServer`` or ``allServers``.
    """

    messages: Annotated[list[SamplingMessage], PARTS, EmptyForNull]
    maxTokens: int | None = None
    systemPrompt: str | None = None
    modelPreferences: Annotated[ModelPreferences | None, Lenient()] = None
    includeContext: str | None = None
    temperature: float | None = None
    stopSequences: Strings | None = None
    metadata: dict[str, Any] | None = None
    tools: Annotated[list[Tool], PARTS] | None = None
    toolChoice: Annotated[ToolChoice | None, Lenient()] = None
    meta: Meta = None


class CreateMessageResult(WireModel):
    """The language model's answer.

    Attributes:
        content: One content item, or a list of them where the server speaks 2025-11-25 or later.
        model: Name of the model.
        stopReason: ``endTurn``, ``stopSequence``, ``maxTokens``, ``toolUse`` or the model's own.
    """

    role: str = "assistant"
    content: dict[str, Any] | Objects
    model: str
    stopReason: str | None = None
    meta: Meta = None

    @model_validator(mode="after")
    def _count_role_as_set(self) -> Self:
        # It has to be on the wire also where it is the default.
        self.model_fields_set.add("role")
        return self

"""Pydantic models of the MCP wire, of all revisions, by area.

Each area is a module that loads on the first access to one of its models: building a
model takes about half a millisecond, and few programs need sampling. (Not pydantic's
``defer_build``: its first use from several threads at once is not safe before 2.14,
whereas an import is.)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import Annotations, CacheableResult, EmptyResult, Icon, PaginatedResult, WireModel
    from .completion import CompleteResult, Completion
    from .content import (
        AudioContent,
        ContentBlock,
        EmbeddedResource,
        ImageContent,
        ResourceLink,
        TextContent,
        ToolResultContent,
        ToolUseContent,
        UnknownContent,
        content_model,
    )
    from .elicitation import ElicitRequest, ElicitResult
    from .input_required import InputRequiredResult
    from .lifecycle import (
        ClientCapabilities,
        DiscoverResult,
        Implementation,
        InitializeResult,
        ListCapability,
        ResourcesCapability,
        ServerCapabilities,
    )
    from .notifications import LogMessage, Progress, ResourceUpdated, SubscriptionFilter
    from .prompts import GetPromptResult, ListPromptsResult, Prompt, PromptArgument, PromptMessage
    from .resources import (
        ListResourcesResult,
        ListResourceTemplatesResult,
        ReadResourceResult,
        Resource,
        ResourceContents,
        ResourceTemplate,
    )
    from .roots import ListRootsResult, Root
    from .sampling import (
        CreateMessageRequest,
        CreateMessageResult,
        ModelHint,
        ModelPreferences,
        SamplingMessage,
        ToolChoice,
    )
    from .tools import ListToolsResult, Tool, ToolAnnotations, ToolInputSchema, ToolList, ToolResult

__all__ = [
    "Annotations",
    "AudioContent",
    "CacheableResult",
    "ClientCapabilities",
    "CompleteResult",
    "Completion",
    "ContentBlock",
    "CreateMessageRequest",
    "CreateMessageResult",
    "DiscoverResult",
    "ElicitRequest",
    "ElicitResult",
    "EmbeddedResource",
    "EmptyResult",
    "GetPromptResult",
    "Icon",
    "ImageContent",
    "Implementation",
    "InitializeResult",
    "InputRequiredResult",
    "ListCapability",
    "ListPromptsResult",
    "ListResourceTemplatesResult",
    "ListResourcesResult",
    "ListRootsResult",
    "ListToolsResult",
    "LogMessage",
    "ModelHint",
    "ModelPreferences",
    "PaginatedResult",
    "Progress",
    "Prompt",
    "PromptArgument",
    "PromptMessage",
    "ReadResourceResult",
    "Resource",
    "ResourceContents",
    "ResourceLink",
    "ResourceTemplate",
    "ResourceUpdated",
    "ResourcesCapability",
    "Root",
    "SamplingMessage",
    "ServerCapabilities",
    "SubscriptionFilter",
    "TextContent",
    "Tool",
    "ToolAnnotations",
    "ToolChoice",
    "ToolInputSchema",
    "ToolList",
    "ToolResult",
    "ToolResultContent",
    "ToolUseContent",
    "UnknownContent",
    "WireModel",
    "content_model",
]

_AREAS: dict[str, str] = {
    "base": "Annotations CacheableResult EmptyResult Icon PaginatedResult WireModel",
    "completion": "CompleteResult Completion",
    "content": "AudioContent ContentBlock EmbeddedResource ImageContent ResourceLink TextContent"
    " ToolResultContent ToolUseContent UnknownContent content_model",
    "elicitation": "ElicitRequest ElicitResult",
    "input_required": "InputRequiredResult",
    "lifecycle": "ClientCapabilities DiscoverResult Implementation InitializeResult ListCapability"
    " ResourcesCapability ServerCapabilities",
    "notifications": "LogMessage Progress ResourceUpdated SubscriptionFilter",
    "prompts": "GetPromptResult ListPromptsResult Prompt PromptArgument PromptMessage",
    "resources": "ListResourceTemplatesResult ListResourcesResult ReadResourceResult Resource"
    " ResourceContents ResourceTemplate",
    "roots": "ListRootsResult Root",
    "sampling": "CreateMessageRequest CreateMessageResult ModelHint ModelPreferences SamplingMessage"
    " ToolChoice",
    "tools": "ListToolsResult Tool ToolAnnotations ToolInputSchema ToolList ToolResult",
}

_AREA_OF = {name: area for area, names in _AREAS.items() for name in names.split()}


if not TYPE_CHECKING:  # with it, type checkers would take every name for one of these

    def __getattr__(name: str) -> Any:
        """Load the area of a model on first access."""
        area = _AREA_OF.get(name)
        if area is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f".{area}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

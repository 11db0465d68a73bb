"""Content items: models beside the raw dicts that results and messages hold.

Source: https://modelcontextprotocol.io/specification/2026-07-28/server/tools (Tool Result)
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ValidationError, model_validator

from ..exceptions import RemoteProtocolError
from .base import EmptyForNull, FalseForNull, Meta, Objects, OptionalAnnotations, WireModel
from .resources import Resource, ResourceContents, decode_base64


class _Typed(WireModel):
    """A content item with a ``type``."""

    @model_validator(mode="after")
    def _count_type_as_set(self) -> Self:
        # It has to be on the wire also where it is the default.
        self.model_fields_set.add("type")
        return self


class TextContent(_Typed):
    """A text."""

    type: Literal["text"] = "text"
    text: str
    annotations: OptionalAnnotations = None
    meta: Meta = None


class _Media(_Typed):
    data: str
    mimeType: str

    def decode(self) -> bytes:
        """Return the bytes that `data` encodes.

        Raises:
            RemoteProtocolError: `data` is not base64.
        """
        return decode_base64(self.data, f"the data of a content item of type {self.mimeType!r}")


class ImageContent(_Media):
    """An image, in base64."""

    type: Literal["image"] = "image"
    annotations: OptionalAnnotations = None
    meta: Meta = None


class AudioContent(_Media):
    """A sound, in base64."""

    type: Literal["audio"] = "audio"
    annotations: OptionalAnnotations = None
    meta: Meta = None


class ResourceLink(Resource, _Typed):
    """A resource that the client may read."""

    type: Literal["resource_link"] = "resource_link"


class EmbeddedResource(_Typed):
    """The content of a resource."""

    type: Literal["resource"] = "resource"
    resource: ResourceContents
    annotations: OptionalAnnotations = None
    meta: Meta = None


class ToolUseContent(_Typed):
    """A tool call that a language model requests (sampling, 2025-11-25 on)."""

    type: Literal["tool_use"] = "tool_use"
    id: str
    name: str
    input: dict[str, Any]
    meta: Meta = None


class ToolResultContent(_Typed):
    """The result of a tool for a language model (sampling, 2025-11-25 on)."""

    type: Literal["tool_result"] = "tool_result"
    toolUseId: str
    content: Annotated[Objects, EmptyForNull]
    structuredContent: Any = None
    isError: Annotated[bool, FalseForNull] = False
    meta: Meta = None


class UnknownContent(WireModel):
    """A content item of an unknown type; its members are in ``model_extra``."""

    type: str
    meta: Meta = None


ContentBlock = (
    TextContent
    | ImageContent
    | AudioContent
    | ResourceLink
    | EmbeddedResource
    | ToolUseContent
    | ToolResultContent
    | UnknownContent
)

_MODELS: dict[str, type[ContentBlock]] = {
    "text": TextContent,
    "image": ImageContent,
    "audio": AudioContent,
    "resource_link": ResourceLink,
    "resource": EmbeddedResource,
    "tool_use": ToolUseContent,
    "tool_result": ToolResultContent,
}


def content_model(item: dict[str, Any]) -> ContentBlock:
    """Return the model of one content item.

    Args:
        item: An item of ``ToolResult.content``, or the content of a message.

    Raises:
        RemoteProtocolError: The item lacks a member that its type requires.
    """
    kind = item.get("type")
    model = _MODELS.get(kind, UnknownContent) if isinstance(kind, str) else UnknownContent
    try:
        return model.model_validate(item)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        problem = f"the content item does not fit its type: {place}: {first['msg']}"
    raise RemoteProtocolError(problem)

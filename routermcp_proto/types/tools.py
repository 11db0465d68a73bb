"""Tools: the functions that a server offers, and their results.

Source: https://modelcontextprotocol.io/specification/2026-07-28/server/tools
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    SkipValidation,
    ValidationError,
    model_serializer,
    model_validator,
)

from .base import (
    FAIL_FAST,
    EmptyForNull,
    FalseForNull,
    Icons,
    Lenient,
    Meta,
    Objects,
    PaginatedResult,
    WireModel,
)

if TYPE_CHECKING:
    from .content import ImageContent

# The key under which a received schema remembers the order of its keywords. It lies beside the
# fields in the instance's ``__dict__``, where pydantic copies and pickles it but neither compares
# nor shows it. A private attribute would cost one more Python call for every tool.
_KEY_ORDER = "_key_order"

# The values of a schema's attributes that neither server nor user has set.
_UNTOUCHED: tuple[Any, ...] = ("object", {}, [])


class ToolInputSchema(WireModel):
    """The JSON Schema of a tool's arguments, exactly as the server sent it.

    The three keywords that almost every schema has are attributes; all others are kept
    in ``model_extra``. A dump returns the schema as received: every keyword, in its order,
    with any value, and no other keyword. Later changes appear in it too.

    Values are not validated: a server may send ``type`` as a list or ``required`` as null,
    and the attribute then holds that value.
    """

    type: SkipValidation[str] = "object"
    properties: SkipValidation[dict[str, Any]] = Field(default_factory=dict)
    required: SkipValidation[list[str]] = Field(default_factory=list)

    @model_validator(mode="wrap")
    @classmethod
    def _keep_order(cls, received: Any, build: ModelWrapValidatorHandler[ToolInputSchema]) -> ToolInputSchema:
        # null, and the [] that PHP encodes for an empty object, mean the defaults.
        schema = build(received or {})
        if isinstance(received, dict):
            vars(schema)[_KEY_ORDER] = tuple(received)  # pyright: ignore[reportUnknownArgumentType]
        return schema

    @model_serializer(mode="plain")
    def _as_received(self) -> dict[str, Any]:
        stored = vars(self)
        keywords: dict[str, Any] = {}
        for name in type(self).model_fields:
            # An unset attribute counts once a user has put a value into it.
            if name in stored and (name in self.model_fields_set or stored[name] not in _UNTOUCHED):
                keywords[name] = stored[name]
        keywords.update(self.model_extra or {})
        order: tuple[str, ...] = stored.get(_KEY_ORDER, ())
        in_order = {name: keywords[name] for name in order if name in keywords}
        return in_order | keywords


class ToolAnnotations(WireModel):
    """Hints of the server about a tool; only as trustworthy as the server.

    Attributes:
        readOnlyHint: The tool changes nothing.
        destructiveHint: The tool may delete or overwrite data.
        idempotentHint: A second call with the same arguments changes nothing more.
        openWorldHint: The tool interacts with systems outside the server.
    """

    title: str | None = None
    readOnlyHint: bool | None = None
    destructiveHint: bool | None = None
    idempotentHint: bool | None = None
    openWorldHint: bool | None = None


class Tool(WireModel):
    """A tool that a server offers.

    Attributes:
        name: Name for calls.
        title: Name for people.
        description: Description, written for a language model.
        inputSchema: JSON Schema of its arguments.
        outputSchema: JSON Schema of the ``structuredContent`` of its results.
    """

    name: str
    title: str | None = None
    description: str | None = None
    inputSchema: ToolInputSchema = Field(default_factory=ToolInputSchema)
    outputSchema: dict[str, Any] | None = None
    annotations: Annotated[ToolAnnotations | None, Lenient()] = None
    icons: Icons = None
    meta: Meta = None

    def _repr_html_(self) -> str:
        """Return the table of this tool, for notebooks."""
        return _table([self])


class ListToolsResult(PaginatedResult):
    """One page of a server's tools."""

    tools: Annotated[list[Tool], FAIL_FAST, EmptyForNull]

    def _repr_html_(self) -> str:
        """Return the table of the tools, for notebooks."""
        return _table(self.tools)


class ToolList(list[Tool]):
    """The tools of a server: a list that notebooks show as a table."""

    def _repr_html_(self) -> str:
        return _table(self)


def _table(tools: list[Tool]) -> str:
    from ..display.tool_tables import ToolRow, tool_table_html  # noqa: PLC0415 - only notebooks need it

    return tool_table_html(
        [
            ToolRow(tool.name, tool.description or "", tool.inputSchema.properties, tool.inputSchema.required)
            for tool in tools
        ]
    )


def unwrapped(structured: Any) -> Any:
    """Return a structured content without the object ``{"result": value}`` around a bare value.

    Servers wrap such values, since structured content had to be an object up to MCP 2025-11-25.
    """
    if isinstance(structured, dict):
        members = cast("dict[str, Any]", structured)
        if list(members) == ["result"]:
            return members["result"]
    return cast("Any", structured)


class ToolResult(WireModel):
    """The result of a tool.

    Attributes:
        content: Content items as the server sent them; ``content_model`` makes a model of one.
        isError: The tool ran and failed; the content describes the failure.
        structuredContent: A JSON value that fits the tool's ``outputSchema``.
    """

    content: Annotated[Objects, EmptyForNull] = Field(default_factory=list[dict[str, Any]])
    isError: Annotated[bool, FalseForNull] = False
    structuredContent: Any = None
    meta: Meta = None

    @property
    def text(self) -> str:
        """The texts of all text items, one below the other."""
        return "\n".join(self._texts())

    @property
    def images(self) -> list[ImageContent]:
        """The images, in order; one that lacks its data or its type is left out."""
        from .content import ImageContent  # noqa: PLC0415 - few need it

        images: list[ImageContent] = []
        for item in self.content:
            if item.get("type") == "image":
                try:
                    images.append(ImageContent.model_validate(item))
                except ValidationError:
                    continue
        return images

    @property
    def data(self) -> Any:
        """The JSON value of the result: structured content, else its one text item as JSON, else None.

        Of the structured content ``{"result": value}``, by which servers spell a bare value, it is
        the value.
        """
        if self.structuredContent is not None:
            return unwrapped(self.structuredContent)
        texts = self._texts()
        if len(texts) != 1:
            return None
        try:
            return json.loads(texts[0])
        except (ValueError, RecursionError):
            return None

    def _repr_html_(self) -> str:
        """Return the texts and images, escaped and bounded, for notebooks."""
        from ..display.tool_results import tool_result_html  # noqa: PLC0415 - only notebooks need it

        return tool_result_html(self.content, self.structuredContent, is_error=self.isError)

    def _texts(self) -> list[str]:
        texts = (item.get("text") for item in self.content if item.get("type") == "text")
        return [text for text in texts if isinstance(text, str)]

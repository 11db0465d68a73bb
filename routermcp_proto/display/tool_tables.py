"""Tools as a table of HTML: their names, descriptions and arguments."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, Final, NamedTuple, cast

from .elements import around, code, note, table, text_block

#: Tools of one table: more than a reader goes through by eye.
MAX_TOOLS: Final = 200

#: Characters of a description: about ten lines of a cell.
MAX_DESCRIPTION_CHARS: Final = 600

#: Characters of the name of a tool, an argument or a type; names of MCP have 128 at most.
MAX_NAME_CHARS: Final = 128

#: Arguments of one tool.
MAX_SHOWN_ARGUMENTS: Final = 30


class ToolRow(NamedTuple):
    """What the table shows of a tool: the last two are of its schema, and may be anything."""

    name: str
    description: str
    properties: Any
    required: Any


def tool_table_html(tools: Sequence[ToolRow]) -> str:
    """Return the table of tools, in their order."""
    elements = [table(["tool", "description", "arguments"], [_row(tool) for tool in tools[:MAX_TOOLS]])]
    if len(tools) > MAX_TOOLS:
        elements.append(note(f"{len(tools) - MAX_TOOLS:,} more tools"))
    return around(elements)


def _row(tool: ToolRow) -> list[str]:
    description = text_block(_cut(tool.description, MAX_DESCRIPTION_CHARS))
    return [code(_cut(tool.name)), description, _arguments(tool.properties, tool.required)]


def _arguments(properties: Any, required: Any) -> str:
    """Return a line for each argument, with its type and a question mark where it may be left out."""
    if not isinstance(properties, dict):
        return ""
    schemas = cast("dict[str, Any]", properties)
    needed = cast("list[Any]", required) if isinstance(required, list) else []
    lines: list[str] = []
    for name, schema in islice(schemas.items(), MAX_SHOWN_ARGUMENTS):
        kind = cast("dict[str, Any]", schema).get("type") if isinstance(schema, dict) else None
        suffix = f": {_cut(kind)}" if isinstance(kind, str) else ""
        lines.append(code(f"{_cut(name)}{'' if name in needed else '?'}{suffix}"))
    if len(schemas) > MAX_SHOWN_ARGUMENTS:
        lines.append(note(f"{len(schemas) - MAX_SHOWN_ARGUMENTS:,} more arguments"))
    return "<br>".join(lines)


def _cut(text: str, length: int = MAX_NAME_CHARS) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}\N{HORIZONTAL ELLIPSIS}"

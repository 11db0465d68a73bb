"""One tool, described for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ...types import Tool
from ..arguments.schema import Schema, properties_of, required_of, resolved, type_of
from ..options import ClientOptions

#: The hints of a tool, in words.
_HINTS = {
    "readOnlyHint": "changes nothing",
    "destructiveHint": "may delete or overwrite data",
    "idempotentHint": "may be repeated",
    "openWorldHint": "reaches systems beyond the server",
}

#: Keywords that limit a value, as they are shown beside its type.
_LIMITS = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
    "minLength", "maxLength", "minItems", "maxItems", "pattern", "format",
)  # fmt: skip

#: Examples of values by type.
_EXAMPLES = {
    "integer": "1",
    "number": "1.5",
    "boolean": "true",
    "array": "[]",
    "object": "{}",
    "null": "null",
}


def schema_of(tool: Tool) -> dict[str, Any]:
    """Return the schema of a tool's arguments."""
    return tool.inputSchema.model_dump()


def describe_tool(tool: Tool, options: ClientOptions) -> str:
    """Return all that a server says about a tool, and how it is called there."""
    return "\n".join([*_lines(tool), f"  Call it: routermcp call {_example(tool, options)}"])


def _lines(tool: Tool) -> Iterator[str]:
    title = tool.title or (tool.annotations.title if tool.annotations else None)
    yield f"{tool.name}: {title}" if title and title != tool.name else tool.name
    if tool.description:
        yield from (f"  {line}".rstrip() for line in tool.description.strip().splitlines())
    hints = tool.annotations.to_wire() if tool.annotations else {}
    said = [words for hint, words in _HINTS.items() if hints.get(hint) is True]
    if said:
        yield f"  It {', '.join(said)}, as the server says."
    schema = schema_of(tool)
    if properties_of(schema):
        yield "  Arguments:"
        for name, part in properties_of(schema).items():
            yield from _argument_lines(name, resolved(part, schema), schema)
    else:
        yield "  It takes no arguments."
    if tool.outputSchema is not None and properties_of(tool.outputSchema):
        yield "  Result:"
        for name, part in properties_of(tool.outputSchema).items():
            yield from _argument_lines(name, resolved(part, tool.outputSchema), tool.outputSchema)


def _argument_lines(name: str, part: Schema, root: Schema) -> Iterator[str]:
    facts = [type_of(part, root), "required" if name in required_of(root) else "optional"]
    if "default" in part:
        facts.append(f"default {_json(part['default'])}")
    facts += [f"{keyword} {_json(part[keyword])}" for keyword in _LIMITS if keyword in part]
    items = resolved(part.get("items"), root)
    if items:
        facts[0] += f" of {type_of(items, root)}"
    about = part.get("description") or part.get("title")
    yield f"    {name}: {', '.join(facts)}"
    if isinstance(about, str):
        yield from (f"      {line}".rstrip() for line in about.strip().splitlines())
    for inner, inner_part in properties_of(part).items():
        needed = "" if inner in required_of(part) else "?"
        yield f"      .{inner}{needed}: {type_of(inner_part, root)}"


def _example(tool: Tool, options: ClientOptions) -> str:
    schema = schema_of(tool)
    known = properties_of(schema)
    needed = [(key, resolved(known.get(key), schema)) for key in required_of(schema)]
    return options.words(tool.name, *(f"{key}={_example_value(part, schema)}" for key, part in needed))


def _example_value(part: Mapping[str, Any], root: Schema) -> str:
    for keyword in ("default", "enum", "examples"):
        given = part.get(keyword)
        if isinstance(given, list) and given and keyword != "default":
            given = given[0]  # pyright: ignore[reportUnknownVariableType]
        if isinstance(given, str | int | float):
            return given if isinstance(given, str) else _json(given)
    return _EXAMPLES.get(type_of(part, root).partition("|")[0], "TEXT")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)

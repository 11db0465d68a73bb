"""Parameters of a tool that are sent as HTTP headers too, as its schema declares them.

A tool's schema may annotate a parameter with ``x-mcp-header``; its value is then mirrored into
``Mcp-Param-{name}``, so that a proxy can route by it without reading the body.
:mod:`routermcp_proto.http.header_values` writes and reads the values.

Source: https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http,
"Custom Headers from Tool Parameters".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from ..exceptions import RemoteProtocolError
from ..names import HTTP_TOKEN
from ..value_class import value_class

ANNOTATION = "x-mcp-header"

# How an ASCII character begins that is escaped in JSON text.
_ESCAPED = "\\u00"

#: Objects and arrays of one schema. Real schemas have hundreds; a hostile one must not make
#: the search for annotations long.
MAX_PLACES = 100_000

#: Levels of a schema that has annotations; real ones have ten.
MAX_DEPTH = 64

_PRIMITIVE = frozenset({"string", "integer", "boolean"})

# Members of a schema whose values are data, not schemas: an annotation in them has no meaning.
_DATA = frozenset({"const", "default", "enum", "examples", "example", "required", "title", "description"})
# Members whose values map arbitrary names to schemas.
_MAPS = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"}
)


@value_class
class ParameterHeader:
    """One parameter that is mirrored."""

    header: str
    """The header's whole name."""

    path: tuple[str, ...]
    """The names that lead to the parameter's value in the arguments."""


def may_mention_annotation(text: bytes | bytearray | str) -> bool:
    """Return whether the annotation's name may occur in a JSON text, plain or with escaped letters.

    Hardly any list of tools has it, and a search in the text takes a fiftieth of the time of
    one in all its schemas.
    """
    if isinstance(text, str):
        return ANNOTATION in text or _ESCAPED in text
    return ANNOTATION.encode() in text or _ESCAPED.encode() in text


def declared_headers(input_schema: Mapping[str, Any]) -> tuple[ParameterHeader, ...]:
    """Return the parameters that a schema marks for mirroring.

    Raises:
        RemoteProtocolError: An annotation breaks the rules; the whole tool has to be left out.
    """
    root = dict(input_schema)
    if not _mentions_annotation(root):
        return ()
    found: dict[str, ParameterHeader] = {}
    for schema, path in _parameter_schemas(root):
        if ANNOTATION not in schema:
            continue
        header = _declared_header(schema, path)
        if header.header.lower() in found:
            raise RemoteProtocolError(f"two of its parameters declare the header {header.header}")
        found[header.header.lower()] = header
    return tuple(found.values())


def _mentions_annotation(root: dict[str, Any]) -> bool:
    """Return whether the annotation's name occurs anywhere in a schema, with any meaning.

    Hardly any schema has it, and this is the cheapest check: lists of tools are long.
    """
    todo: list[Any] = [root]
    for value in todo:
        inner = cast("list[Any]", value)
        if type(value) is dict:
            if ANNOTATION in value:
                return True
            inner = cast("dict[str, Any]", value).values()
        for item in inner:
            if type(item) is dict or type(item) is list:
                todo.append(item)  # noqa: PERF401 - a comprehension costs a call for each object
        if len(todo) > MAX_PLACES:
            raise RemoteProtocolError(f"its input schema has more than {MAX_PLACES} parts")
    return False


def _parameter_schemas(root: dict[str, Any]) -> Iterator[tuple[dict[str, Any], tuple[str, ...] | None]]:
    """Walk all parts of a schema; the path is None for parts outside of ``properties``."""
    todo: list[tuple[Any, tuple[str, ...] | None, int]] = [(root, (), 0)]
    for value, path, depth in todo:
        if type(value) is list:
            inner = [(item, None) for item in cast("list[Any]", value)]
        elif type(value) is dict:
            schema = cast("dict[str, Any]", value)
            yield schema, path
            inner = list(_parameter_subschemas(schema, path))
        else:
            continue
        if depth > MAX_DEPTH:
            raise RemoteProtocolError(f"its input schema is nested more than {MAX_DEPTH} levels")
        todo += [(part, below, depth + 1) for part, below in inner]


def _parameter_subschemas(
    schema: dict[str, Any], path: tuple[str, ...] | None
) -> Iterator[tuple[Any, tuple[str, ...] | None]]:
    for key, inner in schema.items():
        if key in _MAPS and type(inner) is dict:
            for name, part in cast("dict[str, Any]", inner).items():
                yield part, (*path, name) if path is not None and key == "properties" else None
        elif key not in _DATA:
            yield inner, None


def _declared_header(schema: dict[str, Any], path: tuple[str, ...] | None) -> ParameterHeader:
    name = schema[ANNOTATION]
    if not isinstance(name, str) or not HTTP_TOKEN.fullmatch(name.encode("ascii", "replace")):
        raise RemoteProtocolError(f"its {ANNOTATION} {str(name)[:80]!r} cannot be part of a header's name")
    if not path:
        raise RemoteProtocolError(
            f"its {ANNOTATION} {name[:80]!r} is not on a parameter that can be reached directly"
        )
    kind = schema.get("type")
    kinds = cast("list[Any]", kind) if type(kind) is list else [kind]
    kinds = [one for one in kinds if one != "null"]
    if not kinds or not all(isinstance(one, str) and one in _PRIMITIVE for one in kinds):
        raise RemoteProtocolError(
            f"its {ANNOTATION} {name[:80]!r} is on a parameter that is no string, integer or boolean"
        )
    return ParameterHeader(f"Mcp-Param-{name}", path)

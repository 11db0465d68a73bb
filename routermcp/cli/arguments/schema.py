"""What a JSON Schema says about one value, as far as the command line reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

#: References that are followed from one to the next: more is a circle.
MAX_REFERENCES = 16

Schema = Mapping[str, Any]


def resolved(part: Any, root: Schema) -> Schema:
    """Follow a reference within the document, as generators of schemas write them for enums."""
    for _ in range(MAX_REFERENCES):
        reference = cast("dict[str, Any]", part).get("$ref") if isinstance(part, dict) else None
        if not isinstance(reference, str) or not reference.startswith("#/"):
            break
        part = root
        for step in reference[2:].split("/"):
            part = cast("dict[str, Any]", part).get(step) if isinstance(part, Mapping) else None
    return cast("dict[str, Any]", part) if isinstance(part, dict) else {}


def properties_of(schema: Schema) -> Mapping[str, Any]:
    """Return the properties that an object's schema names."""
    found: Any = schema.get("properties")
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def required_of(schema: Schema) -> Sequence[str]:
    """Return the names of the properties that an object must have."""
    found: Any = schema.get("required")
    return (
        [name for name in cast("list[Any]", found) if isinstance(name, str)]
        if isinstance(found, list)
        else []
    )


def branches_of(schema: Schema) -> Sequence[Any]:
    """Return the alternatives of a schema."""
    found: Any = schema.get("anyOf") or schema.get("oneOf")
    return cast("list[Any]", found) if isinstance(found, list) else []


def types_of(schema: Schema, root: Schema) -> set[str]:
    """Return the types that a schema allows, none where it does not say."""
    kind = schema.get("type")
    if isinstance(kind, str):
        return {kind}
    if isinstance(kind, list):
        return {item for item in cast("list[Any]", kind) if isinstance(item, str)}
    kinds: set[str] = set()
    for branch in branches_of(schema):
        part = resolved(branch, root)
        if "anyOf" not in part and "oneOf" not in part:
            kinds |= types_of(part, root)
    return kinds


def choices_of(schema: Schema) -> Sequence[Any] | None:
    """Return the only values that a schema allows, None where it names none."""
    choices = schema.get("enum")
    if isinstance(choices, list):
        return cast("list[Any]", choices)
    return [schema["const"]] if "const" in schema else None


def type_of(schema: Any, root: Schema | None = None) -> str:
    """Name the type that a schema asks for, for people."""
    members = resolved(schema, root or {})
    choices = choices_of(members)
    if choices is not None:
        return "|".join(json.dumps(choice, ensure_ascii=False) for choice in choices)
    kind = members.get("type")
    if isinstance(kind, list):
        return "|".join(str(item) for item in cast("list[Any]", kind))
    if isinstance(kind, str):
        return kind
    branches = [resolved(branch, root or {}) for branch in branches_of(members)]
    # An alternative with alternatives of its own may be a circle.
    named = ("any" if branches_of(branch) else type_of(branch, root) for branch in branches)
    return "|".join(dict.fromkeys(named)) or "any"


def describe_arguments(schema: Schema) -> str:
    """Describe the arguments of a tool: ``a: number, b?: string``; those with ``?`` may be left out."""
    needed = required_of(schema)
    return ", ".join(
        f"{name}{'' if name in needed else '?'}: {type_of(part, schema)}"
        for name, part in properties_of(schema).items()
    )

"""Checks values against a JSON Schema.

Only keywords are looked at that leave no doubt: types, choices, what is required, and lengths and
sizes. A value that passes may still be refused by the server; one that does not pass would be.
Patterns and formats are the server's to check.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from ..suggestions import did_you_mean
from .schema import Schema, branches_of, choices_of, properties_of, required_of, resolved, type_of, types_of
from .values import MAX_SHOWN

#: Levels of values and alternatives within each other that are looked at: more is a circle.
MAX_VALUE_DEPTH = 32

#: Problems that are told at once.
MAX_ARGUMENT_PROBLEMS = 5

_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}

#: What is wrong with a value, by the keyword that limits it; the keyword's own value is a number.
_LIMITS: Mapping[str, tuple[Callable[[Any, float], bool], str]] = {
    "minimum": (lambda value, limit: _is_number(value) and value < limit, "at least"),
    "maximum": (lambda value, limit: _is_number(value) and value > limit, "at most"),
    "exclusiveMinimum": (lambda value, limit: _is_number(value) and value <= limit, "more than"),
    "exclusiveMaximum": (lambda value, limit: _is_number(value) and value >= limit, "less than"),
    "minLength": (lambda value, limit: isinstance(value, str) and len(value) < limit, "a length of at least"),
    "maxLength": (lambda value, limit: isinstance(value, str) and len(value) > limit, "a length of at most"),
    "minItems": (lambda value, limit: _count(value, limit) < limit, "a length of at least"),
    "maxItems": (lambda value, limit: _count(value, limit) > limit, "a length of at most"),
}


def argument_problems(arguments: Mapping[str, Any], schema: Schema) -> list[str]:
    """Return what is wrong with the arguments of a call, each with its name and what is wanted."""
    found: list[str] = []
    for problem in _object_problems(arguments, schema, schema, "", 0):
        found.append(problem)
        if len(found) == MAX_ARGUMENT_PROBLEMS:
            break
    return found


def unknown_argument(name: str, schema: Schema) -> str:
    """Return the words for an argument that a schema does not have."""
    known = properties_of(schema)
    alike = did_you_mean(name, known)
    expected = f"expected one of {', '.join(known)}" if known else "it takes none"
    return f"there is no argument {name!r}{alike or f': {expected}'}"


def _value_problems(value: Any, schema: Schema, root: Schema, path: str, depth: int) -> Iterator[str]:
    if depth > MAX_VALUE_DEPTH:
        return
    kinds, choices = types_of(schema, root), choices_of(schema)
    if choices is not None and not any(_same(value, choice) for choice in choices):
        yield _expected(path, type_of(schema, root), value)
        return
    known = [_KINDS[kind] for kind in kinds if kind in _KINDS]
    if known and len(known) == len(kinds) and not any(fits(value) for fits in known):
        yield _expected(path, type_of(schema, root), value)
        return
    for keyword, (broken, words) in _LIMITS.items():
        limit = schema.get(keyword)
        if _is_number(limit) and broken(value, cast("float", limit)):
            yield _expected(path, f"{words} {limit}", value)
    branches = [resolved(each, root) for each in branches_of(schema)]
    if branches and all(_is_wrong(value, each, root, depth + 1) for each in branches):
        yield _expected(path, type_of(schema, root), value)
    if isinstance(value, dict):
        yield from _object_problems(cast("dict[str, Any]", value), schema, root, path, depth)
    elif isinstance(value, list) and "items" in schema:
        part = resolved(schema["items"], root)
        for index, item in enumerate(_items(cast("Any", value))):
            yield from _value_problems(item, part, root, f"{path}[{index}]", depth + 1)


def _object_problems(
    value: Mapping[str, Any], schema: Schema, root: Schema, path: str, depth: int
) -> Iterator[str]:
    known = properties_of(schema)
    for name in required_of(schema):
        if name not in value:
            yield f"{_joined(path, name)} is missing: expected {type_of(known.get(name), root)}"
    for name, item in value.items():
        if name in known:
            part = resolved(known[name], root)
            yield from _value_problems(item, part, root, _joined(path, name), depth + 1)
        elif schema.get("additionalProperties") is False and "patternProperties" not in schema:
            yield f"{path}: {unknown_argument(name, schema)}" if path else unknown_argument(name, schema)


def _is_wrong(value: Any, schema: Schema, root: Schema, depth: int) -> bool:
    return next(_value_problems(value, schema, root, "", depth), None) is not None


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _expected(path: str, what: str, value: Any) -> str:
    return f"{path}: expected {what}, got {json.dumps(value, ensure_ascii=False)[:MAX_SHOWN]}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _items(value: Any) -> list[Any]:
    return cast("list[Any]", value)


def _count(value: Any, otherwise: float) -> float:
    return len(_items(value)) if isinstance(value, list) else otherwise


def _same(value: Any, choice: Any) -> bool:
    return value == choice and isinstance(value, bool) == isinstance(choice, bool)

"""Arguments of a tool, typed as ``key=value``, read by the tool's schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, cast

from .failures import UsageProblem
from .output import type_of


def parse_arguments(pairs: Sequence[str], schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """Read arguments.

    ``key=value`` is read by the type that the schema gives the key; ``key:=json`` is JSON,
    whatever the schema says.

    Args:
        pairs: The typed arguments.
        schema: The tool's input schema, None where it is not known: values are texts then.

    Raises:
        UsageProblem: A key is unknown or a value does not fit; the text names the expected type.
    """
    arguments: dict[str, Any] = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        forced = key.endswith(":")
        key = key.removesuffix(":")
        if not separator or not key:
            raise UsageProblem(f"{pair!r} is not key=value or key:=json")
        if key in arguments:
            raise UsageProblem(f"{key} is given twice; write a list as {key}:='[...]'")
        wanted = _schema_of(key, schema)
        arguments[key] = _json_value(key, text) if forced else coerce(key, text, wanted)
    return arguments


def _schema_of(key: str, schema: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if schema is None:
        return {}
    properties: Any = schema.get("properties")
    known = cast("dict[str, Any]", properties) if isinstance(properties, dict) else {}
    if key in known:
        return _resolved_reference(known[key], schema)
    others: Any = schema.get("additionalProperties")
    if others is True or (isinstance(others, dict) and others):
        return _resolved_reference(others, schema)
    expected = f"expected one of {', '.join(known)}" if known else "it takes none"
    raise UsageProblem(f"there is no argument {key!r}: {expected}")


def _resolved_reference(part: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a reference within the document, as generators of schemas write them for enums."""
    reference = cast("dict[str, Any]", part).get("$ref") if isinstance(part, dict) else None
    if isinstance(reference, str) and reference.startswith("#/"):
        found: Any = root
        for step in reference[2:].split("/"):
            found = cast("dict[str, Any]", found).get(step) if isinstance(found, Mapping) else None
        part = found
    return cast("dict[str, Any]", part) if isinstance(part, dict) else {}


def coerce(key: str, text: str, schema: Mapping[str, Any]) -> Any:
    """Read one value by the types that its schema allows.

    Raises:
        UsageProblem: It is none of them.
    """
    choices = schema.get("enum")
    if isinstance(choices, list):
        for choice in cast("list[Any]", choices):
            if text == choice or (not isinstance(choice, str) and text == json.dumps(choice)):
                return choice
        raise _unfit_argument(key, text, schema)
    kinds = _argument_kinds(schema)
    for kind, read in _READERS.items():
        if kind in kinds:
            try:
                return read(text)
            except ValueError:
                continue
    if not kinds or "string" in kinds:
        return text
    raise _unfit_argument(key, text, schema)


def _unfit_argument(key: str, text: str, schema: Mapping[str, Any]) -> UsageProblem:
    return UsageProblem(f"{key}: expected {type_of(schema)}, got {text[:80]!r}")


def _argument_kinds(schema: Mapping[str, Any]) -> set[str]:
    kind = schema.get("type")
    if isinstance(kind, str):
        return {kind}
    if isinstance(kind, list):
        return {item for item in cast("list[Any]", kind) if isinstance(item, str)}
    kinds: set[str] = set()
    branches: Any = schema.get("anyOf") or schema.get("oneOf")
    for branch in cast("list[Any]", branches) if isinstance(branches, list) else []:
        if isinstance(branch, dict):
            kinds |= _argument_kinds(cast("dict[str, Any]", branch))
    return kinds


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


def _load_json_argument(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _json_value(key: str, text: str) -> Any:
    try:
        return _load_json_argument(text)
    except ValueError as error:
        raise UsageProblem(f"{key}: expected JSON after ':=', got {text[:80]!r} ({error})") from error


def _argument_reader(*types: type) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        value = _load_json_argument(text)
        if type(value) not in types:
            raise ValueError("another type")
        return value

    return read


def _boolean_argument(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("not a boolean")
    return text.lower() == "true"


#: How each type is read, the narrow ones first: a text is a string only where it is nothing else.
_READERS: dict[str, Callable[[str], Any]] = {
    "null": _argument_reader(type(None)),
    "boolean": _boolean_argument,
    "integer": _argument_reader(int),
    "number": _argument_reader(int, float),
    "array": _argument_reader(list),
    "object": _argument_reader(dict),
}

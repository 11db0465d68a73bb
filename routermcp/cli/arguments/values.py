"""One value of an argument, typed as text, read by its schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn

from ..failures import UsageProblem
from .schema import Schema, choices_of, type_of, types_of

#: Characters of a value that an error shows.
MAX_SHOWN = 80


def coerce(key: str, text: str, schema: Schema, root: Schema | None = None) -> Any:
    """Read a value by the types that its schema allows.

    Args:
        key: The argument, for errors.
        text: The value as it was typed.
        schema: The argument's schema.
        root: The document that the schema is in, for its references.

    Raises:
        UsageProblem: It is none of them.
    """
    choices = choices_of(schema)
    if choices is not None:
        for choice in choices:
            if text == choice or (not isinstance(choice, str) and text == json.dumps(choice)):
                return choice
        raise unfit(key, text, schema, root)
    kinds = types_of(schema, root or {})
    for kind, read in _READERS.items():
        if kind in kinds:
            try:
                return read(text)
            except ValueError:
                continue
    if not kinds or "string" in kinds:
        return text
    raise unfit(key, text, schema, root)


def unfit(key: str, text: str, schema: Schema, root: Schema | None = None) -> UsageProblem:
    """Return the error for a value that its schema does not allow."""
    return UsageProblem(f"{key}: expected {type_of(schema, root)}, got {text[:MAX_SHOWN]!r}")


def load_json(text: str) -> Any:
    """Read JSON.

    Raises:
        ValueError: It is none, or has NaN or Infinity in it.
    """
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


def _reader(*types: type) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        value = load_json(text)
        if type(value) not in types:
            raise ValueError("another type")
        return value

    return read


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("not a boolean")
    return text.lower() == "true"


#: How each type is read, the narrow ones first: a text is a string only where it is nothing else.
_READERS: dict[str, Callable[[str], Any]] = {
    "null": _reader(type(None)),
    "boolean": _boolean,
    "integer": _reader(int),
    "number": _reader(int, float),
    "array": _reader(list),
    "object": _reader(dict),
}

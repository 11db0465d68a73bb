"""Arguments of a call as words of the command line.

* ``key=value`` is read by the type that the schema gives the key;
* ``key:=json`` is JSON, and ``key:=@file`` the JSON in a file;
* ``{"key": ...}`` is an object with several, ``@file`` one in a file, ``-`` one on standard input.

What is typed as ``key=`` or ``key:=`` goes before what stands in an object.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from ..failures import UsageProblem
from .check import argument_problems, unknown_argument
from .schema import Schema, properties_of, resolved
from .values import MAX_SHOWN, coerce, load_json

#: Bytes of the longest file of arguments: as much as gateways take in one request.
MAX_ARGUMENTS_BYTES = 4 * 1024 * 1024

#: Keywords that may name further properties. A schema without them has all that a caller can know of.
_MORE_PROPERTIES = frozenset({"$ref", "allOf", "anyOf", "oneOf", "if", "patternProperties"})


def is_argument(word: str) -> bool:
    """Return whether a word gives arguments, and is no name of anything."""
    return "=" in word or word == "-" or word[:1] in ("{", "@")


def parse_arguments(words: Sequence[str], schema: Schema | None, *, check: bool = True) -> dict[str, Any]:
    """Read arguments.

    Args:
        words: The typed arguments.
        schema: The tool's input schema, None where it is not known: values are texts then.
        check: Whether to refuse what the schema does not allow.

    Raises:
        UsageProblem: An argument is unknown or missing, or a value does not fit; the text names the
            argument and what the schema wants.
    """
    single: dict[str, Any] = {}
    together: dict[str, Any] = {}
    for word in words:
        if word == "-" or word[:1] in ("{", "@"):
            together.update(_object_of(word))
            continue
        key, separator, text = word.partition("=")
        forced = key.endswith(":")
        key = key.removesuffix(":")
        if not separator or not key:
            raise UsageProblem(f"{word!r} is not key=value, key:=json, a JSON object, @file or -")
        if key in single:
            raise UsageProblem(f"{key} is given twice; write a list as {key}:='[...]'")
        wanted = _schema_of(key, schema, check=check)
        single[key] = _json_value(key, text) if forced else _read(key, text, wanted, schema, check=check)
    arguments = {**together, **single}
    if schema is not None and check:
        for key in together:
            _schema_of(key, schema, check=True)
        problems = argument_problems(arguments, schema)
        if problems:
            raise UsageProblem("; ".join(problems))
    return arguments


def _read(key: str, text: str, wanted: Schema, schema: Schema | None, *, check: bool) -> Any:
    """Read a value by its schema; what does not fit is a text where nothing is checked."""
    try:
        return coerce(key, text, wanted, schema)
    except UsageProblem:
        if check:
            raise
        return text


def _schema_of(key: str, schema: Schema | None, *, check: bool) -> Schema:
    if schema is None:
        return {}
    known = properties_of(schema)
    if key in known:
        return resolved(known[key], schema)
    others: Any = schema.get("additionalProperties")
    if others is True or (isinstance(others, dict) and others):
        return resolved(others, schema)
    if check and not _MORE_PROPERTIES.intersection(schema):
        raise UsageProblem(unknown_argument(key, schema))
    return {}


def _object_of(word: str) -> dict[str, Any]:
    source = {"-": "standard input", "@": word[1:]}.get(word[:1], "the argument")
    text = word if word.startswith("{") else _text_of(word)
    try:
        value = load_json(text)
    except ValueError as error:
        raise UsageProblem(f"{source}: expected a JSON object, got {text[:MAX_SHOWN]!r} ({error})") from error
    if not isinstance(value, dict):
        raise UsageProblem(f"{source}: expected a JSON object, got {text[:MAX_SHOWN]!r}")
    return cast("dict[str, Any]", value)


def _json_value(key: str, text: str) -> Any:
    text = _text_of(text) if text.startswith("@") else text
    try:
        return load_json(text)
    except ValueError as error:
        raise UsageProblem(f"{key}: expected JSON after ':=', got {text[:MAX_SHOWN]!r} ({error})") from error


def _text_of(word: str) -> str:
    """Return the text of ``@file``, or of standard input for ``-``."""
    try:
        if word == "-":
            content = sys.stdin.buffer.read(MAX_ARGUMENTS_BYTES + 1)
        else:
            with Path(word[1:]).open("rb") as file:
                content = file.read(MAX_ARGUMENTS_BYTES + 1)
        text = content.decode("utf-8")
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageProblem(f"{word} cannot be read: {reason}") from error
    if len(content) > MAX_ARGUMENTS_BYTES:
        raise UsageProblem(f"{word} has more than {MAX_ARGUMENTS_BYTES} bytes")
    return text

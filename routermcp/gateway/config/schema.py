"""The JSON Schema of ``routermcp.jsonc``, for editors: made from the models and their docstrings."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, cast

from pydantic import BaseModel

from .access import APIKeySettings
from .keys import FILE_KEYS
from .model import TRANSPORT_NAMES, GatewayConfig, HTTPServer, Names, StdioServer
from .types import ConfigModel

_Schema = dict[str, Any]

#: What pydantic calls bounds of a number that may be null.
_BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum"}

#: Members that say nothing to a user.
_DROPPED = ("title", "default", "format", "writeOnly")

#: A variable may stand for a number, a boolean or one of some words.
_VARIABLE: _Schema = {"type": "string", "pattern": r"\$\{.+\}"}

#: Models that may be written as a text.
_SHORT_FORMS: dict[type[BaseModel], _Schema] = {
    Names: {"const": "portable"},
    APIKeySettings: {"type": "string"},
}

#: What the key ``transport`` is for.
_TRANSPORT = "How the server is spoken to, where command or url does not say it."

#: Keys that only files have; the models have ``transport`` and ``enabled``.
_OF_FILES: _Schema = {
    "type": {"enum": list(TRANSPORT_NAMES), "description": "Another name of transport."},
    "disabled": {"type": "boolean", "description": "The opposite of enabled, as other programs write it."},
    "envFile": {"type": "string", "description": "A file with lines NAME=value: more variables."},
}
_OF_THE_FILE: _Schema = {
    "$schema": {"type": "string", "description": "The path of this schema, for editors."},
    "codeMode": {
        "properties": {"enabled": {"const": False}},
        "required": ["enabled"],
        "description": "Not supported; it may only be switched off.",
    },
}
_TEXTS: _Schema = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}


def config_schema() -> _Schema:
    """Return the schema of a file. Comments are keys that begin with ``//``."""
    schema = _readable(GatewayConfig.model_json_schema())
    definitions = cast("_Schema", schema["$defs"])
    models = {model.__name__: model for model in _models(ConfigModel)}
    _describe(GatewayConfig, schema)
    for name, definition in definitions.items():
        _describe(models[name], definition)
    for model in (StdioServer, HTTPServer):
        properties = definitions[model.__name__]["properties"]
        properties["transport"] = {"enum": list(TRANSPORT_NAMES), "description": _TRANSPORT}
        properties.update({key: _OF_FILES[key] for key in FILE_KEYS})
        for key in properties.keys() & {"env", "headers"}:
            properties[key] |= _TEXTS
    for each in (schema, *definitions.values()):
        each["additionalProperties"] = False
        each["patternProperties"] = {"^//": {}}
    for model, form in _SHORT_FORMS.items():
        definitions[model.__name__] = {"anyOf": [form, definitions[model.__name__]]}
    kinds = [{"$ref": f"#/$defs/{model.__name__}"} for model in (StdioServer, HTTPServer)]
    schema["properties"]["mcpServers"] |= {"type": "object", "additionalProperties": {"anyOf": kinds}}
    schema["properties"].update(_OF_THE_FILE)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _readable(value: Any, *, names: bool = False) -> Any:
    """Return a schema in the words of the specification, with variables in place of values.

    Args:
        value: What pydantic made.
        names: Whether the members are properties or definitions by name.
    """
    if isinstance(value, list):
        return [_readable(each) for each in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    members = cast("_Schema", value)
    if names:
        return {key: _readable(each) for key, each in members.items()}
    done = {
        _BOUNDS.get(key, key): _readable(each, names=key in ("properties", "$defs"))
        for key, each in members.items()
        if key not in _DROPPED
    }
    if done.get("type") in ("integer", "number", "boolean") or "enum" in done:
        return {"anyOf": [done, _VARIABLE]}
    return done


def _describe(model: type[BaseModel], schema: _Schema) -> None:
    """Give the properties of a model the docstrings of its attributes."""
    parents = [each for each in reversed(model.__mro__) if issubclass(each, ConfigModel)]
    for name, text in (pair for parent in parents for pair in _attribute_docs(parent)):
        if name in schema["properties"]:
            schema["properties"][name]["description"] = " ".join(text.replace("``", "").split())


def _attribute_docs(model: type) -> Iterator[tuple[str, str]]:
    """Yield the attributes of a class that a docstring follows, with that."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    for attribute, following in pairwise(body):
        match attribute, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, text
            case _:
                pass


def _models(parent: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield parent
    for model in parent.__subclasses__():
        yield from _models(model)

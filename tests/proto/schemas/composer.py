"""A seeded composer of odd JSON Schemas: every keyword, in every order, with values of any kind."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]

#: Levels of subschemas; the servers seen in the wild stay below ten.
MAX_DEPTH = 3

NAMES = (
    "q",
    "größe",
    "名前",
    "a.b/c~d",
    "",
    "model_dump",
    "type",
    "__class__",
    "$ref",
    "self",
    "emoji 🧰",
    "_x",
)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.0, -0.0, 1e-7, 1e22, 2**53 + 1, -(2**64), 10**40, "", "x", "ä\u2028\x00\"\\",
    [], {}, [None, [1, {"a": []}]], {"b": 1, "a": {"type": 3}},
)  # fmt: skip
TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")


class Composer:
    """Composes one schema after the other, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def value(self) -> Any:
        return self.random.choice(VALUES)

    def name(self) -> str:
        return self.random.choice(NAMES)

    def names(self) -> list[str]:
        return self.random.sample(NAMES, self.random.randint(0, 4))

    def type(self) -> Any:
        types = self.random.sample(TYPES, self.random.randint(1, 4))
        return self.random.choice((types[0], types, types))

    def number(self) -> Any:
        return self.random.choice((0, 1, -5, 0.1, 1e308, 10**30, 2**63, 5e-324))

    def subschema(self, depth: int) -> Any:
        if depth >= MAX_DEPTH or self.random.random() < 0.2:
            return self.random.choice((True, False, {}, {"type": self.type()}, {"$ref": "#/$defs/x"}))
        return self.schema(depth + 1)

    def subschemas(self, depth: int) -> list[Any]:
        return [self.subschema(depth) for _ in range(self.random.randint(0, 3))]

    def by_name(self, depth: int) -> dict[str, Any]:
        return {name: self.subschema(depth) for name in self.names()}

    def keywords(self, depth: int) -> dict[str, Callable[[], Any]]:
        pick = self.random.choice
        return {
            "$schema": lambda: pick(
                ("https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-04/schema#", 7)
            ),
            "$id": lambda: pick(("urn:x:y", "https://example.com/ö", "")),
            "$anchor": self.name,
            "$dynamicAnchor": self.name,
            "$dynamicRef": lambda: "#meta",
            "$ref": lambda: pick(("#", "#/$defs/a~1b", "other.json#/x", "#名前")),
            "$comment": self.value,
            "$vocabulary": lambda: {"https://example.com/v": self.value()},
            "$defs": lambda: self.by_name(depth),
            "definitions": lambda: self.by_name(depth),
            "type": self.type,
            "properties": lambda: pick((self.by_name(depth), self.by_name(depth), self.value())),
            "required": lambda: pick((self.names(), self.names(), self.value())),
            "patternProperties": lambda: {"^ü+$": self.subschema(depth), "[": self.subschema(depth)},
            "additionalProperties": lambda: self.subschema(depth),
            "unevaluatedProperties": lambda: self.subschema(depth),
            "propertyNames": lambda: self.subschema(depth),
            "dependentSchemas": lambda: self.by_name(depth),
            "dependentRequired": lambda: {name: self.names() for name in self.names()},
            "dependencies": lambda: {name: self.subschema(depth) for name in self.names()},
            "minProperties": self.number,
            "maxProperties": self.number,
            "items": lambda: pick((self.subschema(depth), self.subschemas(depth))),
            "prefixItems": lambda: self.subschemas(depth),
            "additionalItems": lambda: self.subschema(depth),
            "unevaluatedItems": lambda: self.subschema(depth),
            "contains": lambda: self.subschema(depth),
            "minContains": self.number,
            "maxContains": self.number,
            "minItems": self.number,
            "maxItems": self.number,
            "uniqueItems": self.value,
            "allOf": lambda: self.subschemas(depth),
            "anyOf": lambda: self.subschemas(depth),
            "oneOf": lambda: self.subschemas(depth),
            "not": lambda: self.subschema(depth),
            "if": lambda: self.subschema(depth),
            "then": lambda: self.subschema(depth),
            "else": lambda: self.subschema(depth),
            "const": self.value,
            "enum": lambda: [self.value() for _ in range(self.random.randint(0, 5))],
            "default": self.value,
            "examples": lambda: [self.value(), self.value()],
            "multipleOf": self.number,
            "minimum": self.number,
            "maximum": self.number,
            "exclusiveMinimum": lambda: pick((True, 0, 1.5)),
            "exclusiveMaximum": lambda: pick((False, 10**30)),
            "minLength": self.number,
            "maxLength": self.number,
            "pattern": lambda: pick(("^\\p{L}+$", "(?<x>a)\\k<x>", "[")),
            "format": lambda: pick(("date-time", "uri", "nonsense")),
            "contentEncoding": lambda: "base64",
            "contentMediaType": lambda: "application/json",
            "contentSchema": lambda: self.subschema(depth),
            "title": self.value,
            "description": lambda: pick(("Größe in μm", "", "line\nline", None)),
            "deprecated": self.value,
            "readOnly": self.value,
            "writeOnly": self.value,
            "nullable": self.value,
            "discriminator": lambda: {"propertyName": self.name(), "mapping": {}},
            "x-order": self.value,
            "x-mcp-header": self.name,
            "x-größe": self.value,
            "_meta": self.value,
            "meta": self.value,
            "model_fields": self.value,
            "model_config": self.value,
            "to_wire": self.value,
            "self": self.value,
            "_key_order": self.value,
            "__dict__": self.value,
        }

    def schema(self, depth: int = 0) -> Schema:
        """Compose a schema of a random choice of keywords in a random order."""
        keywords = self.keywords(depth)
        count = self.random.randint(0, 12 if depth == 0 else 3)
        return {name: keywords[name]() for name in self.random.sample(sorted(keywords), count)}


def odd_schemas(count: int, seed: int = 20260728) -> list[Schema]:
    """Compose schemas that between them hold every keyword at the top level."""
    composer = Composer(seed)
    return [composer.schema() for _ in range(count)]

"""Schemas of arguments and results as every validator and language model takes them.

Clients compile the schemas of all tools of a list, so that a keyword with a value of a wrong kind, or a
reference that leads nowhere, would cost them the whole list.

Source: JSON Schema 2020-12, https://json-schema.org/draft/2020-12/schema, and draft 7, which clients of
handshake revisions use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import unquote

#: Levels of schemas within schemas. Generators write a handful; language models refuse more than ten.
MAX_LEVELS = 64

_TYPES = frozenset(["array", "boolean", "integer", "null", "number", "object", "string"])

_Object = dict[str, Any]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and (isinstance(value, int) or value.is_integer())


def _is_text_list(value: Any) -> bool:
    if not isinstance(value, list):
        return False
    items = cast("list[Any]", value)
    return all(isinstance(each, str) for each in items) and len(set(items)) == len(items)


def _is_type(value: Any) -> bool:
    names = cast("list[Any]", value) if isinstance(value, list) else [value]
    return bool(names) and _is_text_list(names) and _TYPES.issuperset(names)


def _is_filled_list(value: Any) -> bool:
    return isinstance(value, list) and bool(cast("list[Any]", value))


def _are_needed_names(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text_list, cast("_Object", value).values()))


#: What the value of a keyword has to be, beside those that hold schemas.
_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "type": _is_type,
    "required": _is_text_list,
    "dependentRequired": _are_needed_names,
    "enum": _is_filled_list,
    "examples": lambda value: isinstance(value, list),
    "multipleOf": lambda value: _is_number(value) and value > 0,
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties"), _is_count),
    **dict.fromkeys(("maxProperties", "minContains", "maxContains"), _is_count),
    **dict.fromkeys(("uniqueItems", "deprecated", "readOnly", "writeOnly"), _is_flag),
    **dict.fromkeys(
        ("title", "description", "format", "pattern", "$comment", "$id", "$schema", "$anchor"), _is_text
    ),
}

#: Keywords that hold one schema, a list of schemas, or schemas by name.
_ONE = frozenset(
    {"additionalItems", "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not"}
    | {"propertyNames", "then", "unevaluatedItems", "unevaluatedProperties"}
)
_LIST = frozenset(["allOf", "anyOf", "oneOf", "prefixItems"])
_BY_NAME = frozenset(["$defs", "definitions", "dependentSchemas", "patternProperties", "properties"])


def repaired_schema(schema: Mapping[str, Any]) -> tuple[_Object, list[str]]:
    """Return a schema without the keywords that a validator would refuse, and where these stand.

    Args:
        schema: The schema. It is not changed.
    """
    repair = _Repair(schema)
    return repair.object(schema, "#", 0), repair.faults


class _Repair:
    """The repair of one schema: what is found wrong, by JSON pointers."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.faults: list[str] = []
        self._root = root
        self._old = "draft-0" in str(root.get("$schema"))

    def object(self, schema: Mapping[str, Any], place: str, level: int) -> _Object:
        """Return a schema that is an object, without its faults."""
        repaired: _Object = {}
        for keyword, value in schema.items():
            kept = self._value(keyword, value, f"{place}/{keyword}", level)
            if kept is _FAULT:
                self.faults.append(f"{place}/{keyword}")
            else:
                repaired[keyword] = kept
        return repaired

    def _value(self, keyword: str, value: Any, place: str, level: int) -> Any:
        check = _CHECKS.get(keyword)
        if check is not None:
            return value if check(value) else _FAULT
        if keyword == "$ref":
            return value if isinstance(value, str) and self._leads_somewhere(value) else _FAULT
        if keyword in _LIST or (keyword == "items" and self._old and isinstance(value, list)):
            return self._list(value, place, level)
        if keyword in _ONE:
            return self._schema(value, place, level)
        return self._by_name(value, place, level) if keyword in _BY_NAME else value

    def _schema(self, value: Any, place: str, level: int) -> Any:
        if isinstance(value, bool):
            return value
        if not isinstance(value, dict) or level >= MAX_LEVELS:
            return _FAULT
        return self.object(cast("_Object", value), place, level + 1)

    def _list(self, value: Any, place: str, level: int) -> Any:
        if not _is_filled_list(value):
            return _FAULT
        schemas = [self._schema(each, f"{place}/{number}", level) for number, each in enumerate(value)]
        return _FAULT if _FAULT in schemas else schemas

    def _by_name(self, value: Any, place: str, level: int) -> Any:
        if not isinstance(value, dict):
            return _FAULT
        repaired: _Object = {}
        for name, each in cast("_Object", value).items():
            kept = self._schema(each, f"{place}/{name}", level)
            if kept is _FAULT:
                self.faults.append(f"{place}/{name}")
            else:
                repaired[name] = kept
        return repaired

    def _leads_somewhere(self, reference: str) -> bool:
        """Return whether a reference is to a part of this schema: clients load no other."""
        document, _, fragment = reference.partition("#")
        if document:
            return document in _names_in(self._root)
        if not fragment.startswith("/"):
            return not fragment or fragment in _names_in(self._root)
        found: Any = self._root
        for part in unquote(fragment)[1:].split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            found = _members_of(found).get(key)
        return isinstance(found, dict | bool)


def _members_of(value: Any) -> Mapping[str, Any]:
    """Return the members of an object, or of a list by their numbers."""
    if isinstance(value, list):
        return {str(number): each for number, each in enumerate(cast("list[Any]", value))}
    return cast("_Object", value) if isinstance(value, dict) else {}


def _names_in(schema: Mapping[str, Any]) -> set[str]:
    """Return the names that parts of a schema give themselves."""
    names: set[str] = set()
    unseen: list[Any] = [schema]
    while unseen:
        members = _members_of(unseen.pop())
        unseen.extend(members.values())
        given = (members.get(keyword) for keyword in ("$id", "$anchor", "$dynamicAnchor"))
        names.update(each.strip("#") for each in given if isinstance(each, str))
    return names


_FAULT: Any = object()
"""Stands for a value that is left out."""

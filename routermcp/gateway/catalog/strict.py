"""Entries of servers' lists in the form that the strictest clients take.

Clients of the official SDKs refuse a list as a whole for one malformed entry, so that one tool of one
server would cost the tools of all. An optional member that is malformed is left out, and a schema of
arguments is completed to what the specification asks for. A schema of results that no validator takes
is left out, and so are such keywords in a schema of arguments.

Source: MCP 2025-06-18, schema, ``Tool``, ``Prompt``, ``Resource`` and ``ResourceTemplate``: stricter
than later revisions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from routermcp_proto.exceptions import printable

from ..backend import Listing
from .json_schema import repaired_schema

#: Faults of a schema that a warning shows, and its letters for them: a schema may have thousands.
MAX_FAULTS = 3
MAX_FAULT_LETTERS = 300

#: A time of RFC 3339 with its offset, as ``z.iso.datetime({ offset: true })`` takes it.
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}:[0-9]{2})"
)

_Object = dict[str, Any]
_Repair = Callable[[Any], Any]
"""Returns a value as it may stand, None for one that is left out."""


def strictly(
    listing: Listing, listed: Mapping[str, Any], warn: Callable[[str], None] = lambda _fault: None
) -> _Object:
    """Return an entry of a list as every client takes it.

    Args:
        listing: The list.
        listed: The entry, which has the member that it is known by.
        warn: Called with what is wrong with a schema of a tool.
    """
    repaired = _object_of(listed, _ENTRIES[listing]) or {}
    if listing is Listing.TOOLS:
        repaired["inputSchema"] = _input_schema(listed.get("inputSchema"), warn)
        schema = _output_schema(listed.get("outputSchema"), warn)
        if schema is not None:
            repaired["outputSchema"] = schema
        else:
            repaired.pop("outputSchema", None)
    elif "name" not in repaired:
        repaired["name"] = listed.get("uri") or listed.get("uriTemplate")
    return repaired


def _object_of(value: Any, repairs: Mapping[str, _Repair]) -> _Object | None:
    """Repair the members of an object, in their order; members that the table lacks may be anything."""
    if not isinstance(value, Mapping):
        return None
    repaired: _Object = {}
    for name, member in cast("Mapping[str, Any]", value).items():
        repair = repairs.get(name)
        if repair is None:
            repaired[name] = member
        elif (kept := repair(member)) is not None:
            repaired[name] = kept
    return repaired


def _strict_text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _strict_flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _strict_number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _strict_share(value: Any) -> float | None:
    number = _strict_number(value)
    return number if number is not None and 0 <= number <= 1 else None


def _strict_choice(*choices: str) -> _Repair:
    return lambda value: value if isinstance(value, str) and value in choices else None


def _strict_time(value: Any) -> str | None:
    return value if isinstance(value, str) and _TIME.fullmatch(value) else None


def _strict_roles(value: Any) -> list[str] | None:
    """Leave out the roles that clients do not know."""
    return [each for each in _strict_items(value) or () if each in ("user", "assistant")] or None


def _strict_texts(value: Any) -> list[str] | None:
    items = _strict_items(value)
    return None if items is None or not all(isinstance(each, str) for each in items) else items


def _strict_items(value: Any) -> list[Any] | None:
    return cast("list[Any]", value) if isinstance(value, list) else None


def _any_object(value: Any) -> _Object | None:
    return cast("_Object", value) if isinstance(value, dict) else None


def _strict_objects(repairs: Mapping[str, _Repair], needed: str) -> _Repair:
    """Return the repair of a list of objects, of which those without a member are left out."""

    def repair(value: Any) -> list[_Object] | None:
        items = _strict_items(value)
        if items is None:
            return None
        repaired = (_object_of(each, repairs) for each in items)
        return [each for each in repaired if each is not None and needed in each]

    return repair


def _strict_members(repairs: Mapping[str, _Repair]) -> _Repair:
    return lambda value: _object_of(value, repairs)


def _strict_properties(value: Any) -> _Object | None:
    """Write the schemas ``true`` and ``false`` as the objects that mean the same (JSON Schema, 4.3.2)."""
    schemas = _any_object(value)
    if schemas is None:
        return None
    written = {True: dict[str, Any](), False: {"not": dict[str, Any]()}}
    repaired = {
        name: written[schema] if isinstance(schema, bool) else schema for name, schema in schemas.items()
    }
    return {name: schema for name, schema in repaired.items() if isinstance(schema, dict)}


def _input_schema(value: Any, warn: Callable[[str], None]) -> _Object:
    # Arguments are an object always, whatever a schema says. What a schema fails to say, the server checks.
    schema, faults = repaired_schema(_any_object(value) or {})
    if faults:
        warn(f"its inputSchema is no valid JSON Schema, so {_shown(faults)} is left out")
    repaired = _object_of(schema, _SCHEMA) or {}
    return repaired if repaired.get("type") == "object" else {**repaired, "type": "object"}


def _output_schema(value: Any, warn: Callable[[str], None]) -> _Object | None:
    if not isinstance(value, dict):
        return None
    schema, faults = repaired_schema(cast("_Object", value))
    if faults:
        warn(f"its outputSchema is left out, as {_shown(faults)} is no valid JSON Schema")
        return None
    if schema.get("type") != "object":
        # Refused by clients of handshake revisions; without it they take all.
        warn("its outputSchema is left out, as it is not of type object")
        return None
    return _object_of(schema, _SCHEMA)


def _shown(faults: Sequence[str]) -> str:
    return " ".join(printable(", ".join(faults[:MAX_FAULTS])[:MAX_FAULT_LETTERS]).split())  # one line


_SCHEMA: Mapping[str, _Repair] = {"properties": _strict_properties}
_ICONS = _strict_objects(
    {
        "src": _strict_text,
        "mimeType": _strict_text,
        "sizes": _strict_texts,
        "theme": _strict_choice("light", "dark"),
    },
    "src",
)
_COMMON: Mapping[str, _Repair] = {
    "title": _strict_text,
    "description": _strict_text,
    "icons": _ICONS,
    "_meta": _any_object,
}
_TOOL: Mapping[str, _Repair] = {
    **_COMMON,
    "annotations": _strict_members(
        {
            "title": _strict_text,
            "readOnlyHint": _strict_flag,
            "destructiveHint": _strict_flag,
            "idempotentHint": _strict_flag,
            "openWorldHint": _strict_flag,
        }
    ),
    "execution": _strict_members({"taskSupport": _strict_choice("required", "optional", "forbidden")}),
}
_RESOURCE: Mapping[str, _Repair] = {
    **_COMMON,
    "name": _strict_text,
    "mimeType": _strict_text,
    "size": _strict_number,
    "annotations": _strict_members(
        {"audience": _strict_roles, "priority": _strict_share, "lastModified": _strict_time}
    ),
}
_ENTRIES: Mapping[Listing, Mapping[str, _Repair]] = {
    Listing.TOOLS: _TOOL,
    Listing.RESOURCES: _RESOURCE,
    Listing.RESOURCE_TEMPLATES: _RESOURCE,
    Listing.PROMPTS: {
        **_COMMON,
        "arguments": _strict_objects(
            {
                "name": _strict_text,
                "title": _strict_text,
                "description": _strict_text,
                "required": _strict_flag,
            },
            "name",
        ),
    },
}

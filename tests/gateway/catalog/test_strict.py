"""One malformed entry of a server costs no client its lists."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from routermcp.gateway.backend import Caller, Listing
from routermcp.gateway.catalog.entries import Catalog, Entry
from routermcp.gateway.catalog.json_schema import MAX_LEVELS
from routermcp.gateway.catalog.server_names import ServerNaming
from routermcp.gateway.catalog.strict import strictly
from routermcp.types import Tool
from tests.gateway.servers import Shop, gateway

OBJECT = {"type": "object"}


@pytest.mark.parametrize(
    ("schema", "listed"),
    [
        (None, OBJECT),
        ({}, OBJECT),
        ("object", OBJECT),
        ([], OBJECT),
        ({"type": ["object", "null"]}, OBJECT),
        ({"type": "array", "items": {}}, {"type": "object", "items": {}}),
        ({"oneOf": [OBJECT]}, {"oneOf": [OBJECT], "type": "object"}),
        ({**OBJECT, "required": "x"}, OBJECT),
        ({**OBJECT, "required": ["x", 1]}, OBJECT),
        ({**OBJECT, "required": ["x", "x"]}, OBJECT),
        ({**OBJECT, "properties": []}, OBJECT),
        (
            {**OBJECT, "properties": {"a": True, "b": False, "c": "string", "d": {"type": "string"}}},
            {**OBJECT, "properties": {"a": {}, "b": {"not": {}}, "d": {"type": "string"}}},
        ),
    ],
)
def test_a_schema_of_arguments_is_completed(schema: Any, listed: Any) -> None:
    assert strictly(Listing.TOOLS, {"name": "it", "inputSchema": schema})["inputSchema"] == listed


def test_a_tool_without_a_schema_has_one() -> None:
    assert strictly(Listing.TOOLS, {"name": "it"}) == {"name": "it", "inputSchema": OBJECT}


@pytest.mark.parametrize(
    "wrong",
    [
        {"description": None},
        {"title": 5},
        {"icons": "x.png"},
        {"annotations": None},
        {"annotations": []},
        {"outputSchema": None},
        {"outputSchema": {"type": "array"}},
        {"_meta": "text"},
        {"execution": "sometimes"},
    ],
    ids=str,
)
def test_an_optional_member_that_is_malformed_is_left_out(wrong: dict[str, Any]) -> None:
    tool = {"name": "it", "inputSchema": OBJECT}
    assert strictly(Listing.TOOLS, {**tool, **wrong}) == tool


@pytest.mark.parametrize(
    ("given", "listed"),
    [
        ({"icons": [{"src": "a:b", "theme": "blue", "sizes": "any"}]}, {"icons": [{"src": "a:b"}]}),
        (
            {"icons": [{"src": "a:b", "theme": "dark"}, {"theme": "dark"}, "a:c"]},
            {"icons": [{"src": "a:b", "theme": "dark"}]},
        ),
        ({"execution": {"taskSupport": "maybe", "x": 1}}, {"execution": {"x": 1}}),
        (
            {"annotations": {"title": 1, "openWorldHint": "no", "readOnlyHint": True}},
            {"annotations": {"readOnlyHint": True}},
        ),
        ({"outputSchema": {"properties": {"a": {}}}}, {}),
        (
            {"inputSchema": {**OBJECT, "properties": {"a": [], "b": None}}},
            {"inputSchema": {**OBJECT, "properties": {}}},
        ),
    ],
    ids=str,
)
def test_members_within_members_are_repaired(given: dict[str, Any], listed: dict[str, Any]) -> None:
    tool = {"name": "it", "inputSchema": OBJECT}
    assert strictly(Listing.TOOLS, {**tool, **given}) == {**tool, **listed}


@pytest.mark.parametrize(
    ("annotations", "kept"),
    [
        ({"audience": ["user", "admin"]}, {"audience": ["user"]}),
        ({"audience": ["everyone"]}, {}),
        ({"audience": "user"}, {}),
        ({"lastModified": "2026-01-02"}, {}),
        ({"lastModified": 1767312000}, {}),
        ({"lastModified": "2026-01-02T03:04:05.6Z"}, {"lastModified": "2026-01-02T03:04:05.6Z"}),
        ({"lastModified": "2026-01-02T03:04:05+01:00"}, {"lastModified": "2026-01-02T03:04:05+01:00"}),
    ],
    ids=str,
)
def test_annotations_of_resources_are_those_that_clients_know(annotations: Any, kept: Any) -> None:
    resource = {"uri": "a:b", "name": "it"}
    for listing in (Listing.RESOURCES, Listing.RESOURCE_TEMPLATES):
        assert strictly(listing, {**resource, "annotations": annotations}) == {
            **resource,
            "annotations": kept,
        }


def test_what_is_well_formed_stays_as_it_is() -> None:
    tool = {
        "name": "it",
        "title": "It",
        "description": "",
        "inputSchema": {
            **OBJECT,
            "properties": {"a": {"default": None, "x-mcp-header": "A"}},
            "required": ["a"],
        },
        "outputSchema": {**OBJECT, "additionalProperties": False},
        "annotations": {"readOnlyHint": False, "x": 1},
        "icons": [{"src": "data:,", "sizes": ["any"]}],
        "_meta": {"com.example/x": 1},
        "x-own": None,
    }
    assert strictly(Listing.TOOLS, tool) == tool


def test_a_tool_that_cannot_be_sent_is_left_out_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    catalog = Catalog("shop", names=ServerNaming("shop", prefix="shop"), allows=lambda _listing, _name: True)
    tools = [
        Tool.model_validate({"name": "bad", "inputSchema": {**OBJECT, "x": "\ud800"}}),
        Tool.model_validate({"name": "good"}),
    ]
    for _ in range(3):
        entries: dict[str, Entry] = {}
        catalog.read(Listing.TOOLS, tools, entries)
        assert list(entries) == ["shop.good"]
    (warning,) = caplog.messages
    assert "shop.bad" in warning


def test_prompts_and_resources_are_repaired_too() -> None:
    arguments = [{"name": "a", "required": "yes"}, {"description": "no name"}, "b"]
    prompt = strictly(Listing.PROMPTS, {"name": "it", "arguments": arguments})
    assert prompt == {"name": "it", "arguments": [{"name": "a"}]}
    resource = strictly(
        Listing.RESOURCES,
        {"uri": "a:b", "name": None, "size": "big", "annotations": {"priority": 7, "audience": ["user"]}},
    )
    assert resource == {"uri": "a:b", "name": "a:b", "annotations": {"audience": ["user"]}}


def nested(level: int) -> dict[str, Any]:
    return {} if not level else {"items": nested(level - 1)}


#: Schemas in which a keyword is wrong, at its place.
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"properties": []}, "#/properties"),
    ({"properties": {"a": "string"}}, "#/properties/a"),
    ({"properties": {"a": {"type": "str"}}}, "#/properties/a/type"),
    ({"properties": {"a": {"type": []}}}, "#/properties/a/type"),
    ({"properties": {"a": {"required": True}}}, "#/properties/a/required"),
    ({"properties": {"a": {"description": None}}}, "#/properties/a/description"),
    ({"properties": {"a": {"exclusiveMinimum": True}}}, "#/properties/a/exclusiveMinimum"),
    ({"properties": {"a": {"maxLength": -1}}}, "#/properties/a/maxLength"),
    ({"properties": {"a": {"maxLength": float("inf")}}}, "#/properties/a/maxLength"),
    ({"properties": {"a": {"pattern": 5}}}, "#/properties/a/pattern"),
    ({"properties": {"a": {"enum": []}}}, "#/properties/a/enum"),
    ({"properties": {"a": {"items": [{"type": "string"}]}}}, "#/properties/a/items"),
    ({"properties": {"a": {"$ref": "#/$defs/a"}}}, "#/properties/a/$ref"),
    ({"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": 5}}, "#/properties/a/$ref"),
    ({"properties": {"a": {"$ref": "#named"}}}, "#/properties/a/$ref"),
    ({"properties": {"a": {"$ref": "https://example.com/a.json"}}}, "#/properties/a/$ref"),
    ({"anyOf": []}, "#/anyOf"),
    ({"allOf": [{}, 5]}, "#/allOf"),
    ({"dependentRequired": {"a": "b"}}, "#/dependentRequired"),
    (nested(MAX_LEVELS + 1), "#" + "/items" * (MAX_LEVELS + 1)),
]


@pytest.mark.parametrize(("schema", "place"), WRONG, ids=[place[:30] for _, place in WRONG])
def test_a_schema_that_no_validator_takes_costs_itself(schema: dict[str, Any], place: str) -> None:
    """The schema of results is left out; that of arguments loses what is wrong, and nothing else."""
    told: list[str] = []
    good = {"properties": {"b": {"type": "string"}}, "title": "kept"} if "properties" not in schema else {}
    tool = {"name": "it", "inputSchema": {**good, **schema, **OBJECT}, "outputSchema": {**schema, **OBJECT}}
    kept = strictly(Listing.TOOLS, tool, told.append)
    assert set(kept) == {"name", "inputSchema"}
    assert [place[:200] in each for each in told] == [True, True]
    Draft202012Validator.check_schema(kept["inputSchema"])
    assert kept["inputSchema"].items() >= good.items()


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"$ref": "#/$defs/x~1y"}}, "$defs": {"x/y": {"type": ["string", "null"]}}},
        {
            "properties": {
                "a": {"$ref": "#/properties/b/anyOf/1"},
                "b": {"anyOf": [{}, {"const": {"type": 1}}]},
            }
        },
        {"properties": {"a": {"$ref": "#named"}}, "$defs": {"a": {"$anchor": "named"}}},
        {"properties": {"a": {"$ref": "item"}}, "$defs": {"a": {"$id": "item", "type": "object"}}},
        {"properties": {"a": {"$ref": "#"}, "required": {"type": "boolean"}, "$ref": {"type": "string"}}},
        {"properties": {"a": {"pattern": r"^\p{L}+$", "minLength": 1.0, "x-own": None}}},
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "properties": {"a": {"items": [{"type": "string"}], "additionalItems": False}},
        },
        nested(MAX_LEVELS),
    ],
    ids=str,
)
def test_a_schema_that_validators_take_stays_as_it_is(schema: dict[str, Any]) -> None:
    told: list[str] = []
    tool = {"name": "it", "inputSchema": {**OBJECT, **schema}, "outputSchema": {**OBJECT, **schema}}
    assert strictly(Listing.TOOLS, tool, told.append) == tool
    assert not told


def test_a_client_that_is_strict_lists_and_calls_all_tools(caplog: pytest.LogCaptureFixture) -> None:
    """That of the official library, which checks results by their schema."""
    from mcp import Client  # noqa: PLC0415 - it takes a second to import

    class Odd(Shop):
        async def list_page(self, listing: Listing, cursor: str | None, caller: Caller) -> Mapping[str, Any]:
            page = await super().list_page(listing, cursor, caller)
            if listing is not Listing.TOOLS:
                return page
            wrong = {"outputSchema": {**OBJECT, **WRONG[12][0]}, "annotations": 5, "icons": {}, "_meta": []}
            odd = {"inputSchema": {**OBJECT, "properties": 5, "required": "x"}, "title": 7, **wrong}
            return {
                **page,
                "tools": [{**tool, **odd} if tool["name"] == "saw" else tool for tool in page["tools"]],
            }

        async def saw(self, arguments: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
            return {**await super().saw(arguments, caller), "structuredContent": {"a": 1}}

    async def body() -> None:
        async with Client(url) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert tools["shop.saw"].output_schema is None
            result = await client.call_tool("shop.saw", {})
            assert result.structured_content == {"a": 1}

    with gateway({"shop": Odd()}) as (url, _):
        asyncio.run(body())
    (warning,) = [message for message in caplog.messages if "shop.saw" in message]
    assert "Schema" in warning

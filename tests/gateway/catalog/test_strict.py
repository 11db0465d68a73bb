"""One malformed entry of a server costs no client its lists."""

from __future__ import annotations

from typing import Any

import pytest

from routermcp.gateway.backend import Listing
from routermcp.gateway.catalog.entries import Catalog, Entry
from routermcp.gateway.catalog.server_names import ServerNaming
from routermcp.gateway.catalog.strict import strictly
from routermcp.types import Tool

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

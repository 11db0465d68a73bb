from __future__ import annotations

import base64
import copy
import json
import pickle
import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_core import from_json

from routermcp_proto import types
from routermcp_proto.exceptions import RemoteProtocolError
from routermcp_proto.types.base import MAX_TTL_MS, CacheableResult
from tests.proto.schemas.composer import Composer, odd_schemas

SCHEMAS = odd_schemas(500)


def as_text(value: Any) -> str:
    """Write JSON so that key order and number types show."""
    return json.dumps(value, ensure_ascii=False)


# --- the JSON Schema of a tool ---------------------------------------------------------------


def test_schemas_hold_every_keyword() -> None:
    seen = {keyword for schema in SCHEMAS for keyword in schema}
    assert seen == set(Composer(0).keywords(0))


@pytest.mark.parametrize("chunk", range(10))
def test_odd_schemas_round_trip_unchanged(chunk: int) -> None:
    for schema in SCHEMAS[chunk::10]:
        wire = {"name": "t", "inputSchema": schema, "outputSchema": schema}
        received = from_json(json.dumps(wire))
        tool = types.Tool.model_validate(received)
        text = as_text(schema)
        assert as_text(tool.to_wire()) == as_text(wire)
        assert as_text(tool.model_dump()["inputSchema"]) == text
        assert as_text(json.loads(tool.model_dump_json())["inputSchema"]) == text
        assert as_text(tool.inputSchema.model_dump(mode="json")) == text
        assert as_text(types.Tool.model_validate_json(json.dumps(wire)).to_wire()) == as_text(wire)
        for twin in (
            types.Tool.model_validate(tool.model_dump()),
            types.Tool.model_validate_json(tool.model_dump_json()),
            pickle.loads(pickle.dumps(tool)),
            copy.copy(tool),
            copy.deepcopy(tool),
            tool.model_copy(),
            tool.model_copy(deep=True),
        ):
            assert twin == tool
            assert as_text(twin.to_wire()["inputSchema"]) == text
            assert as_text(twin.to_wire()["outputSchema"]) == text


def test_dump_options_leave_the_schema_alone() -> None:
    schema = {"default": None, "type": "object", "properties": {"a": {"default": None}}, "required": []}
    tool = types.Tool.model_validate({"name": "t", "inputSchema": schema})
    for dump in (
        tool.model_dump(exclude_none=True),
        tool.model_dump(exclude_defaults=True),
        tool.model_dump(exclude_unset=True),
        tool.model_dump(by_alias=True),
    ):
        assert as_text(dump["inputSchema"]) == as_text(schema)


def test_schema_has_the_defaults_of_the_contract() -> None:
    schema = types.ToolInputSchema()
    assert (schema.type, schema.properties, schema.required) == ("object", {}, [])
    assert schema.model_dump() == {}
    other = types.ToolInputSchema()
    other.properties["a"] = {}
    assert schema.properties == {}
    assert list(types.ToolInputSchema.model_fields) == ["type", "properties", "required"]


def test_schema_by_keyword_arguments() -> None:
    schema = types.ToolInputSchema(required=["a"], properties={"a": {}}, type="object")
    assert as_text(schema.model_dump()) == '{"required": ["a"], "properties": {"a": {}}, "type": "object"}'
    tool = types.Tool(name="t", inputSchema=schema)
    assert tool.inputSchema is schema


def test_changes_of_a_received_schema_show_in_the_dump() -> None:
    schema = types.ToolInputSchema.model_validate({"x": 1, "required": ["a"], "type": "object"})
    schema.type = "string"
    schema.properties = {"a": True}
    schema.required.append("b")
    schema.title = "new"
    del schema.x
    expected = {"required": ["a", "b"], "type": "string", "properties": {"a": True}, "title": "new"}
    assert as_text(schema.model_dump()) == as_text(expected)
    del schema.required
    assert as_text(schema.model_dump()) == '{"type": "string", "properties": {"a": true}, "title": "new"}'


def test_changes_of_an_unset_default_show_in_the_dump() -> None:
    schema = types.ToolInputSchema.model_validate({"title": "x"})
    schema.properties["a"] = {"type": "string"}
    assert as_text(schema.model_dump()) == '{"title": "x", "properties": {"a": {"type": "string"}}}'


def test_order_of_keywords_does_not_matter_to_equality() -> None:
    left = types.ToolInputSchema.model_validate({"type": "object", "x": 1})
    right = types.ToolInputSchema.model_validate({"x": 1, "type": "object"})
    assert left == right
    assert left != types.ToolInputSchema.model_validate({"x": 2, "type": "object"})
    assert left != types.ToolInputSchema.model_validate({"x": 1, "type": "array"})
    assert "_key_order" not in repr(left)


@pytest.mark.parametrize("wire", [{}, {"inputSchema": None}, {"inputSchema": []}, {"inputSchema": {}}])
def test_tool_without_a_schema_has_the_default_one(wire: dict[str, Any]) -> None:
    tool = types.Tool.model_validate({"name": "t", **wire})
    assert tool.inputSchema == types.ToolInputSchema()
    assert tool.inputSchema.properties == {}


@pytest.mark.parametrize("schema", [True, 3, "object", [{}]])
def test_schema_that_is_no_object_is_refused(schema: Any) -> None:
    with pytest.raises(ValidationError):
        types.Tool.model_validate({"name": "t", "inputSchema": schema})


def test_json_schemas_of_the_models_can_be_made() -> None:
    assert types.Tool.model_json_schema()["required"] == ["name"]
    assert types.ListToolsResult.model_json_schema(mode="serialization")["required"] == ["tools"]


# --- every model, at its fullest -------------------------------------------------------------

ICONS = [{"src": "https://example.com/i.png", "mimeType": "image/png", "sizes": ["48x48"], "theme": "dark"}]
ANNOTATIONS = {"audience": ["user"], "priority": 0.5, "lastModified": "2025-01-12T15:00:58Z"}
NAMED = {"name": "n", "title": "N", "icons": ICONS, "description": "d", "_meta": {"a/b": 1}}
CACHED = {"ttlMs": 5000, "cacheScope": "public", "_meta": {"k": [1]}, "resultType": "complete"}
TOOL = {
    **NAMED,
    "inputSchema": {"properties": {"a": {"type": "string"}}, "type": "object", "additionalProperties": False},
    "outputSchema": {"type": "array"},
    "annotations": {
        "title": "T",
        "readOnlyHint": True,
        "destructiveHint": False,
        "idempotentHint": True,
        "openWorldHint": False,
    },
    "execution": {"taskSupport": "optional"},
}
RESOURCE = {**NAMED, "uri": "file:///a b", "mimeType": "text/plain", "annotations": ANNOTATIONS, "size": 3}
TEMPLATE = {**NAMED, "uriTemplate": "file:///{x}", "mimeType": "text/plain", "annotations": ANNOTATIONS}
CONTENTS = {"uri": "file:///a", "mimeType": "text/plain", "text": "ä", "_meta": {}}
PROMPT = {
    **NAMED,
    "arguments": [{"name": "a", "title": "A", "description": "d", "required": True}],
}
MESSAGE = {"role": "user", "content": {"type": "text", "text": "hi"}}
FORM = {"type": "object", "properties": {"a": {"type": "string", "default": "x"}, "b": {"type": "number"}}}

FULL: dict[str, dict[str, Any]] = {
    "Annotations": ANNOTATIONS,
    "AudioContent": {"type": "audio", "data": "AA==", "mimeType": "audio/wav", "annotations": ANNOTATIONS},
    "CacheableResult": CACHED,
    "ClientCapabilities": {
        "experimental": {"x": {}},
        "roots": {"listChanged": True},
        "sampling": {"tools": {}},
        "elicitation": {"form": {}, "url": {}},
        "tasks": {"list": {}},
        "extensions": {"e": {}},
    },
    "CompleteResult": {"completion": {"values": ["a"], "total": 2, "hasMore": True}, "_meta": {}},
    "Completion": {"values": [], "total": 0, "hasMore": False},
    "CreateMessageRequest": {
        "messages": [MESSAGE, {"role": "user", "content": [{"type": "text", "text": "x"}], "_meta": {}}],
        "maxTokens": 10,
        "systemPrompt": "s",
        "temperature": 0.1,
        "stopSequences": ["."],
        "metadata": {"m": 1},
        "modelPreferences": {
            "hints": [{"name": "claude"}],
            "costPriority": 0.5,
            "speedPriority": 0.25,
            "intelligencePriority": 1.0,
        },
        "includeContext": "none",
        "tools": [TOOL],
        "toolChoice": {"mode": "auto"},
        "_meta": {},
        "task": {"ttl": 1},
    },
    "CreateMessageResult": {
        "role": "assistant",
        "content": {"type": "text", "text": "x"},
        "model": "m",
        "stopReason": "endTurn",
        "_meta": {},
    },
    "DiscoverResult": {
        **CACHED,
        "supportedVersions": ["2026-07-28"],
        "capabilities": {"tools": {}},
        "instructions": "i",
    },
    "ElicitRequest": {
        "mode": "url",
        "message": "m",
        "requestedSchema": FORM,
        "url": "https://example.com",
        "elicitationId": "e",
        "_meta": {},
    },
    "ElicitResult": {"action": "accept", "content": {"a": ["x"]}, "_meta": {}},
    "EmbeddedResource": {"type": "resource", "resource": CONTENTS, "annotations": ANNOTATIONS, "_meta": {}},
    "EmptyResult": {"_meta": {}, "resultType": "complete"},
    "GetPromptResult": {"description": "d", "messages": [MESSAGE], "_meta": {}},
    "Icon": ICONS[0],
    "ImageContent": {"type": "image", "data": "AA==", "mimeType": "image/png", "annotations": ANNOTATIONS},
    "Implementation": {
        "name": "n",
        "version": "1",
        "title": "t",
        "description": "d",
        "websiteUrl": "u",
        "icons": ICONS,
    },
    "InitializeResult": {
        "protocolVersion": "2025-11-25",
        "capabilities": {"logging": {}},
        "serverInfo": {"name": "n", "version": "1"},
        "instructions": "i",
        "_meta": {},
    },
    "InputRequiredResult": {
        "inputRequests": {"a": {"method": "roots/list"}},
        "requestState": "s",
        "_meta": {},
        "resultType": "x",
    },
    "ListCapability": {"listChanged": True},
    "ListPromptsResult": {**CACHED, "nextCursor": "c", "prompts": [PROMPT]},
    "ListResourceTemplatesResult": {**CACHED, "nextCursor": "c", "resourceTemplates": [TEMPLATE]},
    "ListResourcesResult": {**CACHED, "nextCursor": "", "resources": [RESOURCE]},
    "ListRootsResult": {"roots": [{"uri": "file:///a", "name": "a", "_meta": {}}], "_meta": {}},
    "ListToolsResult": {**CACHED, "nextCursor": "c", "tools": [TOOL]},
    "LogMessage": {"level": "info", "logger": "l", "data": [1], "_meta": {}},
    "ModelHint": {"name": "m"},
    "ModelPreferences": {"hints": [{}], "costPriority": 0.0},
    "PaginatedResult": {"nextCursor": "c"},
    "Progress": {"progress": 0.5, "total": 1.0, "message": "m", "progressToken": "t", "_meta": {}},
    "Prompt": PROMPT,
    "PromptArgument": {"name": "a", "required": False},
    "PromptMessage": MESSAGE,
    "ReadResourceResult": {**CACHED, "contents": [CONTENTS, {"uri": "x", "blob": "AA=="}]},
    "Resource": RESOURCE,
    "ResourceContents": CONTENTS,
    "ResourceLink": {**RESOURCE, "type": "resource_link"},
    "ResourceTemplate": TEMPLATE,
    "ResourceUpdated": {"uri": "file:///a", "_meta": {}},
    "ResourcesCapability": {"subscribe": True, "listChanged": False},
    "Root": {"uri": "file:///a", "name": "a", "_meta": {}},
    "SamplingMessage": {**MESSAGE, "_meta": {}},
    "ServerCapabilities": {
        "experimental": {},
        "logging": {},
        "completions": {},
        "prompts": {"listChanged": True},
        "resources": {"subscribe": True, "listChanged": True},
        "tools": {"listChanged": True},
        "tasks": {"list": {}},
        "extensions": {},
    },
    "SubscriptionFilter": {
        "toolsListChanged": True,
        "promptsListChanged": True,
        "resourcesListChanged": True,
        "resourceSubscriptions": ["file:///a"],
    },
    "TextContent": {"type": "text", "text": "x", "annotations": ANNOTATIONS, "_meta": {}},
    "Tool": TOOL,
    "ToolAnnotations": TOOL["annotations"],
    "ToolChoice": {"mode": "none"},
    "ToolInputSchema": TOOL["inputSchema"],
    "ToolResult": {
        "content": [{"type": "text", "text": "x", "y": 1}],
        "isError": True,
        "structuredContent": [1],
        **CACHED,
    },
    "ToolResultContent": {
        "type": "tool_result",
        "toolUseId": "1",
        "content": [{"type": "text"}],
        "structuredContent": {"a": 1},
        "isError": True,
        "_meta": {},
    },
    "ToolUseContent": {"type": "tool_use", "id": "1", "name": "n", "input": {"a": 1}, "_meta": {}},
    "UnknownContent": {"type": "video", "data": "AA==", "_meta": {}},
    "WireModel": {"anything": 1},
}

NO_MODELS = {"ContentBlock", "ToolList", "content_model"}


def test_every_model_has_an_example() -> None:
    assert set(FULL) | NO_MODELS == set(types.__all__)


@pytest.mark.parametrize("name", sorted(FULL))
def test_models_keep_all_they_receive(name: str) -> None:
    model: type[types.WireModel] = getattr(types, name)
    wire = {**FULL[name], "x-unknown": {"deep": [None, 1.5]}}
    value = model.model_validate(wire)
    assert value.to_wire() == wire
    assert model.model_validate(value.model_dump()) == value
    assert model.model_validate_json(value.model_dump_json(by_alias=True)) == value
    assert pickle.loads(pickle.dumps(value)) == value
    assert copy.deepcopy(value) == value


@pytest.mark.parametrize("name", sorted(FULL))
def test_null_counts_as_missing_for_what_is_optional(name: str) -> None:
    model: type[types.WireModel] = getattr(types, name)
    # Not asked of the tag of an item and of the role of an answer, which a client writes itself.
    optional = {key for key, field in model.model_fields.items() if not field.is_required()} - {
        "type",
        "role",
    }
    for key in optional:
        member = "_meta" if key == "meta" else key
        given_null = model.model_validate({**FULL[name], member: None})
        missing = model.model_validate({k: v for k, v in FULL[name].items() if k != member})
        if name == "ToolInputSchema":  # keeps it as it was sent
            assert given_null.to_wire()[key] is None
        else:
            assert getattr(given_null, key) == getattr(missing, key)


def test_only_what_was_set_is_sent() -> None:
    assert types.Implementation(name="n", version="1").to_wire() == {"name": "n", "version": "1"}
    assert types.ElicitResult(action="decline").to_wire() == {"action": "decline"}
    assert types.ClientCapabilities(sampling={}).to_wire() == {"sampling": {}}


def test_members_that_the_wire_needs_are_sent_also_when_defaulted() -> None:
    assert types.TextContent(text="x").to_wire() == {"type": "text", "text": "x"}
    assert types.ResourceLink(uri="u", name="n").to_wire() == {
        "uri": "u",
        "name": "n",
        "type": "resource_link",
    }
    answer = types.CreateMessageResult(content={"type": "text", "text": "x"}, model="m")
    assert answer.to_wire() == {"role": "assistant", "content": {"type": "text", "text": "x"}, "model": "m"}


def test_meta_is_taken_by_name_and_by_alias() -> None:
    assert types.EmptyResult(meta={"a": 1}).to_wire() == {"_meta": {"a": 1}}
    assert types.EmptyResult.model_validate({"_meta": {"a": 1}}).meta == {"a": 1}


@pytest.mark.parametrize(
    ("model", "wire", "attribute", "expected"),
    [
        (types.CacheableResult, {"ttlMs": -1}, "ttlMs", 0),
        (types.CacheableResult, {"ttlMs": "soon"}, "ttlMs", 0),
        (types.CacheableResult, {"ttlMs": 1.5}, "ttlMs", 0),
        (types.CacheableResult, {"cacheScope": "galaxy"}, "cacheScope", "private"),
        (types.CacheableResult, {"cacheScope": {}}, "cacheScope", "private"),
        (types.EmptyResult, {"_meta": []}, "meta", None),
        (types.Icon, {"src": "x", "sizes": "48x48 any"}, "sizes", ["48x48", "any"]),
        (types.Icon, {"src": "x", "sizes": [1]}, "sizes", None),
        (types.Tool, {"name": "t", "icons": [{}]}, "icons", None),
        (types.Tool, {"name": "t", "annotations": []}, "annotations", None),
        (types.Annotations, {"priority": 10**400}, "priority", None),
        (types.Resource, {"name": "r", "uri": "u", "size": "big"}, "size", None),
        (types.ToolResult, {"content": None, "isError": None}, "content", []),
        (types.ToolResult, {}, "content", []),
        (types.ListToolsResult, {"tools": None}, "tools", []),
        (types.ServerCapabilities, {"logging": []}, "logging", {}),
        (types.ServerCapabilities, {"logging": True}, "logging", {}),
        (types.ServerCapabilities, {"logging": False}, "logging", None),
        (types.ServerCapabilities, {"logging": 3}, "logging", None),
        (types.ServerCapabilities, {"tools": []}, "tools", types.ListCapability()),
        (types.ServerCapabilities, {"resources": True}, "resources", types.ResourcesCapability()),
        (types.ServerCapabilities, {"prompts": 1}, "prompts", None),
        (types.ElicitRequest, {"message": "m", "mode": None}, "mode", "form"),
        (
            types.InitializeResult,
            {"protocolVersion": "1", "serverInfo": []},
            "capabilities",
            types.ServerCapabilities(),
        ),
    ],
)
def test_malformed_ornaments_count_as_missing(
    model: type[types.WireModel], wire: dict[str, Any], attribute: str, expected: Any
) -> None:
    assert getattr(model.model_validate(wire), attribute) == expected


def test_initialize_result_without_server_info() -> None:
    for members in ({}, {"serverInfo": None}, {"serverInfo": 5}, {"serverInfo": {"name": None}}):
        result = types.InitializeResult.model_validate({"protocolVersion": "2024-11-05", **members})
        assert (result.serverInfo.name, result.serverInfo.version) == ("", "")
        assert result.instructions is None


@pytest.mark.parametrize(
    ("members", "name"),
    [
        ({"_meta": {"io.modelcontextprotocol/serverInfo": {"name": "a", "version": "1"}}}, "a"),
        ({"serverInfo": {"name": "b", "version": "1"}}, "b"),
        ({"_meta": {"io.modelcontextprotocol/serverInfo": 3}, "serverInfo": {"name": "c"}}, "c"),
        ({"serverInfo": "d"}, None),
        ({}, None),
    ],
)
def test_discover_result_finds_the_server_info(members: dict[str, Any], name: str | None) -> None:
    info = types.DiscoverResult.model_validate({"supportedVersions": ["2026-07-28"], **members}).server_info
    assert (info.name if info else None) == name


# --- tools, resources, content ---------------------------------------------------------------


def test_text_of_a_tool_result_joins_the_text_items() -> None:
    content = [
        {"type": "text", "text": "a"},
        {"type": "image", "data": "", "text": "no"},
        {"type": "text"},
        {"type": "text", "text": 3},
        {"type": "text", "text": "b"},
    ]
    assert types.ToolResult(content=content).text == "a\nb"
    assert types.ToolResult().text == ""


def test_images_of_a_tool_result() -> None:
    image = {"type": "image", "data": "MTIz", "mimeType": "image/png"}
    content = [{"type": "text", "text": "a"}, image, {"type": "image"}, {"type": "audio"}, image]
    images = types.ToolResult(content=content).images
    assert [(each.mimeType, each.decode()) for each in images] == [("image/png", b"123")] * 2
    assert types.ToolResult().images == []


@pytest.mark.parametrize(
    ("structured", "texts", "data"),
    [
        ({"a": 1}, ["{}"], {"a": 1}),
        ({"result": [1]}, [], [1]),
        ({"result": 1, "more": 2}, [], {"result": 1, "more": 2}),
        ([1], [], [1]),
        (0, ["1"], 0),
        (None, ['{"result": 1}'], {"result": 1}),
        (None, ["7"], 7),
        (None, ["cloudy"], None),
        (None, ["[" * 100_000], None),
        (None, ["1", "2"], None),
        (None, [], None),
    ],
)
def test_data_of_a_tool_result(structured: Any, texts: list[str], data: Any) -> None:
    content = [{"type": "text", "text": each} for each in texts]
    assert types.ToolResult(content=content, structuredContent=structured).data == data


def test_resource_contents_as_bytes() -> None:
    blob = base64.b64encode(b"\x00\xff").decode()
    assert types.ResourceContents(uri="u", blob=blob).data == b"\x00\xff"
    assert types.ResourceContents(uri="u", text="ä").data == "ä".encode()
    assert types.ResourceContents(uri="u").data == b""


@pytest.mark.parametrize(
    "blob",
    ["-_8=", "+/8=", "+/8", "+/\r\n8=", " + / 8 ", "data:image/png;base64,+/8=", "data:;base64,-_8", "-_8"],
)
def test_a_blob_is_decoded_however_base64_was_written(blob: str) -> None:
    assert types.ResourceContents(uri="u", blob=blob).data == b"\xfb\xff"


@pytest.mark.parametrize("blob", ["?", "A", "ä"])
def test_blob_that_is_not_base64_is_the_peers_mistake(blob: str) -> None:
    with pytest.raises(RemoteProtocolError, match="the blob of resource 'u' is not base64"):
        _ = types.ResourceContents(uri="u", blob=blob).data


def test_media_content_decodes() -> None:
    assert types.ImageContent(data="AAE=", mimeType="image/png").decode() == b"\x00\x01"
    with pytest.raises(RemoteProtocolError, match="'audio/wav' is not base64"):
        types.AudioContent(data="!", mimeType="audio/wav").decode()


@pytest.mark.parametrize(
    "model",
    [
        types.TextContent,
        types.ImageContent,
        types.AudioContent,
        types.ResourceLink,
        types.EmbeddedResource,
        types.ToolUseContent,
        types.ToolResultContent,
        types.UnknownContent,
    ],
)
def test_content_model_chooses_by_type(model: type[types.WireModel]) -> None:
    item = types.content_model(FULL[model.__name__])
    assert type(item) is model
    assert item.to_wire() == FULL[model.__name__]


@pytest.mark.parametrize("item", [{}, {"type": 3}, {"type": ["text"]}, {"type": "text"}, {"type": "image"}])
def test_content_model_refuses_malformed_items(item: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError, match="does not fit its type"):
        types.content_model(item)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (None, {}),
        ({}, {}),
        ({"properties": []}, {}),
        (FORM, {"a": "x"}),
        ({"properties": {"a": True, "b": {"default": None}, "c": {"default": [1]}}}, {"b": None, "c": [1]}),
    ],
)
def test_defaults_of_an_elicitation(schema: dict[str, Any] | None, expected: dict[str, Any]) -> None:
    assert types.ElicitRequest(message="m", requestedSchema=schema).defaults() == expected


def test_elicit_result_knows_three_actions() -> None:
    with pytest.raises(ValidationError):
        types.ElicitResult.model_validate({"action": "maybe"})


@pytest.mark.parametrize("requests", [[], {"a": 1}, {"a": {}, "b": None}])
def test_input_requests_have_to_be_objects(requests: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        types.InputRequiredResult.model_validate({"inputRequests": requests})
    assert caught.value.error_count() == 1


def test_long_malformed_lists_are_reported_once() -> None:
    with pytest.raises(ValidationError) as caught:
        types.ToolResult.model_validate({"content": [1] * 1000})
    assert caught.value.error_count() == 1


# --- the package -----------------------------------------------------------------------------


def test_package_lists_its_names_and_knows_no_others() -> None:
    assert set(types.__all__) <= set(dir(types))
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = types.Nonsense


def test_models_load_on_first_use() -> None:
    program = """
import sys
import routermcp_proto.types as types
def loaded():
    return {name.rpartition('.')[2] for name in sys.modules if name.startswith('routermcp_proto.types.')}
rare = {'sampling', 'roots', 'content', 'elicitation', 'completion', 'prompts', 'resources'}
assert not loaded() & rare, loaded()
types.ToolResult
from routermcp_proto import calls
calls.call_tool('x'), calls.list_tools()
assert not loaded() & rare, loaded()
from routermcp_proto.types import SamplingMessage
assert 'sampling' in loaded()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("ttl", [MAX_TTL_MS + 1, 10**400, -1, "x"])
def test_a_time_that_no_clock_can_add_counts_as_missing(ttl: object) -> None:
    assert CacheableResult.model_validate({"ttlMs": ttl}).ttlMs == 0
    assert CacheableResult.model_validate({"ttlMs": MAX_TTL_MS}).ttlMs == MAX_TTL_MS

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routermcp_proto import calls, types
from routermcp_proto.calls import Call
from routermcp_proto.exceptions import LocalProtocolError, ResponseValidationError
from routermcp_proto.types import reading
from routermcp_proto.types.reading import Parsed

# (call, method, params, result type, safe, items, named by, may ask for input)
BUILT: list[tuple[Call[Any], str, dict[str, Any], type, bool, str | None, str | None, bool]] = [
    (calls.discover(), "server/discover", {}, types.DiscoverResult, True, None, None, False),
    (
        calls.initialize("2025-11-25", types.ClientCapabilities(roots=types.ListCapability()), {"name": "n"}),
        "initialize",
        {"protocolVersion": "2025-11-25", "capabilities": {"roots": {}}, "clientInfo": {"name": "n"}},
        types.InitializeResult,
        True,
        None,
        None,
        False,
    ),
    (calls.ping(), "ping", {}, types.EmptyResult, True, None, None, False),
    (calls.list_tools(), "tools/list", {}, types.ListToolsResult, True, "tools", None, False),
    (calls.list_tools("c"), "tools/list", {"cursor": "c"}, types.ListToolsResult, True, "tools", None, False),
    (calls.list_tools(""), "tools/list", {"cursor": ""}, types.ListToolsResult, True, "tools", None, False),
    (
        calls.call_tool("t"),
        "tools/call",
        {"name": "t", "arguments": {}},
        types.ToolResult,
        False,
        None,
        "name",
        True,
    ),
    (
        calls.call_tool("t", {"a": None}),
        "tools/call",
        {"name": "t", "arguments": {"a": None}},
        types.ToolResult,
        False,
        None,
        "name",
        True,
    ),
    (calls.list_resources(), "resources/list", {}, types.ListResourcesResult, True, "resources", None, False),
    (
        calls.list_resource_templates("c"),
        "resources/templates/list",
        {"cursor": "c"},
        types.ListResourceTemplatesResult,
        True,
        "resourceTemplates",
        None,
        False,
    ),
    (
        calls.read_resource("u:x"),
        "resources/read",
        {"uri": "u:x"},
        types.ReadResourceResult,
        True,
        None,
        "uri",
        True,
    ),
    (calls.subscribe("u"), "resources/subscribe", {"uri": "u"}, types.EmptyResult, True, None, None, False),
    (
        calls.unsubscribe("u"),
        "resources/unsubscribe",
        {"uri": "u"},
        types.EmptyResult,
        True,
        None,
        None,
        False,
    ),
    (calls.list_prompts(), "prompts/list", {}, types.ListPromptsResult, True, "prompts", None, False),
    (
        calls.get_prompt("p"),
        "prompts/get",
        {"name": "p", "arguments": {}},
        types.GetPromptResult,
        True,
        None,
        "name",
        True,
    ),
    (
        calls.get_prompt("p", {"a": "b"}),
        "prompts/get",
        {"name": "p", "arguments": {"a": "b"}},
        types.GetPromptResult,
        True,
        None,
        "name",
        True,
    ),
    (
        calls.complete({"type": "ref/prompt", "name": "p"}, {"name": "a", "value": "v"}),
        "completion/complete",
        {"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "a", "value": "v"}},
        types.CompleteResult,
        True,
        None,
        None,
        False,
    ),
    (
        calls.complete({}, {}, {"x": "y"}),
        "completion/complete",
        {"ref": {}, "argument": {}, "context": {"arguments": {"x": "y"}}},
        types.CompleteResult,
        True,
        None,
        None,
        False,
    ),
    (
        calls.set_log_level("info"),
        "logging/setLevel",
        {"level": "info"},
        types.EmptyResult,
        True,
        None,
        None,
        False,
    ),
    (
        calls.listen(types.SubscriptionFilter(toolsListChanged=True)),
        "subscriptions/listen",
        {"notifications": {"toolsListChanged": True}},
        types.EmptyResult,
        True,
        None,
        None,
        False,
    ),
    (
        calls.listen({"resourceSubscriptions": ["u"]}),
        "subscriptions/listen",
        {"notifications": {"resourceSubscriptions": ["u"]}},
        types.EmptyResult,
        True,
        None,
        None,
        False,
    ),
]


@pytest.mark.parametrize(
    ("call", "method", "params", "result_type", "safe", "items", "named_by", "may_ask"), BUILT
)
def test_builders(
    call: Call[Any],
    method: str,
    params: dict[str, Any],
    result_type: type,
    safe: bool,
    items: str | None,
    named_by: str | None,
    may_ask: bool,
) -> None:
    assert call == Call(method, params, result_type, safe, items, named_by, may_ask)


@pytest.mark.parametrize(
    "build", [calls.call_tool, calls.get_prompt, calls.read_resource, calls.subscribe, calls.unsubscribe]
)
@pytest.mark.parametrize("name", ["", None, 5, b"x"])
def test_names_have_to_be_text(build: Any, name: Any) -> None:
    with pytest.raises(LocalProtocolError, match="must"):
        build(name)


@pytest.mark.parametrize(
    ("method", "params", "named_by"),
    [
        ("x/y", None, None),
        ("x/y", {"name": "n"}, None),
        ("tools/call", {"name": "n"}, "name"),
        ("resources/read", {"uri": "u://"}, "uri"),
        ("prompts/get", {}, None),
        ("prompts/get", {"name": 3}, None),
    ],
)
def test_a_request_of_any_method(method: str, params: dict[str, Any] | None, named_by: str | None) -> None:
    call = calls.request(method, params)
    assert (call.method, call.params, call.named_by, call.safe) == (method, params or {}, named_by, False)
    assert call.parse({"a": [1]}).value.model_extra == {"a": [1]}


@pytest.mark.parametrize(
    ("method", "params"), [("", {}), (3, {}), ("x/y", [1]), ("x/y", {"_meta": {"a": 1}})]
)
def test_a_request_that_cannot_be_sent(method: Any, params: Any) -> None:
    with pytest.raises(LocalProtocolError):
        calls.request(method, params)


@pytest.mark.parametrize("arguments", [[], "x", 3, [("a", 1)]])
def test_arguments_have_to_be_a_mapping(arguments: Any) -> None:
    for build in (calls.call_tool, calls.get_prompt):
        with pytest.raises(LocalProtocolError, match="arguments must be a mapping, not"):
            build("x", arguments)
    with pytest.raises(LocalProtocolError, match="subscriptions/listen: notifications must be a mapping"):
        calls.listen(arguments)


def test_cursors_have_to_be_text() -> None:
    with pytest.raises(LocalProtocolError, match="tools/list: cursor must be a str, not int"):
        calls.list_tools(3)  # type: ignore[arg-type]


def test_later_changes_of_the_arguments_do_not_reach_the_call() -> None:
    arguments = {"a": 1}
    call = calls.call_tool("t", arguments)
    arguments["a"] = 2
    assert call.params["arguments"] == {"a": 1}


def test_with_params_sets_replaces_and_takes_away() -> None:
    first = calls.call_tool("t", {"a": 1})
    second = first.with_params(requestState="s", inputResponses={"k": {}})
    assert second.params == {
        "name": "t",
        "arguments": {"a": 1},
        "requestState": "s",
        "inputResponses": {"k": {}},
    }
    assert second.with_params(requestState=None, inputResponses=None) == first
    assert first.params == {"name": "t", "arguments": {"a": 1}}


def test_at_cursor_asks_for_another_page() -> None:
    assert calls.list_tools().at_cursor("2") == calls.list_tools("2")
    assert calls.list_tools("2").at_cursor("") == calls.list_tools("")


RESULTS: list[tuple[Call[Any], dict[str, Any]]] = [
    (calls.discover(), {"supportedVersions": ["2026-07-28"], "capabilities": {}, "ttlMs": 1}),
    (calls.initialize("2025-11-25", {}, {}), {"protocolVersion": "2025-11-25", "capabilities": {}}),
    (calls.ping(), {"resultType": "complete"}),
    (calls.list_tools(), {"tools": [{"name": "a", "inputSchema": {"type": "object"}}], "nextCursor": "n"}),
    (calls.call_tool("t"), {"content": [{"type": "text", "text": "x"}], "isError": False, "x": 1}),
    (calls.list_resources(), {"resources": [{"uri": "u", "name": "n"}]}),
    (calls.list_resource_templates(), {"resourceTemplates": [{"uriTemplate": "u", "name": "n"}]}),
    (calls.read_resource("u"), {"contents": [{"uri": "u", "text": "x"}]}),
    (calls.subscribe("u"), {}),
    (calls.unsubscribe("u"), {}),
    (calls.list_prompts(), {"prompts": [{"name": "p"}]}),
    (calls.get_prompt("p"), {"messages": [{"role": "user", "content": {"type": "text", "text": "x"}}]}),
    (calls.complete({}, {}), {"completion": {"values": ["a"], "hasMore": False}}),
    (calls.set_log_level("info"), {}),
    (calls.listen({}), {"_meta": {"io.modelcontextprotocol/subscriptionId": 1}}),
]


@pytest.mark.parametrize(("call", "result"), RESULTS)
def test_parse_gives_the_type_of_the_method(call: Call[Any], result: dict[str, Any]) -> None:
    parsed = call.parse(result)
    assert type(parsed.value) is call.result_type
    assert parsed.value.to_wire() == result
    assert parsed.warnings == ()


def test_a_bad_entry_costs_that_entry_and_a_warning() -> None:
    tools = [{"name": "good"}, {"name": "odd", "title": 5}, {"title": "nameless"}, 7, {"name": "last"}]
    parsed = calls.list_tools().parse({"tools": tools, "nextCursor": "c", "ttlMs": 9})
    assert [tool.name for tool in parsed.value.tools] == ["good", "odd", "last"]
    assert (parsed.value.nextCursor, parsed.value.ttlMs) == ("c", 9)
    assert parsed.warnings == (
        "tools/list: left out parts of tools[1] ('odd'): title: Input should be a valid string",
        "tools/list: left out tools[2]: name: Field required",
        "tools/list: left out tools[3]: Input should be a valid dictionary or instance of Tool",
    )


@pytest.mark.parametrize("cursor", [3, ["c"], {}, True])
def test_a_cursor_that_is_no_string_ends_the_list_with_a_warning(cursor: object) -> None:
    for tools in ([], [3]):
        parsed = calls.list_tools().parse({"tools": tools, "nextCursor": cursor})
        assert parsed.value.nextCursor is None
        assert "tools/list: left out nextCursor: Input should be a valid string" in parsed.warnings


def test_members_that_are_not_needed_cost_themselves() -> None:
    odd = {"title": 1, "description": ["x"], "outputSchema": "no"}
    parsed = calls.list_tools().parse({"tools": [{"name": "a", "inputSchema": {"type": "object"}, **odd}]})
    (tool,) = parsed.value.tools
    assert (tool.title, tool.description, tool.outputSchema) == (None, None, None)
    contents = [{"uri": "a:b", "mimeType": n, "text": "t"} for n in range(reading.MAX_READINGS)]
    read = calls.read_resource("a:b").parse({"contents": contents[1:]})
    assert {(each.text, each.mimeType) for each in read.value.contents} == {("t", None)}
    with pytest.raises(ResponseValidationError, match="mimeType"):
        calls.read_resource("a:b").parse({"contents": contents})


def test_warnings_are_bounded_in_number_and_length() -> None:
    odd = [{"name": "x" * 1000, "title": 5, "description": 5, "outputSchema": 5}] * 150
    parsed = calls.list_tools().parse({"tools": [*odd, *[{"title": "x" * 1000}] * 100, {"name": "good"}]})
    assert len(parsed.value.tools) == 151
    assert len(parsed.warnings) == reading.MAX_ENTRY_WARNINGS + 1
    assert parsed.warnings[-1] == "tools/list: left out 150 more entries of tools"
    assert max(map(len, parsed.warnings)) <= reading.MAX_PROBLEM_LENGTH


def test_a_list_of_nothing_but_bad_entries_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_BAD_ENTRIES", 150)
    assert calls.list_tools().parse({"tools": [1] * 150}).value.tools == []
    with pytest.raises(ResponseValidationError, match="tools: more than 150 entries are malformed") as caught:
        calls.list_tools().parse({"tools": [1] * 151})
    assert len(caught.value.problems) == reading.MAX_ANSWER_PROBLEMS


@pytest.mark.parametrize(
    ("call", "result", "problem"),
    [
        (calls.list_tools(), {}, "tools: Field required"),
        (calls.list_tools(), {"tools": {}}, "tools: Input should be a valid list"),
        (calls.read_resource("a:b"), {"contents": [{"text": "t"}]}, "contents.0.uri: Field required"),
        (
            calls.read_resource("a:b"),
            {"contents": [{"uri": "a:b", "text": 3}]},
            "contents.0.text: Input should be a valid string",
        ),
        (calls.call_tool("t"), {"content": ["x"]}, "content.0: Input should be a valid dictionary"),
        (calls.initialize("1", {}, {}), {}, "protocolVersion: Field required"),
        (calls.ping(), [], "Input should be a valid dictionary or instance of EmptyResult"),
    ],
)
def test_a_result_of_the_wrong_shape_is_refused(call: Call[Any], result: Any, problem: str) -> None:
    with pytest.raises(ResponseValidationError) as caught:
        call.parse(result)
    error = caught.value
    assert error.method == call.method
    assert error.problems == (problem,)
    assert str(error) == (f"the server's answer to {call.method} does not have the expected shape: {problem}")
    assert error.__context__ is None
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_errors_do_not_show_what_the_server_sent() -> None:
    with pytest.raises(ResponseValidationError) as caught:
        calls.call_tool("t").parse({"content": "top secret", "isError": "top secret"})
    assert "secret" not in f"{caught.value}{caught.value.problems}"
    assert len(caught.value.problems) == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["name", "uri", "type", "_meta", "inputSchema", "content", "text", "x"]), inner
        )
    ),
    max_leaves=12,
)
MEMBERS = st.sampled_from(
    sorted({name for call, _ in RESULTS for name in call.result_type.model_fields} - {"meta"} | {"_meta"})
)


@settings(max_examples=60, deadline=None)
@given(result=st.dictionaries(MEMBERS, JSON, max_size=6))
def test_any_object_gives_a_result_or_the_one_error(result: dict[str, Any]) -> None:
    for call, _ in RESULTS:
        try:
            parsed = call.parse(result)
        except ResponseValidationError:
            continue
        assert isinstance(parsed, Parsed)
        parsed.value.to_wire()

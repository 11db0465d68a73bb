from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routermcp_proto.exceptions import RemoteProtocolError
from routermcp_proto.types.parameter_headers import (
    MAX_DEPTH,
    MAX_PLACES,
    ParameterHeader,
    declared_headers,
    may_mention_annotation,
)

REGION = {"type": "string", "x-mcp-header": "Region"}


def properties(**parameters: Any) -> dict[str, Any]:
    return {"type": "object", "properties": parameters}


def test_annotated_parameters_are_found_in_the_order_of_the_schema() -> None:
    schema = properties(
        region=REGION,
        query={"type": "string"},
        nested=properties(deep=properties(count={"type": "integer", "x-mcp-header": "Count"})),
        dry={"type": "boolean", "x-mcp-header": "Dry-Run"},
    )
    expected = (
        ParameterHeader("Mcp-Param-Region", ("region",)),
        ParameterHeader("Mcp-Param-Dry-Run", ("dry",)),
        ParameterHeader("Mcp-Param-Count", ("nested", "deep", "count")),
    )
    assert declared_headers(schema) == expected
    assert declared_headers(MappingProxyType(schema)) == expected


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        properties(a={"type": "string"}, b=True, c={"type": "array", "items": [{}, True, [None]]}),
        {"properties": []},
        {"$ref": "#/$defs/A", "$defs": {"A": {"type": "string"}}},
    ],
)
def test_a_schema_without_annotations_declares_nothing(schema: dict[str, Any]) -> None:
    assert declared_headers(schema) == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"x-mcp-header": "A"}', True),
        ('{"\\u0078-mcp-header": "A"}', True),
        ('{"x\\u002Dmcp-header": "A"}', True),
        ('{"description": "a line\\nand \\u2019 more"}', False),
    ],
)
def test_the_annotation_is_looked_for_in_the_text_of_a_message(text: str, found: bool) -> None:
    assert may_mention_annotation(text) is found
    assert may_mention_annotation(text.encode()) is found
    assert may_mention_annotation(bytearray(text.encode())) is found


def test_names_and_data_are_no_annotations() -> None:
    data = {"x-mcp-header": "bad name"}
    schema = properties(
        **{
            "x-mcp-header": {"type": "string"},
            "default": {"type": "string", "x-mcp-header": "Default"},
            "other": {
                "default": data,
                "const": data,
                "enum": [data],
                "examples": [data],
                "title": "x-mcp-header",
            },
        }
    )
    schema["$defs"] = {"x-mcp-header": {"type": "object", "required": ["x-mcp-header"]}}
    schema["dependencies"] = {"x-mcp-header": ["other"]}
    assert declared_headers(schema) == (ParameterHeader("Mcp-Param-Default", ("default",)),)


@pytest.mark.parametrize(
    "name",
    ["", " ", "a b", "a:b", "a\r\nb", "a\n", "\0", "é", "a/b", "(a)", None, 1, True, [], {}, "x" * 99 + " "],
)
def test_an_annotation_is_a_token(name: Any) -> None:
    with pytest.raises(RemoteProtocolError, match="cannot be part of a header's name"):
        declared_headers(properties(a={"type": "string", "x-mcp-header": name}))


def test_every_token_character_is_allowed() -> None:
    name = "!#$%&'*+-.^_`|~09azAZ"
    (found,) = declared_headers(properties(a={"type": "string", "x-mcp-header": name}))
    assert found.header == f"Mcp-Param-{name}"


@pytest.mark.parametrize("other", ["Region", "REGION", "region"])
def test_names_are_unique_whatever_their_case(other: str) -> None:
    schema = properties(a=REGION, b=properties(c={"type": "integer", "x-mcp-header": other}))
    with pytest.raises(
        RemoteProtocolError, match=f"two of its parameters declare the header Mcp-Param-{other}"
    ):
        declared_headers(schema)


@pytest.mark.parametrize(
    "kind", ["string", "integer", "boolean", ["string"], ["integer", "null"], ["string", "boolean"]]
)
def test_primitive_parameters_can_be_mirrored(kind: Any) -> None:
    assert len(declared_headers(properties(a={"type": kind, "x-mcp-header": "A"}))) == 1


@pytest.mark.parametrize(
    "kind",
    [
        "number",
        "object",
        "array",
        "null",
        "String",
        "",
        None,
        3,
        {},
        {"a": 1},
        [],
        ["null"],
        [[]],
        ["string", "number"],
        [{}],
    ],
)
def test_other_parameters_cannot(kind: Any) -> None:
    with pytest.raises(RemoteProtocolError, match="no string, integer or boolean"):
        declared_headers(properties(a={"type": kind, "x-mcp-header": "A"}))


def test_a_parameter_without_a_type_cannot() -> None:
    with pytest.raises(RemoteProtocolError, match="no string, integer or boolean"):
        declared_headers(properties(a={"$ref": "#/$defs/A", "x-mcp-header": "A"}))


@pytest.mark.parametrize(
    "place",
    [
        REGION,
        {"items": REGION},
        {"prefixItems": [{}, REGION]},
        {"additionalItems": REGION},
        {"contains": REGION},
        {"unevaluatedItems": REGION},
        *[{keyword: [{}, REGION]} for keyword in ("oneOf", "anyOf", "allOf")],
        *[{keyword: REGION} for keyword in ("not", "if", "then", "else")],
        *[{keyword: {"Name": REGION}} for keyword in ("$defs", "definitions", "dependentSchemas")],
        {"dependencies": {"name": REGION}},
        {"patternProperties": {"^a": REGION}},
        {"additionalProperties": REGION},
        {"unevaluatedProperties": REGION},
        {"propertyNames": REGION},
        {"contentSchema": REGION},
        {"x-unknown": [[{"deep": REGION}]]},
        {"properties": [REGION]},
        {"properties": {"a": [REGION]}},
        {"anyOf": [properties(a=REGION)]},
        {"$defs": {"A": properties(a=REGION)}},
        {"items": properties(a=properties(b=REGION))},
    ],
)
def test_an_annotation_anywhere_else_is_refused(place: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError, match="'Region' is not on a parameter that can be reached"):
        declared_headers(place)
    if place is not REGION:
        with pytest.raises(RemoteProtocolError, match="can be reached directly"):
            declared_headers(properties(ok={"type": "string", "x-mcp-header": "Ok"}, a=place))


def deep(levels: int, inner: dict[str, Any]) -> dict[str, Any]:
    for _ in range(levels):
        inner = properties(a=inner)
    return inner


def test_the_search_is_bounded() -> None:
    assert len(declared_headers(deep(MAX_DEPTH, REGION))) == 1
    with pytest.raises(RemoteProtocolError, match=f"nested more than {MAX_DEPTH} levels"):
        declared_headers(deep(MAX_DEPTH + 1, REGION))
    assert declared_headers(deep(5000, {})) == ()
    assert declared_headers({"anyOf": [{}] * (MAX_PLACES - 2)}) == ()
    with pytest.raises(RemoteProtocolError, match=f"more than {MAX_PLACES} parts"):
        declared_headers({"anyOf": [{}] * (MAX_PLACES - 1)})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["string", "A", "a b"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["x-mcp-header", "type", "properties", "items", "anyOf", "default", "a", "b"]),
            inner,
            max_size=4,
        )
    ),
)


@given(st.dictionaries(st.sampled_from(["properties", "x-mcp-header", "type", "not"]), JSON))
def test_any_schema_is_either_good_or_refused(schema: dict[str, Any]) -> None:
    try:
        found = declared_headers(schema)
    except RemoteProtocolError:
        return
    for header in found:
        place: Any = schema
        for name in header.path:
            place = place["properties"][name]
        assert header.header == f"Mcp-Param-{place['x-mcp-header']}"

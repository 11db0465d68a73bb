from __future__ import annotations

import base64
import re
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from routermcp_proto.exceptions import LocalProtocolError, RemoteProtocolError
from routermcp_proto.http.headers import HeaderBlock
from routermcp_proto.http.parameter_headers import (
    MAX_DEPTH,
    MAX_PLACES,
    MAX_SAFE_INTEGER,
    ParameterHeader,
    declared_headers,
    decode_header_value,
    encode_header_value,
    parameter_headers,
)

REGION = {"type": "string", "x-mcp-header": "Region"}


def properties(**parameters: Any) -> dict[str, Any]:
    return {"type": "object", "properties": parameters}


# ---- declarations ------------------------------------------------------------------


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


# ---- values ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "header"),
    [
        ("us-west1", "us-west1"),
        ("", ""),
        ("a b\tc", "a b\tc"),
        (42, "42"),
        (-7, "-7"),
        (42.0, "42"),
        (True, "true"),
        (False, "false"),
        (MAX_SAFE_INTEGER, "9007199254740991"),
        (-MAX_SAFE_INTEGER, "-9007199254740991"),
        ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
        ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
    ],
)
def test_values_are_converted_and_encoded(value: Any, header: str) -> None:
    declared = (ParameterHeader("Mcp-Param-A", ("a",)),)
    assert parameter_headers(declared, {"a": value}) == [("Mcp-Param-A", header)]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"a": None},
        {"a": {}},
        {"a": {"b": None}},
        {"a": "b"},
        {"a": ["b"]},
        {"b": 1},
        {"a": {"b": 1.5}},
        {"a": {"b": float("inf")}},
        {"a": {"b": float("nan")}},
        {"a": {"b": []}},
        {"a": {"b": {}}},
    ],
)
def test_what_is_not_there_has_no_header(arguments: dict[str, Any]) -> None:
    assert parameter_headers((ParameterHeader("Mcp-Param-B", ("a", "b")),), arguments) == []


def test_values_are_read_at_their_exact_path() -> None:
    declared = (ParameterHeader("Mcp-Param-B", ("a", "b")), ParameterHeader("Mcp-Param-C", ("c",)))
    arguments = MappingProxyType({"a": MappingProxyType({"b": 1}), "b": 2, "c": "x"})
    assert parameter_headers(declared, arguments) == [("Mcp-Param-B", "1"), ("Mcp-Param-C", "x")]


@pytest.mark.parametrize("value", [MAX_SAFE_INTEGER + 1, -MAX_SAFE_INTEGER - 1, 1e300])
def test_an_integer_that_javascript_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(LocalProtocolError, match=r"^a\.b is sent as a header too"):
        parameter_headers((ParameterHeader("Mcp-Param-B", ("a", "b")),), {"a": {"b": value}})


@given(st.text() | st.text(st.sampled_from("ab \t\n=?é")))
@example("=?base64?=")
@example("=?base64??=")
@example("=?base64?a?=")
@example("=?BASE64?a?=")
@example("a\n")
@example("\x7f")
def test_any_text_survives_the_trip(value: str) -> None:
    encoded = encode_header_value(value)
    assert decode_header_value(encoded) == value
    assert re.fullmatch(r"[ \t!-~]*", encoded)
    assert encoded == encoded.strip()
    HeaderBlock([("Mcp-Param-A", encoded)])
    if encoded != value:
        assert encoded == f"=?base64?{base64.b64encode(value.encode()).decode()}?="


@pytest.mark.parametrize(
    "value", ["=?base64?=", "=?Base64?YQ==?=", "=?base64?YQ==", "YQ==?=", "a=?base64?YQ==?="]
)
def test_only_the_exact_marks_are_decoded(value: str) -> None:
    assert decode_header_value(value) == value


@pytest.mark.parametrize("inner", ["YQ", "Y Q==", "!!!!", "Y===", "/w==", "é", "7aCA"])
def test_malformed_base64_is_refused(inner: str) -> None:
    with pytest.raises(RemoteProtocolError, match="marked as base64 and is not"):
        decode_header_value(f"=?base64?{inner}?=")


def test_half_of_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="half of a surrogate pair"):
        encode_header_value("\ud800")

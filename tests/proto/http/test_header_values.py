from __future__ import annotations

import base64
import re
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from routermcp_proto.exceptions import LocalProtocolError, RemoteProtocolError
from routermcp_proto.http.header_values import (
    MAX_SAFE_INTEGER,
    decode_header_value,
    encode_header_value,
    parameter_headers,
)
from routermcp_proto.http.headers import HeaderBlock
from routermcp_proto.types.parameter_headers import ParameterHeader


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

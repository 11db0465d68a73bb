from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from routermcp_proto.error_codes import INVALID_REQUEST, NO_CODE, PARSE_ERROR
from routermcp_proto.exceptions import LocalProtocolError
from routermcp_proto.jsonrpc import (
    MAX_BATCH,
    MAX_ERROR_WORDS,
    MAX_SEARCH_DEPTH,
    ErrorObject,
    ErrorResponse,
    Invalid,
    Message,
    Notification,
    Request,
    Response,
    decode,
    dumps,
    encode_error,
    encode_notification,
    encode_request,
    encode_response,
)

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.sampled_from(["2.0", "method"])
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=4)
IDS = st.integers() | TEXT
# Objects that have a message's members, with anything in them.
NEARLY = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | VALUES,
        "id": IDS | VALUES,
        "method": TEXT | VALUES,
        "params": OBJECTS | VALUES,
        "result": OBJECTS | VALUES,
        "error": st.fixed_dictionaries({"code": st.integers(), "message": TEXT}) | VALUES,
    },
)


def only(payload: bytes | str) -> Message:
    (message,) = decode(payload)
    return message


def invalid(payload: bytes | str) -> Invalid:
    message = only(payload)
    assert isinstance(message, Invalid)
    return message


# ---- decoding ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ('{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":1}}', Request(1, "m", {"a": 1})),
        ('{"jsonrpc":"2.0","id":"x","method":"m"}', Request("x", "m", {})),
        ('{"jsonrpc":"2.0","id":0,"method":"m","params":null}', Request(0, "m", {})),
        ('{"jsonrpc":"2.0","method":"m","params":{}}', Notification("m", {})),
        ('{"jsonrpc":"2.0","id":-1,"result":{"a":[]}}', Response(-1, {"a": []})),
        ('{"jsonrpc":"2.0","id":"","result":{}}', Response("", {})),
        (
            '{"jsonrpc":"2.0","id":1,"error":{"code":-3,"message":"no"}}',
            ErrorResponse(1, ErrorObject(-3, "no")),
        ),
        (
            '{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"","data":[1]}}',
            ErrorResponse(None, ErrorObject(1, "", [1])),
        ),
        (
            '{"jsonrpc":"2.0","error":{"code":1,"message":""}}',
            ErrorResponse(None, ErrorObject(1, "")),
        ),
    ],
)
def test_each_kind_of_message_is_read(payload: str, message: Message) -> None:
    assert only(payload) == message
    assert only(payload.encode()) == message
    assert decode(bytearray(payload.encode())) == (message,)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b" ",
        b"\xff",
        b"{",
        b"{}{}",
        b"{'a':1}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 100_000,
    ],
)
def test_what_is_not_json_is_a_parse_error(payload: bytes | str) -> None:
    found = invalid(payload)
    assert (found.code, found.id) == (PARSE_ERROR, None)
    assert found.problem.startswith("not JSON: ")
    assert len(found.problem) < 200


@pytest.mark.parametrize(
    ("payload", "kind"),
    [("null", "null"), ("true", "a boolean"), ("1", "a number"), ("1.5", "a number"), ('"a"', "a string")],
)
def test_a_message_is_an_object(payload: str, kind: str) -> None:
    assert only(payload) == Invalid(f"a message is an object, not {kind}", None, INVALID_REQUEST)


ID_KINDS = [("true", "a boolean"), ("1.5", "a number"), ("1e999", "a number"), ("[]", "an array")]
ONE_OF = "a message has one of method, result and error"


@pytest.mark.parametrize(
    ("members", "problem", "request_id"),
    [
        ('"id":1,"method":"m"', '"jsonrpc" is not "2.0"', 1),
        ('"jsonrpc":"1.0","id":"a","method":"m"', '"jsonrpc" is not "2.0"', "a"),
        ('"jsonrpc":2.0,"id":true,"method":"m"', '"jsonrpc" is not "2.0"', None),
        *[
            (f'"jsonrpc":"2.0","id":{value},{rest}', f"an id is a string or an integer, not {kind}", None)
            for value, kind in ID_KINDS
            for rest in ('"method":"m"', '"result":{}', '"error":{"code":1,"message":""}')
        ],
        ('"jsonrpc":"2.0","id":null,"method":"m"', "an id is a string or an integer, not null", None),
        ('"jsonrpc":"2.0","id":null,"result":{}', "an id is a string or an integer, not null", None),
        ('"jsonrpc":"2.0","id":{},"method":"m"', "an id is a string or an integer, not an object", None),
        ('"jsonrpc":"2.0"', ONE_OF, None),
        ('"jsonrpc":"2.0","id":1', ONE_OF, 1),
        ('"jsonrpc":"2.0","id":1,"params":{}', ONE_OF, 1),
        ('"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}', ONE_OF, 1),
        ('"jsonrpc":"2.0","id":1,"method":"m","result":{}', ONE_OF, 1),
        ('"jsonrpc":"2.0","method":"m","error":{}', ONE_OF, None),
        ('"jsonrpc":"2.0","id":1,"result":null,"error":null', ONE_OF, 1),
        ('"jsonrpc":"2.0","id":1,"error":null', "an error is an object, not null", 1),
        ('"jsonrpc":"2.0","id":1,"method":null', "a method is a string, not null", 1),
        ('"jsonrpc":"2.0","method":3', "a method is a string, not a number", None),
        ('"jsonrpc":"2.0","id":1,"method":"m","params":[]', "params of 'm' is not an object but an array", 1),
        ('"jsonrpc":"2.0","method":"m","params":"a"', "params of 'm' is not an object but a string", None),
        ('"jsonrpc":"2.0","result":{}', "a result without an id", None),
        ('"jsonrpc":"2.0","id":1,"result":null', "a result is an object, not null", 1),
        ('"jsonrpc":"2.0","id":1,"result":[]', "a result is an object, not an array", 1),
    ],
)
def test_what_is_wrong_with_a_message_is_said(
    members: str, problem: str, request_id: int | str | None
) -> None:
    assert only(f"{{{members}}}") == Invalid(problem, request_id, INVALID_REQUEST)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ('"id":3.0,"result":{}', Response(3, {})),
        ('"jsonrpc":"1.0","id":"3","result":{}', Response("3", {})),
        ('"id":1,"result":{"a":1},"error":null', Response(1, {"a": 1})),
        ('"id":1,"result":null,"error":{"code":7,"message":"m"}', ErrorResponse(1, ErrorObject(7, "m"))),
        ('"id":1,"error":"no room"', ErrorResponse(1, ErrorObject(NO_CODE, "no room"))),
        ('"id":1,"error":["a",1]', ErrorResponse(1, ErrorObject(NO_CODE, '["a", 1]'))),
        ('"id":1,"error":{}', ErrorResponse(1, ErrorObject(NO_CODE, "{}"))),
        ('"id":1,"error":{"code":1}', ErrorResponse(1, ErrorObject(1, '{"code": 1}'))),
        ('"id":1,"error":{"message":"a"}', ErrorResponse(1, ErrorObject(NO_CODE, "a"))),
        ('"id":1,"error":{"code":"-32602","message":"a"}', ErrorResponse(1, ErrorObject(-32602, "a"))),
        ('"id":1,"error":{"code":"EIO","message":"a"}', ErrorResponse(1, ErrorObject(NO_CODE, "a (EIO)"))),
        ('"id":1,"error":{"code":"EIO"}', ErrorResponse(1, ErrorObject(NO_CODE, '{"code": "EIO"}'))),
        ('"id":1,"error":{"code":true,"message":"a"}', ErrorResponse(1, ErrorObject(NO_CODE, "a (true)"))),
        ('"id":1,"error":{"code":1.0,"message":"a"}', ErrorResponse(1, ErrorObject(1, "a"))),
        ('"id":1,"error":{"code":1.5,"message":"a"}', ErrorResponse(1, ErrorObject(NO_CODE, "a (1.5)"))),
        ('"id":1,"error":{"code":1,"message":{"en":"a"}}', ErrorResponse(1, ErrorObject(1, '{"en": "a"}'))),
    ],
)
def test_an_answer_of_an_odd_server_is_understood(members: str, message: Message) -> None:
    assert only(f"{{{members}}}") == message
    assert decode(f"[{{{members}}}]") == (message,)


def test_the_words_of_an_error_are_bounded() -> None:
    (answer,) = decode(json.dumps({"id": 1, "error": ["x" * 10 * MAX_ERROR_WORDS]}))
    assert isinstance(answer, ErrorResponse)
    assert len(answer.error.message) == MAX_ERROR_WORDS


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b'"\xff"', "\ufffd"),
        (b'"\xed\xa0\x80"', "\ufffd\ufffd\ufffd"),
        (b'"\\ud800x"', "\ufffdx"),
        (b'"\\udc00"', "\ufffd"),
        (b'"\\ud83d\\ude00\\ud83d"', "\U0001f600\ufffd"),
        (b'"a\tb"', "a\tb"),
        (b"Infinity", float("inf")),
        (b"-Infinity", float("-inf")),
    ],
)
def test_what_json_does_not_allow_and_is_clear_is_read(written: bytes, read: object) -> None:
    payload = b'{"jsonrpc":"2.0","id":1,"result":{"a":' + written + b"}}"
    assert only(payload) == Response(1, {"a": read})
    assert only(b"\xef\xbb\xbf" + payload) == Response(1, {"a": read})


def test_a_text_with_half_of_a_pair_is_read() -> None:
    assert only('{"jsonrpc":"2.0","id":1,"result":{"a":"\ud800"}}') == Response(1, {"a": "\ufffd"})


@pytest.mark.parametrize("written", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_none_are_refused_where_that_is_wanted(written: str) -> None:
    payload = f'{{"jsonrpc":"2.0","id":1,"result":{{"a":{written}}}}}'
    assert isinstance(only(payload), Response)
    (refused,) = decode(payload, strict=True)
    assert isinstance(refused, Invalid)
    assert (refused.code, refused.id) == (PARSE_ERROR, 1)


@pytest.mark.parametrize(
    ("payload", "answered"),
    [
        ('{"jsonrpc":"2.0","result":{"a":[{"b":NaN}]},"id":"x"}', "x"),
        ('{"jsonrpc":"2.0","id":2,"error":{"code":1,"message":"m","data":-Infinity}}', 2),
        ('{"jsonrpc":"2.0","id":3,"method":"ping","params":{"a":NaN}}', None),
        ('{"jsonrpc":"2.0","method":"note","params":{"a":Infinity}}', None),
        ('{"jsonrpc":"2.0","id":4,"result":{"a":NaN', None),
    ],
)
def test_the_call_that_a_refused_message_answers_is_known(payload: str, answered: object) -> None:
    """No call of ours has the id of a request of the peer."""
    (refused,) = decode(payload, strict=True)
    assert isinstance(refused, Invalid)
    assert refused.id == answered


def test_what_has_no_such_numbers_is_read_strictly_too() -> None:
    assert decode(b'\xef\xbb\xbf{"jsonrpc":"2.0","id":1,"result":{"a":1.5}}', strict=True) == (
        Response(1, {"a": 1.5}),
    )


def test_a_long_method_is_cut_in_the_problem() -> None:
    found = invalid(f'{{"jsonrpc":"2.0","method":"{"m" * 10_000}","params":1}}')
    assert len(found.problem) < 200


def test_the_last_of_two_equal_keys_wins() -> None:
    payload = '{"jsonrpc":"2.0","id":1,"id":2,"result":{"a":1,"a":2},"result":{"a":3,"a":4}}'
    assert only(payload) == Response(2, {"a": 4})


def test_a_batch_is_refused_where_the_revision_has_none() -> None:
    for payload in ('[{"jsonrpc":"2.0","id":1,"method":"m"}]', "[]", "[1]", '[{"id":1,"result":{}},1]'):
        assert only(payload) == Invalid("this revision does not allow batches", None, INVALID_REQUEST)
    payload = '[{"jsonrpc":"2.0","id":1,"method":"m"}]'
    assert decode(payload, batches=True) == (Request(1, "m", {}),)


def test_an_array_of_one_answer_is_that_answer() -> None:
    assert only('[{"jsonrpc":"2.0","method":"m"}]') == Notification("m", {})
    assert only('[{"id":1,"result":{}}]') == Response(1, {})


def test_one_bad_message_of_a_batch_costs_that_message_alone() -> None:
    payload = (
        '[{"jsonrpc":"2.0","method":"m"},3,[],{"jsonrpc":"2.0","id":4},{"jsonrpc":"2.0","id":1,"result":{}}]'
    )
    assert decode(payload, batches=True) == (
        Notification("m", {}),
        Invalid("a message is an object, not a number", None, INVALID_REQUEST),
        Invalid("a message is an object, not an array", None, INVALID_REQUEST),
        Invalid(ONE_OF, 4, INVALID_REQUEST),
        Response(1, {}),
    )


def test_a_batch_has_bounds() -> None:
    full = [{"jsonrpc": "2.0", "method": "m"}] * MAX_BATCH
    assert len(decode(json.dumps(full), batches=True)) == MAX_BATCH
    for size, payload in ((MAX_BATCH + 1, json.dumps([*full, 1])), (0, "[]")):
        problem = f"a batch has 1 to {MAX_BATCH} messages, not {size}"
        assert decode(payload, batches=True) == (Invalid(problem, None, INVALID_REQUEST),)


@given(st.binary(), st.booleans())
def test_decoding_bytes_never_raises(payload: bytes, batches: bool) -> None:
    assert decode(payload, batches=batches)


@given(st.text(st.characters(), max_size=20), st.booleans())
def test_decoding_text_never_raises(payload: str, batches: bool) -> None:
    assert decode(payload, batches=batches)


@given(NEARLY | st.lists(NEARLY | VALUES, max_size=3) | VALUES, st.booleans())
def test_decoding_json_never_raises(value: Any, batches: bool) -> None:
    messages = decode(json.dumps(value), batches=batches)
    assert len(messages) == (len(value) if batches and isinstance(value, list) and value else 1)
    for message in messages:
        if isinstance(message, Invalid):
            assert message.problem
            assert message.code == INVALID_REQUEST
        elif isinstance(message, Request | Response):
            assert type(message.id) in (int, str)


# ---- encoding ----------------------------------------------------------------------


@given(IDS, TEXT, OBJECTS, OBJECTS)
def test_what_is_encoded_is_decoded(
    request_id: int | str, method: str, members: dict[str, Any], meta: dict[str, Any]
) -> None:
    assert only(encode_request(request_id, method, members)) == Request(request_id, method, members)
    assert only(encode_notification(method, members)) == Notification(method, members)
    assert only(encode_response(request_id, members)) == Response(request_id, members)
    ready = dumps(meta)
    members.pop("_meta", None)
    params = {"_meta": meta, **members}
    assert only(encode_request(request_id, method, members, ready)) == Request(request_id, method, params)
    assert only(encode_notification(method, members, ready)) == Notification(method, params)


@given(st.none() | IDS, st.integers(), TEXT, VALUES)
def test_an_error_that_is_encoded_is_decoded(
    request_id: int | str | None, code: int, message: str, data: Any
) -> None:
    error = ErrorObject(code, message, data)
    assert only(encode_error(request_id, error)) == ErrorResponse(request_id, error)


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (encode_request(7, "m", {}), b'{"jsonrpc":"2.0","id":7,"method":"m"}'),
        (encode_request("a", "m", {"b": 1}), b'{"jsonrpc":"2.0","id":"a","method":"m","params":{"b":1}}'),
        (
            encode_request(7, "m", {"b": "\N{SNOWMAN}"}, b'{"c":1}'),
            '{"jsonrpc":"2.0","id":7,"method":"m","params":{"_meta":{"c":1},"b":"\N{SNOWMAN}"}}'.encode(),
        ),
        (
            encode_request(7, "m", {}, b"{}"),
            b'{"jsonrpc":"2.0","id":7,"method":"m","params":{"_meta":{}}}',
        ),
        (encode_notification("m", {}), b'{"jsonrpc":"2.0","method":"m"}'),
        (
            encode_notification("m", MappingProxyType({"b": ()}), b'{"c":1}'),
            b'{"jsonrpc":"2.0","method":"m","params":{"_meta":{"c":1},"b":[]}}',
        ),
        (encode_response(7, {}), b'{"jsonrpc":"2.0","id":7,"result":{}}'),
        (
            encode_error(None, ErrorObject(-1, 'a"b')),
            b'{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"a\\"b"}}',
        ),
        (
            encode_error("x", ErrorObject(-1, "a", [None])),
            b'{"jsonrpc":"2.0","id":"x","error":{"code":-1,"message":"a","data":[null]}}',
        ),
    ],
)
def test_messages_are_encoded_compactly(encoded: bytes, expected: bytes) -> None:
    assert encoded == expected


class Part(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    snake_case: int | None = Field(default=None, alias="camelCase")
    data: bytes = b""
    other: Any = None


def test_models_and_mappings_are_objects() -> None:
    value = {"part": [Part(snake_case=1)], "mapping": MappingProxyType({"a": Part(data=b"x")}), 3: None}
    assert dumps(value) == b'{"part":[{"camelCase":1}],"mapping":{"a":{"data":"x"}},"3":null}'
    assert dumps(Part()) == b"{}"
    assert dumps(Part(snake_case=None)) == b'{"camelCase":null}'


def circle() -> dict[str, Any]:
    value: dict[str, Any] = {"a": [1]}
    value["a"].append(value)
    return value


def nested(depth: int, inner: Any) -> Any:
    for _ in range(depth):
        inner = [inner]
    return inner


@pytest.mark.parametrize(
    ("value", "where", "reason"),
    [
        ({"a": [1, {"b": float("nan")}]}, "value['a'][1]['b']", "Out of range float"),
        ({"a": float("inf")}, "value['a']", "Out of range float"),
        ((0, [{object()}]), "value[1][0]", "JSON has no set"),
        ({"a": {"b": range(3)}}, "value['a']['b']", "JSON has no range"),
        (MappingProxyType({"a": object()}), "value['a']", "JSON has no object"),
        (object(), "value", "JSON has no object"),
        ({"a": "x\ud800"}, "value['a']", "half of a surrogate pair"),
        ({"a": {"\udfff": 1}}, "value['a']", "half of a surrogate pair"),
        ("\ud800", "value", "half of a surrogate pair"),
        ({"a": {object(): 3}}, "value['a']", "keys must be str"),
        ({"a": 10**5000}, "value['a']", "integer string conversion"),
        (circle(), "value['a'][1]", "Circular reference"),
        ([0, Part(other="\ud800")], "value[1]", "half of a surrogate pair"),
        ([0, Part(other=object())], "value[1]", "Unable to serialize unknown type"),
        (nested(100_000, 1), "value", "it is nested too deeply"),
        (nested(60, object()), "value" + "[0]" * MAX_SEARCH_DEPTH, "JSON has no object"),
    ],
)
def test_what_cannot_be_encoded_is_named(value: Any, where: str, reason: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        dumps(value)
    assert str(caught.value).startswith(f"{where} cannot be sent as JSON: ")
    assert reason in str(caught.value)


def test_errors_name_the_part_of_the_message() -> None:
    bad = {"a": object()}
    with pytest.raises(LocalProtocolError, match=r"^params\['a'\] cannot"):
        encode_request(1, "m", bad)
    with pytest.raises(LocalProtocolError, match=r"^params\['a'\] cannot"):
        encode_notification("m", bad, b"{}")
    with pytest.raises(LocalProtocolError, match=r"^result\['a'\] cannot"):
        encode_response(1, bad)
    with pytest.raises(LocalProtocolError, match=r"^error\['data'\]\['a'\] cannot"):
        encode_error(1, ErrorObject(1, "m", bad))
    with pytest.raises(LocalProtocolError, match=r"^the method cannot"):
        encode_notification("\ud800", {})
    with pytest.raises(LocalProtocolError, match=r"^the id cannot"):
        encode_response("\ud800", {})


@dataclass
class Point:
    x: int
    at: date


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05Z"),
        (date(2026, 1, 2), "2026-01-02"),
        (timedelta(seconds=90), "PT1M30S"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.50"), "1.50"),
        (Path("a"), "a"),
        (Colour.RED, "red"),
        ({1}, [1]),
        (frozenset({"a"}), ["a"]),
        (Point(1, date(2026, 1, 2)), {"x": 1, "at": "2026-01-02"}),
        (b"\xff\xfe", "//4="),
        (bytearray(b"ab"), "YWI="),
        ({UUID(int=1): 1, date(2026, 1, 2): 2}, {"00000000-0000-0000-0000-000000000001": 1, "2026-01-02": 2}),
    ],
)
def test_values_of_python_are_sent_as_pydantic_writes_them(value: object, written: object) -> None:
    assert json.loads(dumps({"a": [value]})) == {"a": [written]}


BROKEN = st.recursive(
    st.sampled_from([float("nan"), float("inf"), object(), "\ud800"]),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=2) | st.dictionaries(TEXT, inner, min_size=1, max_size=2)
    ),
)


@settings(max_examples=50)
@given(BROKEN)
def test_the_place_that_is_named_is_the_broken_one(value: Any) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        dumps(value, "value")
    place = str(caught.value).rpartition(" cannot be sent as JSON")[0]
    assert not isinstance(eval(place, {"value": value}), list | dict)


@pytest.mark.parametrize("line", [b"INFO: ready", b'"\\ud800"', "INFO: ready", "\ud800", b"\xff\xff"])
def test_a_line_of_another_program_is_read_once(line: bytes | str) -> None:
    (message,) = decode(line)
    assert isinstance(message, Invalid)
    assert message.problem.startswith("not JSON")

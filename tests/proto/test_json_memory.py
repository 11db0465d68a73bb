"""What is said about the memory of a JSON text, against what Python takes for it."""

from __future__ import annotations

import json
import tracemalloc
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

from routermcp_proto import json_memory, jsonrpc
from routermcp_proto.json_memory import DEAREST, FREE, MIN_COUNTED, PER_BYTE, bound_of, memory_of

#: Bytes of the texts whose memory is measured, and what is measured of other things.
SIZE = 60_000
BESIDE = 2_000

#: Different words of three letters.
WORDS = ["".join(letters) for letters in product("abcdefghijklmnopqrstuvwxyz", repeat=3)]

#: An entry of an array each, and the bytes that its like takes for each of its own.
DEAR = {"{}": 24, "[]": 24, "1.5": 10, "999": 10, '{"a":0}': 25, "[0]": 22, "[[]]": 30, "NaN": 10}


def filled(entry: str, size: int = SIZE) -> bytes:
    return f"[{','.join([entry] * (size // (len(entry) + 1)))}]".encode()


def members(count: int) -> str:
    return json.dumps(dict.fromkeys(WORDS[:count], 0), separators=(",", ":"))


ROWS = [{"id": 10**6 + n, "name": f"n{n}", "on": True, "at": [n / 7, None]} for n in range(700)]

TEXTS = {
    **{entry: filled(entry) for entry in [*DEAR, '""', "0", "true", "[0,0,0,0,0]"]},
    "deep": filled("[" * 150 + "]" * 150),
    "deep objects": filled('{"a":' * 150 + "0" + "}" * 150),
    "words": json.dumps(WORDS, separators=(",", ":")).encode(),
    "wide words": json.dumps([f"\u0101{word}" for word in WORDS], ensure_ascii=False).encode(),
    "one wide character": ('["' + "x" * SIZE + '\U0001f600"]').encode(),
    "one wide escape": ('["' + "x" * SIZE + '\\ud83d\\ude00"]').encode(),
    "long escapes": filled('"' + "\\n" * 500 + '"'),
    "quotes": filled('"' + '\\"\\\\' * 500 + '"'),
    "digits": filled("9" * 20),
    **{f"{count} members": filled(members(count)) for count in (1, 5, 6, 10, 11, 21, 22, 100)},
    "an object of many members": members(len(WORDS)).encode(),
    "a table": json.dumps(ROWS).encode(),
    "indented": json.dumps(ROWS, indent=2).encode(),
}


def taken(text: bytes) -> int:
    """Return the bytes of Python's memory that a text takes decoded."""
    tracemalloc.start()
    try:
        value = from_json(text)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    del value
    return size


@pytest.mark.parametrize("name", TEXTS)
def test_no_text_takes_more_than_is_said(name: str) -> None:
    text = TEXTS[name]
    assert taken(text) <= memory_of(text) + len(text) / 2 + BESIDE


@pytest.mark.parametrize(("entry", "per_byte"), DEAR.items())
def test_dear_texts_are_known(entry: str, per_byte: int) -> None:
    assert per_byte <= memory_of(filled(entry)) / SIZE <= 1.5 * per_byte


@pytest.mark.parametrize("name", ["a table", "indented", "quotes", "long escapes", '""', "0", "true"])
def test_texts_that_are_not_dear_are_known(name: str) -> None:
    assert memory_of(TEXTS[name]) < PER_BYTE * len(TEXTS[name])


@pytest.mark.parametrize("name", TEXTS)
def test_a_short_text_takes_no_more_than_its_bound(name: str) -> None:
    text = b'{"id":1,"result":{"a":%b}}' % TEXTS[name]
    (message,) = jsonrpc.decode(text)
    assert isinstance(message, jsonrpc.Response)
    assert message.memory() <= message.memory_at_most() == DEAREST * len(text)


@pytest.mark.parametrize("entry", DEAR)
def test_a_dear_text_is_refused_from_where_it_takes_more_than_its_size_and_32_mb(entry: str) -> None:
    per_byte = memory_of(filled(entry)) / SIZE
    limit = int(FREE / (per_byte - PER_BYTE))
    assert limit > MIN_COUNTED
    if limit < 4 * MIN_COUNTED:
        assert bound_of(filled(entry, int(limit * 1.1))) is None
        assert bound_of(filled(entry, int(limit * 0.9))) is not None


def test_a_dear_message_costs_its_call() -> None:
    text = b'{"jsonrpc":"2.0","id":7,"result":%b}' % filled("[[]]", 2 * MIN_COUNTED)
    for payload in (text, bytearray(text), text.decode()):
        (message,) = jsonrpc.decode(payload)
        assert isinstance(message, jsonrpc.Invalid)
        assert message.id == 7
        assert "10 times its size and 32 MiB" in message.problem


def test_a_text_of_too_many_containers_is_too_dear(monkeypatch: pytest.MonkeyPatch) -> None:
    text = filled('[{"a":"' + "x" * 60 + '"}]')
    assert bound_of(text) is not None
    monkeypatch.setattr(json_memory, "MAX_CONTAINERS", len(text) // 40)
    assert bound_of(text) is None
    assert bound_of(filled('"' + "[" * 60 + '"')) is not None, "those in strings are none"


def test_letters_are_counted_where_the_decoder_makes_a_new_string_of_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(json_memory, "SHARED_LENGTH", 1)
    shared = memory_of('["a","a",""]')
    monkeypatch.setattr(json_memory, "SHARED_LENGTH", 0)
    assert memory_of('["a","a",""]') == shared + 2 * (json_memory.STRING + 1)


def test_half_of_a_surrogate_pair_is_counted() -> None:
    assert bound_of('["' + "x" * MIN_COUNTED + '\ud83d"]') is not None


def test_marks_within_strings_are_none() -> None:
    text = ('["' + r"{[,:1000,\"\\" * 10_000 + '"]').encode()
    json.loads(text)
    assert memory_of(text) < 2 * len(text)


texts = st.text('{}[],:"\\u0x \u0101', max_size=10)
json_values = st.recursive(
    st.sampled_from([None, True, 0, 1000, 1.5]) | texts,
    lambda children: st.lists(children, max_size=7) | st.dictionaries(texts, children, max_size=7),
    max_leaves=20,
)


@settings(max_examples=25)
@given(json_values, st.sampled_from([None, 1]), st.booleans())
def test_the_quick_bound_is_one(value: object, indent: int | None, ensure_ascii: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ensure_ascii).encode()
    memory, containers = json_memory._at_most(text)
    assert memory >= memory_of(text)
    assert containers >= max(sums[1] for sums in json_memory._running_sums(text))


def test_a_long_text_is_counted_once() -> None:
    text = b'{"id":1,"result":{"a":"%b"}}' % (b"x" * MIN_COUNTED)
    (message,) = jsonrpc.decode(text)
    assert isinstance(message, jsonrpc.Response)
    assert message.memory_at_most() == bound_of(text) < 2 * len(text)

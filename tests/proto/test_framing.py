from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from routermcp_proto.exceptions import RemoteProtocolError
from routermcp_proto.framing import LineDecoder

PARTS = [b"\n", b"\r", b"\r\n", b"a", b"{}", b"\0", b"\xff"]
STREAMS = st.lists(st.sampled_from(PARTS), max_size=25).map(b"".join)
LIMIT = 4


def outcome(pieces: Iterable[bytes], limit: int = 1000) -> list[bytes] | str:
    decoder = LineDecoder(limit)
    lines: list[bytes] = []
    try:
        for piece in pieces:
            lines += decoder.receive_data(piece)
        return lines + decoder.receive_eof()
    except RemoteProtocolError as error:
        return str(error)


def in_bytes(stream: bytes) -> list[bytes]:
    return [stream[i : i + 1] for i in range(len(stream))]


@given(STREAMS, st.integers(0, 50), st.integers(0, 50))
@example(b"abc\r\n", 4, 5)
def test_whole_and_in_any_pieces(stream: bytes, first: int, second: int) -> None:
    lines = [line.removesuffix(b"\r") for line in stream.split(b"\n")]
    expected = [line for line in lines if line]
    pieces = [stream[:first], stream[first : first + second], stream[first + second :]]
    assert outcome([stream]) == outcome(pieces) == outcome(in_bytes(stream)) == expected


@given(STREAMS, st.integers(0, 50))
@example(b"abcd\r\n", 5)
@example(b"\nabcd\r\n", 1)
def test_the_limit_does_not_depend_on_the_pieces(stream: bytes, cut: int) -> None:
    whole = outcome([stream], LIMIT)
    assert outcome([stream[:cut], stream[cut:]], LIMIT) == whole
    assert outcome(in_bytes(stream), LIMIT) == whole
    too_long = any(len(line) > LIMIT for line in stream.split(b"\n"))
    assert (whole == f"a line is longer than {LIMIT} bytes") is too_long


def test_lines_come_as_soon_as_they_are_complete() -> None:
    decoder = LineDecoder()
    assert decoder.receive_data(b'{"a"') == []
    assert decoder.receive_data(b":1}\r") == []
    assert decoder.receive_data(b"\n\n\r\nb\nc") == [b'{"a":1}', b"b"]
    assert decoder.receive_data(b"") == []
    assert decoder.receive_eof() == [b"c"]
    assert decoder.receive_eof() == []


def test_only_one_carriage_return_belongs_to_the_end() -> None:
    assert LineDecoder().receive_data(b"a\rb\r\r\n") == [b"a\rb\r"]
    assert outcome([b"a\r"]) == [b"a"]


@pytest.mark.timeout(30)
def test_a_line_that_comes_byte_by_byte_is_joined_once() -> None:
    """A decoder that copied what it has with every piece would take minutes."""
    decoder = LineDecoder()
    big = b"x" * 16_000_000
    decoder.receive_data(big)
    for _ in range(30_000):
        decoder.receive_data(b"y")
    assert decoder.receive_data(b"\n") == [big + b"y" * 30_000]
    assert len(decoder.receive_data(b"a\n" * 10_000)) == 10_000

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from routermcp_proto.exceptions import RemoteProtocolError
from routermcp_proto.http.sse import MAX_RETRY_MS, ServerSentEvent, SSEDecoder

Outcome = tuple[list[tuple[str, str, str]], str, int | None]


def decoded(pieces: Iterable[bytes]) -> Outcome:
    decoder = SSEDecoder()
    events = [event for piece in pieces for event in decoder.receive_data(piece)]
    decoder.receive_eof()
    found = [(event.event, event.data.decode("utf-8", "replace"), event.id) for event in events]
    return found, decoder.last_event_id, decoder.retry


def feed(decoder: SSEDecoder, stream: bytes) -> None:
    for i in range(len(stream)):
        decoder.receive_data(stream[i : i + 1])


def by_the_standard(stream: bytes) -> Outcome:
    """Interpret a whole stream as the standard words it: decoded first, then line by line."""
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
    data = event_type = id_buffer = last_event_id = ""
    retry: int | None = None
    events: list[tuple[str, str, str]] = []
    for line in re.split("\r\n|\n|\r", text)[:-1]:
        if line == "":
            last_event_id = id_buffer
            if data != "":
                events.append((event_type or "message", data.removesuffix("\n"), last_event_id))
            data = event_type = ""
        elif line.startswith(":"):
            pass
        else:
            field, colon, value = line.partition(":")
            if colon and value.startswith(" "):
                value = value[1:]
            if field == "event":
                event_type = value
            elif field == "data":
                data += value + "\n"
            elif field == "id":
                id_buffer = id_buffer if "\0" in value else value
            elif field == "retry" and re.fullmatch("[0-9]+", value):
                retry = int(value)
    return events, last_event_id, retry


def in_pieces(stream: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = [0, *sorted(cuts), len(stream)]
    return [stream[start:end] for start, end in pairwise(places)]


SNIPPETS = [
    b"data",
    b"event",
    b"id",
    b"retry",
    b":",
    b": ",
    b" ",
    b"\r",
    b"\n",
    b"\r\n",
    b"\n\n",
    b"\0",
    b"7",
]
SNIPPETS += [
    b"00",
    b"a",
    b"data: x\n",
    b"\xef\xbb\xbf",
    b"\xef\xbb",
    b"\xef",
    b"\xe2\x98\x83",
    b"\xff",
    b"dat",
]
STREAMS = st.lists(st.sampled_from(SNIPPETS), max_size=30).map(b"".join) | st.binary(max_size=20)


@given(STREAMS, st.lists(st.integers(0, 60), max_size=5))
@example(b"\xef\xbb\xbfdata: a\r\n\r\n", [1, 2, 3])
@example(b"\xef\xbbdata: a\n\n", [1, 2])
@example(b"data: a\r\ndata: b\r\n\r\n", [8])
@example(b"id: a\ndata: x", [])
@example(b"retry:7", [])
def test_whole_and_in_any_pieces_as_the_standard_says(stream: bytes, cuts: list[int]) -> None:
    expected = by_the_standard(stream)
    assert decoded([stream]) == expected
    assert decoded(in_pieces(stream, [min(cut, len(stream)) for cut in cuts])) == expected
    assert decoded(stream[i : i + 1] for i in range(len(stream))) == expected


STREAM = (
    b"\xef\xbb\xbf: hello\r\n\r\nid: 1\rdata\r\revent: ping\ndata: {}\r\ndata:  \xe2\x98\x83\n\nretry: 250\n"
    b"id: x\0y\nid\ndata:\n\n"
)


def test_every_split_of_a_stream_in_three_gives_the_same() -> None:
    expected = (
        [("message", "", "1"), ("ping", "{}\n \N{SNOWMAN}", "1"), ("message", "", "")],
        "",
        250,
    )
    assert by_the_standard(STREAM) == expected
    for first in range(len(STREAM) + 1):
        for second in range(first, len(STREAM) + 1):
            assert decoded(in_pieces(STREAM, [first, second])) == expected


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [ServerSentEvent("message", b"a", "")]),
        (b"data:a\n\n", [ServerSentEvent("message", b"a", "")]),
        (b"data:  a \n\n", [ServerSentEvent("message", b" a ", "")]),
        (b"data: a: b\n\n", [ServerSentEvent("message", b"a: b", "")]),
        (b"data\n\n", [ServerSentEvent("message", b"", "")]),
        (b"data:\ndata:\n\n", [ServerSentEvent("message", b"\n", "")]),
        (b"data: a\ndata: b\n\n", [ServerSentEvent("message", b"a\nb", "")]),
        (
            b"event: e\ndata: a\n\ndata: b\n\n",
            [ServerSentEvent("e", b"a", ""), ServerSentEvent("message", b"b", "")],
        ),
        (b"event:\ndata: a\n\n", [ServerSentEvent("message", b"a", "")]),
        (b"event: \xff\ndata: \xff\n\n", [ServerSentEvent("\ufffd", b"\xff", "")]),
        (b"event: e\n\ndata: a\n\n", [ServerSentEvent("message", b"a", "")]),
        (
            b"id: 1\ndata: a\n\ndata: b\n\n",
            [ServerSentEvent("message", b"a", "1"), ServerSentEvent("message", b"b", "1")],
        ),
        (b": comment\n:\n\n", []),
        (b"DATA: a\n data: b\nnothing\n\n", []),
        (b"\n\n\r\n\r", []),
        (b"data: a\n", []),
        (b"data: a\n\ndata: b\n", [ServerSentEvent("message", b"a", "")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [ServerSentEvent("message", b"a", "")]),
    ],
)
def test_events(stream: bytes, events: list[ServerSentEvent]) -> None:
    assert SSEDecoder().receive_data(stream) == events


def test_an_event_without_data_moves_the_id() -> None:
    decoder = SSEDecoder()
    assert decoder.receive_data(b"id: 7\nretry: 10\n") == []
    assert (decoder.last_event_id, decoder.retry) == ("", 10)
    assert decoder.receive_data(b"\n") == []
    assert decoder.last_event_id == "7"
    decoder.receive_data(b"id: 8\0\n\n")
    assert decoder.last_event_id == "7"
    decoder.receive_data(b"id\n\n")
    assert decoder.last_event_id == ""


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_end_of_the_stream_gives_the_event_that_lacks_its_blank_line(end: bytes) -> None:
    decoder = SSEDecoder()
    decoder.receive_data(b"id: 1\ndata: a\n\nid: 2\nevent: e\ndata: b\ndata: c" + end)
    assert decoder.receive_eof() == [ServerSentEvent("e", b"b\nc", "1")]
    assert decoder.receive_eof() == []
    assert decoder.last_event_id == "1"
    assert decoder.receive_data(b"\n\n") == []
    assert decoder.last_event_id == "1"


@pytest.mark.parametrize(
    ("value", "retry"),
    [
        (b"0", 0),
        (b"1500", 1500),
        (b"0" * 10_000 + b"15", 15),
        (b"000", 0),
        (b"9" * 12, 999_999_999_999),
        (b"9" * 10_000, MAX_RETRY_MS),
        (b"", None),
        (b"-1", None),
        (b"1.5", None),
        (b"1 ", None),
        ("\N{ARABIC-INDIC DIGIT ONE}".encode(), None),
    ],
)
def test_retry(value: bytes, retry: int | None) -> None:
    decoder = SSEDecoder()
    decoder.receive_data(b"retry: %b\n" % value)
    assert decoder.retry == retry


@pytest.mark.parametrize(
    "stream",
    [
        b"data: " + b"x" * 100,
        b"data: xxxxxxxx\n" * 100,
        b"data\n" * 100,
        b"nothing" * 20,
        b":" * 51,
        b"event: " + b"x" * 100 + b"\n\n",
    ],
)
def test_an_event_has_a_limit(stream: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="larger than 50 bytes"):
        SSEDecoder(50).receive_data(stream)
    decoder = SSEDecoder(50)
    with pytest.raises(RemoteProtocolError, match="larger than 50 bytes"):
        feed(decoder, stream)


def test_the_size_of_what_has_not_been_dispatched() -> None:
    decoder = SSEDecoder()
    sizes: list[int] = []
    for piece in (b"\xef\xbb\xbf", b"da", b"ta: a", b"bc\r", b"\n", b"data\n", b"x", b"\n\n", b"data: a"):
        decoder.receive_data(piece)
        sizes.append(decoder.size)
    assert sizes == [0, 2, 7, 4, 4, 5, 6, 0, 7]
    decoder.receive_eof()
    assert decoder.size == 0


def test_many_events_that_are_small_enough_have_no_limit() -> None:
    stream = b"id: 1\n: comment\ndata: 1234567890\n\n" * 100
    assert len(SSEDecoder(30).receive_data(stream)) == 100


@pytest.mark.timeout(30)
def test_an_event_that_comes_byte_by_byte_is_joined_once() -> None:
    """A decoder that copied what it has with every piece would take minutes."""
    decoder = SSEDecoder()
    big = b"x" * 16_000_000
    decoder.receive_data(b"data:" + big)
    feed(decoder, b"y" * 30_000)
    assert decoder.receive_data(b"\n\n") == [ServerSentEvent("message", big + b"y" * 30_000, "")]
    assert len(decoder.receive_data(b"data:1\n\n" * 10_000)) == 10_000

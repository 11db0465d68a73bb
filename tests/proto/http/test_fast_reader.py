"""The short way reads what h11 reads: the same events for any bytes in any pieces."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routermcp_proto.exceptions import RemoteProtocolError
from routermcp_proto.http.fast_reader import DirectResponseReader
from routermcp_proto.http.h11_reader import H11ResponseReader
from routermcp_proto.http.reader import (
    NEED_DATA,
    BodyData,
    EndOfBody,
    ResponseHead,
    ResponseReader,
)

PLAIN = b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello"

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def read(reader: ResponseReader, pieces: list[bytes]) -> list[object]:
    """Feed pieces and list what comes of them, adjacent body data joined, an error as its words."""
    seen: list[object] = []
    reader.start(b"POST")
    try:
        for piece in pieces:
            reader.receive_data(piece)
            while (item := reader.next_event()) is not NEED_DATA:
                if isinstance(item, BodyData) and seen and isinstance(seen[-1], BodyData):
                    seen[-1] = BodyData(seen[-1].data + item.data)
                elif isinstance(item, ResponseHead):
                    seen.append((item.status, item.headers, item.reason))
                else:
                    seen.append(item)
                if isinstance(item, EndOfBody):
                    return [*seen, reader.reusable, reader.trailing]
    except RemoteProtocolError as error:
        # Which bytes h11 quotes of an odd line end depends on the pieces that it is fed.
        seen.append(str(error).partition(": bytearray")[0])
    return seen


def assert_alike(pieces: list[bytes], max_head_size: int = 400) -> list[object]:
    direct = read(DirectResponseReader(max_head_size), pieces)
    assert direct == read(H11ResponseReader(max_head_size), pieces)
    return direct


#: Answers of all kinds; every one is cut, mixed up and put together below.
ANSWERS = [
    PLAIN,
    b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1234567890123456789012\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    CHUNKED + b"5\r\nhello\r\n00A\r\n and again\r\n0\r\n\r\n",
    CHUNKED + b"5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
    CHUNKED + b"5 ;name=value\r\nhello\r\n0\r\n\r\n",
    CHUNKED + b"5\r\nhello0\r\n\r\n",
    CHUNKED + b"5\r\nhello\r\r\n0\r\n\r\n",
    CHUNKED + b"5\nhello\n0\n\n",
    CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
    CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
    CHUNKED + b"1_0\r\nhello\r\n0\r\n\r\n",
    CHUNKED + b"000000005\r\nhello\r\n0\r\n\r\n",
    CHUNKED + b"ffffffffffffffffffffffff\r\nhello",
    CHUNKED + b"\r\nhello",
    CHUNKED + b"5\r\nhello\r\n0\r\n\r\nmore than was asked for",
    CHUNKED + b"5\r\nhello\r\n",
    CHUNKED + b"5\r\nhel",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n"
    b"2;x=1\r\nok\r\n0\r\nA: b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nDate: now\r\n\r\nuntil the end",
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length:2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2 \r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nX:\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nX: \xe4\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN,
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    b"HTTP/1.1 999 What\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nX: " + b"a" * 500 + b"\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nX: " + b"a" * 500,
    PLAIN + b"more than was asked for",
    PLAIN[:-2],
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\x15\x03\x01\x00\x02\x02F",
    b"",
]


@pytest.mark.parametrize("answer", ANSWERS)
def test_whole_split_and_byte_by_byte_are_read_as_h11_reads_them(answer: bytes) -> None:
    for end in ([], [b""]):
        assert_alike([answer, *end])
        assert_alike([answer[i : i + 1] for i in range(len(answer))] + end)
        for cut in range(1, len(answer), 7):
            assert_alike([answer[:cut], answer[cut:], *end])


def test_a_plain_answer_is_read() -> None:
    headers = ((b"date", b"now"), (b"content-type", b"application/json"), (b"content-length", b"5"))
    assert assert_alike([PLAIN]) == [(200, headers, b"OK"), BodyData(b"hello"), EndOfBody(), True, False]


@given(
    answer=st.sampled_from(ANSWERS),
    place=st.integers(0, 120),
    change=st.binary(max_size=3),
    removed=st.integers(0, 3),
    cuts=st.lists(st.integers(0, 140), max_size=4),
    closed=st.booleans(),
)
def test_mutated_answers_are_read_as_h11_reads_them(
    answer: bytes, place: int, change: bytes, removed: int, cuts: list[int], closed: bool
) -> None:
    mutated = answer[:place] + change + answer[place + removed :]
    edges = [0, *sorted(cuts), len(mutated)]
    pieces = [mutated[a:b] for a, b in itertools.pairwise(edges) if a < b]
    assert_alike(pieces + ([b""] if closed else []))


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5))
def test_arbitrary_bytes_are_read_as_h11_reads_them(pieces: list[bytes]) -> None:
    assert_alike(pieces)


def test_answers_follow_one_another_whichever_way_they_are_read() -> None:
    reader = DirectResponseReader()
    chunked = ANSWERS[8]
    for answer in (PLAIN, chunked, PLAIN, PLAIN, chunked):
        assert read(reader, [answer])[-2:] == [True, False]


def test_a_connection_that_ends_after_the_answer_is_not_used_again() -> None:
    reader = DirectResponseReader()
    assert read(reader, [PLAIN])[-2:] == [True, False]
    reader.receive_data(b"")
    assert (reader.reusable, reader.trailing) == (False, True)

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from routermcp_proto.exceptions import LocalProtocolError, RemoteProtocolError
from routermcp_proto.http.h11_reader import MAX_BLANKS, H11ResponseReader
from routermcp_proto.http.reader import (
    MAX_HEAD_SIZE,
    NEED_DATA,
    BodyData,
    EndOfBody,
    ResponseHead,
    ResponseReader,
)

END = EndOfBody()
CLOSE = b""
Told = list[object]


def drain(reader: ResponseReader, told: Told) -> None:
    """Read all events there are; pieces of a body that follow each other become one."""
    while (item := reader.next_event()) is not NEED_DATA:
        if isinstance(item, BodyData) and told and isinstance(told[-1], BodyData):
            told[-1] = BodyData(told[-1].data + item.data)
        else:
            told.append(item)
        if item == END:
            break


def read(pieces: Iterable[bytes]) -> tuple[Told, bool]:
    """Read one answer to its end, or to the error that stands in its place."""
    reader = H11ResponseReader()
    reader.start(b"POST")
    told: Told = []
    try:
        for piece in pieces:
            reader.receive_data(piece)
            if END not in told:
                drain(reader, told)
    except RemoteProtocolError:
        told.append(RemoteProtocolError)
    return told, reader.reusable


def in_bytes(script: bytes) -> list[bytes]:
    return [script[i : i + 1] for i in range(len(script))]


def head(*headers: tuple[bytes, bytes], status: int = 200, reason: bytes = b"OK") -> ResponseHead:
    return ResponseHead(status, headers, reason)


PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-LENGTH: 5\r\n\r\nhello"
PLAIN_TOLD: Told = [
    head((b"content-type", b"application/json"), (b"content-length", b"5")),
    BodyData(b"hello"),
    END,
]
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED_TOLD = head((b"transfer-encoding", b"chunked"))
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
EVENTS_TOLD = head((b"content-type", b"text/event-stream"))
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

NO_LENGTH = (b"content-length", b"0")
ONE = (b"content-length", b"1")
A = BodyData(b"a")
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"

# Complete answers: what comes, what is read, whether the connection can be used again.
COMPLETE: dict[str, tuple[bytes, Told, bool]] = {
    "length": (PLAIN, PLAIN_TOLD, True),
    "empty": (EMPTY, [head(NO_LENGTH), END], True),
    "no reason": (
        b"HTTP/1.1 404\r\ncontent-length: 0\r\n\r\n",
        [head(NO_LENGTH, status=404, reason=b""), END],
        True,
    ),
    "line feeds alone": (b"HTTP/1.1 200 OK\ncontent-length: 1\n\na", [head(ONE), A, END], True),
    "204": (b"HTTP/1.1 204 Gone\r\n\r\n", [head(status=204, reason=b"Gone"), END], True),
    "202": (
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
        [head(NO_LENGTH, status=202, reason=b"Accepted"), END],
        True,
    ),
    "equal headers": (
        b"HTTP/1.1 200 OK\r\nA: 1\r\na: 2\r\nA:\r\nContent-Length: 0\r\n\r\n",
        [head((b"a", b"1"), (b"a", b"2"), (b"a", b""), NO_LENGTH), END],
        True,
    ),
    "chunks": (
        CHUNKED + b"5\r\nhello\r\n1;name=value\r\n!\r\n0\r\n\r\n",
        [CHUNKED_TOLD, BodyData(b"hello!"), END],
        True,
    ),
    "trailers": (
        CHUNKED + b"A\r\n0123456789\r\n000\r\nDigest: x\r\nB: y\r\n\r\n",
        [CHUNKED_TOLD, BodyData(b"0123456789"), END],
        True,
    ),
    "no chunk": (CHUNKED + b"0\r\n\r\n", [CHUNKED_TOLD, END], True),
    "connection: close": (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na",
        [head((b"connection", b"close"), ONE), A, END],
        False,
    ),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", [head(ONE), A, END], False),
    "interim answers": (INTERIM + PLAIN, PLAIN_TOLD, True),
}

# Answers that the peer ends by closing the connection, in good or in bad order.
CLOSED: dict[str, tuple[bytes, Told]] = {
    "length": (PLAIN, PLAIN_TOLD),
    "until the end": (EVENTS + b"data: 1\n\n", [EVENTS_TOLD, BodyData(b"data: 1\n\n"), END]),
    "empty until the end": (EVENTS, [EVENTS_TOLD, END]),
    "trailing bytes": (PLAIN + b"x", PLAIN_TOLD),
    "nothing": (b"", [RemoteProtocolError]),
    "half a head": (b"HTTP/1.1 200 OK\r\nConte", [RemoteProtocolError]),
    "half a body": (PLAIN[:-1], [PLAIN_TOLD[0], BodyData(b"hell"), RemoteProtocolError]),
    "half a chunk": (CHUNKED + b"5\r\nhel", [CHUNKED_TOLD, BodyData(b"hel"), RemoteProtocolError]),
    "no last chunk": (CHUNKED + b"1\r\na\r\n", [CHUNKED_TOLD, A, RemoteProtocolError]),
    "interim answers only": (INTERIM, [RemoteProtocolError]),
}


def in_every_way(script: bytes, *end: bytes) -> Iterable[tuple[Told, bool]]:
    """Read a script whole, byte by byte and split in two anywhere."""
    yield read([*([script] if script else []), *end])
    yield read([*in_bytes(script), *end])
    for cut in range(1, len(script)):
        yield read([script[:cut], script[cut:], *end])


@pytest.mark.parametrize("name", COMPLETE)
def test_complete_answers(name: str) -> None:
    script, told, reusable = COMPLETE[name]
    for outcome in in_every_way(script):
        assert outcome == (told, reusable)
    for outcome in in_every_way(script + b"HTTP/1.1 408"):
        assert outcome == (told, False)


@pytest.mark.parametrize("name", CLOSED)
def test_answers_that_end_with_the_connection(name: str) -> None:
    script, told = CLOSED[name]
    for outcome in in_every_way(script, CLOSE):
        assert outcome == (told, False)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (b"", []),
        (b"HTTP/1.1 200 OK\r\nConte", []),
        (INTERIM, []),
        (EVENTS + b"data: 1\n\n", [EVENTS_TOLD, BodyData(b"data: 1\n\n")]),
        (PLAIN[:-1], [PLAIN_TOLD[0], BodyData(b"hell")]),
    ],
)
def test_answers_that_are_not_complete_yet(script: bytes, told: Told) -> None:
    for outcome in in_every_way(script):
        assert outcome == (told, False)


@pytest.mark.parametrize(
    "script",
    [
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"POST / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"<html></html>\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: first\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na : c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na: \0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        CHUNKED + b"x\r\n\r\n",
        CHUNKED + b"-5\r\nhello\r\n",
        CHUNKED + b"F" * 21 + b"\r\n",
        CHUNKED + b"1\r\nab\r\n",
        CHUNKED + b"0\r\nno colon\r\n\r\n",
    ],
)
def test_what_is_not_an_http_answer_is_refused(script: bytes) -> None:
    whole, *_ = read([script])
    split, *_ = read(in_bytes(script))
    assert whole[-1] is RemoteProtocolError
    assert split[-1] is RemoteProtocolError


def test_the_error_says_what_is_wrong() -> None:
    reader = H11ResponseReader()
    reader.start(b"POST")
    reader.receive_data(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    with pytest.raises(RemoteProtocolError, match=r"^not an HTTP answer: "):
        reader.next_event()
    with pytest.raises(RemoteProtocolError, match=r"^not an HTTP answer: "):
        reader.next_event()
    assert not reader.reusable


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 200 OK\r\nA: ", b"HTTP/1.1 200 OK\r\n", b"", CHUNKED + b"0\r\nA: "]
)
def test_a_head_has_a_limit(start: bytes) -> None:
    reader = H11ResponseReader(1000)
    reader.start(b"GET")
    reader.receive_data(start + b"x" * 900)
    told: Told = []
    drain(reader, told)
    reader.receive_data(b"x" * 200)
    with pytest.raises(RemoteProtocolError):
        drain(reader, told)


def test_the_usual_limit_takes_the_heads_of_gateways() -> None:
    reader = H11ResponseReader()
    reader.start(b"GET")
    policy = b"x" * (MAX_HEAD_SIZE - 100)
    told: Told = []
    for piece in (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nPolicy: ", policy, b"\r\n\r\n"):
        reader.receive_data(piece)
        drain(reader, told)
    assert told == [head((b"content-length", b"0"), (b"policy", policy)), END]


def test_two_answers_on_one_connection() -> None:
    reader = H11ResponseReader()
    assert not reader.reusable
    for method, script in (
        (b"POST", PLAIN),
        (b"GET", CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"),
        (b"DELETE", PLAIN),
    ):
        reader.start(method)
        assert not reader.reusable
        told: Told = []
        reader.receive_data(script)
        drain(reader, told)
        assert told[1:] == [BodyData(b"hello"), END]
        assert reader.next_event() is NEED_DATA
        assert reader.reusable
        assert not reader.trailing


def test_an_answer_that_nobody_asked_for_makes_the_connection_useless() -> None:
    reader = H11ResponseReader()
    reader.start(b"POST")
    reader.receive_data(PLAIN)
    drain(reader, [])
    assert reader.reusable
    reader.receive_data(PLAIN)
    assert reader.next_event() is NEED_DATA
    assert reader.trailing
    assert not reader.reusable


def test_the_end_of_an_idle_connection() -> None:
    reader = H11ResponseReader()
    reader.start(b"POST")
    reader.receive_data(PLAIN)
    drain(reader, [])
    reader.receive_data(CLOSE)
    assert not reader.reusable
    with pytest.raises(RemoteProtocolError, match=r"^the connection was closed$"):
        reader.next_event()


def test_nothing_comes_after_the_end_of_the_connection() -> None:
    reader = H11ResponseReader()
    reader.start(b"POST")
    reader.receive_data(PLAIN)
    reader.receive_data(CLOSE)
    with pytest.raises(RemoteProtocolError, match=r"^bytes came after the end of the connection"):
        reader.receive_data(b"x")


@pytest.mark.parametrize(
    "script", [b"", PLAIN[:-1], b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", b"garbage\r\n\r\n"]
)
def test_another_exchange_cannot_start_before_the_last_is_complete(script: bytes) -> None:
    reader = H11ResponseReader()
    reader.start(b"POST")
    reader.receive_data(script or b"H")
    with suppress(RemoteProtocolError):
        drain(reader, [])
    with pytest.raises(LocalProtocolError, match=r"^the connection cannot be used for another request"):
        reader.start(b"POST")


def test_an_answer_that_was_read_before_the_request_cannot_be_its_answer() -> None:
    reader = H11ResponseReader()
    reader.receive_data(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    drain(reader, [])
    with pytest.raises(LocalProtocolError, match=r"^the connection cannot be used for another request"):
        reader.start(b"POST")


PARTS = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 C\r\n",
    b"\r\n",
    b"\n",
    b"Content-Length: 3\r\n",
    b"a: b\r\n",
    b"abc",
]
PARTS += [
    b"Transfer-Encoding: chunked\r\n",
    b"3\r\n",
    b"0\r\n",
    b"Connection: close\r\n",
    b"\0",
    b" ",
    b"HTTP/1.0 ",
]
SCRIPT = st.lists(st.sampled_from(PARTS), max_size=10).map(b"".join) | st.binary(max_size=30)


@given(
    st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", CHUNKED, EVENTS]), SCRIPT, st.integers(0, 80), st.booleans()
)
@example(PLAIN, PLAIN, 3, True)
def test_any_bytes_are_read_the_same_in_any_pieces(start: bytes, rest: bytes, cut: int, closed: bool) -> None:
    script = start + rest
    end = [CLOSE] if closed else []
    pieces = [piece for piece in (script[:cut], script[cut:]) if piece]
    whole = read([*([script] if script else []), *end])
    assert read([*pieces, *end]) == whole
    assert read([*in_bytes(script), *end]) == whole


@pytest.mark.parametrize("size", [1, 700, 100_000])
@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length:%b\r\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx:%b\r\r\n\r\n",
    ],
    ids=["head", "trailer"],
)
@pytest.mark.parametrize("blanks", [b" \t", b"\n\t"], ids=["line", "folded"])
def test_a_line_of_blanks_is_refused_before_it_takes_long(said: bytes, size: int, blanks: bytes) -> None:
    answer = said % (blanks * MAX_BLANKS)
    reader = H11ResponseReader()
    reader.start(b"POST")

    def read() -> None:
        for start in range(0, len(answer), size):
            reader.receive_data(answer[start : start + size])
            drain(reader, [])

    with pytest.raises(RemoteProtocolError, match=f"more than {MAX_BLANKS} blanks in a row"):
        read()


@pytest.mark.parametrize("length", [b"Content-Length: 20000", b"Connection: close"])
def test_a_body_may_be_all_blanks(length: bytes) -> None:
    reader = H11ResponseReader()
    reader.start(b"POST")
    reader.receive_data(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % length + b" " * 20_000)
    assert isinstance(reader.next_event(), ResponseHead)
    item = reader.next_event()
    assert isinstance(item, BodyData)
    assert len(item.data) == 20_000

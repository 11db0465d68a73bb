"""What comes back for one message that was posted."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routermcp_proto import calls
from routermcp_proto.client_session import ClientSession
from routermcp_proto.events import (
    ErrorReceived,
    Event,
    HTTPAccepted,
    HTTPRedirected,
    HTTPRefused,
    MessageDropped,
    ProgressReceived,
    ResponseReceived,
    ResponseRejected,
    StreamEnded,
)
from routermcp_proto.exceptions import MAX_ERROR_BODY, RemoteProtocolError
from routermcp_proto.http.compression import FREE_SIZE
from routermcp_proto.http.exchange import MCPExchange
from routermcp_proto.http.headers import HeaderBlock, HTTPRequest
from routermcp_proto.http.reader import BodyData, EndOfBody, ResponseHead
from routermcp_proto.http.refusals import MAX_RETRY_AFTER, retry_after
from routermcp_proto.jsonrpc import ErrorObject, encode_error, encode_notification, encode_response

JSON = (b"content-type", b"application/json; charset=utf-8")
EVENTS = (b"content-type", b"text/event-stream")
RESULT = {"content": [{"type": "text", "text": "hi"}]}


def ready(protocol: str = "2025-11-25", **settings: Any) -> ClientSession:
    session = ClientSession(protocol=protocol, **settings)
    first = session.start_handshake()
    result = {"protocolVersion": protocol, "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
    session.receive_message(encode_response(first.request_id or 0, result))
    return session


def asked(**settings: Any) -> tuple[MCPExchange, int]:
    """A call that waits for its answer, and the exchange in which it will come."""
    session = ready(**settings)
    outgoing = session.start_request(calls.call_tool("a"), progress=True)
    assert isinstance(outgoing.request_id, int)
    return MCPExchange(session, outgoing.request_id), outgoing.request_id


def run(
    exchange: MCPExchange, status: int, headers: list[tuple[bytes, bytes]], *pieces: bytes
) -> list[Event]:
    events = exchange.receive(ResponseHead(status, tuple(headers)))
    for piece in pieces:
        events += exchange.receive(BodyData(piece))
    return events + exchange.receive(EndOfBody())


def sse(*messages: bytes, event_id: str = "", retry: int | None = None) -> bytes:
    fields = (f"id: {event_id}\n" if event_id else "") + (f"retry: {retry}\n" if retry is not None else "")
    return b"".join(fields.encode() + b"event: message\ndata: " + message + b"\n\n" for message in messages)


def test_a_json_answer() -> None:
    exchange, request_id = asked()
    assert not exchange.accepted
    (event,) = run(exchange, 200, [JSON], encode_response(request_id, RESULT))
    assert isinstance(event, ResponseReceived)
    assert event.value.text == "hi"
    assert exchange.finished
    assert exchange.accepted


def test_a_json_answer_without_a_content_type_is_read_too() -> None:
    exchange, request_id = asked()
    (event,) = run(exchange, 200, [], encode_response(request_id, RESULT))
    assert isinstance(event, ResponseReceived)


def test_an_error_without_an_id_is_the_answer_to_the_only_request() -> None:
    exchange, _ = asked()
    (event,) = run(exchange, 200, [JSON], encode_error(None, ErrorObject(-1, "no")))
    assert isinstance(event, ErrorReceived)


def test_an_event_stream_brings_progress_and_the_answer() -> None:
    exchange, request_id = asked()
    progress = encode_notification("notifications/progress", {"progressToken": request_id, "progress": 1})
    events = exchange.receive_head(ResponseHead(200, (EVENTS,)))
    events += exchange.receive_data(
        sse(progress) + sse(encode_response(request_id, RESULT), event_id="7", retry=9)
    )
    assert [type(event) for event in events] == [ProgressReceived, ResponseReceived]
    assert exchange.finished, "the end of the stream need not be waited for"
    assert exchange.receive_end() == []
    assert (exchange.last_event_id, exchange.retry) == ("7", 9)


def test_other_types_of_event_and_empty_data_are_no_messages() -> None:
    exchange, request_id = asked()
    noise = b": keep-alive\n\nid: 1\ndata:\n\nevent: ping\ndata: now\n\n"
    events = run(exchange, 200, [EVENTS], noise, sse(encode_response(request_id, RESULT)))
    assert [type(event) for event in events] == [ResponseReceived]


def test_a_cut_event_stream_says_where_to_resume_and_goes_on_there() -> None:
    exchange, request_id = asked()
    events = run(exchange, 200, [EVENTS], b"id: e1\nretry: 500\ndata:\n\n")
    assert events == [StreamEnded("e1", 500)]
    assert not exchange.finished
    exchange.resume()
    assert (exchange.last_event_id, exchange.retry, exchange.accepted) == ("e1", 500, False)
    assert run(exchange, 200, [EVENTS], b": nothing new\n\n") == [StreamEnded("e1", 500)]
    exchange.resume()
    (event,) = run(exchange, 200, [EVENTS], sse(encode_response(request_id, RESULT)))
    assert isinstance(event, ResponseReceived)


def test_a_stream_without_ids_cannot_be_resumed() -> None:
    exchange, _ = asked()
    assert run(exchange, 200, [EVENTS]) == [StreamEnded("", None)]


@pytest.mark.parametrize("status", [200, 202, 204])
def test_a_message_without_an_answer_is_accepted(status: int) -> None:
    exchange = MCPExchange(ready(), None)
    assert run(exchange, status, [], b"whatever") == [HTTPAccepted(status)]
    assert exchange.finished


def test_a_shared_stream_answers_no_request() -> None:
    session = ready()
    outgoing = session.start_request(calls.call_tool("a"))
    shared = MCPExchange(session, None, listens=True)
    events = run(shared, 200, [EVENTS], sse(encode_response(outgoing.request_id or 0, RESULT)))
    assert [type(event) for event in events] == [MessageDropped]
    assert outgoing.request_id in session.pending
    assert shared.finished


@pytest.mark.parametrize("status", [202, 204])
def test_a_request_that_is_only_accepted_has_no_answer(status: int) -> None:
    exchange, _ = asked()
    with pytest.raises(RemoteProtocolError, match="sent no answer"):
        run(exchange, status, [])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "batches"),
        (b'{"jsonrpc":"2.0","id":99,"result":{}}', "not pending"),
        (b'{"jsonrpc":"2.0","method":"x"}', "no answer"),
        (b'{"jsonrpc":"2.0","id":"other","result":{}}', "not pending"),
    ],
)
def test_json_without_the_answer_is_refused(body: bytes, words: str) -> None:
    exchange, _ = asked()
    with pytest.raises(RemoteProtocolError, match=words):
        run(exchange, 200, [JSON], body)


def test_an_answer_of_the_wrong_shape_is_rejected() -> None:
    exchange, request_id = asked()
    (event,) = run(exchange, 200, [JSON], encode_response(request_id, {"content": 1}))
    assert isinstance(event, ResponseRejected)
    assert exchange.finished


def test_a_page_is_not_an_answer() -> None:
    exchange, _ = asked()
    with pytest.raises(RemoteProtocolError, match=r"is this the URL of an MCP endpoint.*<html>"):
        run(exchange, 200, [(b"content-type", b"text/html")], b"<html>", b"x" * 100_000)


@pytest.mark.parametrize("status", [200, 202])
def test_a_message_without_an_answer_is_done_with_its_head(status: int) -> None:
    exchange = MCPExchange(ready(), None)
    assert exchange.receive_head(ResponseHead(status, (EVENTS,))) == [HTTPAccepted(status)]
    assert exchange.finished
    assert exchange.receive_data(b"data: x\n\n") == []
    assert exchange.receive_end() == []


PLAIN = (b"content-type", b"text/plain; charset=utf-8")
BYTES = (b"content-type", b"application/octet-stream")


@pytest.mark.parametrize("label", [JSON, EVENTS, PLAIN, BYTES, (b"x", b"y")])
@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b" \r\n"])
@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("kind", ["json", "array", "events", "comment", "field"])
def test_a_body_is_read_as_what_it_is(
    label: tuple[bytes, bytes], before: bytes, size: int, kind: str
) -> None:
    exchange, request_id = asked()
    message = encode_response(request_id, RESULT)
    bodies = {
        "json": message,
        "array": b"[" + message + b"]",
        "events": sse(message),
        "comment": b": hello\n\n" + sse(message),
        "field": b"id: 1\nevent: message\n" + sse(message),
    }
    if before.isspace() and kind in ("events", "comment", "field"):
        before = b""  # a field of an event stream begins its line
    body = before + bodies[kind]
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    assert [type(event) for event in run(exchange, 200, [label], *pieces)] == [ResponseReceived]
    assert exchange.finished


@pytest.mark.parametrize("body", [b"", b"ev", b"error: no", b"data", b"   ", b"oops"])
def test_a_body_that_is_neither_is_judged_by_its_label(body: bytes) -> None:
    for label, words in ((PLAIN, "text/plain"), (JSON, "not JSON")):
        exchange, _ = asked()
        with pytest.raises(RemoteProtocolError, match=words):
            run(exchange, 200, [label], body)
    exchange, _ = asked()
    assert run(exchange, 200, [EVENTS], body) == [StreamEnded("", None)]


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_whole_answer_at_the_end_of_a_stream_needs_no_blank_line(end: bytes) -> None:
    exchange, request_id = asked()
    body = b"data: " + encode_response(request_id, RESULT) + end
    assert [type(event) for event in run(exchange, 200, [EVENTS], body)] == [ResponseReceived]
    cut, request_id = asked()
    body = b"id: 4\ndata: {}\n\nid: 5\ndata: " + encode_response(request_id, RESULT)[:-1] + end
    assert run(cut, 200, [EVENTS], body)[-1] == StreamEnded("4", None)
    assert cut.last_event_id == "4"


@pytest.mark.parametrize("event_id", ["\u00e9", "a\x7fb", "a\x01", "a "])
def test_an_id_that_no_header_can_hold_is_none_to_resume_after(event_id: str) -> None:
    exchange, _ = asked()
    assert run(exchange, 200, [EVENTS], sse(b"{}", event_id=event_id))[-1] == StreamEnded("", None)
    exchange.resume()
    assert exchange.last_event_id == ""


def compressed(encoding: str, data: bytes) -> bytes:
    bits = {"gzip": 31, "x-gzip": 31, "deflate": 15, "deflate raw": -15}[encoding]
    packer = zlib.compressobj(wbits=bits)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "deflate raw", "GZIP "])
@pytest.mark.parametrize("size", [1, 3, 10_000])
def test_a_compressed_body_is_read(encoding: str, size: int) -> None:
    for kind in (JSON, EVENTS):
        exchange, request_id = asked()
        message = encode_response(request_id, RESULT)
        body = compressed(encoding.strip().lower(), message if kind is JSON else sse(message))
        head = [kind, (b"content-encoding", encoding.split(" raw", maxsplit=1)[0].encode())]
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        assert [type(event) for event in run(exchange, 200, head, *pieces)] == [ResponseReceived]


def test_what_is_compressed_in_two_parts_is_one_body() -> None:
    exchange, request_id = asked()
    message = encode_response(request_id, RESULT)
    body = compressed("gzip", message[:9]) + compressed("gzip", message[9:])
    assert len(run(exchange, 200, [JSON, (b"content-encoding", b"gzip")], body)) == 1


@pytest.mark.parametrize(
    ("encoding", "body", "words"),
    [
        (b"br", b"", "'br'"),
        (b"gzip, deflate", b"", "'gzip, deflate'"),
        (b"gzip", b"{}", "is not gzip"),
        (b"deflate", b"\xff\xff\xff", "is not deflate"),
        (b"gzip", compressed("gzip", b"x" * 1000)[:-9], "cut short"),
        (b"deflate", b"x", "cut short"),
        (b"gzip", compressed("gzip", b" " * 8 * FREE_SIZE), "grows to more than 200 times"),
        (b"gzip", compressed("gzip", b'"' + b"ab" * 6000), "longer than 10000"),
    ],
)
def test_a_body_that_cannot_be_decompressed_is_refused(encoding: bytes, body: bytes, words: str) -> None:
    size = 10_000 if b"longer" in words.encode() else 64 * FREE_SIZE
    exchange, _ = asked(max_message_size=size)
    with pytest.raises(RemoteProtocolError, match=words):
        run(exchange, 200, [JSON, (b"content-encoding", encoding)], body)


def test_what_follows_a_body_of_deflate_is_left_alone() -> None:
    exchange, request_id = asked()
    body = compressed("deflate", encode_response(request_id, RESULT)) + b"more"
    assert len(run(exchange, 200, [JSON, (b"content-encoding", b"deflate")], body)) == 1


def test_an_empty_body_needs_no_decompression() -> None:
    for encoding in (b"identity", b"gzip"):
        exchange = MCPExchange(ready(), None)
        assert run(exchange, 202, [(b"content-encoding", encoding)]) == [HTTPAccepted(202)]


def test_a_message_has_a_limit() -> None:
    exchange, _ = asked(max_message_size=10)
    exchange.receive_head(ResponseHead(200, (JSON,)))
    exchange.receive_data(b"x" * 10)
    assert exchange.size == 10
    with pytest.raises(RemoteProtocolError, match="longer than 10 bytes"):
        exchange.receive_data(b"x")
    stream, _ = asked(max_message_size=10)
    stream.receive_head(ResponseHead(200, (EVENTS,)))
    stream.receive_data(b"data: 12")
    assert stream.size == 8
    with pytest.raises(RemoteProtocolError, match="larger than 10 bytes"):
        stream.receive_data(b"345")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_reported(status: int) -> None:
    exchange, _ = asked()
    assert run(exchange, status, [(b"location", b"/there")], b"moved") == [HTTPRedirected(status, "/there")]
    assert exchange.finished


@pytest.mark.parametrize("status", [304, 400, 404, 500])
def test_a_refusal_is_reported_as_what_it_is(status: int) -> None:
    exchange, _request_id = asked()
    (event,) = run(exchange, status, [JSON, (b"www-authenticate", b"Bearer x")], b"nope")
    assert event == HTTPRefused(status, None, False, "nope", None, ("Bearer x",))
    assert exchange.finished


def test_a_refused_message_may_be_sent_again() -> None:
    exchange, request_id = asked()
    (refused,) = run(exchange, 401, [(b"dpop-nonce", b"n")], b"x" * 9)
    assert isinstance(refused, HTTPRefused)
    assert refused.dpop_nonce == "n"
    exchange.restart()
    assert not exchange.finished
    assert exchange.size == 0
    (event,) = run(exchange, 200, [JSON], encode_response(request_id, {"content": []}))
    assert isinstance(event, ResponseReceived)


@pytest.mark.parametrize(
    ("of", "addressed"), [(lambda own: own, True), (lambda own: None, False), (lambda own: own + 1, False)]
)
def test_a_refusal_may_hold_an_error_object(of: Callable[[int], int | None], addressed: bool) -> None:
    exchange, request_id = asked()
    (event,) = run(exchange, 400, [JSON], encode_error(of(request_id), ErrorObject(-32020, "mismatch")))
    assert isinstance(event, HTTPRefused)
    assert (event.error, event.addressed) == (ErrorObject(-32020, "mismatch"), addressed)


def test_other_json_in_a_refusal_is_no_error_object() -> None:
    exchange, request_id = asked()
    (event,) = run(exchange, 401, [JSON], encode_response(request_id, {}))
    assert isinstance(event, HTTPRefused)
    assert event.error is None


def test_a_long_refusal_is_cut() -> None:
    exchange, _ = asked()
    (event,) = run(exchange, 500, [], b"x" * 60_000, b"y" * 60_000)
    assert isinstance(event, HTTPRefused)
    assert event.body == "x" * 2048


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ([(b"retry-after", b"30")], b"", 30),
        ([(b"retry-after", b" 0 ")], b"", 0),
        ([(b"retry-after", b"99999999999999999999")], b"", MAX_RETRY_AFTER),
        ([(b"retry-after", b"-1")], b"", None),
        ([(b"retry-after", b"soon")], b"", None),
        (
            [(b"date", b"Mon, 23 Nov 2026 12:00:00 GMT"), (b"retry-after", b"Mon, 23 Nov 2026 12:01:00 GMT")],
            b"",
            60,
        ),
        (
            [(b"date", b"Mon, 23 Nov 2026 12:00:00 GMT"), (b"retry-after", b"Mon, 23 Nov 2026 11:00:00 GMT")],
            b"",
            0,
        ),
        ([(b"retry-after", b"Mon, 23 Nov 2026 12:01:00 GMT")], b"", None),
        ([], b'{"error":"rate_limit_exceeded","message":"slow","retryAfter":30}', 30),
        ([], b'{"retryAfter":-5}', 0),
        ([], b'{"retryAfter":true}', None),
        ([], b'{"retryAfter":"5"}', 5),
        ([], b'{"retryAfter":"soon"}', None),
        pytest.param([], b'{"retryAfter":1%b}' % (b"0" * 400), None, id="beyond a double"),
        ([], b"[1]", None),
        ([(b"retry-after", b"2")], b'{"retryAfter":30}', 2),
    ],
)
def test_the_wait_that_a_server_asks_for(
    headers: list[tuple[bytes, bytes]], body: bytes, seconds: float | None
) -> None:
    exchange, _ = asked()
    (event,) = run(exchange, 429, headers, body)
    assert isinstance(event, HTTPRefused)
    assert event.retry_after == seconds


def test_a_date_far_away_is_bounded() -> None:
    dates = ((b"date", b"Mon, 23 Nov 2026 12:00:00 GMT"), (b"retry-after", b"Mon, 23 Nov 2926 12:00:00 GMT"))
    assert retry_after(ResponseHead(503, dates)) == MAX_RETRY_AFTER


@pytest.mark.parametrize(
    ("value", "kept"), [(b"abc-1", "abc-1"), (b"", None), (b"a b", None), (b"\xe4", None)]
)
def test_a_session_id_is_visible_ascii(value: bytes, kept: str | None) -> None:
    exchange, request_id = asked()
    run(exchange, 200, [JSON, (b"mcp-session-id", value)], encode_response(request_id, RESULT))
    assert exchange.session_id == kept


def test_an_end_without_a_head_is_no_answer() -> None:
    exchange, _ = asked()
    with pytest.raises(RemoteProtocolError, match="sent no answer"):
        exchange.receive_end()


def cut(body: bytes, places: list[int]) -> Iterator[bytes]:
    edges = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    for start, end in itertools.pairwise(edges):
        if start < end:
            yield body[start:end]


@given(places=st.lists(st.integers(0, 500), max_size=6), kind=st.sampled_from(["json", "sse", "refusal"]))
def test_the_pieces_of_a_body_do_not_matter(places: list[int], kind: str) -> None:
    def bodies(request_id: int) -> tuple[int, tuple[bytes, bytes], bytes]:
        answer = encode_response(request_id, RESULT)
        progress = encode_notification("notifications/progress", {"progressToken": request_id, "progress": 1})
        if kind == "json":
            return 200, JSON, answer
        if kind == "sse":
            return 200, EVENTS, sse(progress, event_id="1") + sse(answer, event_id="2", retry=3)
        return 400, JSON, encode_error(request_id, ErrorObject(-32022, "no", {"supported": []}))

    outcomes: list[list[Event]] = []
    for split in (False, True):
        exchange, request_id = asked()
        status, header, body = bodies(request_id)
        pieces = list(cut(body, places)) if split else [body]
        outcomes.append(run(exchange, status, [header], *pieces))
    exchange, request_id = asked()
    status, header, body = bodies(request_id)
    outcomes.append(run(exchange, status, [header], *[body[i : i + 1] for i in range(len(body))]))
    assert outcomes[0] == outcomes[1] == outcomes[2]


TOKEN = "planted-token"
SENT = HTTPRequest(b"POST", b"/", HeaderBlock([("Authorization", f"Bearer {TOKEN}")]))


def test_a_refusal_does_not_repeat_what_was_sent() -> None:
    exchange, request_id = asked()
    exchange.secrets = SENT.secrets
    body = encode_error(request_id, ErrorObject(-32001, f"no {TOKEN}", {"sent": [TOKEN]}))
    challenge = (b"www-authenticate", f'Bearer error_description="{TOKEN}"'.encode())
    assert not exchange.refused
    (event,) = run(exchange, 401, [JSON, challenge], *[bytes([byte]) for byte in body])
    assert exchange.refused
    assert isinstance(event, HTTPRefused)
    assert event.error == ErrorObject(-32001, "no ***", {"sent": ["***"]})
    assert "no ***" in event.body
    assert TOKEN not in repr(event)
    assert TOKEN in event.challenges[0]  # as it came, for who has to read it


def test_a_body_is_cut_after_its_secrets_are_out() -> None:
    exchange, _ = asked()
    exchange.secrets = SENT.secrets
    body = b" " * (MAX_ERROR_BODY - 5) + TOKEN.encode()
    (event,) = run(exchange, 500, [], body)
    assert isinstance(event, HTTPRefused)
    assert event.body == " " * (MAX_ERROR_BODY - 5) + "***"


@pytest.mark.parametrize(
    ("kind", "body"),
    [(JSON, b'{"sent": "%s"}'), ((b"content-type", b"text/html"), b"<p>%s")],
    ids=["json", "page"],
)
def test_what_is_no_answer_does_not_show_what_was_sent(kind: tuple[bytes, bytes], body: bytes) -> None:
    exchange, _ = asked()
    exchange.secrets = SENT.secrets
    with pytest.raises(RemoteProtocolError, match=r"\*\*\*") as caught:
        run(exchange, 200, [kind], body % TOKEN.encode())
    assert TOKEN not in str(caught.value)


def test_an_error_of_the_server_does_not_show_what_was_sent() -> None:
    exchange, request_id = asked()
    exchange.secrets = SENT.secrets
    (event,) = run(exchange, 200, [JSON], encode_error(request_id, ErrorObject(-1, f"no {TOKEN}")))
    assert isinstance(event, ErrorReceived)
    assert event.error.message == "no ***"


def test_where_a_redirect_leads_does_not_show_what_was_sent() -> None:
    exchange, _ = asked()
    exchange.secrets = SENT.secrets
    (event,) = run(exchange, 307, [(b"location", f"https://other.example/{TOKEN}".encode())])
    assert isinstance(event, HTTPRedirected)
    assert event.location == f"https://other.example/{TOKEN}"
    assert TOKEN not in repr(event)


def test_the_beginning_of_a_long_token_is_not_shown() -> None:
    exchange, _ = asked()
    token = "eyJ0eXAi" * 400
    exchange.secrets = lambda: (token,)
    with pytest.raises(RemoteProtocolError, match=r"\*\*\*") as caught:
        run(exchange, 200, [JSON], f"you sent {token}".encode())
    assert "eyJ0" not in str(caught.value)

"""The event stream of HTTP+SSE (2024-11-05): an endpoint, then messages that are left undecoded."""

from __future__ import annotations

import pytest

from routermcp_proto.client_session import ClientSession
from routermcp_proto.events import EndpointReceived, HTTPAccepted, HTTPRefused, PayloadReceived
from routermcp_proto.exceptions import RemoteProtocolError
from routermcp_proto.http.legacy_sse import LegacySSEExchange
from routermcp_proto.http.reader import BodyData, EndOfBody, ResponseHead

HEAD = ResponseHead(200, ((b"content-type", b"text/event-stream; charset=utf-8"),))

STREAM = (
    b": a comment\r\n\r\nevent: endpoint\r\ndata: /messages?id=1\r\n\r\n"
    b'event: message\r\ndata: {"jsonrpc": "2.0"}\r\n\r\nevent: other\r\ndata: x\r\n\r\ndata: []\r\n\r\n'
)


@pytest.mark.parametrize("size", [1, 7, len(STREAM)])
def test_the_endpoint_comes_first_and_messages_after_it(size: int) -> None:
    exchange = LegacySSEExchange(ClientSession())
    assert exchange.receive(HEAD) == []
    assert exchange.streams
    events = [
        event
        for start in range(0, len(STREAM), size)
        for event in exchange.receive(BodyData(STREAM[start : start + size]))
    ]
    assert events == [
        EndpointReceived("/messages?id=1"),
        PayloadReceived(b'{"jsonrpc": "2.0"}'),
        PayloadReceived(b"[]"),
    ]
    assert exchange.receive(EndOfBody()) == []
    assert exchange.finished


def test_what_shows_an_event_hides_the_session() -> None:
    assert "s-1" not in repr(EndpointReceived("/messages?id=s-1"))
    assert "secret" not in repr(PayloadReceived(b"secret"))


def test_a_message_has_a_bound() -> None:
    exchange = LegacySSEExchange(ClientSession(max_message_size=10))
    exchange.receive(HEAD)
    with pytest.raises(RemoteProtocolError, match="larger than 10 bytes"):
        exchange.receive(BodyData(b"data: 0123456789abcdef"))


def test_an_answer_without_an_event_stream_is_an_outcome() -> None:
    exchange = LegacySSEExchange(ClientSession())
    head = ResponseHead(200, ((b"content-type", b"text/html"),))
    assert exchange.receive(head) == [HTTPAccepted(200)]
    assert not exchange.streams


def test_a_refusal_is_an_outcome() -> None:
    exchange = LegacySSEExchange(ClientSession())
    exchange.receive(ResponseHead(405, ()))
    (refused,) = exchange.receive(EndOfBody())
    assert isinstance(refused, HTTPRefused)
    assert refused.status == 405

"""Answers that are read whole."""

from __future__ import annotations

import pytest

from routermcp_proto.events import Fetched
from routermcp_proto.exceptions import LocalProtocolError, RemoteProtocolError
from routermcp_proto.http.fetching import FetchExchange, fetch_request
from routermcp_proto.http.reader import BodyData, EndOfBody, ResponseHead
from routermcp_proto.http.url import EndpointURL

PLACE = EndpointURL.parse("https://auth.example/token?x=1")


def test_an_answer() -> None:
    exchange = FetchExchange(10)
    assert (
        exchange.receive(ResponseHead(302, ((b"location", b"/x"), (b"content-encoding", b"identity")))) == []
    )
    assert exchange.receive(BodyData(b"hello")) == []
    assert exchange.size == 5
    assert not exchange.finished
    (fetched,) = exchange.receive(EndOfBody())
    assert fetched == Fetched(302, {"location": "/x", "content-encoding": "identity"}, b"hello")
    assert exchange.finished


def test_an_answer_has_an_end() -> None:
    exchange = FetchExchange(4)
    exchange.receive(ResponseHead(200, ()))
    with pytest.raises(RemoteProtocolError, match="longer than 4 bytes"):
        exchange.receive(BodyData(b"hello"))


def test_nobody_asked_for_compression() -> None:
    with pytest.raises(RemoteProtocolError, match="compressed"):
        FetchExchange(4).receive(ResponseHead(200, ((b"content-encoding", b"gzip"),)))


def test_a_request() -> None:
    request = fetch_request("POST", PLACE, {"Authorization": "hush"}, b"secret")
    assert request.to_bytes() == (
        b"POST /token?x=1 HTTP/1.1\r\nHost: auth.example\r\nAccept-Encoding: identity\r\n"
        b"Content-Length: 6\r\nAuthorization: hush\r\n\r\nsecret"
    )
    assert request.private
    assert "hush" not in repr(request)
    assert "secret" not in repr(request)
    assert b"Content-Length" not in fetch_request("GET", PLACE, {}, b"").to_bytes()


def test_headers_are_checked() -> None:
    with pytest.raises(LocalProtocolError):
        fetch_request("GET", PLACE, {"X": "a\r\nb"}, b"")

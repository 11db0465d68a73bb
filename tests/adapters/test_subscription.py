"""The subscription to changed lists on a clock that only moves when the client waits."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from routermcp_adapters.http.base import HTTPTransport, ResponseStream
from routermcp_adapters.http.context import ExchangeContext, ignore
from routermcp_adapters.http.subscription import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, ListSubscription
from routermcp_adapters.runtime import Event
from routermcp_adapters.runtimes.run_sync import run_sync
from routermcp_proto.client_session import ClientSession
from routermcp_proto.events import HTTPRefused, ResponseReceived, StreamEnded
from routermcp_proto.exceptions import TransportError
from routermcp_proto.http.binding import HTTPBinding
from routermcp_proto.http.exchange import MCPExchange
from routermcp_proto.http.fetching import HTTPExchange
from routermcp_proto.http.headers import HTTPRequest
from routermcp_proto.http.outcomes import Outcome
from routermcp_proto.http.url import EndpointURL
from routermcp_proto.jsonrpc import encode_response
from routermcp_proto.types import EmptyResult
from tests.adapters.scripted_runtime import MemoryRuntime

ENDPOINT = EndpointURL.parse("http://mcp.example/mcp")

#: What becomes of a stream, after so many seconds.
End = tuple[float, Outcome | TransportError]


class Clock(MemoryRuntime):
    """One on which a wait for nothing but time lets it pass."""

    def __init__(self) -> None:
        super().__init__(connections=NotImplemented)

    async def wait_ready(
        self, readable: Any, writable: Any, flag: Event | None = None, seconds: float | None = None
    ) -> None:
        assert seconds is not None
        await self.sleep(seconds)


class Streams(HTTPTransport):
    """A transport whose streams end as they are told, and note when they began."""

    def __init__(self, runtime: Clock, ends: list[End]) -> None:
        super().__init__(ENDPOINT)
        self._runtime = runtime
        self._ends = ends
        self.began: list[float] = []
        self.on_last: Callable[[], object] = lambda: None

    async def run(
        self, request: HTTPRequest, exchange: HTTPExchange, context: ExchangeContext
    ) -> Outcome | None:
        self.began.append(self._runtime.now())
        seconds, end = self._ends.pop(0)
        await self._runtime.sleep(seconds)
        if not self._ends:
            self.on_last()
        if isinstance(end, TransportError):
            raise end
        return end

    async def open_stream(
        self, request: HTTPRequest, exchange: MCPExchange, context: ExchangeContext
    ) -> ResponseStream | Outcome:
        raise NotImplementedError

    async def mention(self, request: HTTPRequest) -> None:
        raise NotImplementedError


def connected() -> ClientSession:
    session = ClientSession(hears_lists=True)
    discovered = {
        "resultType": "complete",
        "supportedVersions": ["2026-07-28"],
        "capabilities": {"tools": {"listChanged": True}},
    }
    session.receive_message(encode_response(session.start_handshake().request_id or 0, discovered))
    return session


async def no_headers() -> None:
    return None


def watched(ends: list[End], *, close: bool = False) -> tuple[list[float], ListSubscription]:
    """Watch a subscription whose streams end so, and return when each began."""
    runtime, session = Clock(), connected()
    streams = Streams(runtime, ends)
    subscription = ListSubscription(runtime, HTTPBinding(session, ENDPOINT), streams, no_headers)
    if close:
        streams.on_last = subscription.close
    run_sync(subscription.watch(ignore))
    assert session.pending == ()
    return streams.began, subscription


LOST: End = (0.0, TransportError("refused", code="connect"))
CUT: End = (0.0, StreamEnded("", None))


def test_a_stream_that_is_lost_is_opened_again_with_growing_pauses() -> None:
    began, _ = watched([LOST, CUT, LOST, CUT, LOST, LOST, LOST, LOST, LOST], close=True)
    pauses = [after - before for before, after in itertools.pairwise(began)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert (FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS) == (1, 60)


def test_after_a_long_stream_the_pauses_begin_anew() -> None:
    long = 2 * LONGEST_PAUSE_SECONDS
    began, _ = watched([LOST, LOST, (long, StreamEnded("", None)), LOST], close=True)
    assert began == [0, 1, 3, 3 + long + 1]


@pytest.mark.parametrize("status", [401, 429, 503, 520])
def test_a_refusal_that_may_pass_is_tried_again(status: int) -> None:
    began, subscription = watched([(0, refusal(status)), (0, refusal(404)), LOST])
    assert began == [0, 1]
    assert not subscription.wanted


@pytest.mark.parametrize("status", [400, 403, 404, 405, 500, 501])
def test_another_refusal_is_final(status: int) -> None:
    began, subscription = watched([(0, refusal(status)), LOST])
    assert began == [0]
    assert not subscription.wanted


def test_a_subscription_that_the_server_ends_is_made_again() -> None:
    began, _ = watched([(5, ResponseReceived(2, EmptyResult())), (0, refusal(404)), LOST])
    assert began == [0, 6]


def refusal(status: int) -> HTTPRefused:
    return HTTPRefused(status, None, False, "", None, (), None)

"""The driver on a clock of its own: when what is sent, to the millisecond."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from routermcp_adapters.call.deadline import CallDeadline
from routermcp_adapters.http.session import HTTPSession
from routermcp_adapters.runtimes.run_sync import run_sync
from routermcp_proto import calls
from routermcp_proto.exceptions import (
    LocalProtocolError,
    MCPError,
    ResponseValidationError,
    RPCError,
    TransportError,
)
from routermcp_proto.retry import RetryPolicy
from routermcp_proto.types import Progress
from routermcp_proto.types.reading import MAX_AT_ONCE, SLICE, ListLimits
from tests.adapters.rig import (
    END,
    HANDSHAKE,
    PAGE,
    Answer,
    Request,
    Rig,
    after,
    error,
    event,
    http,
    result,
    says,
    stream_head,
    text,
)
from tests.adapters.scripted_runtime import Break, Move, Pause

REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
SILENCE = says()
LOST = says(Break())

QUESTION = {"mode": "form", "message": "?", "requestedSchema": {"type": "object", "properties": {}}}

TOOL = calls.call_tool("add", {"a": 1})
READ = calls.list_tools()


def answered(request: Request, words: str = "done") -> dict[str, Any]:
    """The message that answers a call of a tool."""
    value = {"resultType": "complete", "content": [{"type": "text", "text": words}]}
    return {"jsonrpc": "2.0", "id": request.message["id"], "result": value}


def streamed(*before: Move) -> Answer:
    """Answer on an event stream, after other things on it."""
    return lambda request: [stream_head(), *before, event(answered(request)), END]


# ---- the deadline ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        SILENCE,
        says(b"HTTP/1.1 200 OK\r\nContent-"),
        says(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"),
        says(stream_head()),
        says(stream_head(), event({"jsonrpc": "2.0", "method": "notifications/x"})),
        says(*[Pause(0.4), b"H"] * 9),
        after(1.5, text("late")),
    ],
    ids=["silence", "half a head", "half a body", "no event", "no answer", "drip", "late"],
)
def test_the_deadline_holds_in_every_phase(answer: Answer) -> None:
    rig = Rig().connect()
    rig.answers["tools/call"] = [answer]
    with pytest.raises(TransportError, match="timeout=1000 ms") as caught:
        rig.call(TOOL, 1000)
    assert caught.value.code == "timeout"
    assert rig.runtime.now() == pytest.approx(1.0)
    assert rig.runtime.streams[0].closed, "its connection is of no use to anybody"
    rig.call(TOOL, 1000)
    assert len(rig.runtime.streams) == 2


def test_the_deadline_holds_while_connecting() -> None:
    rig = Rig(usual={"server/discover": SILENCE})
    with pytest.raises(TransportError, match="connect at") as caught:
        rig.connect(2000)
    assert (caught.value.code, rig.runtime.now()) == ("timeout", 2.0)
    assert not rig.driver.connected


def test_pages_share_one_deadline() -> None:
    def page(number: int) -> Answer:
        return after(0.4, result({**PAGE, "nextCursor": f"page {number}"}))

    rig = Rig().connect()
    rig.answers["tools/list"] = [page(number) for number in range(9)]
    with pytest.raises(TransportError) as caught:
        rig.collect(READ, 1000)
    assert caught.value.code == "timeout"
    assert rig.at("tools/list") == pytest.approx([0.0, 0.4, 0.8])


def test_no_limit_is_no_limit() -> None:
    rig = Rig().connect()
    rig.answers["tools/call"] = [after(1e6, text("at last"))]
    assert rig.call(TOOL, 0).text == "at last"
    assert rig.runtime.now() == 1e6


def reporting(*pauses: float) -> Answer:
    """Report progress after each pause but the last, and answer after that."""

    def moves(request: Request) -> Iterator[Move]:
        token = request.params["_meta"]["progressToken"]
        yield stream_head()
        for done, pause in enumerate(pauses[:-1]):
            yield Pause(pause)
            params = {"progressToken": token, "progress": done}
            yield event({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        yield Pause(pauses[-1])
        content = {"resultType": "complete", "content": [{"type": "text", "text": "done"}]}
        yield event({"jsonrpc": "2.0", "id": request.message["id"], "result": content}) + END

    return moves


@pytest.mark.parametrize("max_timeout", [0, 5000])
def test_progress_begins_the_timeout_anew(max_timeout: int) -> None:
    rig = Rig().connect()
    rig.answers["tools/call"] = [reporting(0.9, 0.9, 0.9, 0.9)]
    assert rig.call(TOOL, 1000, max_timeout=max_timeout).text == "done"
    assert rig.runtime.now() == pytest.approx(3.6)


@pytest.mark.parametrize(
    ("pauses", "timeout", "max_timeout", "ends_at", "words"),
    [
        ([0.9] * 9, 1000, None, 1.0, "took longer than timeout=1000 ms"),
        ([0.9] * 9, 1000, 2500, 2.5, "took longer than max_timeout=2500 ms"),
        ([0.9] * 9, 0, 2500, 2.5, "took longer than max_timeout=2500 ms"),
        ([0.9, 0.9, 30], 1000, 5000, 2.8, "reported no progress for timeout=1000 ms"),
        ([30.0], 1000, 5000, 1.0, "reported no progress for timeout=1000 ms"),
        ([30.0], 1000, 500, 0.5, "took longer than max_timeout=500 ms"),
    ],
)
def test_progress_extends_a_call_within_bounds(
    pauses: list[float], timeout: int, max_timeout: int | None, ends_at: float, words: str
) -> None:
    rig = Rig().connect()
    rig.answers["tools/call"] = [reporting(*pauses)]

    async def ignore(progress: Progress) -> None:
        """Only so that the server reports where nothing else wants it."""

    with pytest.raises(TransportError, match=words) as caught:
        rig.call(TOOL, timeout, max_timeout=max_timeout, on_progress=ignore)
    assert caught.value.code == "timeout"
    assert rig.runtime.now() == pytest.approx(ends_at)


# ---- trying again -----------------------------------------------------------------------------


def test_waits_double_up_to_their_bound() -> None:
    policy = RetryPolicy(attempts=6, backoff=100, max_backoff=500, jitter=0)
    rig = Rig(retry=policy).connect()
    rig.answers["tools/list"] = [LOST] * 5
    rig.call(READ)
    assert rig.at("tools/list") == pytest.approx([0, 0.1, 0.3, 0.7, 1.2, 1.7])


@pytest.mark.parametrize(("chance", "second"), [(0.0, 0.2), (0.5, 0.15), (1.0, 0.1)])
def test_chance_shortens_a_wait_by_the_jitter(chance: float, second: float) -> None:
    rig = Rig(chance=chance, retry=RetryPolicy(backoff=200, jitter=0.5)).connect()
    rig.answers["tools/list"] = [LOST]
    rig.call(READ)
    assert rig.at("tools/list") == pytest.approx([0, second])


@pytest.mark.parametrize("status", [429, 503])
def test_the_server_says_how_long_to_wait(status: int) -> None:
    rig = Rig(retry=RetryPolicy(attempts=2)).connect()
    rig.answers["tools/list"] = [says(http(status, b"", "Retry-After: 7"))]
    rig.call(READ)
    assert rig.at("tools/list") == pytest.approx([0, 7])


def test_a_wait_that_the_deadline_forbids_is_not_begun() -> None:
    rig = Rig().connect()
    rig.answers["tools/list"] = [says(http(429, b"", "Retry-After: 7"))]
    with pytest.raises(TransportError) as caught:
        rig.call(READ, 5000)
    assert (caught.value.status_code, caught.value.retry_after, caught.value.attempts) == (429, 7, 1)
    assert rig.runtime.now() == 0, "whoever calls learns of it at once"


def test_the_last_error_is_the_one_that_is_raised_with_the_tries_it_took() -> None:
    rig = Rig(retry=RetryPolicy(attempts=3, backoff=0)).connect()
    rig.answers["tools/list"] = [LOST, says(http(502)), says(http(503))]
    with pytest.raises(TransportError) as caught:
        rig.call(READ)
    assert (caught.value.status_code, caught.value.attempts) == (503, 3)


def test_a_lost_answer_of_a_tool_is_not_asked_for_again() -> None:
    rig = Rig().connect()
    rig.answers["tools/call"] = [LOST]
    with pytest.raises(TransportError, match="may have run") as caught:
        rig.call(TOOL)
    assert (caught.value.code, len(rig.at("tools/call"))) == ("interrupted", 1)
    assert not rig.driver._session._pending, "nobody waits for it any more"


def test_what_never_left_is_sent_again() -> None:
    rig = Rig(retry=RetryPolicy(backoff=0)).connect()
    rig.transport.pool().close()
    rig.transport.close_all()
    rig.transport.open(rig.runtime, rig.driver)
    rig.dials = [REFUSED, REFUSED]
    assert rig.call(TOOL).text == "done"
    assert len(rig.at("tools/call")) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 500])
def test_other_refusals_are_final(status: int) -> None:
    rig = Rig().connect()
    rig.answers["tools/list"] = [says(http(status))]
    with pytest.raises(TransportError) as caught:
        rig.call(READ)
    assert (caught.value.status_code, len(rig.at("tools/list"))) == (status, 1)


def test_a_wait_that_the_deadline_of_connecting_forbids_is_not_begun() -> None:
    rig = Rig(usual={"server/discover": says(http(503, b"", "Retry-After: 60"))})
    with pytest.raises(TransportError) as caught:
        rig.connect(2000)
    assert (caught.value.code, caught.value.attempts, rig.runtime.now()) == ("http_503", 1, 0)


def test_connecting_waits_as_calls_do() -> None:
    rig = Rig(chance=1.0, retry=RetryPolicy(backoff=200, jitter=0.5))
    rig.answers["server/discover"] = [LOST, says(http(503, b"", "Retry-After: 7"))]
    rig.connect()
    assert rig.at("server/discover") == pytest.approx([0, 0.1, 7.1])


def test_connecting_is_tried_again() -> None:
    rig = Rig(retry=RetryPolicy(attempts=3, backoff=100, jitter=0), dials=[REFUSED, REFUSED])
    rig.connect()
    assert rig.at("server/discover") == pytest.approx([0.3])


# ---- event streams ----------------------------------------------------------------------------


def test_progress_is_reported_as_it_comes() -> None:
    rig = Rig().connect()
    reports: list[tuple[float, float]] = []

    def working(request: Request) -> Iterable[Move]:
        token = request.params["_meta"]["progressToken"]
        yield stream_head()
        for done in (1, 2):
            yield Pause(0.5)
            params = {"progressToken": token, "progress": done, "total": 2}
            yield event({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        yield Pause(0.5)
        yield event(answered(request))
        yield END

    async def report(progress: Progress) -> None:
        reports.append((rig.runtime.now(), progress.progress))

    rig.answers["tools/call"] = [working]
    assert rig.call(TOOL, on_progress=report).text == "done"
    assert reports == [(0.5, 1), (1.0, 2)]
    assert rig.runtime.now() == 1.5


def resumable(*moves: Move) -> Answer:
    """A stream that can be resumed, and what then happens on it."""
    return lambda request: [stream_head(), event(None, "first", 300), *moves]


@pytest.mark.parametrize("end", [END, Break(), Break(ConnectionResetError(errno.ECONNRESET, "reset"))])
def test_a_cut_stream_is_resumed_after_the_time_that_the_server_asks_for(end: Move) -> None:
    rig = Rig(HANDSHAKE).connect()
    rig.answers["tools/call"] = [resumable(Pause(1), end)]
    rig.answers["GET"] = [lambda request: resumed_with(rig, request)]
    assert rig.call(TOOL).text == "done"
    assert rig.at("GET")[-1] == pytest.approx(1.3)
    assert rig.of("GET")[-1].headers["last-event-id"] == "first"
    assert len(rig.at("tools/call")) == 1


def resumed_with(rig: Rig, request: Request) -> list[Move]:
    """The rest of a stream: the answer to the last call."""
    return [stream_head(), event(answered(rig.of("tools/call")[-1]), "second"), END]


def test_a_resumption_that_fails_at_first_is_tried_again() -> None:
    rig = Rig(HANDSHAKE).connect()
    rig.answers["tools/call"] = [resumable(END)]
    rig.answers["GET"] = [LOST, LOST, lambda request: resumed_with(rig, request)]
    assert rig.call(TOOL).text == "done"
    assert rig.at("GET")[-3:] == pytest.approx([0.3, 0.6, 0.9])
    assert len(rig.at("tools/call")) == 1


def test_a_resumption_that_is_refused_is_no_second_call() -> None:
    rig = Rig(HANDSHAKE).connect()
    rig.answers["tools/call"] = [resumable(END)]
    rig.answers["GET"] = [says(http(400))]
    with pytest.raises(TransportError, match="could not be resumed") as caught:
        rig.call(TOOL)
    assert (caught.value.code, caught.value.not_run) == ("interrupted", False)
    assert len(rig.at("tools/call")) == 1


def test_a_stream_that_never_has_news_is_given_up_in_the_end() -> None:
    rig = Rig(HANDSHAKE, retry=RetryPolicy(attempts=1)).connect()
    rig.answers["tools/call"] = [resumable(END)]
    rig.usual["GET"] = says(stream_head(), END)
    with pytest.raises(TransportError):
        rig.call(TOOL, 0)
    assert len(rig.at("GET")) <= 102


# ---- input ------------------------------------------------------------------------------------


def wants_input(state: str | None = None) -> Answer:
    """Ask for input, in the way of the stateless era."""
    asked = {
        "method": "elicitation/create",
        "params": {"mode": "form", "message": "?", "requestedSchema": {}},
    }
    value: dict[str, Any] = {"resultType": "input_required", "inputRequests": {"who": asked}}
    if state is not None:
        value["requestState"] = state
    return result(value)


def test_input_is_gathered_and_sent_with_the_state() -> None:
    rig = Rig().connect()
    rig.answers["tools/call"] = [wants_input("one"), wants_input("two")]
    assert rig.call(TOOL).text == "done"
    first, second, third = rig.of("tools/call")
    assert "inputResponses" not in first.params
    assert (second.params["requestState"], third.params["requestState"]) == ("one", "two")
    assert set(second.params["inputResponses"]) == {"who"}
    assert len({first.message["id"], second.message["id"], third.message["id"]}) == 3


def test_a_server_that_asks_for_ever_is_stopped() -> None:
    rig = Rig(usual={"tools/call": wants_input()}).connect()
    with pytest.raises(TransportError, match="32 times"):
        rig.call(TOOL)
    assert len(rig.at("tools/call")) == 32


def test_the_deadline_stands_still_while_a_person_answers() -> None:
    rig = Rig().connect()
    rig.callbacks.takes = 50
    rig.answers["tools/call"] = [after(0.6, wants_input()), after(0.3, text("thanks"))]
    assert rig.call(TOOL, 1000).text == "thanks"
    rig.answers["tools/call"] = [after(0.6, wants_input()), after(0.6, text("thanks"))]
    began = rig.runtime.now()
    with pytest.raises(TransportError, match="timeout=1000 ms"):
        rig.call(TOOL, 1000)
    assert rig.runtime.now() - began == pytest.approx(51)


def test_a_person_has_a_limit_too() -> None:
    rig = Rig(interaction_timeout=5000).connect()
    rig.callbacks.takes = 50
    rig.answers["tools/call"] = [wants_input()]
    with pytest.raises(TransportError, match="interaction_timeout=5000") as caught:
        rig.call(TOOL, 1000)
    assert (caught.value.code, rig.runtime.now()) == ("timeout", 5)


def test_the_server_hears_of_a_question_that_nobody_answers_in_time() -> None:
    rig = Rig(HANDSHAKE, interaction_timeout=5000).connect()
    rig.callbacks.takes = 50
    question = {"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": QUESTION}
    rig.answers["tools/call"] = [streamed(event(question))]
    with pytest.raises(TransportError, match="interaction_timeout=5000"):
        rig.call(TOOL)
    (answer,) = rig.of("answer")
    assert (answer.message["id"], answer.message["error"]["code"]) == ("q", -32603)
    assert rig.runtime.now() == 5


def test_questions_on_the_stream_are_answered_on_another_connection() -> None:
    rig = Rig(HANDSHAKE, max_connections=1).connect()
    question = {"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": QUESTION}
    rig.answers["tools/call"] = [streamed(event(question))]
    assert rig.call(TOOL).text == "done"
    (answer,) = rig.of("answer")
    assert answer.message["id"] == "q"
    assert answer.connection != rig.of("tools/call")[0].connection


# ---- sessions ---------------------------------------------------------------------------------


def test_a_forgotten_session_is_renewed_and_the_call_sent_once_more() -> None:
    rig = Rig(HANDSHAKE).connect()
    rig.answers["tools/call"] = [error(-32001, "Session not found", 404)]
    assert rig.call(TOOL).text == "done"
    assert [request.headers["mcp-session-id"] for request in rig.of("tools/call")] == [
        "session-1",
        "session-2",
    ]


def test_a_call_that_is_turned_away_while_another_renews_the_session_is_sent_again() -> None:
    rig = Rig(HANDSHAKE, retry=RetryPolicy(attempts=1)).connect()

    def turned_away(request: Request) -> list[Move]:
        deadline = CallDeadline(rig.runtime, 0, 0)
        carrier = rig.driver._transport
        run_sync(carrier.renew(deadline, carrier.session_id, carrier.session.agreement))
        return [http(400, b"Bad Request")]

    rig.answers["tools/call"] = [turned_away]
    assert rig.call(TOOL).text == "done"
    sent = [request.headers["mcp-session-id"] for request in rig.of("tools/call")]
    assert sent == ["session-1", "session-2"]
    assert len(rig.of("initialize")) == 2


def test_a_session_that_is_forgotten_at_once_is_not_renewed_for_ever() -> None:
    rig = Rig(HANDSHAKE).connect()
    rig.usual["tools/call"] = error(-32001, "Session not found", 404)
    with pytest.raises(MCPError):
        rig.call(TOOL)
    assert len(rig.at("initialize")) == 2


def test_renewal_counts_toward_the_deadline() -> None:
    rig = Rig(HANDSHAKE).connect()
    rig.answers["tools/call"] = [after(0.5, error(-32001, "Session not found", 404))]
    rig.usual["initialize"] = SILENCE
    with pytest.raises(TransportError) as caught:
        rig.call(TOOL, 1000)
    assert caught.value.code == "timeout"
    assert rig.runtime.now() == pytest.approx(1.0)


def test_a_session_ends_at_the_server_and_its_farewell_has_a_bound() -> None:
    rig = Rig(HANDSHAKE).connect()
    rig.usual["DELETE"] = SILENCE
    rig.disconnect()
    assert [request.headers["mcp-session-id"] for request in rig.of("DELETE")] == ["session-1"]
    assert rig.runtime.now() <= 2.0
    assert all(stream.closed for stream in rig.runtime.streams)
    with pytest.raises(LocalProtocolError, match="not connected"):
        rig.call(TOOL)


def test_a_call_that_is_given_up_is_mentioned_on_a_connection_that_rests() -> None:
    rig = Rig(HANDSHAKE).connect()
    question = {"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": QUESTION}
    # Answering the question leaves a second connection to rest.
    rig.answers["tools/call"] = [lambda request: [stream_head(), event(question)]]
    with pytest.raises(TransportError):
        rig.call(TOOL, 1000)
    (word,) = rig.of("notifications/cancelled")
    assert word.params["requestId"] == rig.of("tools/call")[0].message["id"]
    assert word.at == pytest.approx(1.0)


def test_nothing_is_mentioned_where_closing_the_connection_says_it() -> None:
    rig = Rig().connect()
    rig.answers["tools/call"] = [SILENCE]
    with pytest.raises(TransportError):
        rig.call(TOOL, 1000)
    assert not rig.of("notifications/cancelled")


# ---- redirects and refusals -------------------------------------------------------------------


def test_a_redirect_within_the_origin_is_followed_and_kept() -> None:
    rig = Rig().connect()
    rig.answers["tools/call"] = [says(http(308, b"", "Location: /elsewhere"))]
    assert rig.call(TOOL).text == "done"
    assert rig.call(TOOL).text == "done"
    assert len(rig.at("tools/call")) == 3


def test_redirects_in_circles_end() -> None:
    rig = Rig(usual={"tools/call": says(http(307, b"", "Location: /mcp"))}).connect()
    with pytest.raises(TransportError, match="circles") as caught:
        rig.call(TOOL)
    assert caught.value.code == "redirect"


def test_an_error_object_is_the_answer() -> None:
    rig = Rig().connect()
    rig.answers["tools/call"] = [error(-32602, "Unknown tool")]
    with pytest.raises(RPCError, match="Unknown tool") as caught:
        rig.call(TOOL)
    assert caught.value.code == -32602


def test_a_list_that_leads_in_a_circle_is_left() -> None:
    value = {
        "resultType": "complete",
        "tools": [],
        "ttlMs": 0,
        "cacheScope": "private",
        "nextCursor": "again",
    }
    rig = Rig(usual={"tools/list": result(value)}).connect()
    assert rig.collect(READ, 0) == []
    assert len(rig.at("tools/list")) == 2


def test_who_fails_to_connect_does_not_put_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when another thread has got in between the failure and its end."""
    rig = Rig()
    connect = HTTPSession.connect

    async def fail_late(session: HTTPSession, deadline: CallDeadline) -> None:
        monkeypatch.setattr(HTTPSession, "connect", connect)
        await rig.driver.connect(rig.runtime, 0)
        raise TransportError("refused", code="connect")

    monkeypatch.setattr(HTTPSession, "connect", fail_late)
    with pytest.raises(TransportError, match="refused"):
        rig.connect()
    assert rig.driver.connected


# ---- long lists ------------------------------------------------------------------------------


#: Tools of the longest list that is read at once; each becomes two models.
SHORT = MAX_AT_ONCE // 2


def long_list(entries: int) -> Answer:
    return result(
        {"resultType": "complete", "tools": [{"name": "a"}] * entries, "ttlMs": 0, "cacheScope": "private"}
    )


def pausing(rig: Rig, monkeypatch: pytest.MonkeyPatch, seconds: float) -> list[float]:
    """Let so much time pass whenever other work has its turn; return the times of these turns."""
    turns: list[float] = []
    sleep = rig.runtime.sleep

    async def take_a_turn(wait: float) -> None:
        turns.append(rig.runtime.now())
        await sleep(wait or seconds)

    monkeypatch.setattr(rig.runtime, "sleep", take_a_turn)
    return turns


def test_other_work_has_its_turn_while_a_long_list_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(usual={"tools/list": long_list(SHORT + 1)}).connect()
    turns = pausing(rig, monkeypatch, 0.0)
    assert len(rig.collect(READ)) == SHORT + 1
    assert len(turns) == MAX_AT_ONCE // SLICE + 1


def test_a_short_list_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(usual={"tools/list": long_list(SHORT)}).connect()
    turns = pausing(rig, monkeypatch, 0.0)
    assert len(rig.collect(READ)) == SHORT
    assert turns == []


def test_the_deadline_holds_while_a_long_list_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(usual={"tools/list": long_list(SHORT + 1)}).connect()
    turns = pausing(rig, monkeypatch, 1.0)
    with pytest.raises(TransportError, match="timeout=3000 ms") as caught:
        rig.collect(READ, timeout=3000)
    assert caught.value.code == "timeout"
    assert len(turns) == 3


def test_a_long_list_that_is_malformed_is_an_error() -> None:
    page = {"resultType": "complete", "tools": [{}] * 100_001}
    limits = ListLimits(max_entries=2_000_000)
    rig = Rig(usual={"tools/list": result(page)}, list_limits=limits).connect()
    with pytest.raises(ResponseValidationError, match="more than 100000 entries are malformed"):
        rig.collect(READ)


def test_a_list_is_counted_over_all_of_its_pages() -> None:
    def page(request: Request) -> Iterable[Move]:
        number = int(request.message["params"].get("cursor", 0))
        value = {"resultType": "complete", "tools": [{"name": "a"}] * 10, "nextCursor": str(number + 1)}
        return result(value)(request)

    rig = Rig(usual={"tools/list": page}, list_limits=ListLimits(max_entries=30)).connect()
    with pytest.raises(ResponseValidationError, match="max_list_entries=30"):
        rig.collect(READ)
    assert len(rig.at("tools/list")) == 4

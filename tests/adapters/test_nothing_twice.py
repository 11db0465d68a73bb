"""A server runs the tool, and then gives every signal after which a client might send the call again.

Each request that arrives runs the tool, so that the requests count how often it ran: once, except after
the signals that say that it did not run. Those are believed, and are a table of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

import pytest

from routermcp_adapters.call.deadline import CallDeadline
from routermcp_adapters.runtimes.run_sync import run_sync
from routermcp_proto import calls
from routermcp_proto.exceptions import AuthorizationRequiredError, MCPError, TransportError
from routermcp_proto.retry import RetryPolicy
from tests.adapters.rig import (
    END,
    HANDSHAKE,
    STATELESS,
    Answer,
    Request,
    Rig,
    error,
    event,
    http,
    result,
    says,
    stream_head,
    text,
)
from tests.adapters.scripted_runtime import Break, Move

TOOL = calls.call_tool("send")

#: Tries as often as a client can be told to, and after every status.
EAGER = RetryPolicy(attempts=5, statuses=frozenset(range(400, 600)) - {429})

#: Words that servers have for a lost session, and tools for something of their own.
WORDS = (
    "Session not found",
    "Browser session not found",
    "User session expired",
    "No valid session ID provided",
    "Server not initialized",
    "Received request before initialization was complete",
)
CODES = (-32000, -32001, -32002, -32005, -32020, -32021, -32022, -32600, -32603, 0, 7)


def rig_of(era: str, answer: Answer) -> Rig:
    """A client that is connected, and whose next call of a tool is answered so."""
    rig = Rig(era, retry=EAGER).connect()
    rig.answers["tools/call"] = [answer]
    return rig


def make_call(rig: Rig, **options: Any) -> MCPError | None:
    """Call the tool, and return the error."""
    try:
        rig.call(TOOL, **options)
    except MCPError as failed:
        return failed
    return None


def runs(rig: Rig) -> int:
    return len(rig.of("tools/call"))


def sessions(rig: Rig) -> int:
    return len(rig.of("initialize"))


# ---- what a tool says, in a session that lives -----------------------------------------------------


@pytest.mark.parametrize("era", [HANDSHAKE, STATELESS])
@pytest.mark.parametrize("status", [200, 500])
def test_the_words_of_a_tool_are_the_callers(era: str, status: int) -> None:
    for code in CODES:
        for words in WORDS:
            rig = rig_of(era, error(code, words, status))
            failed = make_call(rig)
            assert words in str(failed), (code, words)
            assert runs(rig) == 1, (code, words)
            assert sessions(rig) == (era == HANDSHAKE), (code, words)


@pytest.mark.parametrize("probed", [says(), says(Break()), says(http(503)), error(-32601, "unknown")])
def test_a_probe_that_tells_nothing_leaves_the_words_to_the_caller(probed: Answer) -> None:
    rig = rig_of(HANDSHAKE, error(-32600, "Session not found"))
    rig.usual["tools/list"] = probed
    assert "Session not found" in str(make_call(rig))
    assert (runs(rig), sessions(rig)) == (1, 1)


# ---- a session that is lost --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "probed"),
    [
        (error(-32001, "Session not found"), error(-32001, "Session not found")),
        (error(-32000, "No valid session"), error(-32000, "No valid session")),
        (error(-32600, "Session not found"), error(-32001, "Session not found", 404)),
        (error(-32002, "Server not initialized"), error(-32600, "Server not initialized")),
    ],
)
def test_a_session_that_is_lost_while_a_tool_runs_is_renewed_for_the_next_call(
    said: Answer, probed: Answer
) -> None:
    rig = rig_of(HANDSHAKE, said)
    rig.answers["tools/list"] = [probed]
    failed = make_call(rig)
    assert isinstance(failed, TransportError)
    assert (failed.code, runs(rig), sessions(rig)) == ("interrupted", 1, 2)
    assert "may have run" in str(failed)
    assert "retry=True" in str(failed)
    assert make_call(rig) is None
    assert rig.of("tools/call")[-1].headers["mcp-session-id"] == "session-2"


def test_the_renewal_of_a_session_that_a_tool_ran_in_is_no_reason_to_run_it_again() -> None:
    rig = rig_of(HANDSHAKE, error(-32001, "Session not found"))
    rig.answers["tools/list"] = [error(-32001, "Session not found")]
    rig.usual["initialize"] = says(http(503))
    failed = make_call(rig)
    assert isinstance(failed, TransportError)
    assert (failed.code, runs(rig)) == ("interrupted", 1)


def test_a_call_that_may_be_repeated_goes_on_in_the_new_session() -> None:
    rig = rig_of(HANDSHAKE, error(-32001, "Session not found"))
    rig.answers["tools/list"] = [error(-32001, "Session not found")]
    assert make_call(rig, repeatable=True) is None
    assert (runs(rig), sessions(rig)) == (2, 2)


@pytest.mark.parametrize(
    "said",
    [
        http(400, {"jsonrpc": "2.0", "id": 3, "error": {"code": -32000, "message": "sent, but not filed"}}),
        http(200, {"jsonrpc": "2.0", "id": 3, "error": {"code": -32001, "message": "Session not found"}}),
    ],
)
def test_a_session_that_another_call_renews_while_a_tool_runs(said: bytes) -> None:
    def ran(request: Request) -> list[Move]:
        deadline = CallDeadline(rig.runtime, 0, 0)
        carrier = rig.driver._transport
        run_sync(carrier.renew(deadline, carrier.session_id, carrier.session.agreement))
        return [said.replace(b'"id": 3', b'"id": %d' % request.message["id"])]

    rig = rig_of(HANDSHAKE, ran)
    assert make_call(rig) is not None
    assert (runs(rig), sessions(rig)) == (1, 2)


# ---- every other signal -------------------------------------------------------------------------------


class Signal(NamedTuple):
    """What a server does after it has run the tool, and answers to GET then."""

    answer: Answer
    get: Answer = says(http(405))


def status(number: int, *headers: str) -> Signal:
    return Signal(says(http(number, b"", *headers)))


#: An event of a stream that can be resumed after it.
RESUMABLE = event({"jsonrpc": "2.0", "method": "notifications/x"}, event_id="7", retry=1)
CUT = says(stream_head(), RESUMABLE, Break())

RETRY_AFTER = "Retry-After: 0"
SIGN_IN = {"elicitations": [{"mode": "url", "url": "https://example.com/", "elicitationId": "1"}]}

RUN_ONCE: Mapping[str, Signal] = {
    **{str(n): status(n) for n in (400, 403, 405, 408, 409, 413, 421, 425, 500, 502, 503, 504, 520, 529)},
    **{f"{n} with Retry-After": status(n, RETRY_AFTER) for n in (408, 421, 425, 500, 502, 503, 504)},
    **{str(n): status(n, "Location: /elsewhere") for n in (301, 302, 303)},
    "307 to another origin": status(307, "Location: http://127.0.0.2:1/mcp"),
    "202": status(202),
    "204": status(204),
    "400 with an error": Signal(error(-32000, "sent, but not filed", 400)),
    "409 with an error": Signal(error(-32000, "the document was changed meanwhile", 409)),
    "closed": Signal(says(Break())),
    "reset": Signal(says(Break(ConnectionResetError("reset")))),
    "half a head": Signal(says(b"HTTP/1.1 200 OK\r\nContent-", Break())),
    "half a body": Signal(says(http(200, b'{"json')[:-3], Break())),
    "no HTTP": Signal(says(b"\x00\x00\x08\x07\x00\x00\x00\x00\x00", Break())),
    "no JSON": Signal(says(http(200, b"{"))),
    "an answer to another": Signal(says(http(200, {"jsonrpc": "2.0", "id": 999, "result": {}}))),
    "a stream that is cut": Signal(says(stream_head(), Break())),
    "a stream that ends": Signal(says(stream_head(), END)),
    "a stream, and 404 to its resumption": Signal(CUT, says(http(404))),
    "a stream, and 429 to its resumption": Signal(CUT, says(http(429, b"", RETRY_AFTER))),
    "a stream, and 503 to its resumption": Signal(CUT, says(http(503, b"", RETRY_AFTER))),
    "a stream, and a redirect of its resumption": Signal(CUT, says(http(307, b"", "Location: /mcp"))),
    "a stream, and nothing on its resumption": Signal(CUT, says(stream_head(), END)),
    "a stream, and the connection closed on its resumption": Signal(CUT, says(Break())),
    "-32042, and the user does not sign in": Signal(error(-32042, "sign in", data=SIGN_IN)),
}


@pytest.mark.parametrize("era", [HANDSHAKE, STATELESS])
@pytest.mark.parametrize("name", RUN_ONCE)
def test_a_tool_that_may_have_run_is_not_run_again(name: str, era: str) -> None:
    rig = rig_of(era, RUN_ONCE[name].answer)
    rig.usual["GET"] = RUN_ONCE[name].get
    assert make_call(rig, timeout=60_000) is not None
    assert runs(rig) == 1
    assert make_call(rig) is None


REFUSALS: Mapping[str, tuple[str, Answer]] = {
    "404": (HANDSHAKE, says(http(404))),
    "404 and -32001": (HANDSHAKE, error(-32001, "Session not found", 404)),
    "410": (HANDSHAKE, says(http(410))),
    "400 that speaks of the session": (HANDSHAKE, error(-32000, "No valid session ID provided", 400)),
    "409 that speaks of the session": (HANDSHAKE, error(-32000, "Unknown session", 409)),
    "401 that speaks of the session": (HANDSHAKE, says(http(401, b"Session not found"))),
    "422 that expects initialize": (HANDSHAKE, says(http(422, b"expect initialize request"))),
    "-32600 that names the session": (HANDSHAKE, error(-32600, "Invalid session ID: session-1")),
    "429": (HANDSHAKE, says(http(429, b"", RETRY_AFTER))),
    "307": (HANDSHAKE, says(http(307, b"", "Location: /mcp/"))),
    "308": (STATELESS, says(http(308, b"", "Location: /mcp/"))),
    "400 and -32022": (STATELESS, error(-32022, "unsupported", 400)),
    "400 and -32020": (STATELESS, error(-32020, "a header is missing", 400)),
    "-32042, and the user signs in": (HANDSHAKE, error(-32042, "sign in", data=SIGN_IN)),
    "input_required": (STATELESS, result({"resultType": "input_required", "requestState": "1"})),
}
"""Signals that say by their definition that the call did not run, or is to be sent again."""


@pytest.mark.parametrize("name", REFUSALS)
def test_a_server_is_believed_that_refuses_a_call_or_wants_it_again(name: str) -> None:
    era, answer = REFUSALS[name]
    rig = Rig(era).connect()
    rig.callbacks.signs_in = True
    rig.answers["tools/call"] = [answer]
    assert make_call(rig) is None
    assert runs(rig) == 2


def test_a_code_of_routing_headers_means_nothing_where_there_are_none() -> None:
    rig = rig_of(HANDSHAKE, error(-32020, "the header of the mail is wrong", 400))
    assert make_call(rig) is not None
    assert runs(rig) == 1


@pytest.mark.parametrize(
    ("said", "probed"),
    [
        (error(-32600, "Session not found"), error(-32600, "Session not found")),
        (error(-32002, "Server not initialized"), error(-32002, "Server not initialized")),
        (error(-32022, "unsupported"), error(-32022, "unsupported")),
    ],
)
def test_a_server_is_believed_that_refuses_all_requests_as_invalid(said: Answer, probed: Answer) -> None:
    rig = rig_of(HANDSHAKE, said)
    rig.answers["tools/list"] = [probed]
    assert make_call(rig) is None
    assert (runs(rig), sessions(rig)) == (2, 2)


# ---- what fails at the client while the tool runs --------------------------------------------------------

#: Failures of other requests, after which a call may be made again.
ELSEWHERE: Mapping[str, MCPError] = {
    "not connected": TransportError("down", code="connect", not_run=True),
    "closed before it was sent": TransportError("down", code="closed", not_run=True),
    "429": TransportError("slow", code="http_429", status_code=429),
    "a user has to sign in": AuthorizationRequiredError("sign in"),
}

QUESTION = {"mode": "form", "message": "?", "requestedSchema": {"type": "object", "properties": {}}}


def asks(request: Request) -> Iterable[Move]:
    """Report progress, notify and ask, on the way to the answer."""
    token = request.params.get("_meta", {}).get("progressToken")
    about = {"progressToken": token, "progress": 1}
    (done,) = text("done")(request)
    return [
        stream_head(),
        event({"jsonrpc": "2.0", "method": "notifications/progress", "params": about}),
        event({"jsonrpc": "2.0", "method": "notifications/message", "params": {}}),
        event({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": QUESTION}),
        cast("bytes", done),
    ]


@pytest.mark.parametrize("which", ["progress", "hear", "answer"])
@pytest.mark.parametrize("failure", ELSEWHERE)
def test_a_callback_that_fails_elsewhere_does_not_run_the_tool_again(which: str, failure: str) -> None:
    async def fail(*_: object) -> Any:
        raise ELSEWHERE[failure]

    rig = Rig(HANDSHAKE).connect()
    rig.answers["tools/call"] = [asks]
    rig.callbacks.signs_in = True
    if which != "progress":
        setattr(rig.callbacks, which, fail)
    failed = make_call(rig, on_progress=fail if which == "progress" else None)
    assert failed is not None
    assert failed.__cause__ is ELSEWHERE[failure]
    assert runs(rig) == 1

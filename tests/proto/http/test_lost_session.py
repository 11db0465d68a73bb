"""Whether the session is lost, and whether the call may have run."""

from __future__ import annotations

import pytest

from routermcp_proto import calls
from routermcp_proto.events import ErrorReceived, HTTPAccepted, HTTPRefused, ResponseReceived
from routermcp_proto.http.lost_session import Verdict, judge, judge_probe, judge_renewed
from routermcp_proto.http.outcomes import Outcome
from routermcp_proto.jsonrpc import ErrorObject

LIVES, REFUSED, LOST, UNSURE = Verdict.LIVES, Verdict.REFUSED, Verdict.LOST, Verdict.UNSURE

#: The name of the session.
ID = "b2f0-77"

TOOL = calls.call_tool("send")


def refused(
    status: int, body: str = "", error: tuple[int, str] | None = None, challenges: tuple[str, ...] = ()
) -> HTTPRefused:
    """An HTTP refusal, with an error object or without."""
    return HTTPRefused(status, ErrorObject(*error) if error else None, False, body, None, challenges)


def said(code: int, message: str) -> ErrorReceived:
    """An error object as the answer to the call."""
    return ErrorReceived(1, ErrorObject(code, message), TOOL)


DONE = ResponseReceived(1, None)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (refused(404), REFUSED),
        (refused(410, "Gone"), REFUSED),
        (refused(404, error=(-32600, "Session not found")), REFUSED),
        (refused(404, error=(-32601, "unknown method")), LIVES),
        (refused(409, error=(-32000, "Unknown session")), REFUSED),
        (refused(409, "stale session"), REFUSED),
        (refused(409), LIVES),
        (refused(409, error=(-32000, "the document was changed meanwhile")), LIVES),
        (refused(409, error=(-32050, "the file exists")), LIVES),
        (refused(400, error=(-32000, "Bad Request: No valid session ID provided")), REFUSED),
        (refused(400, error=(-32002, "Server not initialized")), REFUSED),
        (refused(400, error=(-32002, "Resource session.txt not found")), LIVES),
        (refused(400, error=(-32000, "Bad Request: Server not initialized")), REFUSED),
        (refused(400, error=(-32022, "unsupported")), REFUSED),
        (refused(400, "Invalid or missing session ID"), REFUSED),
        (refused(400, '{"error":"Session expired"}'), REFUSED),
        (refused(400, error=(-32000, "Bad Request")), LIVES),
        (refused(400, error=(-32020, "session header mismatch")), LIVES),
        (refused(400), LIVES),
        (refused(401), LIVES),
        (refused(401, "Unauthorized: Session not found"), REFUSED),
        (refused(401, "Session not found", challenges=("Bearer",)), LIVES),
        (refused(403, "Session not found"), LIVES),
        (refused(422, "Unexpected message, expect initialize request"), REFUSED),
        (refused(422, "expected a number"), LIVES),
        (refused(500, "session"), LIVES),
        (refused(500, error=(-32022, "unsupported")), LIVES),
    ],
)
def test_an_http_refusal_comes_before_the_call(answer: Outcome, verdict: Verdict) -> None:
    assert judge(answer, ID) is verdict


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (refused(400, error=(-32000, "Bad Request: Server not initialized")), REFUSED),
        (refused(400, "Client is not initialized"), REFUSED),
        (refused(400, error=(-32022, "unsupported")), REFUSED),
        (refused(400, "no session"), LIVES),
        (refused(404), LIVES),
        (refused(409), LIVES),
        (said(-32600, "Received request before initialization was complete"), UNSURE),
        (said(-32002, "Server not initialized"), UNSURE),
        (said(-32022, "unsupported"), UNSURE),
        (said(-32600, "Session not found"), LIVES),
    ],
)
def test_a_session_without_an_id_can_only_be_uninitialized(answer: Outcome, verdict: Verdict) -> None:
    assert judge(answer, None) is verdict


@pytest.mark.parametrize(
    "answer",
    [
        said(-32600, "Invalid session ID"),
        said(-32000, "No valid session"),
        said(-32001, "Session not found"),
        said(-32001, "Browser session not found"),
        said(-32005, "User session expired"),
        said(-32600, "Not initialized yet: call initialize first"),
        said(0, "Invalid or expired session (E12)"),
        said(-32002, "Server not initialized"),
        said(-32001, f"no browser for session {ID}: session not found"),
        said(-32600, f"Invalid session ID: {ID}8"),
    ],
)
def test_words_in_an_accepted_answer_only_raise_a_doubt(answer: Outcome) -> None:
    assert judge(answer, ID) is UNSURE


@pytest.mark.parametrize(
    "answer",
    [
        DONE,
        HTTPAccepted(202),
        None,
        said(-32002, "no such file: x"),
        said(-32000, "the browser is not initialized"),
        said(-32000, "Database connection not initialized"),
        said(-32000, "sent, but the Redis client is not initialized"),
        said(-32000, "cannot open the training session"),
        said(-32000, "no room. The session goes on"),
    ],
)
def test_all_else_is_the_answer_to_the_call(answer: Outcome | None) -> None:
    assert judge(answer, ID) is LIVES


@pytest.mark.parametrize(
    "words", ["Invalid session ID: {}", "Invalid session ID: {}. It may have expired.", 'no session "{}"']
)
def test_a_refused_request_that_names_the_session_needs_no_probe(words: str) -> None:
    """A tool may know that name, but does not call the request invalid."""
    assert judge(said(-32600, words.format(ID)), ID) is REFUSED


@pytest.mark.parametrize(
    ("answer", "probed", "verdict"),
    [
        # The session lives: the tool spoke of something of its own.
        (said(-32600, "Session not found"), DONE, LIVES),
        (said(-32600, "Session not found"), said(-32601, "no tools/list"), LIVES),
        (said(-32600, "Session not found"), refused(503), LIVES),
        (said(-32600, "Session not found"), None, LIVES),
        # The session is lost, and the server says of both requests that it did not take them.
        (said(-32600, "Session not found"), said(-32600, "Session not found"), REFUSED),
        (said(-32002, "Server not initialized"), said(-32002, "Server not initialized"), REFUSED),
        (said(-32022, "unsupported"), said(-32022, "unsupported"), REFUSED),
        (said(-32600, "Session not found"), said(-32600, f"Session {ID} not found"), REFUSED),
        # The session is lost, and nothing says that it was before the tool ran.
        (said(-32001, "Session not found"), said(-32001, "Session not found"), LOST),
        (said(-32600, "Session not found"), said(-32001, "Session not found"), LOST),
        (said(-32600, "Session not found"), refused(404), LOST),
    ],
)
def test_a_harmless_request_tells_a_lost_session_from_the_words_of_a_tool(
    answer: Outcome, probed: Outcome | None, verdict: Verdict
) -> None:
    assert judge_probe(answer, probed, ID) is verdict


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (refused(404), REFUSED),
        (refused(400, "Bad Request"), REFUSED),
        (refused(400, error=(-32000, "no session id")), REFUSED),
        (refused(400, error=(-32000, "the mail was sent, but not filed")), LIVES),
        (refused(500), LIVES),
        (said(-32600, "Session not found"), REFUSED),
        (said(-32001, "Session not found"), LOST),
        (said(-32000, "the disk is full"), LIVES),
    ],
)
def test_a_session_that_another_call_has_renewed_says_nothing_of_this_call(
    answer: Outcome, verdict: Verdict
) -> None:
    assert judge_renewed(answer, ID) is verdict

"""Whether an answer means that the server has lost the session, and that the call did not run.

A server that was started anew knows no session of before, and each server says so in its own way. A tool
that ran may use the same words for something of its own, the session of a browser for example: then the
call must not be made again. What tells them apart, from the strongest:

1. An HTTP status that refuses the request comes before the call is worked on. The specification has 404;
   servers use others too, which are believed where the text speaks of the session.
2. An error object in an answer that was accepted (HTTP 200, or any answer on a stream) may be the tool's.
   A harmless request in the same session tells: where it is answered, the session lives, and the error is
   the answer to the call.
3. Where that request is refused as well the session is lost. It may have been lost while the tool ran, so
   the call counts as not begun only where the code itself says that the request was refused: JSON-RPC's
   "invalid request", LSP's "not initialized" and MCP's "unsupported version", the same for both requests.
   The codes that each server defines for itself say nothing of that.

Source: https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#session-management;
JSON-RPC 2.0, section 5.1; MCP 2026-07-28, Error Codes.
"""

from __future__ import annotations

import re
from enum import Enum

from ..error_codes import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    NO_CODE,
    PROJECT_NOT_FOUND,
    RESOURCE_NOT_FOUND,
    UNAUTHORIZED,
    UNSUPPORTED_VERSION,
)
from ..events import ErrorReceived, HTTPRefused
from ..jsonrpc import ErrorObject
from .outcomes import Outcome

#: Characters of an error or a refusal that are searched for words about the session.
MAX_SEARCHED = 1_000

#: LSP's code for a server that is not initialized, which MCP has for a resource that is missing.
_NOT_INITIALIZED = RESOURCE_NOT_FOUND

#: Codes that refuse the request itself, by their definition: nothing has worked on it.
_BEFORE_THE_CALL = frozenset({INVALID_REQUEST, _NOT_INITIALIZED, UNSUPPORTED_VERSION})

#: Codes with which servers refuse a request of a session that they do not know.
_UNKNOWN_SESSION_CODES = frozenset(
    {UNAUTHORIZED, PROJECT_NOT_FOUND, INVALID_REQUEST, NO_CODE, INVALID_PARAMS, INTERNAL_ERROR}
)
_UNINITIALIZED_CODES = frozenset(
    {UNAUTHORIZED, PROJECT_NOT_FOUND, INVALID_REQUEST, NO_CODE, _NOT_INITIALIZED}
)

#: How servers say in words that they wait for ``initialize``.
_UNINITIALIZED = re.compile(
    # Not those of a tool that ran: "the database connection is not initialized".
    r"(?:^|[:;.] ?)(?:(?:the|this|your|mcp) )*(?:server|client|session|connection|protocol|transport)?"
    r"(?: is| was| has)? ?"
    r"(?:not (?:been |yet )?initiali[sz]ed|uninitiali[sz]ed)"
    r"|before initiali[sz]|initiali[sz]ed? first|\bexpect\w*[^.\n]{1,20}\binitiali[sz]e\b",
    re.IGNORECASE,
)

#: How servers say in words that they do not know a session.
_UNKNOWN_SESSION = re.compile(
    r"\b(?:invalid|unknown|expired|unrecogni[sz]ed|missing|stale|closed|terminated|no)\b[^.\n]{0,40}\bsession"
    r"|\bsession\b[^.\n]{0,80}(?:not|n't|invalid|unknown|expired|missing|closed|terminated|gone)",
    re.IGNORECASE,
)

#: What stands between the words of an error, so that a session id is found as a word of its own.
_BETWEEN_WORDS = re.compile(r"[\s\"'`,;()<>\[\]{}]+|[.:](?=\s|$)")


class Verdict(Enum):
    """What an answer says of the session, and of the call."""

    LIVES = "nothing: it is the answer to the call"
    REFUSED = "the session is lost, and the call was refused before it ran"
    LOST = "the session is lost, and the call may have run"
    UNSURE = "a harmless request in the same session has to tell"


def error_in(outcome: Outcome | None) -> tuple[ErrorObject | None, HTTPRefused | None]:
    """Return the error object of an outcome and the HTTP refusal that it is, None for what it has not."""
    if isinstance(outcome, ErrorReceived):
        return outcome.error, None
    if isinstance(outcome, HTTPRefused):
        return outcome.error, outcome
    return None, None


def judge(outcome: Outcome | None, session_id: str | None) -> Verdict:
    """Say what the answer to a call means for its session.

    Args:
        outcome: The answer.
        session_id: The name of the session in which the call was sent, None where it has none.
    """
    error, refused = error_in(outcome)
    if refused is not None:
        return Verdict.REFUSED if _refuses_session(error, refused, session_id) else Verdict.LIVES
    if error is None or not _may_mean_session(error, session_id):
        return Verdict.LIVES
    named = session_id is not None and session_id in _BETWEEN_WORDS.split(error.message[:MAX_SEARCHED])
    return Verdict.REFUSED if named and error.code in _BEFORE_THE_CALL else Verdict.UNSURE


def judge_probe(outcome: Outcome | None, probed: Outcome | None, session_id: str | None) -> Verdict:
    """Say what the answer to a call means, now that a harmless request was answered as well.

    Args:
        outcome: The answer to the call, which is :attr:`Verdict.UNSURE`.
        probed: The answer to the harmless request, None where there was none.
        session_id: The name of the session in which both were sent, None where it has none.
    """
    if judge(probed, session_id) is Verdict.LIVES:
        return Verdict.LIVES
    (error, _), (again, refused) = error_in(outcome), error_in(probed)
    same = refused is None and error is not None and again is not None and again.code == error.code
    return _by_code(error) if same else Verdict.LOST


def judge_renewed(outcome: Outcome | None, session_id: str | None) -> Verdict:
    """Say what the answer to a call means whose session another call has found lost meanwhile.

    Args:
        outcome: The answer to the call.
        session_id: The name of the session in which it was sent; None also where that call was just
            opening another.
    """
    error, refused = error_in(outcome)
    if refused is not None:
        # A tool that ran is answered for with an error object.
        by_http = refused.status == 400 and error is None
        return Verdict.REFUSED if by_http or session_unknown(error, refused) else Verdict.LIVES
    return Verdict.LIVES if judge(outcome, session_id) is Verdict.LIVES else _by_code(error)


def _by_code(error: ErrorObject | None) -> Verdict:
    """Say whether a call may have run that was answered with an error in a session that is lost."""
    before = error is not None and error.code in _BEFORE_THE_CALL
    return Verdict.REFUSED if before else Verdict.LOST


def session_unknown(error: ErrorObject | None, refused: HTTPRefused) -> bool:
    """Return whether the refusal of a request with a session id means that the session has expired.

    The specification uses HTTP 404 for that. Restarted servers also answer 410, 400 or 409 with a text
    that mentions the session, 401 or 422 with one that says so; the request did not run there either.

    Args:
        error: The error object in the refusal, where there was one.
        refused: The HTTP refusal.
    """
    status, words = refused.status, _words(error, refused)
    if status in (404, 410):
        return error is None or error.code != METHOD_NOT_FOUND
    if error is not None and error.code == _NOT_INITIALIZED:
        return uninitialized(error, refused)
    if error is not None and error.code not in _UNKNOWN_SESSION_CODES:
        return False
    if status in (400, 409):
        return any(said in words.lower() for said in ("session", "initializ", "initialis"))
    said_so = _UNKNOWN_SESSION.search(words) or _UNINITIALIZED.search(words)
    return status in (401, 422) and said_so is not None and not refused.challenges


def uninitialized(error: ErrorObject | None, refused: HTTPRefused) -> bool:
    """Return whether the refusal of a request says that the server waits for ``initialize``.

    That is all that a server can say of a session without an id.

    Args:
        error: The error object in the refusal, where there was one.
        refused: The HTTP refusal.
    """
    known = error is None or error.code in _UNINITIALIZED_CODES
    said_so = _UNINITIALIZED.search(_words(error, refused)) is not None
    return known and refused.status in (400, 422) and said_so


def _refuses_session(error: ErrorObject | None, refused: HTTPRefused, session_id: str | None) -> bool:
    if error is not None and error.code == UNSUPPORTED_VERSION:
        return refused.status == 400
    unknown = uninitialized if session_id is None else session_unknown
    return unknown(error, refused)


def _may_mean_session(error: ErrorObject, session_id: str | None) -> bool:
    words = error.message[:MAX_SEARCHED]
    if error.code == UNSUPPORTED_VERSION or _UNINITIALIZED.search(words):
        return True
    return session_id is not None and _UNKNOWN_SESSION.search(words) is not None


def _words(error: ErrorObject | None, refused: HTTPRefused) -> str:
    return (error.message if error is not None else refused.body)[:MAX_SEARCHED]

"""The meaning of an HTTP refusal, in words and as an error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from ..error_codes import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    NO_CODE,
    PROJECT_NOT_FOUND,
    RESOURCE_NOT_FOUND,
    UNAUTHORIZED,
    URL_ELICITATION_REQUIRED,
)
from ..events import (
    ErrorReceived,
    Fetched,
    HTTPAccepted,
    HTTPRedirected,
    HTTPRefused,
    InputRequired,
    LongListReceived,
    ResponseReceived,
    ResponseRejected,
    StreamEnded,
)
from ..exceptions import AuthorizationRequiredError, MCPError, TransportError, rpc_error_type
from ..jsonrpc import ErrorObject
from .url import EndpointURL

Outcome = (
    ResponseReceived
    | ErrorReceived
    | ResponseRejected
    | LongListReceived
    | InputRequired
    | HTTPAccepted
    | HTTPRefused
    | HTTPRedirected
    | StreamEnded
    | Fetched
)

OUTCOMES = (
    ResponseReceived,
    ErrorReceived,
    ResponseRejected,
    LongListReceived,
    InputRequired,
    HTTPAccepted,
    HTTPRefused,
    HTTPRedirected,
    StreamEnded,
    Fetched,
)

_ADVICE = {
    400: "the server did not understand the request",
    401: "it requires credentials: give api_key= or an Authorization header",
    403: "the credentials do not allow this",
    404: "there is no MCP endpoint: check the path of the URL (many servers have it at /mcp)",
    405: "it does not accept POST there: check the path of the URL (many servers have it at /mcp)",
    407: "the proxy requires credentials",
    408: "the server gave up waiting for the request",
    413: "the request is too large for it",
    429: "too many requests: slow down",
    502: "the gateway cannot reach the server behind it",
    503: "the server is not available now",
    504: "the server behind the gateway did not answer in time",
    520: "the proxy did not understand the server behind it",
    521: "the server behind the proxy is down",
    522: "the server behind the proxy cannot be reached",
    523: "the server behind the proxy cannot be reached",
    524: "the server behind the proxy did not answer in time",
    525: "the proxy found no TLS with the server behind it",
    526: "the proxy does not trust the certificate of the server behind it",
    529: "the server is overloaded",
    530: "the proxy cannot reach the server behind it",
}

#: URLs that one error has a user open: as many as a call may have rounds of questions.
MAX_ELICITATIONS = 32

#: Characters of a refusal that are searched for words about the session.
MAX_SEARCHED = 1_000

#: Statuses that concern the client or the moment, and say nothing about the revisions that
#: the server speaks.
ABOUT_THE_MOMENT = frozenset({401, 403, 407, 408, 429, 502, 503, 504})

#: Codes with which servers refuse a request of a session that they do not know. Those of JSON-RPC
#: that a tool which ran may have too are not among them where HTTP says that all is well.
_UNKNOWN_SESSION_CODES = frozenset({UNAUTHORIZED, PROJECT_NOT_FOUND, INVALID_REQUEST, NO_CODE})
_UNKNOWN_SESSION_CODES_REFUSED = _UNKNOWN_SESSION_CODES | {INVALID_PARAMS, INTERNAL_ERROR}

#: LSP's code for a server that is not initialized, which MCP has for a resource that is missing.
_NOT_INITIALIZED = RESOURCE_NOT_FOUND

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


AUTHORIZATION_REQUIRED = "authorization_required"
"""The ``reason`` in the data of a gateway's error when a user has to sign in first."""


#: The ``reason`` in the data of a gateway's 401 where its API key is missing or wrong.
API_KEY_REASONS = ("missing", "malformed", "unknown")


def is_about_api_key(refused: HTTPRefused) -> bool:
    """Return whether a gateway refuses a request for its API key, so that no sign-in helps."""
    error = refused.error
    data: Any = error.data if error is not None and error.code == UNAUTHORIZED else None
    return isinstance(data, dict) and cast("dict[str, Any]", data).get("reason") in API_KEY_REASONS


def refusal_error(refused: HTTPRefused, endpoint: EndpointURL | str) -> TransportError:
    """Return the error that tells people about an HTTP refusal."""
    advice = _ADVICE.get(refused.status, "the server refused the request")
    if is_about_api_key(refused):
        advice = "it requires an API key: give api_key="
    said = refused.error.message if refused.error is not None else _first_line(refused.body)
    message = f"{endpoint} answered HTTP {refused.status}: {advice}"
    if said:
        message += f"; it says: {said[:300]}"
    if refused.retry_after is not None:
        message += f"; it asks to wait {refused.retry_after:g} s"
    return TransportError(
        message,
        code=f"http_{refused.status}",
        status_code=refused.status,
        retry_after=refused.retry_after,
        body=refused.body,
    )


def _first_line(body: str) -> str:
    text = body.strip()
    return "" if text.startswith("<") else text.split("\n", 1)[0]


def rpc_error(
    error: ErrorObject, *, method: str, about: str, gateway: bool, refused: HTTPRefused | None = None
) -> MCPError:
    """Return the exception for an error object of the server.

    Args:
        error: The error object of the server.
        method: The MCP method that was called.
        about: The tool, resource or method that was called, for people.
        gateway: The peer is a RouterMCP gateway, whose own codes have a meaning.
        refused: The HTTP refusal that carried it, if any.
    """
    kind = rpc_error_type(error.code, method=method, data=error.data, gateway=gateway)
    said = kind(
        error.message,
        code=error.code,
        data=error.data,
        about=about,
        status_code=refused.status if refused is not None else None,
        retry_after=refused.retry_after if refused is not None else None,
    )
    required = _authorization_required(error, about, gateway)
    if required is None:
        return said
    required.__cause__ = said  # the server's own words, and proof that they are the server's
    return required


def _authorization_required(
    error: ErrorObject, about: str, gateway: bool
) -> AuthorizationRequiredError | None:
    """Return the error that asks a user to open a page first, None for any other error.

    That is -32042 (MCP 2025-11-25, URL Mode Elicitation), and a gateway's error for clients
    that do not support elicitation.
    """
    data = _dict_or_empty(error.data)
    url = _str_or_none(data.get("url"))
    elicitations: tuple[Mapping[str, Any], ...] = ()
    if error.code == URL_ELICITATION_REQUIRED:
        elicitations = _elicitations(error.message, data)
        url = url or next((each["url"] for each in elicitations), None)
    elif not gateway or data.get("reason") != AUTHORIZATION_REQUIRED:
        return None
    message = f"{about}: {error.message}" if about else error.message
    return AuthorizationRequiredError(
        message,
        url=url,
        server_id=_str_or_none(data.get("server")),
        user_id=_str_or_none(data.get("user")),
        elicitations=elicitations,
    )


def _elicitations(message: str, data: dict[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return the requests to open a URL that the data of -32042 names; all of them are in URL mode."""
    asked = data.get("elicitations")
    listed = cast("list[Any]", asked) if isinstance(asked, list) else [data]
    found: list[Mapping[str, Any]] = []
    for each in map(_dict_or_empty, listed[:MAX_ELICITATIONS]):
        if _str_or_none(each.get("url")):
            said = each.get("message")
            found.append({**each, "mode": "url", "message": said if isinstance(said, str) else message})
    return tuple(found)


def _dict_or_empty(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _str_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def session_unknown(error: ErrorObject | None, refused: HTTPRefused | None) -> bool:
    """Return whether the answer to a request with a session id means that the session has expired.

    The specification uses HTTP 404 for that. Restarted servers also answer 409 or 410, 400 with a
    text that mentions the session, 401 or 422 with one that says so, or HTTP 200 with an error object;
    the request did not run there either.

    Args:
        error: The error object, where there was one.
        refused: The HTTP refusal, where the answer was one.
    """
    status, words = _status_and_words(error, refused)
    if status in (404, 410):
        return error is None or error.code != METHOD_NOT_FOUND
    if error is not None and error.code == _NOT_INITIALIZED:
        return uninitialized(error, refused)
    codes = _UNKNOWN_SESSION_CODES if status == 200 else _UNKNOWN_SESSION_CODES_REFUSED
    if error is not None and error.code not in codes:
        return False
    if status == 400:
        return any(said in words.lower() for said in ("session", "initializ", "initialis"))
    said_so = status in (200, 401, 422) and any(
        pattern.search(words) for pattern in (_UNKNOWN_SESSION, _UNINITIALIZED)
    )
    may_sign_in = refused is not None and bool(refused.challenges)
    return status == 409 or (said_so and not may_sign_in)


def uninitialized(error: ErrorObject | None, refused: HTTPRefused | None) -> bool:
    """Return whether the answer to a request says that the server waits for ``initialize``.

    That is all that a server can say of a session without an id.

    Args:
        error: The error object, where there was one.
        refused: The HTTP refusal, where the answer was one.
    """
    status, words = _status_and_words(error, refused)
    known = error is None or error.code in (*_UNKNOWN_SESSION_CODES, _NOT_INITIALIZED)
    return known and status in (200, 400, 422) and _UNINITIALIZED.search(words) is not None


def _status_and_words(error: ErrorObject | None, refused: HTTPRefused | None) -> tuple[int, str]:
    words = error.message if error is not None else refused.body if refused is not None else ""
    return refused.status if refused is not None else 200, words[:MAX_SEARCHED]

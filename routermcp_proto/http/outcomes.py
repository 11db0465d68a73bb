"""The meaning of an HTTP refusal, in words and as an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ..error_codes import UNAUTHORIZED, URL_ELICITATION_REQUIRED
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

#: Statuses that concern the client or the moment, and say nothing about the revisions that
#: the server speaks.
ABOUT_THE_MOMENT = frozenset({401, 403, 407, 408, 429, 502, 503, 504})

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

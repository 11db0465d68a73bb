"""The steps that a flow yields to its driver."""

from __future__ import annotations

import base64
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast
from urllib.parse import urlencode

from pydantic_core import from_json

from ..exceptions import OAuthError
from ..http.numbers import finite_number

T = TypeVar("T")

#: Bytes of the longest answer that is read: metadata and tokens have a few thousand.
MAX_ANSWER_BYTES = 1024 * 1024

#: Some servers begin their documents with it; RFC 8259, section 8.1, lets readers ignore it.
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

#: Characters of a server's words in an error.
MAX_ERROR_CHARACTERS = 200

Entropy = Callable[[int], bytes]
"""Returns so many random bytes."""

Clock = Callable[[], float]
"""Tells the time: seconds since 1970."""


@dataclass(frozen=True, slots=True)
class HTTPStep:
    """An HTTP request, made without following redirects; answered with an :class:`HTTPAnswer`."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False, default_factory=dict[str, str])
    body: bytes = field(repr=False, default=b"")
    spends: bool = False
    """Whether it shows something that is good once. Its answer must not be lost then, nor the
    tokens in it: they are written before anything else, also where no caller waits any more."""

    optional: bool = False
    """Whether there are others to ask, or a later time: a server that cannot be reached counts as an
    answer with the status 0."""

    to_server: bool = True
    """Whether it goes to the authorization server, so that the application's headers for that go along."""

    named_by: str = ""
    """The issuer whose metadata named the URL, empty where it was the MCP server."""


@dataclass(frozen=True, slots=True)
class HTTPAnswer:
    """The answer to an :class:`HTTPStep`."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Values by name in lower case; those of a name that is given twice with a comma between."""

    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AskUser:
    """Send the user to a URL; answered with the URL that the user's browser came back to."""

    url: str = field(repr=False)
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class UserCode:
    """A code that a user enters on a page, on any device with a browser.

    Attributes:
        user_code: The code, as it is to be shown.
        verification_uri: The page where it is entered; short, for typing.
        verification_uri_complete: The page with the code filled in, for a link or a QR code; None
            where the server gives none.
        expires_at: Until when the user has to be done, in seconds since 1970.
    """

    user_code: str = field(repr=False)
    verification_uri: str
    verification_uri_complete: str | None = field(repr=False)
    expires_at: float


@dataclass(frozen=True, slots=True)
class ShowCode:
    """Show a user a code to enter on a page, and run a flow meanwhile; answered when that is over."""

    code: UserCode
    polling: Flow[None]


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait while others may use the record; answered with nothing."""

    seconds: float


@dataclass(frozen=True, slots=True)
class SaveRecord:
    """Write the record as it is now, before anything else; answered with nothing."""


FlowStep = HTTPStep | AskUser | ShowCode | Pause | SaveRecord
Flow = Generator[FlowStep, Any, T]
"""Yields steps, is sent an :class:`HTTPAnswer`, a URL or nothing for each, and returns a ``T``."""


def fetch(step: HTTPStep) -> Flow[HTTPAnswer]:
    """Make one request."""
    answer: HTTPAnswer = yield step
    return answer


#: Members that may be good once: a code always is, and many servers rotate refresh tokens.
SPENT = ("code", "device_code", "refresh_token")


def post_form(
    url: str,
    form: Mapping[str, str],
    headers: Mapping[str, str],
    *,
    optional: bool = False,
    named_by: str = "",
) -> HTTPStep:
    """Return the request that posts a form, as all endpoints of OAuth but registration take it."""
    own = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    spends = any(name in form for name in SPENT)
    body = urlencode(form).encode("ascii")
    return HTTPStep("POST", url, {**own, **headers}, body, spends, optional, named_by=named_by)


def json_object(answer: HTTPAnswer) -> dict[str, Any] | None:
    """Return the JSON object in an answer, None where there is something else."""
    if len(answer.body) > MAX_ANSWER_BYTES:
        return None
    try:
        value: Any = from_json(answer.body.removeprefix(BYTE_ORDER_MARK), allow_inf_nan=False)
    except ValueError:
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def sendable(value: object) -> str | None:
    """Return a text that has UTF-8, so that a form can carry it; None for any other value."""
    if not isinstance(value, str):
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value


def words(value: Any) -> str:
    """Return a server's message made fit for an error: printable and short."""
    text = value if isinstance(value, str) else ""
    return "".join(character if character.isprintable() else " " for character in text)[
        :MAX_ERROR_CHARACTERS
    ].strip()


def seconds(value: Any) -> float | None:
    """Return a number of seconds, which some servers write as text; None where it is none."""
    number = finite_number(value)
    return max(number, 0.0) if number is not None else None


def base64url(data: bytes) -> str:
    """Encode bytes as RFC 7515, section 2, has it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


#: Errors of a server that is busy or failing, also where its answer has the status 200 (Slack), and
#: of one that wants the same request with a nonce: nothing is wrong with the grant.
TEMPORARY_ERRORS = frozenset(
    {
        "temporarily_unavailable",
        "server_error",
        "slow_down",
        "use_dpop_nonce",
        "ratelimited",
        "rate_limited",
        "rate_limit_exceeded",
        "too_many_requests",
        "internal_error",
        "internal_server_error",
        "fatal_error",
        "service_unavailable",
        "request_timeout",
    }
)

#: Refusals that say nothing of the grant: timeout, too early, too many requests.
TEMPORARY_STATUSES = (408, 425, 429)

#: The error codes of an authorization server that does not know a client or its secret: RFC 6749, and
#: those of GitHub and Slack.
UNKNOWN_CLIENT_ERRORS = (
    "invalid_client",
    "incorrect_client_credentials",
    "invalid_client_id",
    "bad_client_id",
    "bad_client_secret",
)


class TokenError(OAuthError):
    """An authorization server refused a request.

    Attributes:
        error: Its error code (RFC 6749, section 5.2), such as ``invalid_grant``.
        status: The HTTP status of its answer; 0 where it answered by way of the user's browser.
    """

    def __init__(self, message: str, error: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.error = error
        self.status = status

    @property
    def temporary(self) -> bool:
        """Whether the same request may succeed later, so that the grant is to be kept."""
        if self.error in TEMPORARY_ERRORS or self.status in TEMPORARY_STATUSES:
            return True
        return self.status >= 500 or 300 <= self.status < 400

    @property
    def unknown_client(self) -> bool:
        """Whether the server does not know the client, or its secret, any more."""
        return self.error in UNKNOWN_CLIENT_ERRORS or self.error == "unauthorized_client"


class InvalidGrantError(TokenError):
    """A refresh token or an authorization code is no longer good."""


class ForgottenClientError(TokenError):
    """The server has forgotten the client, whose registration was dropped: the next one is new."""

"""The user's consent on another device: the device authorization grant (RFC 8628)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ..exceptions import OAuthError
from .client_auth import DEVICE_CODE
from .metadata import AuthorizationTarget
from .steps import Flow, Pause, TokenError, UserCode, fetch, json_object, post_form, seconds
from .tokens import TokenEndpoint, Tokens, refused, secrets_of
from .urls import checked, same_origin

#: Seconds between two polls where the server does not say (section 3.2).
DEFAULT_INTERVAL_SECONDS = 5.0

#: Seconds that ``slow_down`` adds for all polls that follow (section 3.5).
SLOW_DOWN_SECONDS = 5.0

#: Seconds between two polls at least: a server that says 0 is asked ten times a second.
MIN_INTERVAL_SECONDS = 0.1

#: Seconds to which failures of the server make the pause grow: a user who has agreed waits for it.
MAX_BACKOFF_SECONDS = 60.0

#: Seconds that a code is good for where the server does not say, and at most.
DEFAULT_CODE_SECONDS = 600.0
MAX_CODE_SECONDS = 3600.0

#: Characters of the longest code that a user is asked to type; section 6.1 advises eight.
MAX_USER_CODE_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class DeviceAuthorization:
    """The codes that an authorization server gave for one sign-in."""

    device_code: str = field(repr=False)
    """Shown with each poll; a secret of the client."""

    shown: UserCode
    interval: float
    """Seconds between two polls."""


def request_codes(
    target: AuthorizationTarget,
    token_endpoint: TokenEndpoint,
    scope: tuple[str, ...],
    parameters: Mapping[str, str],
) -> Flow[DeviceAuthorization]:
    """Ask for the codes of a new sign-in (sections 3.1 and 3.2).

    Args:
        target: The authorization server, and the resource that the tokens are for.
        token_endpoint: The client and how it authenticates.
        scope: The scopes to ask for.
        parameters: Further parameters.

    Raises:
        TokenError: The server refuses.
        OAuthError: It has no codes for devices, or gives nothing of use.
    """
    url = target.server.device_authorization_endpoint
    if url is None:
        raise OAuthError(f"{target.server.issuer} signs no users in by a code on another device (RFC 8628)")
    form = {**parameters, **({"scope": " ".join(scope)} if scope else {})}
    if target.resource is not None:
        form["resource"] = target.resource
    filled, headers = token_endpoint.signed(form)
    began = token_endpoint.clock()
    answer = yield from fetch(post_form(url, filled, headers, named_by=token_endpoint.issuer))
    document = json_object(answer) or {}
    if not 200 <= answer.status < 300 or document.get("error"):
        secrets = secrets_of(filled, token_endpoint.client)
        raise refused(token_endpoint.issuer, answer.status, document, secrets)
    return _read(document, token_endpoint.issuer, began)


def _read(document: Mapping[str, Any], issuer: str, began: float) -> DeviceAuthorization:
    device_code, user_code = document.get("device_code"), document.get("user_code")
    if not isinstance(device_code, str) or not device_code:
        raise OAuthError(f"{issuer} gave no device code")
    if not isinstance(user_code, str) or not user_code.strip():
        raise OAuthError(f"{issuer} gave no code for the user")
    if len(user_code) > MAX_USER_CODE_CHARACTERS or not user_code.isprintable():
        raise OAuthError(f"{issuer} gave a code that no user can type")
    # Google writes verification_url.
    page = checked(document.get("verification_uri") or document.get("verification_url"), "verification_uri")
    complete = document.get("verification_uri_complete")
    if not isinstance(complete, str) or not _is_page_of(complete, page):
        complete = None
    life = min(seconds(document.get("expires_in")) or DEFAULT_CODE_SECONDS, MAX_CODE_SECONDS)
    interval = seconds(document.get("interval"))
    return DeviceAuthorization(
        device_code,
        UserCode(user_code.strip(), page, complete, began + life),
        DEFAULT_INTERVAL_SECONDS if interval is None else max(interval, MIN_INTERVAL_SECONDS),
    )


def _is_page_of(url: str, page: str) -> bool:
    """Return whether a URL leads to the same site as the page that the user reads."""
    return url.isprintable() and not urlsplit(url).fragment and same_origin(url, page)


def poll(
    authorization: DeviceAuthorization,
    token_endpoint: TokenEndpoint,
    scope: tuple[str, ...],
    resource: str | None,
) -> Flow[Tokens]:
    """Poll until the user has agreed (sections 3.4 and 3.5).

    Args:
        authorization: The codes of the sign-in.
        token_endpoint: The token endpoint; a poll that does not reach it is repeated later.
        scope: The scopes that were asked for.
        resource: The resource that was named.

    Raises:
        TokenError: The user said no, or the server refuses the code.
        OAuthError: The code has ended.
    """
    form = {"grant_type": DEVICE_CODE, "device_code": authorization.device_code}
    if resource is not None:
        form["resource"] = resource
    interval = authorization.interval
    while token_endpoint.clock() + interval < authorization.shown.expires_at:
        yield Pause(interval)
        try:
            return (yield from token_endpoint.ask(form, scope))
        except TokenError as error:
            if error.error == "expired_token":
                break
            interval = _next_interval(interval, error)
    raise OAuthError(
        f"the code of {token_endpoint.issuer} has ended before a user entered it; sign in again for a new one"
    )


def _next_interval(interval: float, error: TokenError) -> float:
    """Return the seconds before the next poll, or raise what ends the polling."""
    if error.error == "authorization_pending":
        return interval
    if error.error == "slow_down":
        return interval + SLOW_DOWN_SECONDS
    if error.temporary or not error.status:
        return max(interval, min(interval * 2, MAX_BACKOFF_SECONDS))
    raise error

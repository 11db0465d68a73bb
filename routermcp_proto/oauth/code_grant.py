"""The user's consent: the authorization code with PKCE (RFC 6749, 7636, 8707, 9207)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from ..exceptions import OAuthError
from .client_auth import Client
from .metadata import AuthorizationTarget, ServerMetadata
from .scopes import OFFLINE_ACCESS
from .steps import Clock, Entropy, TokenError, base64url, sendable, words

#: Seconds for a user to come back.
PENDING_SECONDS = 600.0

#: Bytes of randomness in a state and in a verifier; RFC 7636, section 4.1, asks for 32.
VERIFIER_BYTES = 32

#: Parameters of a callback that are read.
MAX_CALLBACK_PARAMETERS = 64


@dataclass(frozen=True, slots=True)
class PendingSignIn:
    """A sign-in that waits for its user."""

    url: str = field(repr=False)
    """Where to send the user."""

    state: str = field(repr=False)
    kept: dict[str, Any] = field(repr=False)
    """What completing the sign-in needs, perhaps in another process."""


def page_of(server: ServerMetadata) -> str:
    """Return the page where users sign in.

    Raises:
        OAuthError: The server signs no users in, or not safely.
    """
    if server.authorization_endpoint is None:
        raise OAuthError(f"{server.issuer} has no page to sign in at")
    if not server.knows_pkce:
        raise OAuthError(
            f"{server.issuer} does not say that it knows PKCE with S256; MCP demands to stop here (where it "
            f"takes PKCE all the same, OAuthConfig(issuer=AuthorizationServer({server.issuer!r}, "
            "unadvertised_pkce=True)) says so)"
        )
    return server.authorization_endpoint


def begin(
    target: AuthorizationTarget,
    client: Client,
    *,
    redirect_uri: str,
    scope: tuple[str, ...],
    dpop: bool,
    parameters: Mapping[str, str],
    tag: str,
    random: Entropy,
    clock: Clock,
) -> PendingSignIn:
    """Prepare to send a user to the authorization server.

    Args:
        target: The MCP server, and the authorization server that it trusts.
        client: The client of the application there.
        redirect_uri: Where the user comes back to.
        scope: The scopes to ask for.
        dpop: Whether the tokens are to be bound to a key.
        parameters: Further parameters of the page; none of them replaces one of the grant.
        tag: The suffix of the state.
        random: Entropy.
        clock: Tells the time.

    Raises:
        OAuthError: The server signs no users in, or not safely.
    """
    server, page = target.server, page_of(target.server)
    state, verifier = base64url(random(VERIFIER_BYTES)) + tag, base64url(random(VERIFIER_BYTES))
    # OpenID Connect Core, section 11, on offline_access.
    query = {"prompt": "consent"} if OFFLINE_ACCESS in scope else {}
    query |= parameters
    query |= {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": redirect_uri,
        "state": state,
        "code_challenge": base64url(hashlib.sha256(verifier.encode("ascii")).digest()),
        "code_challenge_method": "S256",
    }
    if scope:
        query["scope"] = " ".join(scope)
    if target.resource is not None:
        query["resource"] = target.resource
    url = f"{page}{'&' if urlsplit(page).query else '?'}{urlencode(query)}"
    kept: dict[str, Any] = {
        "verifier": verifier,
        "issuer": server.issuer,
        "token_endpoint": server.token_endpoint,
        "revocation_endpoint": server.revocation_endpoint,
        "sends_issuer": server.sends_issuer,
        "redirect_uri": redirect_uri,
        "resource": target.resource,
        "scope": " ".join(scope),
        "client": replace(client, trusted_until=0.0).to_json(),
        "dpop": dpop,
        "parameters": dict(parameters),
        "resource_metadata": target.metadata_url,
        "expires_at": clock() + PENDING_SECONDS,
        "url": url,
    }
    return PendingSignIn(url, state, kept)


def is_whole(kept: Mapping[str, Any]) -> bool:
    """Return whether what was kept of a sign-in has all that completing it needs."""
    needed = ("issuer", "redirect_uri", "verifier")
    optional = (kept.get(name) for name in ("resource", "scope"))
    return all(sendable(kept.get(name)) for name in needed) and all(
        value is None or sendable(value) is not None for value in optional
    )


def state_of(callback_url: str) -> str | None:
    """Return the state in the URL that a user came back to, None where there is none or several."""
    states = _callback_parameters(callback_url).get("state", [])
    return states[0] if len(states) == 1 else None


def refusal_in(callback_url: str) -> str | None:
    """Return why the server did not sign the user in, by the URL that the user came back to.

    None where it does not say so. The URL may come from an attacker: it counts with the right state only.
    """
    parameters = _callback_parameters(callback_url)
    errors, descriptions = parameters.get("error", []), parameters.get("error_description", [])
    return _refusal(errors[0], descriptions[0] if descriptions else None) if errors else None


def _refusal(error: str, description: str | None) -> str:
    told = words(description)
    return f"{words(error)} ({told})" if told else words(error)


def code_from(callback_url: str, state: str, kept: Mapping[str, Any]) -> str:
    """Return the authorization code in the URL that a user came back to.

    Raises:
        TokenError: The authorization server did not sign the user in.
        OAuthError: It is the answer to something else, or comes from another server.
    """
    parameters = _callback_parameters(callback_url)
    issuer = str(kept["issuer"])

    def only(name: str) -> str | None:
        values = parameters.get(name, [])
        if len(values) > 1:
            raise OAuthError(f"the answer from the user's browser has {name} {len(values)} times")
        return values[0] if values else None

    given = only("state") or ""
    if not hmac.compare_digest(given.encode(), state.encode()):
        raise OAuthError("the answer from the user's browser belongs to no sign-in that waits for it")
    said = only("iss")
    if said != issuer and (said is not None or kept.get("sends_issuer")):
        # Nothing else in it counts: it may be another server that speaks (RFC 9207, section 2.4).
        whole = "" if said is not None else "; if only a code was pasted, paste the whole address"
        raise OAuthError(f"the answer from the user's browser does not come from {issuer}{whole}")
    error = only("error")
    if error is not None:
        said = _refusal(error, only("error_description"))
        if error == "invalid_scope" and OFFLINE_ACCESS in str(kept.get("scope", "")).split():
            said += "; OAuthConfig(offline_access=False) leaves offline_access out"
        raise TokenError(f"{issuer} did not sign the user in: {said}", words(error))
    code = only("code")
    if not code:
        raise OAuthError(f"the answer of {issuer} has no code")
    return code


def _callback_parameters(callback_url: str) -> dict[str, list[str]]:
    try:
        # What was pasted on a terminal may hold halves of surrogate pairs, which have no UTF-8.
        query = urlsplit(callback_url).query.encode("utf-8", "replace").decode()
        return parse_qs(query, keep_blank_values=True, max_num_fields=MAX_CALLBACK_PARAMETERS)
    except ValueError:
        return {}


def exchange_form(code: str, kept: Mapping[str, Any]) -> dict[str, str]:
    """Return the form that turns a code into tokens."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": str(kept["redirect_uri"]),
        "code_verifier": str(kept["verifier"]),
    }
    if kept.get("resource") is not None:
        form["resource"] = str(kept["resource"])
    return form

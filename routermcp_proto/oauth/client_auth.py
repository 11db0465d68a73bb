"""Client authentication: the client's id at an authorization server, and how it proves that id.

Sources: RFC 7591 (dynamic registration), RFC 6749, section 2.3, RFC 7523 (assertions),
draft-ietf-oauth-client-id-metadata-document (an id that is the URL of a document).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast
from urllib.parse import quote_plus, urlsplit

from ..exceptions import OAuthError
from .discovery import NoMetadataError
from .metadata import ServerMetadata
from .steps import Flow, HTTPStep, fetch, json_object, seconds, sendable, words
from .urls import LOOPBACK_NAMES

NONE = "none"
BASIC = "client_secret_basic"
POST = "client_secret_post"
PRIVATE_KEY = "private_key_jwt"

JWT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

GRANTS = ("authorization_code", "refresh_token")
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
DEVICE_GRANTS = (DEVICE_CODE, "refresh_token")

BY_HAND = (
    "register yours there by hand, and give OAuthConfig(client_id=..., client_secret=...), the latter "
    "if it gave one"
)

NO_SIGN_IN = (
    "If it takes a key instead, give api_key=; if users sign in elsewhere, say so with issuer=; "
    "if at this server, "
)


class Signer(Protocol):
    """Holds a private key of the client."""

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return claims as a signed JWT."""
        ...


@dataclass(frozen=True, slots=True)
class Client:
    """A client: an application as one authorization server knows it."""

    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    method: str = NONE
    """How it authenticates at the token endpoint, as RFC 7591 names the methods."""

    issuer: str | None = None
    """Where it is known; None for wherever it is used."""

    expires_at: float = 0.0
    """When its secret ends, in seconds since 1970; 0 for never."""

    redirect_uri: str | None = None
    """Where its users may come back to, as registered; None for one that was registered by hand."""

    scope: tuple[str, ...] = ()
    """The scopes that it was registered for."""

    trusted_until: float = 0.0
    """Until when a registration that gave no tokens yet counts as known, in seconds since 1970."""

    def expired(self, now: float) -> bool:
        """Return whether its secret has ended."""
        return 0 < self.expires_at <= now

    def to_json(self) -> dict[str, Any]:
        """Return its JSON form."""
        kept: dict[str, Any] = {
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "token_endpoint_auth_method": self.method,
            "issuer": self.issuer,
            "client_secret_expires_at": self.expires_at,
            "redirect_uri": self.redirect_uri,
            "scope": " ".join(self.scope),
            "trusted_until": self.trusted_until,
        }
        return {name: value for name, value in kept.items() if value}

    @classmethod
    def from_json(cls, kept: object) -> Client | None:
        """Return the client of a JSON form, None where that is none."""
        known = cast("dict[str, Any]", kept) if isinstance(kept, dict) else {}
        client_id, method = sendable(known.get("client_id")), known.get("token_endpoint_auth_method", NONE)
        if client_id is None or not isinstance(method, str):
            return None
        return cls(
            client_id,
            sendable(known.get("client_secret")),
            method,
            sendable(known.get("issuer")),
            seconds(known.get("client_secret_expires_at")) or 0.0,
            sendable(known.get("redirect_uri")),
            tuple((sendable(known.get("scope")) or "").split()),
            seconds(known.get("trusted_until")) or 0.0,
        )


def method_for(secret: str | None, server: ServerMetadata) -> str:
    """Return how a client that was registered by hand authenticates."""
    supported = server.token_endpoint_auth_methods
    if secret is None:
        return NONE
    if supported is None or BASIC in supported or POST not in supported:
        return BASIC  # the default of RFC 8414, section 2
    return POST


def register(
    server: ServerMetadata, *, redirect_uri: str | None, name: str, scopes: tuple[str, ...]
) -> Flow[Client]:
    """Register an application with an authorization server (RFC 7591).

    Args:
        server: Where.
        redirect_uri: Where users come back to, None for those that enter a code elsewhere.
        name: The name of the application that users see.
        scopes: The scopes that it may ask for, as far as is known.

    Raises:
        OAuthError: The server does not register it.
    """
    if server.registration_endpoint is None:
        odd = server.left_aside.get("registration_endpoint")
        raise OAuthError(
            f"{server.issuer} registers no applications by itself{f' ({odd})' if odd else ''}: {BY_HAND}"
        )
    document: dict[str, Any] = {
        "client_name": name,
        "redirect_uris": [redirect_uri] if redirect_uri is not None else [],
        "grant_types": list(GRANTS if redirect_uri is not None else DEVICE_GRANTS),
        "response_types": ["code"] if redirect_uri is not None else [],
        "token_endpoint_auth_method": _wished_method(server),
        "application_type": "web" if redirect_uri is not None and _of_a_site(redirect_uri) else "native",
    }
    url = server.registration_endpoint
    if scopes:
        document["scope"] = " ".join(scopes)
    status, answer = yield from _post_document(url, document, server.issuer)
    if scopes and _is_about_scopes(status, answer):
        # The server may grant them all the same: some register a client for all scopes or for none.
        del document["scope"]
        status, answer = yield from _post_document(url, document, server.issuer)
    client = _registered_client(status, answer, server, document["token_endpoint_auth_method"])
    return replace(client, redirect_uri=redirect_uri, scope=scopes)


def _post_document(url: str, document: Mapping[str, Any], issuer: str) -> Flow[tuple[int, dict[str, Any]]]:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    answer = yield from fetch(HTTPStep("POST", url, headers, json.dumps(document).encode(), named_by=issuer))
    return answer.status, json_object(answer) or {}


def _is_about_scopes(status: int, document: Mapping[str, Any]) -> bool:
    """Return whether a registration was refused for the scopes that it names."""
    said = (words(document.get(name)) for name in ("error", "error_description", "message"))
    return 400 <= status < 500 and any("scope" in text.lower() for text in said)


def _of_a_site(redirect_uri: str) -> bool:
    """Return whether a redirect leads to a web site: loopback and own schemes lead to programs (RFC 8252)."""
    parts = urlsplit(redirect_uri)
    return parts.scheme in ("http", "https") and parts.hostname not in LOOPBACK_NAMES


def _wished_method(server: ServerMetadata) -> str:
    supported = server.token_endpoint_auth_methods
    if supported is None:
        return BASIC
    return next((method for method in (NONE, BASIC, POST) if method in supported), BASIC)


def _registered_client(
    status: int, document: Mapping[str, Any], server: ServerMetadata, wished: str
) -> Client:
    client_id, secret = document.get("client_id"), document.get("client_secret")
    if not 200 <= status < 300 or not isinstance(client_id, str) or not client_id:
        said = (words(document.get(name)) for name in ("error_description", "error", "message"))
        reason = next(filter(None, said), f"HTTP {status}")
        if server.guessed:
            raise NoMetadataError(
                f"{server.issuer} does not say where users sign in: {server.guessed}, and the usual place, "
                f"{server.registration_endpoint}, registered no application ({reason}). {NO_SIGN_IN}{BY_HAND}"
            )
        raise OAuthError(f"{server.issuer} did not register the application: {reason}; {BY_HAND}")
    secret = secret if isinstance(secret, str) and secret else None
    method = document.get("token_endpoint_auth_method")
    if not isinstance(method, str) or not method:
        # The answer may leave out what was granted as asked for (RFC 7591, section 3.2.1); a secret that
        # was not asked for is for the method that the server lists, or the default of section 2.
        method = wished if wished != NONE else method_for(secret, server)
    if secret is None and method in (BASIC, POST):
        method = NONE  # a public client, which PKCE protects
    expires_at = seconds(document.get("client_secret_expires_at")) or 0.0
    return Client(client_id, secret if method != NONE else None, method, server.issuer, expires_at)


def authenticate(client: Client, form: dict[str, str], *, assertion: str | None = None) -> dict[str, str]:
    """Add the client's authentication to a form, and return the headers that go with it.

    Raises:
        OAuthError: The client has not what its method needs.
    """
    # With every method, as it may be (RFC 6749, section 3.2.1): the official SDK's server, and those
    # that are made with it, look for it there first.
    form["client_id"] = client.client_id
    if client.method == NONE:
        return {}
    if client.method == PRIVATE_KEY:
        if assertion is None:
            raise OAuthError("private_key_jwt needs the private key of the client")
        form["client_assertion_type"] = JWT_ASSERTION
        form["client_assertion"] = assertion
        return {}
    if client.client_secret is None:
        raise OAuthError(f"the client {client.client_id} has no secret, which {client.method} needs")
    if client.method == POST:
        form["client_secret"] = client.client_secret
        return {}
    if client.method != BASIC:
        raise OAuthError(f"the authorization server wants {words(client.method)}, which is not known here")
    return {"Authorization": f"Basic {basic_credentials(client)}"}


def basic_credentials(client: Client) -> str:
    """Return the id and the secret of a client as they go into a header (RFC 6749, section 2.3.1)."""
    # Encoded as a form first, so that a colon in either is no separator.
    pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret or '')}"
    return base64.b64encode(pair.encode("ascii")).decode("ascii")

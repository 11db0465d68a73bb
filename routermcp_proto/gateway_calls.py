"""Calls that manage a user's sign-ins at the servers behind a gateway.

They are not part of MCP: the gateway of this project answers them but does not list them.
``docs/gateway.md`` describes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from .calls import Call
from .types import EmptyResult, WireModel

CONNECTIONS = "routermcp/connections"
AUTHORIZE = "routermcp/authorize"
SIGN_IN = "routermcp/signIn"
COMPLETE = "routermcp/completeAuthorization"
REVOKE = "routermcp/revoke"

OAUTH_REASON = "oauth"
"""The ``reason`` in the data of an error of these calls: the OAuth operation failed."""

STORE_REASON = "token_store"
"""The ``reason`` where the gateway's token store is unavailable."""


class ServerConnection(WireModel):
    """The state of a user's grant at a server behind the gateway.

    Attributes:
        serverId: The alias of the server.
        state: ``connected``, ``expired``, ``needs_authorization`` or ``revoked``.
        expiresAt: Expiry of the access token in seconds since 1970, if known.
        scopes: The scopes that were granted.
    """

    serverId: str
    state: str
    expiresAt: float | None = None
    scopes: list[str] = Field(default_factory=list[str])


class ConnectionsResult(WireModel):
    """The servers behind the gateway that require a sign-in."""

    connections: list[ServerConnection]


class AuthorizeResult(WireModel):
    """A sign-in that was started.

    Attributes:
        serverId: The alias of the server.
        url: The page to send the user to.
        expiresAt: Time by which the user has to return, in seconds since 1970.
    """

    serverId: str
    url: str
    expiresAt: float


class SignInResult(WireModel):
    """The state of a sign-in that was started.

    Attributes:
        serverId: The alias of the server.
        waits: Whether the user may still return.
        done: Whether the user has completed it.
    """

    serverId: str
    waits: bool
    done: bool


class CompleteAuthorizationResult(WireModel):
    """A sign-in that was completed.

    Attributes:
        serverId: The alias of the server.
        nextUrl: The ``nextUrl`` of its ``routermcp/authorize``.
    """

    serverId: str
    nextUrl: str | None = None


def connections() -> Call[ConnectionsResult]:
    """List the user's grants at the servers behind the gateway."""
    return Call(CONNECTIONS, {}, ConnectionsResult, safe=True)


def authorize(server_id: str, next_url: str | None, scopes: Sequence[str] = ()) -> Call[AuthorizeResult]:
    """Start a sign-in at a server; each call starts another one."""
    params: dict[str, Any] = {"serverId": server_id}
    if next_url is not None:
        params["nextUrl"] = next_url
    if scopes:
        params["scopes"] = list(scopes)
    return Call(AUTHORIZE, params, AuthorizeResult, safe=True, private=True)


def sign_in_status(server_id: str, url: str) -> Call[SignInResult]:
    """Ask for the state of a sign-in, named by the URL that its user was sent to."""
    return Call(SIGN_IN, {"serverId": server_id, "url": url}, SignInResult, safe=True, private=True)


def complete_authorization(callback_url: str) -> Call[CompleteAuthorizationResult]:
    """Complete a sign-in with the URL that the user's browser returned to."""
    params = {"callbackUrl": callback_url}
    return Call(COMPLETE, params, CompleteAuthorizationResult, safe=False, private=True)


def revoke_grant(server_id: str) -> Call[EmptyResult]:
    """Revoke the user's grant at a server."""
    return Call(REVOKE, {"serverId": server_id}, EmptyResult, safe=True)

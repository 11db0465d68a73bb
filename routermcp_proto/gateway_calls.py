"""Calls by which a user of a gateway sees to the servers that want them to sign in.

They are no part of MCP: the gateway of this project knows them, and says nothing of them in
its lists. ``docs/gateway.md`` describes them.
"""

from __future__ import annotations

from pydantic import Field

from .calls import Call
from .types import EmptyResult, WireModel

CONNECTIONS = "routermcp/connections"
AUTHORIZE = "routermcp/authorize"
SIGN_IN = "routermcp/signIn"
COMPLETE = "routermcp/completeAuthorization"
REVOKE = "routermcp/revoke"

OAUTH_REASON = "oauth"
"""The ``reason`` in the data of an error of these calls: what was asked for cannot be done."""

STORE_REASON = "token_store"
"""That reason where the gateway cannot use its store of tokens now."""

SERVER_ID_KEY = "routermcp/serverId"
"""The member of an elicitation's ``_meta`` that says at which server the user is to sign in."""


class ServerConnection(WireModel):
    """A user at a server behind the gateway.

    Attributes:
        serverId: The alias of the server.
        state: ``connected``, ``expired``, ``needs_authorization`` or ``revoked``.
        expiresAt: When the access token ends, in seconds since 1970, where known.
        scopes: What was allowed.
    """

    serverId: str
    state: str
    expiresAt: float | None = None
    scopes: list[str] = Field(default_factory=list[str])


class ConnectionsResult(WireModel):
    """The servers behind the gateway that want users to sign in."""

    connections: list[ServerConnection]


class AuthorizeResult(WireModel):
    """A sign-in that waits for its user.

    Attributes:
        serverId: The alias of the server.
        url: Where to send the user.
        expiresAt: Until when the user has to be back, in seconds since 1970.
    """

    serverId: str
    url: str
    expiresAt: float


class SignInResult(WireModel):
    """What has become of a sign-in.

    Attributes:
        serverId: The alias of the server.
        waits: Whether the user may still come back.
        done: Whether the user has signed in with it.
    """

    serverId: str
    waits: bool
    done: bool


class CompleteAuthorizationResult(WireModel):
    """A sign-in that is done.

    Attributes:
        serverId: The alias of the server.
        nextUrl: What was given when it began.
    """

    serverId: str
    nextUrl: str | None = None


def connections() -> Call[ConnectionsResult]:
    """Ask at which servers the user has signed in."""
    return Call(CONNECTIONS, {}, ConnectionsResult, safe=True)


def authorize(server_id: str, next_url: str | None) -> Call[AuthorizeResult]:
    """Begin to sign the user in at a server; each time begins another sign-in."""
    params = {"serverId": server_id, **({"nextUrl": next_url} if next_url is not None else {})}
    return Call(AUTHORIZE, params, AuthorizeResult, safe=True, private=True)


def sign_in_status(server_id: str, url: str) -> Call[SignInResult]:
    """Ask what has become of a sign-in, given where its user was sent to."""
    return Call(SIGN_IN, {"serverId": server_id, "url": url}, SignInResult, safe=True, private=True)


def complete_authorization(callback_url: str) -> Call[CompleteAuthorizationResult]:
    """Hand over the URL that the user's browser came back to."""
    params = {"callbackUrl": callback_url}
    return Call(COMPLETE, params, CompleteAuthorizationResult, safe=False, private=True)


def revoke(server_id: str) -> Call[EmptyResult]:
    """Give the user's tokens of a server back."""
    return Call(REVOKE, {"serverId": server_id}, EmptyResult, safe=True)

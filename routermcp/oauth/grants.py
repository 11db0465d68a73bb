"""Ways to get tokens without a user."""

from __future__ import annotations

from contextlib import suppress

from routermcp_proto.exceptions import ConfigError
from routermcp_proto.oauth.client_auth import BASIC, POST, PRIVATE_KEY, Client
from routermcp_proto.oauth.client_grants import (
    AssertionSource,
    ClientCredentials,
    ClientGrant,
    EnterpriseManaged,
    WorkloadIdentity,
)

from ._optional import needs_extra


def client_credentials(
    client_id: str,
    client_secret: str | None = None,
    *,
    private_key: str | None = None,
    algorithm: str = "ES256",
    method: str | None = None,
    issuer: str | None = None,
) -> ClientGrant:
    """Let an application sign in in its own name.

    Args:
        client_id: Its client id at the authorization server.
        client_secret: Its secret.
        private_key: Its private key as PEM, instead of a secret (``private_key_jwt``).
        algorithm: How the key signs.
        method: How the secret is sent: ``client_secret_basic`` (the default) or
            ``client_secret_post``.
        issuer: The authorization server that knows it by that id; others are shown nothing.
            Default: the one where it is used first.

    Raises:
        ConfigError: Neither a secret nor a key is given, or the key is none.
    """
    if (client_secret is None) == (private_key is None):
        raise ConfigError("client_credentials needs either client_secret or private_key")
    if method not in (None, BASIC, POST):
        raise ConfigError(f"method is {BASIC!r} or {POST!r}, not {method!r}")
    if private_key is None:
        return ClientCredentials(Client(client_id, client_secret, method or BASIC), issuer=issuer)
    with needs_extra("private_key"):
        from .signing import AssertionKey  # noqa: PLC0415 - of the extra ``oauth``
    key: AssertionKey | None = None
    with suppress(ValueError):  # which may hold the key
        key = AssertionKey(private_key, algorithm)
    if key is None:
        raise ConfigError("private_key is no private key in PEM that fits the algorithm")
    return ClientCredentials(Client(client_id, None, PRIVATE_KEY), key, issuer)


def workload_identity(assertion: AssertionSource, *, issuer: str | None = None) -> ClientGrant:
    """Let a workload sign in with an assertion of its platform (SEP-1933).

    Args:
        assertion: The platform's signed assertion, or a function that returns one that is valid now.
        issuer: The authorization server that it is for; others are shown nothing. Default: the
            one where it is used first.
    """
    return WorkloadIdentity(assertion, issuer)


def enterprise_managed(
    *,
    client_id: str,
    client_secret: str,
    id_token: AssertionSource,
    identity_client_id: str,
    identity_token_endpoint: str,
    identity_client_secret: str | None = None,
    issuer: str | None = None,
) -> ClientGrant:
    """Let a user in whom the enterprise has signed in already (SEP-990).

    Args:
        client_id: The client id at the MCP server's authorization server.
        client_secret: The secret that goes with it.
        id_token: The user's identity token, or a function that returns one that is valid now.
        identity_client_id: The client id at the identity provider.
        identity_token_endpoint: Where the identity provider exchanges tokens.
        identity_client_secret: The secret there, where it has one.
        issuer: The MCP server's authorization server; others are shown nothing. Default: the one
            where it is used first.
    """
    return EnterpriseManaged(
        Client(client_id, client_secret, BASIC),
        identity_client_id,
        identity_token_endpoint,
        id_token,
        identity_client_secret,
        issuer,
    )

"""Signing in without a user: an application, a workload, an enterprise.

Sources: RFC 6749, section 4.4 (client credentials), RFC 7523 (an assertion as grant), RFC 8693
(token exchange); MCP extensions SEP-1046, SEP-1933 (workload identity) and SEP-990 (enterprise).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from ..exceptions import OAuthError
from .client_auth import BASIC, Client, Signer, authenticate
from .metadata import AuthorizationTarget
from .steps import Flow, fetch, json_object, post_form
from .tokens import TokenEndpoint, Tokens, refused, secrets_of
from .urls import checked

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a name
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105 - a name
ID_JAG = "urn:ietf:params:oauth:token-type:id-jag"

AssertionSource = str | Callable[[], str]
"""An assertion, or a function that returns one that is valid now."""


class ClientGrant(Protocol):
    """A way to get tokens that asks no user."""

    @property
    def client(self) -> Client | None:
        """The client, None where the grant itself identifies it."""
        ...

    @property
    def signer(self) -> Signer | None:
        """The client's key, for ``private_key_jwt``."""
        ...

    @property
    def issuer(self) -> str | None:
        """The authorization server that it is for; None for the one that the MCP server names first."""
        ...

    def obtain(
        self,
        token_endpoint: TokenEndpoint,
        target: AuthorizationTarget,
        endpoint: str,
        scope: tuple[str, ...],
    ) -> Flow[Tokens]:
        """Get tokens.

        Args:
            token_endpoint: The token endpoint; the grant chooses the client.
            target: Where that is.
            endpoint: URL of the MCP server.
            scope: The scopes to ask for.

        Raises:
            OAuthError: None are given.
        """
        ...


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """An application in its own name."""

    client: Client
    signer: Signer | None = field(default=None, repr=False)
    issuer: str | None = None

    def obtain(
        self,
        token_endpoint: TokenEndpoint,
        target: AuthorizationTarget,
        endpoint: str,
        scope: tuple[str, ...],
    ) -> Flow[Tokens]:
        """Get tokens by the client's own credentials."""
        del endpoint
        form = _client_grant_form("client_credentials", target, scope)
        return (yield from replace(token_endpoint, client=self.client, signer=self.signer).ask(form, scope))


@dataclass(frozen=True, slots=True)
class WorkloadIdentity:
    """A workload that its platform vouches for; it asks once, as a second try would say the same."""

    assertion: AssertionSource = field(repr=False)
    issuer: str | None = None

    @property
    def client(self) -> None:
        """No client: the assertion identifies the workload."""

    @property
    def signer(self) -> None:
        """None is needed."""

    def obtain(
        self,
        token_endpoint: TokenEndpoint,
        target: AuthorizationTarget,
        endpoint: str,
        scope: tuple[str, ...],
    ) -> Flow[Tokens]:
        """Get tokens by the platform's assertion."""
        del endpoint
        form = {
            **_client_grant_form(JWT_BEARER, target, scope),
            "assertion": _current_assertion(self.assertion),
        }
        return (yield from replace(token_endpoint, client=None).ask(form, scope))


@dataclass(frozen=True, slots=True)
class EnterpriseManaged:
    """A user whom the enterprise has signed in already."""

    client: Client
    identity_client_id: str
    identity_token_endpoint: str
    id_token: AssertionSource = field(repr=False)
    identity_client_secret: str | None = field(default=None, repr=False)
    issuer: str | None = None

    @property
    def signer(self) -> None:
        """None is needed."""

    def obtain(
        self,
        token_endpoint: TokenEndpoint,
        target: AuthorizationTarget,
        endpoint: str,
        scope: tuple[str, ...],
    ) -> Flow[Tokens]:
        """Get tokens by the identity provider's word for the user."""
        grant = yield from self._grant(target, endpoint, scope)
        form = {**_client_grant_form(JWT_BEARER, target, scope), "assertion": grant}
        return (yield from replace(token_endpoint, client=self.client).ask(form, scope))

    def _grant(self, target: AuthorizationTarget, endpoint: str, scope: tuple[str, ...]) -> Flow[str]:
        url = checked(self.identity_token_endpoint, "the identity provider's token endpoint")
        form = {
            "grant_type": TOKEN_EXCHANGE,
            "requested_token_type": ID_JAG,
            "audience": target.server.issuer,
            "resource": target.resource or endpoint,
            "subject_token": _current_assertion(self.id_token),
            "subject_token_type": ID_TOKEN,
        }
        if scope:
            form["scope"] = " ".join(scope)
        secret = self.identity_client_secret
        asker = Client(self.identity_client_id, secret, BASIC) if secret else Client(self.identity_client_id)
        headers = authenticate(asker, form)
        answer = yield from fetch(replace(post_form(url, form, headers), to_server=False))
        document = json_object(answer) or {}
        grant = document.get("access_token")
        if not 200 <= answer.status < 300 or (document.get("error") and grant is None):
            raise refused(url, answer.status, document, secrets_of(form, asker))
        if not isinstance(grant, str) or document.get("issued_token_type") != ID_JAG:
            raise OAuthError(f"{url} gave something else than an identity assertion")
        return grant


def _client_grant_form(
    grant_type: str, target: AuthorizationTarget, scope: tuple[str, ...]
) -> dict[str, str]:
    form = {"grant_type": grant_type}
    if scope:
        form["scope"] = " ".join(scope)
    if target.resource is not None:
        form["resource"] = target.resource
    return form


def _current_assertion(secret: AssertionSource) -> str:
    return secret() if callable(secret) else secret

"""The application that signs its users in, and its registrations at authorization servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..exceptions import OAuthError
from .client_auth import NONE, Client, Signer, method_for, register
from .client_grants import ClientGrant
from .metadata import AuthorizationServer, AuthorizationTarget, ServerMetadata
from .scopes import OFFLINE_ACCESS, chosen, union
from .steps import Clock, Flow, ForgottenClientError, TokenError
from .urls import same_issuer, shown

#: Seconds for which a registration that gave no tokens yet counts as known to the server although a
#: user did not come back from its page: users who do not sign in cost one registration a day at most.
TRUSTED_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Application:
    """The configuration of an application that signs its users in.

    Attributes:
        name: The name of the application that users see.
        redirect_uri: Where users come back to; None where no user can sign in.
        client_id: Its id, where it was registered by hand.
        client_secret: The secret that goes with it.
        server: Its authorization server; None for the one that the MCP server names.
        metadata_url: URL of its client id metadata document.
        scope: Scopes that it wants in any case, beside those that the server asks for.
        exact_scope: The scopes that it asks for, whatever the server says; None for the server's.
        offline_access: Whether to ask for ``offline_access`` where the authorization server has it.
        page_parameters: Further parameters of the page where users sign in.
        token_parameters: Further parameters of each request for tokens.
        resource: The ``resource`` of its requests: False for none at all, None for the one that the
            server names.
        grant: How it gets tokens without a user.
        interactive: Whether a user can be asked while a request waits.
        on_device: Whether users are shown a code to enter on any device, and no page here.
        signer: Signs DPoP proofs; None for plain tokens.
        prefers_dpop: Whether tokens are bound to a key wherever the authorization server can do that,
            and not only where the MCP server asks for it.
        tag: The suffix of each state, for hosts that tell their users' callbacks apart by it.
    """

    name: str
    redirect_uri: str | None = None
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    server: AuthorizationServer | None = None
    metadata_url: str | None = None
    scope: tuple[str, ...] = ()
    exact_scope: tuple[str, ...] | None = None
    offline_access: bool = True
    page_parameters: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    token_parameters: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    resource: str | Literal[False] | None = None
    grant: ClientGrant | None = None
    interactive: bool = True
    on_device: bool = False
    signer: Signer | None = field(default=None, repr=False)
    prefers_dpop: bool = False
    tag: str = field(default="", repr=False)

    @property
    def known_server(self) -> AuthorizationServer | None:
        """The authorization server that its credentials are for, None where it has not named one."""
        own = self.grant.issuer if self.grant is not None else None
        if own is None or (self.server is not None and same_issuer(own, self.server.issuer)):
            return self.server
        return AuthorizationServer(own)

    def is_served_by(self, server: ServerMetadata) -> bool:
        """Return whether its users can sign in at an authorization server."""
        if self.grant is not None:
            return True
        known = (
            self.client_id is not None
            or server.registration_endpoint is not None
            or (self.metadata_url is not None and server.takes_metadata_documents)
        )
        if self.on_device:
            return known and server.device_authorization_endpoint is not None
        return known and server.authorization_endpoint is not None and server.knows_pkce

    def scopes_at(
        self, target: AuthorizationTarget, challenged: tuple[str, ...] | None, requested: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Return the scopes to ask for.

        Args:
            target: The MCP server and its authorization server.
            challenged: The scopes of the refusal, None where it names none.
            requested: Those that the user was asked for before.
        """
        if self.exact_scope is not None:
            return self.exact_scope
        scope = chosen(
            challenged,
            target.scopes_supported,
            self.scope,
            target.server.scopes_supported,
            lasting=self.grant is None,
        )
        return self.allowed(union(scope, requested))

    def allowed(self, scope: tuple[str, ...]) -> tuple[str, ...]:
        """Return scopes without the one that the application leaves out."""
        left_out = () if self.offline_access else (OFFLINE_ACCESS,)
        return tuple(each for each in scope if each not in left_out)

    def resource_for(self, named: str | None) -> str | None:
        """Return the ``resource`` of requests to the authorization server (RFC 8707), None for none.

        Args:
            named: The one that the MCP server names.
        """
        return named if self.resource is None else self.resource or None

    @property
    def plain_hosts(self) -> frozenset[str]:
        """The hosts to which plain http may be spoken."""
        known = self.known_server
        return known.plain_hosts if known is not None else frozenset()


class Clients:
    """The clients of an application by authorization server, and which server may see which secret.

    Args:
        endpoint: URL of the MCP server.
        application: The application.
        registrations: The clients that it was registered as, by issuer, as JSON, and for which
            issuer credentials are that were made by hand; changed here.
        clock: Tells the time.
    """

    def __init__(
        self, endpoint: str, application: Application, registrations: dict[str, Any], clock: Clock
    ) -> None:
        self._endpoint = endpoint
        self._application = application
        self._registrations = registrations
        self._clock = clock

    def at(
        self, target: AuthorizationTarget, redirect_uri: str | None, scope: tuple[str, ...]
    ) -> Flow[Client]:
        """Return the client of the application at an authorization server, registered if need be.

        Args:
            target: The authorization server and the resource.
            redirect_uri: Where users come back to, None for those that enter a code elsewhere.
            scope: The scopes that users are about to be asked for.

        Raises:
            OAuthError: It is not known there, and cannot be registered.
        """
        server, application = target.server, self._application
        if application.client_id is not None:
            self.bind(application.client_id, server)
            method = method_for(application.client_secret, server)
            return Client(application.client_id, application.client_secret, method, server.issuer)
        if application.metadata_url is not None and server.takes_metadata_documents:
            return Client(application.metadata_url, None, NONE, server.issuer)
        kept = Client.from_json(self._registrations.get(server.issuer))
        if kept is not None and (kept.redirect_uri != redirect_uri or kept.expired(self._clock())):
            kept = None
        # Some servers give no more than what an application was registered for.
        if kept is not None and set(scope) <= set(kept.scope):
            return kept
        scopes = union(union(kept.scope if kept is not None else (), scope), target.scopes_supported or ())
        client = yield from register(server, redirect_uri=redirect_uri, name=application.name, scopes=scopes)
        client = replace(client, trusted_until=self._clock() + TRUSTED_SECONDS)
        self._registrations[server.issuer] = client.to_json()
        return client

    def forget(self, issuer: str, client: Client | None) -> bool:
        """Forget a client that was registered, unless another one was since.

        Returns:
            Whether it was forgotten.
        """
        known = self._is_registered(issuer, client)
        if known:
            del self._registrations[issuer]
        return known

    def check_known(self, issuer: str, client: Client, error: TokenError) -> None:
        """Forget a client that was registered, where a refusal says that the server has.

        Raises:
            ForgottenClientError: It was forgotten; signing in again registers a new one.
        """
        if error.unknown_client and self.forget(issuer, client):
            message = f"{error}; the registration there was dropped, and signing in again makes a new one"
            raise ForgottenClientError(message, error.error, error.status) from error

    def forget_all(self) -> None:
        """Forget all clients that were registered; what was registered by hand stays bound."""
        for issuer in [key for key, kept in self._registrations.items() if isinstance(kept, dict)]:
            del self._registrations[issuer]

    def note_tokens(self, issuer: str, client: Client) -> None:
        """Note that a client was given tokens: if it gets none later, the server may have forgotten it."""
        if self._is_registered(issuer, client):
            kept = Client.from_json(self._registrations[issuer])
            self._registrations[issuer] = replace(kept or client, trusted_until=0.0).to_json()

    def is_doubtful(self, issuer: str, client: Client) -> bool:
        """Return whether a server may have forgotten a client that was registered long ago or used since."""
        return self._is_registered(issuer, client) and client.trusted_until <= self._clock()

    def _is_registered(self, issuer: str, client: Client | None) -> bool:
        registered = Client.from_json(self._registrations.get(issuer))
        return client is not None and registered is not None and registered.client_id == client.client_id

    def bind(self, who: str, server: ServerMetadata) -> None:
        """See that credentials which were made by hand are shown to one authorization server only.

        Without the word of the application that is the one where they were used first (MCP
        authorization, "Authorization Server Binding").

        Args:
            who: The client or assertion that the credentials are of.
            server: Where they are about to be used.

        Raises:
            OAuthError: The MCP server names another one.
        """
        if self._application.known_server is not None:
            return  # discovery has led to no other
        bound = str(self._registrations.setdefault(f"issuer for {who}", server.issuer))
        if not same_issuer(bound, server.issuer):
            raise OAuthError(
                f"{shown(self._endpoint)} names {server.issuer} as its authorization server, and {who} is "
                f"for {bound}: if the server has moved, say so with issuer="
            )

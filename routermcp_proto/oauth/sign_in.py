"""The ways to sign in: by a grant of the application, on a page in a browser, by a code on another device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from ..exceptions import AuthorizationRequiredError, OAuthError
from .client import Application, Clients
from .client_auth import Client
from .client_grants import ClientGrant
from .code_grant import (
    PENDING_SECONDS,
    PendingSignIn,
    begin,
    code_from,
    exchange_form,
    is_whole,
    page_of,
    state_of,
)
from .device_grant import DeviceAuthorization, poll, request_codes
from .dpop import Prover
from .metadata import AuthorizationTarget
from .records import GrantRecord
from .steps import Clock, Entropy, Flow, TokenError, sendable
from .tokens import TokenEndpoint, Tokens
from .urls import checked, shown


class SignInWay:
    """A way to get the first tokens of a user.

    Args:
        endpoint: URL of the MCP server.
        application: The application.
        clients: The clients that it is known as.
        random: Entropy.
        clock: Tells the time.
    """

    def __init__(
        self, endpoint: str, application: Application, clients: Clients, *, random: Entropy, clock: Clock
    ) -> None:
        self._endpoint = endpoint
        self._application = application
        self._clients = clients
        self._random = random
        self._clock = clock
        self._token_endpoint = partial(
            TokenEndpoint, random=random, clock=clock, parameters=application.token_parameters
        )


class GrantSignIn(SignInWay):
    """Gets tokens by a grant that the application has, without its users."""

    def obtain(
        self,
        grant: ClientGrant,
        target: AuthorizationTarget,
        scope: tuple[str, ...],
        prover: Prover | None,
    ) -> Flow[Tokens]:
        """Get tokens.

        Args:
            grant: The grant.
            target: The MCP server, and the authorization server that it trusts.
            scope: The scopes to ask for.
            prover: The key where the tokens are to be bound to it.

        Raises:
            OAuthError: The server says no.
        """
        server = target.server
        name = grant.client.client_id if grant.client is not None else "the assertion"
        self._clients.bind(name, server)
        token_endpoint = self._token_endpoint(server.issuer, server.token_endpoint, None, prover=prover)
        return (yield from grant.obtain(token_endpoint, target, self._endpoint, scope))


class BrowserSignIn(SignInWay):
    """Sends users to a page of the authorization server, and gets their tokens when they come back.

    Between the two lie minutes and perhaps processes: what the second half needs is in the record.
    """

    def begin(
        self,
        record: GrantRecord,
        target: AuthorizationTarget,
        scope: tuple[str, ...],
        *,
        dpop: bool,
        again: bool = False,
    ) -> Flow[PendingSignIn]:
        """Prepare to send a user to the authorization server.

        Args:
            record: The record of the user; the sign-in is added to it.
            target: The MCP server, and the authorization server that it trusts.
            scope: The scopes to ask for.
            dpop: Whether the tokens are to be bound to the user's key.
            again: Whether a sign-in like this one that waits already will do.

        Raises:
            AuthorizationRequiredError: The application has no page that users come back to.
            OAuthError: The server does not sign users in.
        """
        redirect_uri = self._application.redirect_uri
        if redirect_uri is None:
            way = "has no way to ask one"
            if self._application.on_device:
                way = "shows a code for that when a call needs it, and no page before"
            raise AuthorizationRequiredError(
                f"{shown(self._endpoint)} wants a user to sign in, and OAuthConfig {way}"
            )
        page_of(target.server)  # no client is registered for a server where nobody is sent
        client = yield from self._clients.at(target, redirect_uri, scope)
        issuer = target.server.issuer
        same = {
            "issuer": issuer,
            "redirect_uri": redirect_uri,
            "resource": target.resource,
            "scope": " ".join(scope),
            "client": replace(client, trusted_until=0.0).to_json(),
            "dpop": dpop,
            "parameters": dict(self._application.page_parameters),
        }
        waiting = record.find_pending(same, self._clock() + PENDING_SECONDS / 2) if again else None
        page = sendable(waiting.get("url")) if waiting is not None and "next_url" not in waiting else None
        if waiting is not None and page is not None:
            return PendingSignIn(page, "", waiting)
        if record.unanswered(client.client_id) and self._clients.is_doubtful(issuer, client):
            # Servers that have forgotten a client say so on their page, which only the user sees.
            self._clients.forget(issuer, client)
            client = yield from self._clients.at(target, redirect_uri, scope)
        pending = begin(
            target,
            client,
            redirect_uri=redirect_uri,
            scope=scope,
            dpop=dpop,
            parameters=self._application.page_parameters,
            tag=self._application.tag,
            random=self._random,
            clock=self._clock,
        )
        record.add_pending(pending.state, pending.kept, self._clock())
        return pending

    def complete(self, record: GrantRecord, callback_url: str, prover: Prover | None) -> Flow[None]:
        """Take the URL that a user came back to, and put the tokens into the record.

        Args:
            record: The record of the user.
            callback_url: The URL.
            prover: The user's key, for a sign-in that asked for tokens bound to it.

        Raises:
            ForgottenClientError: The authorization server has forgotten the client; begin again.
            OAuthError: It belongs to no sign-in of this user that waits, or says no.
        """
        state = state_of(callback_url) or ""
        kept = record.take_pending(state, self._clock())
        if kept is None:
            raise OAuthError("no sign-in of this user waits for that answer: it came too late, or twice")
        client = Client.from_json(kept.get("client"))
        if client is None or not is_whole(kept):
            raise OAuthError("what was kept of the sign-in cannot be read")
        issuer, plain_hosts = str(kept["issuer"]), self._application.plain_hosts
        token_url = checked(kept.get("token_endpoint"), "token_endpoint", plain_hosts)
        scope = tuple(str(kept.get("scope", "")).split())
        prover = prover if kept.get("dpop") else None
        token_endpoint = self._token_endpoint(issuer, token_url, client, prover=prover)
        try:
            code = code_from(callback_url, state, kept)
            tokens = yield from token_endpoint.ask(exchange_form(code, kept), scope)
        except TokenError as error:
            self._clients.check_known(issuer, client, error)
            raise
        self._clients.note_tokens(issuer, client)
        record.settle(
            tokens,
            endpoint=self._endpoint,
            client=client,
            resource=kept.get("resource"),
            token_endpoint=token_url,
            revocation_endpoint=kept.get("revocation_endpoint"),
            requested=scope,
            resource_metadata=kept.get("resource_metadata"),
        )
        record.note_signed_in(state)


@dataclass(frozen=True, slots=True)
class PendingDeviceSignIn:
    """A sign-in whose code the user has not entered yet."""

    device: DeviceAuthorization
    target: AuthorizationTarget
    token_endpoint: TokenEndpoint
    client: Client
    scope: tuple[str, ...]


class DeviceSignIn(SignInWay):
    """Gets codes that users enter on another device, and polls for their tokens (RFC 8628)."""

    def begin(
        self, target: AuthorizationTarget, scope: tuple[str, ...], prover: Prover | None
    ) -> Flow[PendingDeviceSignIn]:
        """Get a code to show to the user.

        Args:
            target: The MCP server, and the authorization server that it trusts.
            scope: The scopes to ask for.
            prover: The user's key where the tokens are to be bound to it.

        Raises:
            ForgottenClientError: The authorization server has forgotten the client; begin again.
            OAuthError: It signs no users in that way, or says no.
        """
        server = target.server
        client = yield from self._clients.at(target, None, scope)
        token_endpoint = self._token_endpoint(server.issuer, server.token_endpoint, client, prover=prover)
        try:
            device = yield from request_codes(
                target, token_endpoint, scope, self._application.page_parameters
            )
        except TokenError as error:
            self._clients.check_known(server.issuer, client, error)
            raise
        return PendingDeviceSignIn(device, target, token_endpoint, client, scope)

    def complete(self, pending: PendingDeviceSignIn) -> Flow[Tokens]:
        """Poll until the user has entered the code, and return the tokens.

        Raises:
            OAuthError: The code has ended, or the user or the server said no.
        """
        target = pending.target
        token_endpoint = replace(pending.token_endpoint, optional=True)
        tokens = yield from poll(pending.device, token_endpoint, pending.scope, target.resource)
        self._clients.note_tokens(target.server.issuer, pending.client)
        return tokens

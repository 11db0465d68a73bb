"""The methods ``routermcp/*`` by which users sign in at servers and sign out; see ``docs/gateway.md``."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar, cast

from routermcp_proto.exceptions import (
    InternalError,
    InvalidParamsError,
    MCPError,
    MethodNotFoundError,
    OAuthError,
    TokenStoreError,
)
from routermcp_proto.gateway_calls import (
    AUTHORIZE,
    COMPLETE,
    CONNECTIONS,
    OAUTH_REASON,
    REVOKE,
    SIGN_IN,
    STORE_REASON,
    AuthorizeResult,
    CompleteAuthorizationResult,
    ConnectionsResult,
    ServerConnection,
    SignInResult,
)
from routermcp_proto.oauth.code_grant import state_of

from ...oauth.flows.connections import ConnectionState
from ..backend import Caller, Result
from ..telemetry.audit import AuditedEvent, OnAudited, unheard
from ..wording import as_keys
from .oauth_state import StateEncryptor
from .registry import PerUserServer, UserRegistry, user_of

T = TypeVar("T")

log = logging.getLogger("routermcp.gateway")

STORE_FAILED = "the store of the tokens cannot be used now; try again later"
"""The message for users when the token store fails."""


class UserMethods:
    """Answers the requests of users about their tokens, and completes their sign-ins.

    Args:
        users: The users.
        states: Encrypts and decrypts the states of sign-ins.

    Attributes:
        on_audited: Hears of sign-ins.
    """

    def __init__(self, users: UserRegistry, states: StateEncryptor) -> None:
        self._users = users
        self._states = states
        self.on_audited: OnAudited = unheard
        self._methods: Mapping[str, Callable[[Caller, Mapping[str, Any]], Awaitable[Result]]] = {
            CONNECTIONS: self._connections,
            AUTHORIZE: self._authorize,
            SIGN_IN: self._sign_in,
            COMPLETE: self._complete,
            REVOKE: self._revoke,
        }

    async def answer(self, method: str, params: Mapping[str, Any], caller: Caller) -> Result:
        """Answer a request.

        Raises:
            RPCError: The method failed; the data holds the reason.
        """
        work = self._methods.get(method)
        if work is None:
            raise MethodNotFoundError(f"unknown method {method[:100]}")
        try:
            return await work(caller, params)
        except TokenStoreError as error:
            # The details of the store are for the operator of the gateway.
            log.warning("%s failed: %s", method, error)
            raise InternalError(STORE_FAILED, data={"reason": STORE_REASON}) from error
        except OAuthError as error:
            raise InvalidParamsError(as_keys(str(error)), data={"reason": OAUTH_REASON}) from error
        except (InvalidParamsError, InternalError):
            raise
        except MCPError as error:
            problem = f"the authorization server could not be asked: {error}"
            raise InternalError(problem, data={"reason": OAUTH_REASON}) from error

    async def _connections(self, caller: Caller, params: Mapping[str, Any]) -> Result:
        del params
        found = [await self._connection(user_of(caller), alias) for alias in self._servers(caller)]
        return ConnectionsResult(connections=found).to_wire()

    async def _connection(self, user_id: str, alias: str) -> ServerConnection:
        kept = await self._users.servers[alias].access(user_id).connection()
        state = kept.state if kept is not None else ConnectionState.NEEDS_AUTHORIZATION
        told: dict[str, Any] = {"serverId": alias, "state": state.value}
        if kept is not None and kept.expires_at is not None:
            told["expiresAt"] = kept.expires_at
        if kept is not None and kept.scopes:
            told["scopes"] = list(kept.scopes)
        return ServerConnection.model_validate(told)

    async def _authorize(self, caller: Caller, params: Mapping[str, Any]) -> Result:
        server = self._server(params, caller)
        next_url = params.get("nextUrl")
        if next_url is not None and not isinstance(next_url, str):
            raise InvalidParamsError("nextUrl is not a string")
        scopes = params.get("scopes", [])
        if not isinstance(scopes, list) or not all(
            isinstance(each, str) for each in cast("list[Any]", scopes)
        ):
            raise InvalidParamsError("scopes is no list of strings")
        begun = await server.access(user_of(caller)).begin(next_url, cast("list[str]", scopes))
        self.on_audited(AuditedEvent.SIGN_IN_BEGUN, {"server": server.alias, "user": user_of(caller)})
        return AuthorizeResult(serverId=server.alias, url=begun.url, expiresAt=begun.expires_at).to_wire()

    async def _sign_in(self, caller: Caller, params: Mapping[str, Any]) -> Result:
        server, url = self._server(params, caller), params.get("url")
        if not isinstance(url, str) or state_of(url) is None:
            raise InvalidParamsError("url is no page that users are sent to")
        waits, done = await server.access(user_of(caller)).outcome(url)
        return SignInResult(serverId=server.alias, waits=waits, done=done).to_wire()

    async def _complete(self, caller: Caller, params: Mapping[str, Any]) -> Result:
        callback_url = params.get("callbackUrl")
        if not isinstance(callback_url, str):
            raise InvalidParamsError("callbackUrl is missing or not a string")
        alias, next_url = await self.come_back(callback_url, user_of(caller))
        told = {"serverId": alias, **({"nextUrl": next_url} if next_url is not None else {})}
        return CompleteAuthorizationResult.model_validate(told).to_wire()

    async def come_back(self, callback_url: str, user_id: str | None = None) -> tuple[str, str | None]:
        """Complete a sign-in from its callback URL; return the server and the URL to go on to.

        Args:
            callback_url: The whole URL.
            user_id: The user that the sign-in has to be of, None for any user.

        Raises:
            OAuthError: No sign-in waits for the URL, or the user refused.
            TransportError: The authorization server cannot be reached.
        """
        details: dict[str, str | int | None] = {"server": None, "user": user_id}
        try:
            owner, alias = self._states.decrypt(callback_url)
            server = self._users.servers.get(alias)
            if server is None or user_id not in (None, owner):
                raise OAuthError("no sign-in of this user waits for that answer: it came too late, or twice")
            details = {"server": alias, "user": owner}
            next_url = await server.access(owner).complete(callback_url)
        except MCPError as error:
            self.on_audited(AuditedEvent.SIGN_IN_FAILED, {**details, "reason": str(error)})
            raise
        self.on_audited(AuditedEvent.SIGN_IN_DONE, details)
        self._users.refresh(owner, alias)
        return alias, next_url

    async def _revoke(self, caller: Caller, params: Mapping[str, Any]) -> Result:
        server = self._server(params, caller)
        try:
            await server.access(user_of(caller)).revoke()
            self.on_audited(AuditedEvent.SIGN_IN_REVOKED, {"server": server.alias, "user": user_of(caller)})
        finally:  # part of it may be done where it failed
            self._users.refresh(user_of(caller), server.alias)
        return {}

    def _servers(self, caller: Caller) -> Mapping[str, PerUserServer]:
        """Return the servers that the caller sees, by alias."""
        view, servers = caller.view, self._users.servers
        if view is None:
            return servers
        return {alias: server for alias, server in servers.items() if view.shows_server(alias)}

    def _server(self, params: Mapping[str, Any], caller: Caller) -> PerUserServer:
        server_id, servers = params.get("serverId"), self._servers(caller)
        server = servers.get(server_id) if isinstance(server_id, str) else None
        if server is None:
            raise InvalidParamsError(f"users sign in at {', '.join(servers)} here, not at {server_id!r:.80}")
        return server

"""One MCP session of one user: the methods, and its beginning and end."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from routermcp_adapters.http.base import SharedTransport
from routermcp_adapters.runtimes.auto import running as runtime_here
from routermcp_adapters.runtimes.run_sync import native as run
from routermcp_proto import types
from routermcp_proto.exceptions import AuthorizationRequiredError

from .._callbacks import Callbacks
from .._settings import ClientSettings, checked_timeout
from .._wiring import driver_of
from ..oauth._urls import checked_page
from .methods import AsyncMethods
from .sign_in import AuthorizationRequest

if TYPE_CHECKING:
    from ..oauth.flows.connections import Connection
    from ..oauth.flows.gateway_connections import Access, UserConnections


class AsyncSessionBase(AsyncMethods):
    """A session over connections that it may share with others."""

    def __init__(
        self, settings: ClientSettings, callbacks: Callbacks, transport: SharedTransport | None
    ) -> None:
        self._settings = settings
        self._callbacks = callbacks = callbacks.of_session(self._request_of)
        self._transport = transport
        self._timeout = settings.timeout
        self._driver = driver_of(settings, callbacks, transport)

    @property
    def user_id(self) -> str | None:
        """The user of the session, None where none was given."""
        return self._settings.user_id

    @property
    def server_id(self) -> str | None:
        """The name of the server in the token store, None without ``oauth=``."""
        return self._settings.oauth.server_id if self._settings.oauth is not None else None

    @property
    def server(self) -> types.InitializeResult | None:
        """The server's description of itself, None before ``connect``."""
        return self._driver.server

    def __repr__(self) -> str:
        state = "connected" if self._driver.connected else "not connected"
        user = f" user_id={self._settings.user_id!r}" if self._settings.user_id is not None else ""
        return f"<{type(self).__name__} {self._settings.place}{user} {state}>"

    async def connect(self, *, timeout: int | None = None) -> types.InitializeResult:
        """Connect to the server and agree on a revision of MCP; connected already, do nothing.

        Several calls at the same time are one. After :meth:`disconnect` the session may be
        connected again, in another event loop too.

        Args:
            timeout: Milliseconds, 0 for no limit; default that of the client.

        Returns:
            The server's description of itself, filled in the same way in both eras.

        Raises:
            TransportError: The server cannot be reached, or refuses.
            RPCError: The server answered with an error object.
            ResponseValidationError: There is no revision that both sides speak.
            ConfigError: It is connected in another event loop.
        """
        limit = self._timeout if timeout is None else checked_timeout(timeout)
        return await run(self._driver.connect(runtime_here(), limit))

    async def disconnect(self) -> None:
        """End the session at the server, and return its connections. May be called again."""
        await run(self._driver.disconnect())

    # ---- the user's tokens ------------------------------------------------------------------------

    def _accounts(self, timeout: int | None = None) -> UserConnections:
        from ..oauth.flows.gateway_connections import UserConnections  # noqa: PLC0415 - few need it

        limit = self._timeout if timeout is None else checked_timeout(timeout)
        return UserConnections(self._settings, self._transport, self._driver, runtime_here(), limit)

    async def _request_of(self, required: AuthorizationRequiredError) -> AuthorizationRequest:
        """Return the argument of ``on_authorization`` for an error."""
        server_id, url = required.server_id, required.url or ""
        if required.url is not None:
            checked_page(url, server_id or self._settings.place)
        access: Access | None = None
        if server_id is not None:
            access = await run(self._accounts().at(server_id).sent_to(url))
        return AuthorizationRequest(access, url, None, server_id, self._settings.user_id)

    async def connections(self, *, timeout: int | None = None) -> list[Connection]:
        """Return the servers that the user has signed in at, and whether each still takes the tokens.

        These are the servers whose tokens the client keeps and, when it is connected to a
        gateway, the servers behind the gateway that users sign in at.

        Args:
            timeout: Milliseconds, 0 for no limit; default that of the client.

        Raises:
            ConfigError: The client has no ``oauth=``, and is connected to no gateway.
            TokenStoreError: The store of the tokens cannot be reached.
        """
        return await run(self._accounts(timeout).connections())

    async def authorize(
        self,
        server_id: str | None = None,
        *,
        next_url: str | None = None,
        scopes: Sequence[str] = (),
        timeout: int | None = None,
    ) -> AuthorizationRequest:
        """Start a sign-in of the user, for applications that send users to a page themselves.

        The process that receives the answer, perhaps another one, passes it to
        :meth:`complete_authorization` of a session of the same user. Neither session has to
        be connected, unless the server is behind a gateway, which does the work then.

        Args:
            server_id: The server; default the one that the session is at. Behind a gateway it
                is the alias.
            next_url: Kept, and returned when the user is back.
            scopes: Scopes that calls to come will need, so that the user is asked once, ahead of
                them; beside those that the server asks for.
            timeout: Milliseconds, 0 for no limit; default that of the client.

        Raises:
            ConfigError: The client has no ``oauth=``, or is at another server.
            OAuthError: There is no way to sign in.
            TransportError: The authorization server cannot be reached.
        """
        access = self._accounts(timeout).at(server_id)
        begun = await run(access.begin(next_url, scopes))
        sent = await run(access.sent_to(begun.url))
        return AuthorizationRequest(
            sent, begun.url, begun.expires_at, begun.server_id, self._settings.user_id
        )

    async def complete_authorization(self, callback_url: str, *, timeout: int | None = None) -> str | None:
        """Complete a sign-in with the URL that the user's browser came back to.

        Args:
            callback_url: The whole URL, with its query.
            timeout: Milliseconds, 0 for no limit; default that of the client.

        Returns:
            The ``next_url`` of :meth:`authorize`.

        Raises:
            OAuthError: It belongs to no pending sign-in of this user, or reports an error.
            TransportError: The authorization server cannot be reached.
        """
        return await run(self._accounts(timeout).complete(callback_url))

    async def revoke(
        self, server_id: str | None = None, *, forget_client: bool = False, timeout: int | None = None
    ) -> None:
        """Revoke the user's tokens where the authorization server can do that, and delete them.

        Args:
            server_id: One of :meth:`connections`; default the server that the session is at.
            forget_client: Drop the registration of the application there too, so that the next
                sign-in makes a new one: where the authorization server has forgotten it.
            timeout: Milliseconds, 0 for no limit; default that of the client.

        Raises:
            ConfigError: The client has no ``oauth=``, or a gateway keeps the registration.
            TokenStoreError: The store of the tokens cannot be reached.
            TransportError: The authorization server cannot be reached; the tokens are
                deleted here all the same.
        """
        await run(self._accounts(timeout).revoke(server_id, forget_client))

    async def revoke_all(self, *, timeout: int | None = None) -> None:
        """Revoke the user's tokens of all servers in :meth:`connections`, and delete them.

        Args:
            timeout: Milliseconds, 0 for no limit; default that of the client.

        Raises:
            MCPError: As :meth:`revoke`, of the first server with which it failed; the others
                are done all the same.
        """
        await run(self._accounts(timeout).revoke_all())

    async def __aenter__(self) -> Self:
        await self.connect()
        self._driver.enter_block()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Blocks may be nested, or overlap: the last one to end disconnects.
        if self._driver.leave_block():
            await self.disconnect()


class RouterMCPSession(AsyncSessionBase):
    """A session of one user, made by :meth:`RouterMCPClient.create_session`.

    It has the methods of the client and shares its connections; its MCP session, tokens and
    caches are its own.
    """

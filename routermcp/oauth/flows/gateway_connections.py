"""The servers that a user signs in at: the session's own, and those behind a gateway."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

from routermcp_adapters.call.driver import CallOptions, Driver
from routermcp_adapters.http.base import SharedTransport
from routermcp_adapters.runtime import Runtime
from routermcp_proto import gateway_calls
from routermcp_proto.calls import Call
from routermcp_proto.exceptions import (
    ConfigError,
    MCPError,
    MethodNotFoundError,
    OAuthError,
    RPCError,
    TokenStoreError,
    TransportError,
)
from routermcp_proto.gateway_calls import OAUTH_REASON, STORE_REASON, SignInResult
from routermcp_proto.retry import deadline_after
from routermcp_proto.types import WireModel

from ..._settings import ClientSettings
from .._times import SIGN_IN_POLL_SECONDS
from .._urls import checked_page
from .connections import Begun, Connection, ConnectionState, UserAccess
from .polling import poll_until

ResultT = TypeVar("ResultT", bound=WireModel)

_WITH_TOKENS = (ConnectionState.CONNECTED, ConnectionState.EXPIRED)


class Access(Protocol):
    """The tokens of one user at one server, outside of calls."""

    async def begin(self, next_url: str | None, scopes: Sequence[str] = ()) -> Begun:
        """Prepare to send the user to sign in.

        Args:
            next_url: Where the user wants to go afterwards.
            scopes: Scopes to ask for beside those that a refusal would lead to.
        """
        ...

    async def complete(self, callback_url: str) -> str | None:
        """Take the URL that the user came back to; return where the user wanted to go."""
        ...

    async def revoke(self, forget_client: bool = False) -> None:
        """Revoke the tokens.

        Args:
            forget_client: Whether to drop the registrations of the application too.

        Raises:
            ConfigError: The registrations are not kept here.
        """
        ...

    async def sent_to(self, url: str) -> Access:
        """Return a copy whose :meth:`settled` waits for the outcome of the sign-in at a page."""
        ...

    async def settled(self) -> None:
        """Wait until the user has tokens, other ones than when sent to the page.

        Raises:
            OAuthError: Nothing can come of that sign-in any more, as where the user said no.
            TransportError: That took too long (``timeout``).
        """
        ...

    def within(self, runtime: Runtime, timeout: int) -> Access:
        """Return a copy with another limit in milliseconds."""
        ...


class GatewayAccess:
    """A user at a server behind a gateway, which runs the flows itself.

    ``timeout`` is in milliseconds for each operation, 0 for no limit; ``url`` and ``before`` are set
    by :meth:`sent_to`.
    """

    def __init__(
        self,
        driver: Driver,
        runtime: Runtime,
        timeout: int,
        server_id: str,
        url: str | None = None,
        before: Connection | None = None,
    ) -> None:
        self._driver = driver
        self._runtime = runtime
        self._timeout = timeout
        self._server_id = server_id
        self._url = url
        self._before = before

    def within(self, runtime: Runtime, timeout: int) -> GatewayAccess:
        """Return a copy with another limit."""
        return GatewayAccess(self._driver, runtime, timeout, self._server_id, self._url, self._before)

    async def sent_to(self, url: str) -> GatewayAccess:
        """Return a copy whose :meth:`settled` waits for the outcome of one sign-in."""
        before: Connection | None = None
        with suppress(MCPError):  # the user can sign in all the same
            before = await self._connection()
        return GatewayAccess(self._driver, self._runtime, self._timeout, self._server_id, url, before)

    async def begin(self, next_url: str | None, scopes: Sequence[str] = ()) -> Begun:
        """Prepare to send the user to sign in."""
        begun = await self._ask(gateway_calls.authorize(self._server_id, next_url, scopes))
        return Begun(checked_page(begun.url, self._server_id), begun.expiresAt, self._server_id)

    async def complete(self, callback_url: str) -> str | None:
        """Take the URL that the user came back to."""
        return (await self._ask(gateway_calls.complete_authorization(callback_url))).nextUrl

    async def revoke(self, forget_client: bool = False) -> None:
        """Revoke the tokens; the registration is the gateway's, and serves all of its users."""
        if forget_client:
            raise ConfigError(
                f"forget_client=True is for the server of this client: the gateway keeps the "
                f"registration at {self._server_id!r}"
            )
        await self._ask(gateway_calls.revoke_grant(self._server_id))

    async def settled(self) -> None:
        """Wait until the user has tokens, obtained by any process; see :class:`Access`."""
        runtime, unlimited = self._runtime, self.within(self._runtime, 0)
        try:
            async with runtime.deadline(deadline_after(runtime.now(), self._timeout)) as _:
                await poll_until(unlimited._succeeded, runtime, SIGN_IN_POLL_SECONDS)  # noqa: SLF001 - of this class
        except TimeoutError as error:
            message = f"nobody signed in at {self._server_id} within timeout={self._timeout} ms"
            raise TransportError(message, code="timeout") from error

    async def _succeeded(self) -> bool:
        """Return whether the user has other tokens than before.

        Raises:
            OAuthError: That will not be any more.
        """
        told = await self._outcome()
        if told is not None and told.done:
            return True
        now, before = await self._connection(), self._before
        connected = now is not None and now.state is ConnectionState.CONNECTED
        if told is None:
            # Where nothing is known of their end, the next tokens look like those before.
            unknown = before is None or before.expires_at is None
            return connected and (unknown or now != before)
        if connected and before is not None and before.state is not ConnectionState.CONNECTED:
            return True  # with another sign-in
        if not told.waits:
            raise OAuthError(f"the sign-in at {self._server_id} came to nothing; begin again")
        return False

    async def _outcome(self) -> SignInResult | None:
        """Ask for the outcome of the sign-in, and return None where the gateway does not know it."""
        if self._url is None:
            return None
        try:
            return await self._ask(gateway_calls.sign_in_status(self._server_id, self._url))
        except MethodNotFoundError:
            self._url = None  # it need not be asked again
            return None

    async def _connection(self) -> Connection | None:
        found = await self.connections()
        return next((each for each in found if each.server_id == self._server_id), None)

    async def connections(self) -> list[Connection]:
        """Return how the user is at all servers behind the gateway."""
        try:
            found = (await self._ask(gateway_calls.connections())).connections
        except MethodNotFoundError:
            return []  # the gateway says nothing of that
        states = {state.value: state for state in ConnectionState}
        return [
            Connection(each.serverId, states[each.state], each.expiresAt, tuple(each.scopes))
            for each in found
            if each.state in states
        ]

    async def _ask(self, call: Call[ResultT]) -> ResultT:
        try:
            return await self._driver.call(call, CallOptions(self._timeout))
        except RPCError as error:
            reason = error.data.get("reason") if isinstance(error.data, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            if reason == STORE_REASON:
                raise TokenStoreError(error.message) from error
            if reason == OAUTH_REASON:
                raise OAuthError(error.message) from error
            raise


class UserConnections:
    """The servers that the user of a session signs in at.

    The driver asks the gateway, where the session is connected to one; ``timeout`` is in milliseconds
    for each operation, 0 for no limit.
    """

    def __init__(
        self,
        settings: ClientSettings,
        exchanges: SharedTransport | None,
        driver: Driver,
        runtime: Runtime,
        timeout: int,
    ) -> None:
        self._driver = driver
        self._runtime = runtime
        self._timeout = timeout
        self._own = (
            UserAccess(settings, exchanges, runtime, timeout)
            if settings.oauth is not None and exchanges is not None
            else None
        )
        self._at_project = settings.gateway
        self._gateway = driver.connected and driver.gateway

    def at(self, server_id: str | None) -> Access:
        """Return the user at one server.

        Args:
            server_id: Its id, None for the one that the session is at.

        Raises:
            ConfigError: There is no such server, or nothing is kept of it here.
        """
        own = self._own
        if own is not None and server_id in (None, own.server_id):
            return own
        if server_id is not None and self._gateway:
            return self._behind(server_id)
        if own is not None:
            raise ConfigError(
                f"this session is at {own.server_id!r}, not at {server_id!r}; connect it first if that is "
                "behind a gateway"
            )
        if self._gateway:
            raise ConfigError("say at which server behind the gateway: server_id=")
        raise self._nothing_kept()

    def _nothing_kept(self) -> ConfigError:
        if self._at_project:
            return ConfigError("the gateway keeps the tokens of its users: connect first")
        return ConfigError("this client has no oauth=, so it keeps no tokens")

    def _behind(self, server_id: str) -> GatewayAccess:
        return GatewayAccess(self._driver, self._runtime, self._timeout, server_id)

    async def connections(self) -> list[Connection]:
        """Return how the user is at each server."""
        if self._own is None and not self._gateway:
            raise self._nothing_kept()
        kept = await self._own.connections() if self._own is not None else []
        found = await self._behind("").connections() if self._gateway else []
        together = {each.server_id: each for each in (*kept, *found)}
        return [together[server_id] for server_id in sorted(together)]

    async def complete(self, callback_url: str) -> str | None:
        """Take the URL that the user came back to, from whichever server."""
        own = self._own
        if own is not None and (not self._gateway or await own.waits_for(callback_url)):
            return await own.complete(callback_url)
        if self._gateway:
            return await self._behind("").complete(callback_url)
        raise self._nothing_kept()

    async def revoke(self, server_id: str | None, forget_client: bool = False) -> None:
        """Revoke the tokens of a server.

        Args:
            server_id: The server, None for that of the session.
            forget_client: Whether to drop the registrations of the application there too.
        """
        own = self._own
        if own is not None and server_id is not None:
            # The gateway keeps the tokens of the servers behind it.
            behind = await self._behind("").connections() if self._gateway else []
            if server_id not in (each.server_id for each in behind) and await own.keeps_other(server_id):
                await own.revoke_at(server_id, forget_client)
                return
        await self.at(server_id).revoke(forget_client)

    async def revoke_all(self) -> None:
        """Give back all tokens of the user.

        A server where there are none is not told, nor noted as one whose tokens were given back.

        Raises:
            MCPError: The first that was raised; all others are given back all the same.
        """
        failed: MCPError | None = None
        for connection in await self.connections():
            try:
                if connection.state in _WITH_TOKENS:
                    await self.revoke(connection.server_id)
                elif self._own is not None:
                    await self._own.forget_unused(connection.server_id)
            except MCPError as error:
                failed = failed or error
        if failed is not None:
            raise failed

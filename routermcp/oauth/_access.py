"""What a user's session says and does about its own tokens."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from routermcp_adapters._exchanges import Exchanges
from routermcp_adapters.runtime import Runtime
from routermcp_proto.exceptions import ConfigError, MCPError, TransportError
from routermcp_proto.oauth.authorization import Pending
from routermcp_proto.oauth.records import GrantRecord
from routermcp_proto.timers import deadline_after

from .._settings import ClientSettings
from ._authorization import UserAuthorization
from ._users import OAuthUsers

T = TypeVar("T")

#: Seconds to close what was opened for one request of a client that isn't connected.
CLOSE_SECONDS = 1.0

#: Seconds between two looks at whether a user has signed in elsewhere.
LOOK_SECONDS = 0.5


class ConnectionState(Enum):
    """Whether calls of a user to a server would be let in."""

    CONNECTED = "connected"
    EXPIRED = "expired"
    NEEDS_AUTHORIZATION = "needs_authorization"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Connection:
    """A user at a server.

    Attributes:
        server_id: What the server is called in the store.
        state: Whether calls would be let in. An expired token that can be renewed counts as
            connected.
        expires_at: When the access token ends, in seconds since 1970, where known.
        scopes: What was allowed.
    """

    server_id: str
    state: ConnectionState
    expires_at: float | None = None
    scopes: tuple[str, ...] = ()


def connection_of(server_id: str, record: GrantRecord) -> Connection:
    """Return what a record says."""
    tokens = record.tokens
    if tokens is None:
        state = ConnectionState.REVOKED if record.revoked else ConnectionState.NEEDS_AUTHORIZATION
        return Connection(server_id, state)
    ended = tokens.expires_at is not None and tokens.expires_at <= time.time()
    state = ConnectionState.EXPIRED if ended and tokens.refresh_token is None else ConnectionState.CONNECTED
    return Connection(server_id, state, tokens.expires_at, tokens.scope)


class UserAccess:
    """The tokens of one user, outside of calls.

    Args:
        settings: The settings of the session.
        exchanges: Its connections.
        runtime: Where it runs.
        timeout: Milliseconds for what is done, 0 for no limit.

    Raises:
        ConfigError: The client has no ``oauth=``.
    """

    def __init__(
        self, settings: ClientSettings, exchanges: Exchanges | None, runtime: Runtime, timeout: int
    ) -> None:
        if settings.oauth is None or exchanges is None:
            raise ConfigError("this client has no oauth=, so it keeps no tokens")
        self._settings = settings
        self._users: OAuthUsers = settings.oauth
        self._authorization: UserAuthorization = settings.oauth.of(settings.user_id)
        self._exchanges = exchanges
        self._runtime = runtime
        self._timeout = timeout

    def within(self, runtime: Runtime, timeout: int) -> UserAccess:
        """Return the same, with another limit."""
        return UserAccess(self._settings, self._exchanges, runtime, timeout)

    def check(self, server_id: str | None) -> str:
        """Return the id of the server that this session is at.

        Raises:
            ConfigError: Another one is meant.
        """
        own = self._users.server_id
        if server_id not in (None, own):
            raise ConfigError(f"this session is at {own!r}, not at {server_id!r}")
        return own

    async def connections(self) -> list[Connection]:
        """Return the servers of which tokens are kept."""
        adapter, user = self._users.adapter, self._authorization.user_id

        def read() -> list[Connection]:
            kept = [(server_id, adapter.get(user, server_id)) for server_id in adapter.list(user)]
            return [connection_of(server_id, GrantRecord(record)) for server_id, record in kept if record]

        return await self._within(lambda _: self._users.store(self._runtime, read))

    async def begin(self, next_url: str | None) -> Pending:
        """Prepare to send the user to sign in."""
        return await self._within(lambda exchanges: self._authorization.begin(exchanges, next_url))

    async def complete(self, callback_url: str) -> str | None:
        """Take the URL that the user came back to."""
        return await self._within(lambda exchanges: self._authorization.complete(exchanges, callback_url))

    async def revoke(self, server_id: str | None) -> None:
        """Give the tokens of a server back."""
        if server_id in (None, self._users.server_id):
            await self._within(self._authorization.revoke)
        else:
            await self._within(lambda exchanges: self._revoke_at(str(server_id), exchanges))

    async def _revoke_at(self, server_id: str, exchanges: Exchanges) -> None:
        """Give back what a record of another server holds, which says where that is."""
        user, adapter = self._authorization.user_id, self._users.adapter
        record = await self._users.store(self._runtime, lambda: adapter.get(user, server_id))
        endpoint = GrantRecord(record).text("endpoint")
        if endpoint is not None:
            await self._users.at(endpoint, server_id, user).revoke(exchanges)

    async def revoke_all(self) -> None:
        """Give back all tokens of the user."""
        failed: MCPError | None = None
        for connection in await self.connections():
            try:
                await self.revoke(connection.server_id)
            except MCPError as error:
                failed = failed or error
        if failed is not None:
            raise failed

    async def settled(self) -> None:
        """Wait until the user has tokens, whoever has taken them.

        Raises:
            TransportError: That took too long (``timeout``).
        """

        async def look(_: Exchanges) -> None:
            while not await self._users.store(self._runtime, self._has_tokens):
                await self._runtime.sleep(LOOK_SECONDS)

        await self._within(look)

    def _has_tokens(self) -> bool:
        record = self._users.adapter.get(self._authorization.user_id, self._users.server_id)
        return GrantRecord(record).tokens is not None

    async def _within(self, work: Callable[[Exchanges], Awaitable[T]]) -> T:
        """Do something in time, with connections that may be opened for it alone."""
        exchanges, token = self._exchanges, object()
        runtime = exchanges.open(self._runtime, token)
        try:
            async with runtime.deadline(deadline_after(runtime.now(), self._timeout)) as _:
                return await work(exchanges)
        except TimeoutError as error:
            message = f"signing in at {exchanges.endpoint} took longer than timeout={self._timeout} ms"
            raise TransportError(message, code="timeout") from error
        finally:
            try:
                async with runtime.shield(CLOSE_SECONDS):
                    await exchanges.finish(token, False)
            finally:
                exchanges.close(token)

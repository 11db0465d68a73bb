"""The connection of a session's user to the server: its state, sign-in and revocation."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any, TypeVar

from routermcp_adapters.http.base import SharedTransport
from routermcp_adapters.runtime import Runtime
from routermcp_proto.exceptions import ConfigError, OAuthError, TransportError
from routermcp_proto.oauth.code_grant import state_of
from routermcp_proto.oauth.records import GrantRecord
from routermcp_proto.oauth.tokens import Tokens
from routermcp_proto.retry import deadline_after

from ..._settings import ClientSettings
from ..stores.base import Record
from .polling import poll_until
from .transaction import GrantTransaction
from .user_authenticator import UserAuthenticator
from .users import OAuthUsers

T = TypeVar("T")

#: Seconds to close connections that were opened for one request of a client that isn't connected.
FINISH_SECONDS = 1.0


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
        server_id: The id of the server in the store.
        state: Whether calls would be let in. An expired token that can be renewed counts as
            connected.
        expires_at: When the access token ends, in seconds since 1970, where known.
        scopes: The granted scopes.
    """

    server_id: str
    state: ConnectionState
    expires_at: float | None = None
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in that waits for its user."""

    url: str = field(repr=False)
    expires_at: float
    server_id: str


@dataclass(frozen=True, slots=True)
class Sent:
    """A sign-in that a user was sent to, and the tokens from before it.

    Attributes:
        state: The state of the sign-in, None where its page has none.
        tokens: The tokens that were there before, None without any.
        sign_ins: The sign-ins that had given tokens before.
    """

    state: str | None = field(repr=False)
    tokens: Tokens | None = field(default=None, repr=False)
    sign_ins: tuple[Any, ...] = field(default=(), repr=False)

    def succeeded(self, record: GrantRecord) -> bool:
        """Return whether there are other tokens than before that a renewal did not give."""
        if self.state is not None and record.signed_in(self.state):
            return True
        now, before = record.tokens, self.tokens
        if now is None or before is None:
            return now is not None
        renewed = before.refresh_token is not None and record.sign_ins == self.sign_ins
        return now.access_token != before.access_token and not renewed

    def waits(self, record: GrantRecord) -> bool:
        """Return whether the user may still come back, as far as can be told."""
        return self.state is None or record.awaits(self.state, time.time())


def connection_of(server_id: str, record: GrantRecord) -> Connection:
    """Return the connection that a record describes."""
    tokens = record.tokens
    if tokens is None:
        state = ConnectionState.REVOKED if record.revoked else ConnectionState.NEEDS_AUTHORIZATION
        return Connection(server_id, state)
    ended = tokens.expires_at is not None and tokens.expires_at <= time.time()
    state = ConnectionState.EXPIRED if ended and tokens.refresh_token is None else ConnectionState.CONNECTED
    return Connection(server_id, state, tokens.expires_at, tokens.scope)


def _has_signed_in(record: GrantRecord) -> bool:
    """Return whether a record is of a server where the user has ever signed in."""
    return record.tokens is not None or record.text("endpoint") is not None


class UserAccess:
    """The tokens of one user, outside of calls.

    ``timeout`` is in milliseconds for each operation, 0 for no limit; ``sent`` is the sign-in that
    :meth:`settled` waits for, None for any.

    Raises:
        ConfigError: The client has no ``oauth=``.
    """

    def __init__(
        self,
        settings: ClientSettings,
        exchanges: SharedTransport | None,
        runtime: Runtime,
        timeout: int,
        sent: Sent | None = None,
    ) -> None:
        if settings.oauth is None or exchanges is None:
            raise ConfigError("this client has no oauth=, so it keeps no tokens")
        self._settings = settings
        self._users: OAuthUsers = settings.oauth
        self._authenticator: UserAuthenticator = settings.oauth.of(settings.user_id)
        self._user_id = self._authenticator.grant.user_id
        self._exchanges = exchanges
        self._runtime = runtime
        self._timeout = timeout
        self._sent = sent

    @property
    def runtime(self) -> Runtime:
        """Where it runs."""
        return self._runtime

    def within(self, runtime: Runtime, timeout: int) -> UserAccess:
        """Return a copy with another limit."""
        return UserAccess(self._settings, self._exchanges, runtime, timeout, self._sent)

    async def sent_to(self, url: str) -> UserAccess:
        """Return a copy whose :meth:`settled` waits for the outcome of the sign-in at a page."""
        # The tokens of the refused request are here; the store may hold the answer already.
        authorizer = self._authenticator.grant.authorizer
        record = authorizer.record if authorizer is not None else GrantRecord()
        sent = Sent(state_of(url), record.tokens, record.sign_ins)
        if not sent.waits(record):
            sent = Sent(sent.state)  # the tokens that are there came of it
        return UserAccess(self._settings, self._exchanges, self._runtime, self._timeout, sent)

    @property
    def server_id(self) -> str:
        """The id of the session's server in the store."""
        return self._users.server_id

    async def connection(self) -> Connection | None:
        """Return how the user is at the session's own server, None where nothing is kept of it."""
        record = await self._within(lambda _: self._read(self.server_id))
        return connection_of(self.server_id, GrantRecord(record)) if record is not None else None

    async def connections(self) -> list[Connection]:
        """Return the servers of which tokens are kept."""

        async def read(_: SharedTransport) -> list[Connection]:
            servers = await self._users.store.list(self._runtime, self._user_id)
            kept = [(server_id, await self._read(server_id)) for server_id in servers]
            return [connection_of(server_id, GrantRecord(record)) for server_id, record in kept if record]

        return await self._within(read)

    async def begin(self, next_url: str | None, scopes: Sequence[str] = ()) -> Begun:
        """Prepare to send the user to sign in."""
        pending = await self._within(lambda exchanges: self._authenticator.begin(exchanges, next_url, scopes))
        return Begun(pending.url, pending.kept["expires_at"], self.server_id)

    async def waits_for(self, callback_url: str) -> bool:
        """Return whether a URL is the answer to a sign-in of the user here."""
        state = state_of(callback_url) or ""
        record = await self._within(lambda _: self._read(self.server_id))
        return bool(GrantRecord(record).pending(state))

    async def complete(self, callback_url: str) -> str | None:
        """Take the URL that the user came back to."""
        return await self._within(lambda exchanges: self._authenticator.complete(exchanges, callback_url))

    async def revoke(self, forget_client: bool = False) -> None:
        """Revoke the tokens; where the user has never signed in, forget the pending sign-ins.

        Args:
            forget_client: Whether to drop the registrations of the application too.
        """
        if forget_client:
            await self._within(self._authenticator.forget_clients)
        if not await self.forget_unused(self.server_id):
            await self._within(self._authenticator.revoke)

    async def keeps_other(self, server_id: str) -> bool:
        """Return whether the store holds something of the user at another server."""
        if server_id == self.server_id:
            return False
        return await self._within(lambda _: self._read(server_id)) is not None

    async def revoke_at(self, server_id: str, forget_client: bool = False) -> None:
        """Revoke the tokens of another server, whose record says where that is.

        Args:
            server_id: The id of that server in the store.
            forget_client: Whether to drop the registrations of the application there too.
        """
        user = self._user_id

        async def work(exchanges: SharedTransport) -> None:
            endpoint = GrantRecord(await self._read(server_id)).text("endpoint")
            if endpoint is not None:
                at = self._users.at(endpoint, server_id, user)
                if forget_client:
                    await at.forget_clients(exchanges)
                await at.revoke(exchanges)

        if not await self.forget_unused(server_id):
            await self._within(work)

    async def forget_unused(self, server_id: str) -> bool:
        """Delete the record of a server where the user has never signed in.

        Returns:
            Whether the user has not: sign-ins that wait are forgotten, and there was nothing else.
        """

        async def work(exchanges: SharedTransport) -> bool:
            kept = await self._read(server_id)
            if kept is not None and _has_signed_in(GrantRecord(kept)):
                return False
            # Also where nothing is kept: a process may have died while it wrote the first tokens.
            async with self._transaction(exchanges, server_id) as transaction:
                if not _has_signed_in(transaction.record):
                    await transaction.delete()
                return not _has_signed_in(transaction.record)

        return await self._within(work)

    async def _read(self, server_id: str) -> Record | None:
        return await self._users.store.get(self._runtime, self._user_id, server_id)

    async def settled(self) -> None:
        """Wait until the user has tokens, obtained by any process; see ``gateway_connections.Access``."""
        sent = self._sent or Sent(None)

        async def look(exchanges: SharedTransport) -> bool:
            record = await self._record_after(sent, exchanges)
            if not sent.succeeded(record) and not sent.waits(record):
                raise OAuthError(f"the sign-in at {self.server_id} came to nothing; begin again")
            return sent.succeeded(record)

        seconds = self._users.times.sign_in_poll_seconds
        await self._within(lambda exchanges: poll_until(partial(look, exchanges), self._runtime, seconds))

    async def outcome(self, url: str) -> tuple[bool, bool]:
        """Return whether the sign-in at a page still waits for its user, and whether it has given tokens."""
        sent = Sent(state_of(url))
        record = await self._within(lambda exchanges: self._record_after(sent, exchanges))
        return sent.waits(record), sent.state is not None and record.signed_in(sent.state)

    async def _record_after(self, sent: Sent, exchanges: SharedTransport) -> GrantRecord:
        """Read the record, with the tokens of a sign-in once that is pending no more."""
        record = GrantRecord(await self._read(self.server_id))
        if sent.waits(record):
            return record
        # A sign-in leaves the record before the tokens are in it, but within one transaction.
        async with self._transaction(exchanges, self.server_id) as transaction:
            return transaction.record

    def _transaction(self, exchanges: SharedTransport, server_id: str) -> GrantTransaction:
        grant = self._users.at(self._settings.place, server_id, self._user_id).grant
        return GrantTransaction(grant, exchanges)

    async def _within(self, work: Callable[[SharedTransport], Awaitable[T]]) -> T:
        """Run work under the timeout, with connections that may be opened for it alone."""
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
                async with runtime.shield(FINISH_SECONDS):
                    await exchanges.finish(token, False)
            finally:
                exchanges.close(token)

"""Adds the token of one user to each request, renews it in time, and answers refusals."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from routermcp_adapters.call.deadline import CallDeadline
from routermcp_adapters.concurrency.single_flight import SingleFlight
from routermcp_adapters.http.base import SharedTransport
from routermcp_adapters.logs import log
from routermcp_adapters.runtime import Runtime
from routermcp_proto.events import HTTPRefused
from routermcp_proto.exceptions import (
    AuthorizationRequiredError,
    MCPError,
)
from routermcp_proto.oauth.authorizer import AuthAttempt
from routermcp_proto.oauth.challenges import parse_challenges
from routermcp_proto.oauth.code_grant import PendingSignIn, state_of
from routermcp_proto.oauth.steps import InvalidGrantError

from .resource import ProtectedResource
from .transaction import GrantTransaction
from .user_grant import UserGrant


class UserAuthenticator:
    """Authenticates the requests of one user at one server."""

    __slots__ = ("__weakref__", "_flight", "_try_at", "grant")

    def __init__(self, resource: ProtectedResource, user_id: str, tag: str = "") -> None:
        self.grant = UserGrant(resource, user_id, tag)
        self._try_at = 0.0
        self._flight = SingleFlight(resource.lock)

    def after_fork(self) -> None:
        """Wait for no sign-in or renewal of the parent process."""
        self.grant.after_fork()
        self._flight = SingleFlight(self.grant.resource.lock)

    @property
    def server_id(self) -> str:
        """The id of the server in the store."""
        return self.grant.resource.server_id

    def __repr__(self) -> str:
        return f"<UserAuthenticator of {self.grant.user_id!r} at {self.server_id}>"

    # ---- with each request ------------------------------------------------------------------------

    async def headers(self, method: str, url: str, exchanges: SharedTransport) -> Mapping[str, str]:
        """Return the headers that authenticate a request, with tokens renewed that are about to end."""
        grant = self.grant
        authorizer = grant.authorizer or await grant.load(exchanges.runtime)
        if grant.stale:
            await grant.read_again(exchanges.runtime, log.warning)
        if authorizer.due or grant.unwritten:
            await (self._renew if authorizer.ending else self._renew_ahead)(exchanges)
        headers = authorizer.headers(method, url)
        if headers:
            grant.resource.audit("use", grant.user_id, authorizer)
        return headers

    def note_nonce(self, nonce: str) -> None:
        """Note the nonce that the next proofs have to carry."""
        if self.grant.authorizer is not None:
            self.grant.authorizer.note_nonce(nonce)

    def attempt(self, sent: Mapping[str, str], exchanges: SharedTransport) -> _RefusedRequest:
        """Return the answers to the refusals of one request."""
        return _RefusedRequest(self, sent.get("Authorization"), exchanges)

    # ---- renewing, signing in --------------------------------------------------------------------------

    async def _renew_ahead(self, exchanges: SharedTransport) -> None:
        """Renew or write tokens that are still good: one call sees to it, and does not wait for long."""
        runtime, times = exchanges.runtime, self.grant.resource.config.times
        if self._flight.busy or time.monotonic() < self._try_at:
            return
        self._try_at = time.monotonic() + times.try_again_seconds
        scope = runtime.deadline(runtime.now() + times.patience_seconds)
        try:
            async with scope:
                await self._renew(exchanges)
        except TimeoutError:
            if not scope.expired:
                raise
            log.info("%s: renewing the token takes its time; it is still good", self.server_id)

    async def _renew(self, exchanges: SharedTransport) -> None:
        """Renew tokens before they end and write those that are not written, once for concurrent requests."""
        runtime, grant = exchanges.runtime, self.grant

        async def renewed() -> bool:
            await grant.read_again(runtime)
            return grant.authorizer is not None and not grant.authorizer.due and not grant.unwritten

        async def work() -> None:
            # Another process may have renewed them: a look spares all but the first of many the lock.
            if await renewed():
                return
            async with GrantTransaction(grant, exchanges, renewed) as transaction:
                # That may have been so long ago that they are due again.
                if transaction.held and transaction.authorizer.due:
                    await transaction.drive(transaction.authorizer.renew())

        try:
            await self._flight.run(runtime, work)
        except InvalidGrantError as error:
            log.info("%s: the user has to sign in again: %s", self.server_id, error)
        except MCPError as error:
            # The token may be good for this request; if it is not, the server says so.
            log.warning("%s: the token could not be renewed or written: %s", self.server_id, error)

    async def answer(
        self,
        refused: HTTPRefused,
        attempt: AuthAttempt,
        used: str | None,
        exchanges: SharedTransport,
        clock: CallDeadline,
    ) -> bool:
        """Act on a refusal, once for all requests that were refused with the same token."""
        challenges = parse_challenges(refused.challenges)
        authorizer = self.grant.authorizer or await self.grant.load(exchanges.runtime)
        heard = authorizer.hear(challenges, refused.dpop_nonce, attempt)
        if heard is not None:
            return heard
        led = verdict = False

        async def replaced() -> bool:
            await self.grant.read_again(exchanges.runtime)
            return self.grant.header not in (used, None)

        async def work() -> None:
            nonlocal led, verdict
            led = True
            if await replaced():
                verdict = True
                return
            async with GrantTransaction(self.grant, exchanges, replaced) as transaction:
                if not transaction.held or self.grant.header not in (used, None):
                    verdict = True  # another process has renewed or obtained it
                    return
                await self._check_receiver(refused, exchanges.runtime)
                flow = transaction.authorizer.challenged(refused.status, challenges, attempt)
                verdict = await transaction.drive(flow, clock)

        try:
            # The flight that this request joined may have been about an older token than its own.
            while not led and self.grant.header in (used, None):
                await self._flight.run(exchanges.runtime, work)
        except AuthorizationRequiredError as error:
            error.server_id, error.user_id = self.server_id, self.grant.user_id
            raise
        return verdict or self.grant.header not in (used, None)

    async def _check_receiver(self, refused: HTTPRefused, runtime: Runtime) -> None:
        """Check that a user who has to sign in can come back, before servers are asked anything.

        Raises:
            OAuthError: The user cannot.
        """
        grant = self.grant
        tokens = grant.authorizer.tokens if grant.authorizer is not None else None
        renewable = tokens is not None and tokens.refresh_token is not None
        if refused.status == 401 and not renewable and grant.resource.config.authorize is not None:
            await runtime.run_blocking(grant.resource.config.check_receiver)

    # ---- by themselves -------------------------------------------------------------------------------

    async def begin(
        self, exchanges: SharedTransport, next_url: str | None, scopes: Sequence[str] = ()
    ) -> PendingSignIn:
        """Begin a sign-in, and keep what its completion needs.

        Args:
            exchanges: The transport.
            next_url: Where the user wants to go afterwards.
            scopes: Scopes to ask for beside those that a refusal would lead to.

        Raises:
            OAuthError: There is no way to sign in.
        """
        await self.grant.load(exchanges.runtime)
        async with GrantTransaction(self.grant, exchanges) as transaction:
            pending = await transaction.drive(transaction.authorizer.begin(tuple(scopes)))
            if next_url is not None:
                transaction.record.pending(pending.state)["next_url"] = next_url
            return pending

    async def complete(self, exchanges: SharedTransport, callback_url: str) -> str | None:
        """Take the URL that the user came back to; return where the user wanted to go.

        Raises:
            OAuthError: It belongs to no sign-in of this user that waits, or says no.
        """
        await self.grant.load(exchanges.runtime)
        async with GrantTransaction(self.grant, exchanges) as transaction:
            kept = transaction.record.pending(state_of(callback_url) or "")
            await transaction.drive(transaction.authorizer.complete(callback_url))
        next_url = kept.get("next_url")
        return next_url if isinstance(next_url, str) else None

    async def revoke(self, exchanges: SharedTransport) -> None:
        """Give the tokens back, as far as the authorization server takes them, and forget them."""
        await self.grant.load(exchanges.runtime)
        async with GrantTransaction(self.grant, exchanges) as transaction:
            await transaction.drive(transaction.authorizer.revoke())

    async def forget_clients(self, exchanges: SharedTransport) -> None:
        """Drop the registrations of the application at the server's authorization servers."""
        await self.grant.load(exchanges.runtime)
        async with GrantTransaction(self.grant, exchanges) as transaction:
            await transaction.drive(transaction.authorizer.forget_clients())


class _RefusedRequest:
    """The state of one request over its refusals."""

    def __init__(self, owner: UserAuthenticator, used: str | None, exchanges: SharedTransport) -> None:
        self._owner = owner
        self._used = used
        self._exchanges = exchanges
        self._attempt = AuthAttempt()

    async def challenged(self, refused: HTTPRefused, clock: CallDeadline) -> bool:
        """Act on a refusal, and return whether the request may be made again."""
        owner = self._owner
        if owner.grant.header not in (self._used, None):
            self._used = owner.grant.header  # it was renewed while the request was on its way
            return True
        again = await owner.answer(refused, self._attempt, self._used, self._exchanges, clock)
        self._used = owner.grant.header
        return again

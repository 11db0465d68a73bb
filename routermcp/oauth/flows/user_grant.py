"""Runs the flows of OAuth for one user at one server: loads, locks, asks, keeps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, cast

from routermcp_adapters.call.deadline import CallDeadline
from routermcp_adapters.concurrency.single_flight import SingleFlight
from routermcp_adapters.http.base import SharedTransport
from routermcp_adapters.runtime import Runtime
from routermcp_adapters.wire_log import log
from routermcp_proto.events import HTTPRefused
from routermcp_proto.exceptions import (
    AuthorizationRequiredError,
    MCPError,
    OAuthError,
)
from routermcp_proto.oauth.authorizer import AuthAttempt, Authorizer
from routermcp_proto.oauth.challenges import parse_challenges
from routermcp_proto.oauth.client_auth import Signer
from routermcp_proto.oauth.code_grant import PendingSignIn, state_of
from routermcp_proto.oauth.records import GrantRecord
from routermcp_proto.oauth.steps import InvalidGrantError

from ..stores.base import Record
from .resource import ProtectedResource, proof_key
from .storage import HeldLock
from .transaction import GrantTransaction

#: Seconds after which the record is read again that is used all the time: so soon is heard of what
#: another process has done with it, such as given the tokens back.
READ_AGAIN_SECONDS = 60.0

#: Seconds that the call which renews tokens waits for that while they are still good; others do not
#: wait at all. An authorization server that is well answers in a part of it.
PATIENCE_SECONDS = 1.0

#: Seconds that the record may take to be read again. A store that is well takes a hundredth of it.
READ_SECONDS = 0.25

#: Seconds from one attempt to renew tokens that are still good to the next.
TRY_AGAIN_SECONDS = 5.0


class UserGrant:
    """Sees to it that one user's requests are let in.

    Args:
        resource: The server.
        user_id: Whose requests they are.
        tag: What the state of each sign-in ends with.
    """

    __slots__ = (
        "__weakref__",
        "_changes",
        "_changing",
        "_flight",
        "_key",
        "_loading",
        "_read_at",
        "_stored",
        "_tag",
        "_try_at",
        "_unwritten",
        "authorizer",
        "resource",
        "user_id",
    )

    def __init__(self, resource: ProtectedResource, user_id: str, tag: str = "") -> None:
        self.resource = resource
        self.user_id = user_id
        self.authorizer: Authorizer | None = None
        """The flows on the record, once it was read."""
        self._tag = tag
        self._read_at = 0.0
        self._changing = 0
        self._changes = 0
        self._try_at = 0.0
        self._key: Signer | None = None
        # The refresh token that the store holds, and whether what we have is newer than that.
        self._stored: str | None = None
        self._unwritten = False
        self.after_fork()

    def after_fork(self) -> None:
        """Wait for nobody who signs in or renews in the parent process."""
        self._loading = SingleFlight(self.resource.lock)
        self._flight = SingleFlight(self.resource.lock)
        self._changing = 0

    @property
    def server_id(self) -> str:
        """What the user's record is called."""
        return self.resource.server_id

    def __repr__(self) -> str:
        return f"<UserGrant of {self.user_id!r} at {self.server_id}>"

    # ---- with each request ------------------------------------------------------------------------

    async def headers(self, method: str, url: str, exchanges: SharedTransport) -> Mapping[str, str]:
        """Return what goes with a request; tokens that are about to end are renewed before."""
        authorizer = self.authorizer or await self._load(exchanges.runtime)
        if time.monotonic() - self._read_at > READ_AGAIN_SECONDS:
            await self._read_again(exchanges.runtime, log.warning)
            authorizer = self.authorizer or authorizer
        if authorizer.due:
            await (self._renew if authorizer.ending else self._renew_ahead)(exchanges)
            authorizer = self.authorizer or authorizer
        headers = authorizer.headers(method, url)
        if headers:
            self.resource.audit("use", self.user_id, authorizer)
        return headers

    def note_nonce(self, nonce: str) -> None:
        """Note what the next proofs have to carry."""
        if self.authorizer is not None:
            self.authorizer.note_nonce(nonce)

    def attempt(self, sent: Mapping[str, str], exchanges: SharedTransport) -> _RefusedRequest:
        """Begin to have a request let in that was refused."""
        return _RefusedRequest(self, sent.get("Authorization"), exchanges)

    @property
    def in_use(self) -> str | None:
        """The ``Authorization`` that requests carry now."""
        authorizer = self.authorizer
        tokens = authorizer.tokens if authorizer is not None else None
        if tokens is None:
            return None
        return f"{'DPoP' if tokens.token_type == 'dpop' else 'Bearer'} {tokens.access_token}"  # noqa: S105

    # ---- the record ---------------------------------------------------------------------------------

    async def _load(self, runtime: Runtime) -> Authorizer:
        async def work() -> None:
            if self.authorizer is not None:
                return
            await self.resource.read_registrations(runtime)
            self._adopt(await self.resource.read(runtime, self.user_id))
            self._read_at = time.monotonic()

        await self._loading.run(runtime, work)
        if self.authorizer is None:
            raise AssertionError("loaded")
        return self.authorizer

    async def _read_again(self, runtime: Runtime, unless_read: Callable[..., None] = log.debug) -> None:
        """Hear of what other processes have done, unless something is being done here.

        Args:
            runtime: Where that is.
            unless_read: Told where that does not work, which matters where nothing else follows.
        """
        scope = runtime.deadline(runtime.now() + READ_SECONDS)

        async def work() -> None:
            self._read_at = time.monotonic()  # where that fails, too: there is a next time
            changes = self._changes
            try:
                async with scope:
                    kept = await self.resource.read(runtime, self.user_id)
            except (OAuthError, TimeoutError) as error:
                if isinstance(error, TimeoutError) and not scope.expired:
                    raise
                unless_read("%s: the record of a user could not be read again: %s", self.server_id, error)
                return
            with self.resource.lock:
                if changes == self._changes and not self._changing:
                    self._adopt(kept)

        await self._loading.run(runtime, work)

    @property
    def unwritten(self) -> bool:
        """Whether the record is newer than what the store holds."""
        return self._unwritten

    def changing(self, begins: bool) -> None:
        """Note that the record is being changed, under its lock, or no longer."""
        with self.resource.lock:
            self._changing += 1 if begins else -1
            self._changes += 1

    def _adopt(self, kept: Record | None) -> None:
        """Take what the store holds for what is, unless what could not be written is newer."""
        record = GrantRecord(dict(kept or {}))
        tokens = record.tokens
        stored = tokens.refresh_token if tokens is not None else None
        if self._unwritten and self.authorizer is not None and stored == self._stored:
            return
        self._unwritten, self._stored = False, stored
        if self._key is None or record.members.get("dpop_key") not in (
            None,
            getattr(self._key, "kept", None),
        ):
            # Tokens are bound to the key that they were asked for with, perhaps in another process.
            self._key = proof_key(self.resource.config, record)
            if self.authorizer is not None:
                self.authorizer.sign_with(self._key)
        if self.authorizer is None:
            self.authorizer = self.resource.authorizer(record, self._key, self._tag)
        else:
            self.authorizer.record = record

    # ---- renewing, signing in --------------------------------------------------------------------------

    async def _renew_ahead(self, exchanges: SharedTransport) -> None:
        """Renew tokens that are still good: one call sees to it, and does not wait for long."""
        runtime = exchanges.runtime
        if self._flight.busy or time.monotonic() < self._try_at:
            return
        self._try_at = time.monotonic() + TRY_AGAIN_SECONDS
        scope = runtime.deadline(runtime.now() + PATIENCE_SECONDS)
        try:
            async with scope:
                await self._renew(exchanges)
        except TimeoutError:
            if not scope.expired:
                raise
            log.info("%s: renewing the token takes its time; it is still good", self.server_id)

    async def _renew(self, exchanges: SharedTransport) -> None:
        """Renew tokens before they end, once for all who ask at the same time."""
        runtime = exchanges.runtime

        async def renewed() -> bool:
            await self._read_again(runtime)
            return self.authorizer is not None and not self.authorizer.due

        async def work() -> None:
            # Another process may have renewed them: a look spares all but the first of many the lock.
            if await renewed():
                return
            async with GrantTransaction(self, exchanges, renewed) as locked:
                # That may have been so long ago that they are due again.
                if locked.held and locked.authorizer.due:
                    await locked.drive(locked.authorizer.renew())

        try:
            await self._flight.run(runtime, work)
        except InvalidGrantError as error:
            log.info("%s: the user has to sign in again: %s", self.server_id, error)
        except MCPError as error:
            # The token may be good for this request; if it is not, the server says so.
            log.warning("%s: the token could not be renewed: %s", self.server_id, error)

    async def answer(
        self,
        refused: HTTPRefused,
        attempt: AuthAttempt,
        used: str | None,
        exchanges: SharedTransport,
        clock: CallDeadline,
    ) -> bool:
        """Do what a refusal asks for, once for all who were refused with the same token."""
        challenges = parse_challenges(refused.challenges)
        authorizer = self.authorizer or await self._load(exchanges.runtime)
        heard = authorizer.hear(challenges, refused.dpop_nonce, attempt)
        if heard is not None:
            return heard
        led = verdict = False

        async def replaced() -> bool:
            await self._read_again(exchanges.runtime)
            return self.in_use not in (used, None)

        async def work() -> None:
            nonlocal led, verdict
            led = True
            if await replaced():
                verdict = True
                return
            async with GrantTransaction(self, exchanges, replaced) as locked:
                if not locked.held or self.in_use not in (used, None):
                    verdict = True  # another process has renewed or obtained it
                    return
                flow = locked.authorizer.challenged(refused.status, challenges, attempt)
                verdict = await locked.drive(flow, clock)

        try:
            # What somebody else has done meanwhile may have been about an older token than this one.
            while not led and self.in_use in (used, None):
                await self._flight.run(exchanges.runtime, work)
        except AuthorizationRequiredError as error:
            error.server_id, error.user_id = self.server_id, self.user_id
            raise
        return verdict or self.in_use not in (used, None)

    # ---- by themselves -------------------------------------------------------------------------------

    async def begin(self, exchanges: SharedTransport, next_url: str | None) -> PendingSignIn:
        """Prepare to send the user to sign in, and keep what is needed when they come back.

        Raises:
            OAuthError: There is no way to sign in.
        """
        await self._load(exchanges.runtime)
        async with GrantTransaction(self, exchanges) as locked:
            pending = await locked.drive(locked.authorizer.begin())
            if next_url is not None:
                locked.authorizer.record.members["pending"][pending.state]["next_url"] = next_url
            return pending

    async def complete(self, exchanges: SharedTransport, callback_url: str) -> str | None:
        """Take the URL that the user came back to; return where the user wanted to go.

        Raises:
            OAuthError: It belongs to no sign-in of this user that waits, or says no.
        """
        await self._load(exchanges.runtime)
        async with GrantTransaction(self, exchanges) as locked:
            waiting = cast("dict[str, Any]", locked.authorizer.record.members.get("pending") or {})
            kept = cast("dict[str, Any]", waiting.get(state_of(callback_url) or "") or {})
            await locked.drive(locked.authorizer.complete(callback_url))
        return kept.get("next_url")

    async def revoke(self, exchanges: SharedTransport) -> None:
        """Give the tokens back, as far as the authorization server takes them, and forget them."""
        await self._load(exchanges.runtime)
        async with GrantTransaction(self, exchanges) as locked:
            await locked.drive(locked.authorizer.revoke())

    # ---- under the lock -----------------------------------------------------------------------------

    def audit_events(self) -> None:
        """Let the application know what was done with tokens."""
        authorizer = self.authorizer
        for action in authorizer.audit_events() if authorizer is not None else ():
            self.resource.audit(action, self.user_id, authorizer)

    async def reload(self, runtime: Runtime) -> None:
        """Read the record again, as another process may have changed it."""
        kept = await self.resource.read(runtime, self.user_id)
        self._read_at = time.monotonic()
        self._adopt(kept)

    async def keep(self, runtime: Runtime, lock: HeldLock) -> None:
        """Write the record, and what the application was registered as."""
        authorizer = self.authorizer
        if authorizer is None:
            return
        members = authorizer.record.members
        made = getattr(self._key, "kept", None)
        if made is not None:
            members["dpop_key"] = made
        tokens = authorizer.record.tokens
        refresh_token = tokens.refresh_token if tokens is not None else None
        self._unwritten = refresh_token != self._stored
        await self.resource.keep(runtime, self.user_id, members, lock)
        self._unwritten, self._stored = False, refresh_token


class _RefusedRequest:
    """What is done to have one request let in."""

    def __init__(self, owner: UserGrant, used: str | None, exchanges: SharedTransport) -> None:
        self._owner = owner
        self._used = used
        self._exchanges = exchanges
        self._attempt = AuthAttempt()

    async def challenged(self, refused: HTTPRefused, clock: CallDeadline) -> bool:
        """Do what a refusal asks for; say whether the request may be made again."""
        owner = self._owner
        if owner.in_use not in (self._used, None):
            self._used = owner.in_use  # it was renewed while the request was on its way
            return True
        again = await owner.answer(refused, self._attempt, self._used, self._exchanges, clock)
        self._used = owner.in_use
        return again

"""Runs the flows of OAuth for one user at one server: loads, locks, asks, keeps."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar, cast

from routermcp_adapters._clock import CallClock
from routermcp_adapters._exchanges import Exchanges
from routermcp_adapters._single_flight import SingleFlight
from routermcp_adapters._wire import log
from routermcp_adapters.runtime import Runtime
from routermcp_proto.events import HTTPRefused
from routermcp_proto.exceptions import (
    AuthorizationRequiredError,
    LocalProtocolError,
    MCPError,
    OAuthError,
    TransportError,
)
from routermcp_proto.oauth.authorization import Pending, state_of
from routermcp_proto.oauth.authorizer import Application, Authorizer, Trial
from routermcp_proto.oauth.challenges import parse_challenges
from routermcp_proto.oauth.clients import Signer
from routermcp_proto.oauth.records import GrantRecord
from routermcp_proto.oauth.steps import MAX_ANSWER, AskUser, Flow, HTTPAnswer, HTTPStep, InvalidGrantError

from ._storing import HeldLock, Store
from .audit import Action, AuditEvent
from .config import OAuthConfig
from .store import Record

T = TypeVar("T")

#: Seconds between two looks at a lock that somebody else holds, from the first to the longest.
FIRST_LOOK = 0.01
LONGEST_LOOK = 0.25

#: The part of a lease that one request to an authorization server may take: what is left is for
#: keeping what it gave.
REQUEST_PART = 0.5

#: Seconds after which the record is read again that is used all the time: so soon is heard of what
#: another process has done with it, such as given the tokens back.
READ_AGAIN_SECONDS = 60.0

#: Whose record holds what an application was registered as: nobody's.
NOBODY = ""


@dataclass(slots=True)
class Registrations:
    """What the application was registered as, at the authorization servers of one MCP server."""

    known: dict[str, Any] = field(default_factory=dict[str, Any])
    kept: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the store holds of that."""
    loaded: bool = False


class UserAuthorization:
    """Sees to it that one user's requests are let in.

    Args:
        endpoint: URL of the MCP server.
        config: How to sign in.
        store: Where tokens are kept.
        user_id: Whose requests they are.
        server_id: What the user's record is called.
        registrations: Shared by the users of one client.
        tag: What the state of each sign-in ends with.
    """

    def __init__(
        self,
        endpoint: str,
        config: OAuthConfig,
        store: Store,
        user_id: str,
        server_id: str,
        registrations: Registrations,
        tag: str = "",
    ) -> None:
        self._endpoint = endpoint
        self._config = config
        self._store = store
        self.user_id = user_id
        self.server_id = server_id
        self._registrations = registrations
        self._tag = tag
        self._loading = SingleFlight()
        self._flight = SingleFlight()
        self._authorizer: Authorizer | None = None
        self._read_at = 0.0
        self._changing = 0
        self._changes = 0
        self._key: Signer | None = None

    def __repr__(self) -> str:
        return f"<UserAuthorization of {self.user_id!r} at {self.server_id}>"

    # ---- with each request ------------------------------------------------------------------------

    async def headers(self, method: str, url: str, exchanges: Exchanges) -> Mapping[str, str]:
        """Return what goes with a request; tokens that are about to end are renewed before."""
        authorizer = self._authorizer or await self._load(exchanges.runtime)
        if exchanges.runtime.now() - self._read_at > READ_AGAIN_SECONDS:
            await self._read_again(exchanges.runtime)
            authorizer = self._authorizer or authorizer
        if authorizer.due:
            await self._renew(exchanges)
            authorizer = self._authorizer or authorizer
        headers = authorizer.headers(method, url)
        if headers:
            self._tell("use")
        return headers

    def attempt(self, sent: Mapping[str, str], exchanges: Exchanges) -> _Attempt:
        """Begin to have a request let in that was refused."""
        return _Attempt(self, sent.get("Authorization"), exchanges)

    @property
    def in_use(self) -> str | None:
        """The ``Authorization`` that requests carry now."""
        authorizer = self._authorizer
        tokens = authorizer.tokens if authorizer is not None else None
        if tokens is None:
            return None
        return f"{'DPoP' if tokens.token_type == 'dpop' else 'Bearer'} {tokens.access_token}"  # noqa: S105

    # ---- the record ---------------------------------------------------------------------------------

    async def _load(self, runtime: Runtime) -> Authorizer:
        async def work() -> None:
            if self._authorizer is not None:
                return
            if not self._registrations.loaded:
                kept = await self._store.get(runtime, NOBODY, self.server_id)
                self._registrations.kept = dict((kept or {}).get("clients") or {})
                self._registrations.known.update(self._registrations.kept)
                self._registrations.loaded = True
            self._authorizer = self._make(await self._store.get(runtime, self.user_id, self.server_id))
            self._read_at = runtime.now()

        await self._loading.run(runtime, work)
        if self._authorizer is None:
            raise AssertionError("loaded")
        return self._authorizer

    async def _read_again(self, runtime: Runtime) -> None:
        """Hear of what other processes have done, unless something is being done here."""

        async def work() -> None:
            self._read_at = runtime.now()  # where that fails, too: there is a next time
            changes = self._changes
            try:
                kept = await self._store.get(runtime, self.user_id, self.server_id)
            except OAuthError as error:
                log.warning("%s: the record of a user could not be read again: %s", self.server_id, error)
                return
            if changes == self._changes and not self._changing and self._authorizer is not None:
                self._authorizer.record = GrantRecord(dict(kept or {}))

        await self._loading.run(runtime, work)

    def changing(self, begins: bool) -> None:
        """Note that the record is being changed, under its lock, or no longer."""
        self._changing += 1 if begins else -1
        self._changes += 1

    def _make(self, kept: Record | None) -> Authorizer:
        record = GrantRecord(dict(kept or {}))
        self._key = self._key or _proof_key(self._config, record)
        config = self._config
        application = Application(
            name=config.client_name,
            redirect_uri=config.redirects_to(),
            client_id=config.client_id,
            client_secret=config.client_secret,
            issuer=config.issuer,
            metadata_url=config.client_metadata_url,
            scope=tuple(config.scopes),
            grant=config.grant,
            interactive=config.authorize is not None,
            signer=self._key,
            tag=self._tag,
        )
        return Authorizer(
            self._endpoint, application, record, self._registrations.known, random=os.urandom, clock=time.time
        )

    # ---- renewing, signing in --------------------------------------------------------------------------

    async def _renew(self, exchanges: Exchanges) -> None:
        """Renew tokens before they end, once for all who ask at the same time."""
        runtime = exchanges.runtime

        async def work() -> None:
            async with _Locked(self, exchanges) as locked:
                # Another process may have renewed them, perhaps so long ago that they are due again.
                if locked.authorizer.due:
                    await self._drive(locked.authorizer.renew(), locked, None)
                    self._tell("refresh")

        try:
            await self._flight.run(runtime, work)
        except InvalidGrantError as error:
            log.info("%s: the user has to sign in again: %s", self.server_id, error)
        except MCPError as error:
            # The token may be good for this request; if it is not, the server says so.
            log.warning("%s: the token could not be renewed: %s", self.server_id, error)

    async def answer(
        self, refused: HTTPRefused, trial: Trial, used: str | None, exchanges: Exchanges, clock: CallClock
    ) -> bool:
        """Do what a refusal asks for, once for all who were refused with the same token."""
        challenges = parse_challenges(refused.challenges)
        authorizer = self._authorizer or await self._load(exchanges.runtime)
        heard = authorizer.hear(challenges, refused.dpop_nonce)
        if heard is not None:
            return heard
        verdict = False

        async def work() -> None:
            nonlocal verdict
            async with _Locked(self, exchanges) as locked:
                if self.in_use not in (used, None):
                    verdict = True  # another process has renewed or obtained it
                    return
                sign_ins = trial.sign_ins
                flow = locked.authorizer.challenged(refused.status, challenges, trial)
                verdict = await self._drive(flow, locked, clock)
                if verdict:
                    self._tell("obtain" if trial.sign_ins > sign_ins else "refresh")

        try:
            await self._flight.run(exchanges.runtime, work)
        except AuthorizationRequiredError as error:
            error.server_id, error.user_id = self.server_id, self.user_id
            raise
        return verdict or self.in_use not in (used, None)

    async def _drive(self, flow: Flow[T], locked: _Locked, clock: CallClock | None) -> T:
        """Make the requests of a flow, and ask the user where it wants that."""
        answer: Any = None
        while True:
            try:
                step = flow.send(answer)
            except StopIteration as end:
                return cast("T", end.value)
            if isinstance(step, HTTPStep):
                answer = await self._fetch(step, locked)
            else:
                answer = await locked.aside(
                    lambda step=step: self._ask(step, locked.exchanges.runtime, clock)
                )

    async def _fetch(self, step: HTTPStep, locked: _Locked) -> HTTPAnswer:
        exchanges, limit = locked.exchanges, await locked.time_left()
        runtime = exchanges.runtime
        scope = runtime.deadline(None if limit is None else runtime.now() + limit)
        try:
            async with scope:
                found = await exchanges.fetch(step.method, step.url, step.headers, step.body, MAX_ANSWER)
        except TimeoutError as error:
            if not scope.expired:
                raise
            # Longer, and somebody else would begin the same: the lock is a lease.
            message = f"{step.url.partition('?')[0]} took longer than {limit:g} s"
            raise TransportError(message, code="timeout", not_run=True) from error
        except LocalProtocolError as error:
            raise OAuthError(f"a request of signing in cannot be sent: {error}") from error
        except TransportError as error:
            # The request of the application was refused, or is not sent yet.
            error.not_run = True
            raise
        return HTTPAnswer(found.status, found.headers, found.body)

    async def _ask(self, step: AskUser, runtime: Runtime, clock: CallClock | None) -> str:
        authorize = self._config.authorize
        if authorize is None or clock is None:
            raise AuthorizationRequiredError("a user has to sign in first", url=step.url)

        async def ask() -> str:
            if inspect.iscoroutinefunction(authorize) or inspect.iscoroutinefunction(
                getattr(authorize, "__call__", None)  # noqa: B004 - an object with an async __call__
            ):
                return await cast("Any", authorize)(step.url)
            return cast("str", await runtime.run_blocking(lambda: authorize(step.url)))

        callback = await clock.interact(ask)
        if not isinstance(callback, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise OAuthError("authorize= returns the URL that the user's browser came back to")
        return callback

    # ---- by themselves -------------------------------------------------------------------------------

    async def begin(self, exchanges: Exchanges, next_url: str | None) -> Pending:
        """Prepare to send the user to sign in, and keep what is needed when they come back.

        Raises:
            OAuthError: There is no way to sign in.
        """
        await self._load(exchanges.runtime)
        async with _Locked(self, exchanges) as locked:
            pending = await self._drive(locked.authorizer.begin(), locked, None)
            if next_url is not None:
                locked.authorizer.record.members["pending"][pending.state]["next_url"] = next_url
            return pending

    async def complete(self, exchanges: Exchanges, callback_url: str) -> str | None:
        """Take the URL that the user came back to; return where the user wanted to go.

        Raises:
            OAuthError: It belongs to no sign-in of this user that waits, or says no.
        """
        await self._load(exchanges.runtime)
        async with _Locked(self, exchanges) as locked:
            waiting = cast("dict[str, Any]", locked.authorizer.record.members.get("pending") or {})
            kept = cast("dict[str, Any]", waiting.get(state_of(callback_url) or "") or {})
            await self._drive(locked.authorizer.complete(callback_url), locked, None)
        self._tell("obtain")
        return kept.get("next_url")

    async def revoke(self, exchanges: Exchanges) -> None:
        """Give the tokens back, as far as the authorization server takes them, and forget them."""
        await self._load(exchanges.runtime)
        async with _Locked(self, exchanges) as locked:
            await self._drive(locked.authorizer.revoke(), locked, None)
        self._tell("revoke")

    def _tell(self, action: Action) -> None:
        if self._config.on_audit is not None:
            tokens = self._authorizer.tokens if self._authorizer is not None else None
            issuer = tokens.issuer if tokens is not None else None
            self._config.on_audit(AuditEvent(action, self.user_id, self.server_id, issuer))

    # ---- under the lock -----------------------------------------------------------------------------

    async def reload(self, runtime: Runtime) -> Authorizer:
        """Read the record again, as another process may have changed it."""
        kept = await self._store.get(runtime, self.user_id, self.server_id)
        self._read_at = runtime.now()
        if self._authorizer is None:
            self._authorizer = self._make(kept)
        else:
            self._authorizer.record = GrantRecord(dict(kept or {}))
        return self._authorizer

    async def keep(self, runtime: Runtime, lock: HeldLock) -> None:
        """Write the record, and what the application was registered as."""
        authorizer = self._authorizer
        if authorizer is None:
            return
        members = authorizer.record.members
        made = getattr(self._key, "kept", None)
        if made is not None:
            members["dpop_key"] = made
        await self._store.set(runtime, self.user_id, self.server_id, members, lock.lock)
        registered = dict(self._registrations.known)
        if registered != self._registrations.kept:
            record = await self._store.get(runtime, NOBODY, self.server_id) or {}
            if record.get("clients", {}) != registered:
                await self._store.set(runtime, NOBODY, self.server_id, {**record, "clients": registered})
            self._registrations.kept = registered

    async def acquire(self, runtime: Runtime) -> HeldLock:
        """Wait for the record's lock, without holding a thread meanwhile."""
        lock = self._store.adapter.lock(self.user_id, self.server_id)
        pause = FIRST_LOOK
        while not await self._store.do(runtime, lock.acquire):
            await runtime.sleep(pause * (0.5 + runtime.random()))
            pause = min(pause * 2, LONGEST_LOOK)
        return HeldLock(self._store, lock, runtime)


class _Attempt:
    """What is done to have one request let in."""

    def __init__(self, owner: UserAuthorization, used: str | None, exchanges: Exchanges) -> None:
        self._owner = owner
        self._used = used
        self._exchanges = exchanges
        self._trial = Trial()

    async def challenged(self, refused: HTTPRefused, clock: CallClock) -> bool:
        """Do what a refusal asks for; say whether the request may be made again."""
        owner = self._owner
        if owner.in_use not in (self._used, None):
            self._used = owner.in_use  # it was renewed while the request was on its way
            return True
        again = await owner.answer(refused, self._trial, self._used, self._exchanges, clock)
        self._used = owner.in_use
        return again


class _Locked:
    """The record of a user while nobody else changes it; it is written at the end.

    Args:
        owner: Whose it is.
        exchanges: The connections.
    """

    def __init__(self, owner: UserAuthorization, exchanges: Exchanges) -> None:
        self._owner = owner
        self.exchanges = exchanges
        self._lock: HeldLock | None = None

    @property
    def authorizer(self) -> Authorizer:
        """The flows on the record as it is now."""
        authorizer = self._owner._authorizer  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        if authorizer is None:
            raise AssertionError("loaded when it was locked")
        return authorizer

    async def __aenter__(self) -> Self:
        runtime = self.exchanges.runtime
        self._lock = await self._owner.acquire(runtime)
        self._owner.changing(True)
        try:
            await self._owner.reload(runtime)
        except BaseException:
            self._owner.changing(False)
            async with runtime.shield(RELEASE_SECONDS):
                await self._lock.release()
            raise
        return self

    async def time_left(self) -> float | None:
        """Make the lock last longer, and return the seconds that one request may take, None for any.

        Raises:
            LockLostError: Somebody else may have the lock by now.
        """
        lock = self._lock
        if lock is None:
            raise AssertionError("requests are made under the lock")
        await lock.hold_on()
        return lock.seconds * REQUEST_PART if lock.seconds is not None else None

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self._end(kind is None or issubclass(kind, MCPError))

    async def _end(self, keep: bool) -> None:
        runtime, lock = self.exchanges.runtime, self._lock
        self._lock = None
        if lock is None:
            return
        try:
            if keep:
                await self._owner.keep(runtime, lock)
        finally:
            self._owner.changing(False)
            async with runtime.shield(RELEASE_SECONDS):
                await lock.release()

    async def aside(self, work: Callable[[], Any]) -> Any:
        """Do something that may take a person's time, while others may use the record."""
        await self._end(True)
        result = await work()
        await self.__aenter__()
        return result


#: Seconds to give a lock up in: a round trip to a store.
RELEASE_SECONDS = 2.0


def _proof_key(config: OAuthConfig, record: GrantRecord) -> Signer | None:
    """Return the user's key, None where there is nothing to sign with."""
    if not config.dpop:
        return None
    try:
        from .signing import ProofKey  # noqa: PLC0415 - of the extra ``oauth``
    except ImportError:
        return None
    kept = record.members.get("dpop_key")
    return ProofKey(cast("dict[str, Any]", kept) if isinstance(kept, dict) else None)

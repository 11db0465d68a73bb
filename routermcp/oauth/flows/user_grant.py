"""The grant of one user at one server, as this process knows it: its record, and the flows on that."""

from __future__ import annotations

import time
from collections.abc import Callable

from routermcp_adapters.concurrency.single_flight import SingleFlight
from routermcp_adapters.logs import log
from routermcp_adapters.runtime import Runtime
from routermcp_proto.exceptions import OAuthError
from routermcp_proto.oauth.authorizer import Authorizer
from routermcp_proto.oauth.client_auth import Signer
from routermcp_proto.oauth.records import GrantRecord

from ..stores.base import Record
from .resource import ProtectedResource, proof_key
from .storage import HeldLock

#: Seconds that reading the record again may take. A healthy store takes a hundredth of it.
READ_SECONDS = 0.25


class UserGrant:
    """The grant of one user at one server.

    Args:
        resource: The server.
        user_id: The user.
        tag: The suffix of the state of each sign-in.
    """

    __slots__ = (
        "_changes",
        "_key",
        "_loading",
        "_read_at",
        "_stored",
        "_tag",
        "_transactions",
        "_unwritten",
        "authorizer",
        "resource",
        "user_id",
    )

    def __init__(self, resource: ProtectedResource, user_id: str, tag: str = "") -> None:
        self.resource = resource
        self.user_id = user_id
        self.authorizer: Authorizer | None = None
        """The flows on the record, None until it was loaded."""
        self._tag = tag
        self._read_at = 0.0
        self._changes = 0
        self._key: Signer | None = None
        # The refresh token that the store holds, and whether the record here is newer than that.
        self._stored: str | None = None
        self._unwritten = False
        self.after_fork()

    def after_fork(self) -> None:
        """Forget the loads and transactions of the parent process."""
        self._loading = SingleFlight(self.resource.lock)
        self._transactions = 0

    @property
    def header(self) -> str | None:
        """The ``Authorization`` that requests carry now, None without tokens."""
        tokens = self.authorizer.tokens if self.authorizer is not None else None
        if tokens is None:
            return None
        return f"{'DPoP' if tokens.token_type == 'dpop' else 'Bearer'} {tokens.access_token}"  # noqa: S105

    @property
    def stale(self) -> bool:
        """Whether the record was read so long ago that it should be read again."""
        return time.monotonic() - self._read_at > self.resource.config.times.read_again_seconds

    @property
    def unwritten(self) -> bool:
        """Whether the record is newer than what the store holds."""
        return self._unwritten

    def changing(self, begins: bool) -> None:
        """Note that a transaction on the record begins or ends."""
        with self.resource.lock:
            self._transactions += 1 if begins else -1
            self._changes += 1

    def audit(self) -> None:
        """Report to the application what the flows have done with tokens."""
        authorizer = self.authorizer
        for action in authorizer.audit_events() if authorizer is not None else ():
            self.resource.audit(action, self.user_id, authorizer)
        for note in authorizer.notes() if authorizer is not None else ():
            log.warning("%s: %s", self.resource.server_id, note)

    # ---- the record -----------------------------------------------------------------------------

    async def load(self, runtime: Runtime) -> Authorizer:
        """Read the record if it was not yet, and return the flows on it."""

        async def work() -> None:
            if self.authorizer is None:
                await self.resource.read_registrations(runtime)
                await self.reload(runtime)

        await self._loading.run(runtime, work)
        if self.authorizer is None:
            raise AssertionError("loaded")
        return self.authorizer

    async def reload(self, runtime: Runtime) -> None:
        """Read the record, which another process may have changed."""
        kept = await self.resource.read(runtime, self.user_id)
        self._read_at = time.monotonic()
        self._adopt(kept)

    async def read_again(self, runtime: Runtime, on_error: Callable[..., None] = log.debug) -> None:
        """Read the record again for a moment, unless a transaction changes it meanwhile.

        Args:
            runtime: The runtime of the caller.
            on_error: Logs that the record could not be read, with the record as it was.
        """
        scope = runtime.deadline(runtime.now() + READ_SECONDS)

        async def work() -> None:
            self._read_at = time.monotonic()  # also where that fails: there is a next time
            changes = self._changes
            try:
                async with scope:
                    kept = await self.resource.read(runtime, self.user_id)
            except (OAuthError, TimeoutError) as error:
                if isinstance(error, TimeoutError) and not scope.expired:
                    raise
                on_error(
                    "%s: the record of a user could not be read again: %s", self.resource.server_id, error
                )
                return
            with self.resource.lock:
                if changes == self._changes and not self._transactions:
                    self._adopt(kept)

        await self._loading.run(runtime, work)

    def _adopt(self, kept: Record | None) -> None:
        """Take over what the store holds, unless a record that could not be written is newer."""
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
            # Tokens are bound to the key that they were requested with, perhaps by another process.
            self._key = proof_key(self.resource.config, record)
            if self.authorizer is not None:
                self.authorizer.sign_with(self._key)
        if self.authorizer is None:
            self.authorizer = self.resource.authorizer(record, self._key, self._tag)
        else:
            self.authorizer.record = record

    async def write(self, runtime: Runtime, lock: HeldLock) -> None:
        """Write the record, and the registrations of the application."""
        if self.authorizer is None:
            return
        record = self.authorizer.record
        made = getattr(self._key, "kept", None)
        if made is not None:
            record.members["dpop_key"] = made
        tokens = record.tokens
        refresh_token = tokens.refresh_token if tokens is not None else None
        self._unwritten = refresh_token != self._stored
        await self.resource.keep(runtime, self.user_id, record.members, lock)
        self._unwritten, self._stored = False, refresh_token

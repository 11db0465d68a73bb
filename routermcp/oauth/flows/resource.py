"""A server that users sign in at, and what the users of one client share about it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

from routermcp_adapters.runtime import Runtime
from routermcp_adapters.wire_log import log
from routermcp_proto.exceptions import MCPError
from routermcp_proto.oauth.authorizer import Authorizer
from routermcp_proto.oauth.client import Application
from routermcp_proto.oauth.client_auth import Signer
from routermcp_proto.oauth.records import GrantRecord

from ..audit import Action, AuditEvent
from ..config import OAuthConfig
from ..stores.base import Record
from .storage import RELEASE_SECONDS, HeldLock, Store

#: Seconds between two looks at a lock that somebody else holds, from the first to the longest.
FIRST_POLL_SECONDS = 0.01
LONGEST_POLL_SECONDS = 0.25

#: Whose record holds what an application was registered as: nobody's.
REGISTRATIONS_USER_ID = ""


class ProtectedResource:
    """An MCP server as a protected resource (RFC 9728).

    Args:
        endpoint: Its URL.
        server_id: What the records of its users are called.
        config: How to sign in.
        store: Where tokens are kept.
    """

    __slots__ = ("_endpoint", "_kept", "_loaded", "_registered", "config", "lock", "server_id", "store")

    def __init__(self, endpoint: str, server_id: str, config: OAuthConfig, store: Store) -> None:
        self._endpoint = endpoint
        self.server_id = server_id
        self.config = config
        self.store = store
        self.lock = threading.Lock()
        """Held for a moment, by whoever begins something for a user."""
        # What the application was registered as, by authorization server; what the store holds of that.
        self._registered: dict[str, Any] = {}
        self._kept: dict[str, Any] = {}
        self._loaded = False

    def after_fork(self) -> None:
        """Leave the lock to the parent process."""
        self.lock = threading.Lock()

    async def read(self, runtime: Runtime, user_id: str) -> Record | None:
        """Return the record of a user."""
        return await self.store.get(runtime, user_id, self.server_id)

    async def delete(self, runtime: Runtime, user_id: str) -> None:
        """Delete the record of a user."""
        await self.store.do(runtime, lambda: self.store.adapter.delete(user_id, self.server_id))

    async def read_registrations(self, runtime: Runtime) -> None:
        """Read what the application was registered as, once."""
        if not self._loaded:
            kept = await self.read(runtime, REGISTRATIONS_USER_ID)
            self._kept = dict((kept or {}).get("clients") or {})
            self._registered.update(self._kept)
            self._loaded = True

    async def keep(self, runtime: Runtime, user_id: str, members: Record, lock: HeldLock) -> None:
        """Write the record of a user, and what the application was registered as."""
        await self.store.set(runtime, user_id, self.server_id, members, lock.lock)
        registered = dict(self._registered)
        if registered != self._kept:
            record = await self.read(runtime, REGISTRATIONS_USER_ID) or {}
            if record.get("clients", {}) != registered:
                await self.store.set(
                    runtime, REGISTRATIONS_USER_ID, self.server_id, {**record, "clients": registered}
                )
            self._kept = registered

    async def acquire(
        self, runtime: Runtime, user_id: str, needless: Callable[[], Awaitable[bool]] | None = None
    ) -> HeldLock | None:
        """Wait for the lock of a user's record, without holding a thread meanwhile.

        Args:
            runtime: Where that is.
            user_id: Whose record it is.
            needless: Asked now and then while somebody else has it: whether it is not needed any more.

        Returns:
            The lock, None where it is not needed.
        """
        lock = self.store.adapter.lock(user_id, self.server_id)
        held = HeldLock(self.store, lock, runtime, self.config.times.lease_renew_fraction)
        pause = FIRST_POLL_SECONDS
        try:
            while not await held.acquire():
                await runtime.sleep(pause * (0.5 + runtime.random()))
                if needless is not None and await needless():
                    return None
                pause = min(pause * 2, LONGEST_POLL_SECONDS)
        except BaseException:
            # It may have been taken without a word, or be taken yet in a thread that goes on.
            held.give_up()
            async with runtime.shield(RELEASE_SECONDS):
                with contextlib.suppress(MCPError):
                    await held.release()
            raise
        return held

    def authorizer(self, record: GrantRecord, key: Signer | None, tag: str) -> Authorizer:
        """Return the flows on a record.

        Args:
            record: What is known of a user.
            key: What the user's requests are signed with, if they are.
            tag: What the state of each sign-in ends with.
        """
        config = self.config
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
            signer=key,
            tag=tag,
        )
        return Authorizer(
            self._endpoint, application, record, self._registered, random=os.urandom, clock=time.time
        )

    def audit(self, action: Action, user_id: str, authorizer: Authorizer | None) -> None:
        """Let the application know what was done."""
        if self.config.on_audit is not None:
            tokens = authorizer.tokens if authorizer is not None else None
            issuer = tokens.issuer if tokens is not None else None
            try:
                self.config.on_audit(AuditEvent(action, user_id, self.server_id, issuer))
            except Exception:  # noqa: BLE001 - the application's own, whatever it is
                # It is done already: what was obtained must not be lost for that.
                log.exception("on_audit failed for %s", action)


def proof_key(config: OAuthConfig, record: GrantRecord) -> Signer | None:
    """Return what a user signs with, None where there is nothing to sign with."""
    if not config.dpop:
        return None
    try:
        from ..signing import ProofKey  # noqa: PLC0415 - of the extra ``oauth``
    except ImportError:
        return None
    kept = record.members.get("dpop_key")
    return ProofKey(cast("dict[str, Any]", kept) if isinstance(kept, dict) else None)

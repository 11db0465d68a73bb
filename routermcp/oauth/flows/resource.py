"""A server that users sign in at, and the state that the users of one client share about it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

from routermcp_adapters.logs import log
from routermcp_adapters.runtime import Runtime
from routermcp_proto.exceptions import MCPError
from routermcp_proto.oauth.authorizer import Authorizer
from routermcp_proto.oauth.client import Application
from routermcp_proto.oauth.client_auth import Signer
from routermcp_proto.oauth.records import GrantRecord

from ..audit import Action, AuditEvent
from ..config import OAuthConfig
from ..device import DeviceCode
from ..stores.base import Record
from .storage import RELEASE_SECONDS, HeldLock, Store

#: Seconds between two attempts to take a lock that is held, from the first pause to the longest.
FIRST_POLL_SECONDS = 0.01
LONGEST_POLL_SECONDS = 0.25

#: The user id of the record that holds the registrations of an application: no user's.
REGISTRATIONS_USER_ID = ""


class ProtectedResource:
    """An MCP server as a protected resource (RFC 9728)."""

    __slots__ = ("_endpoint", "_kept", "_loaded", "_registered", "config", "lock", "server_id", "store")

    def __init__(self, endpoint: str, server_id: str, config: OAuthConfig, store: Store) -> None:
        self._endpoint = endpoint
        self.server_id = server_id
        self.config = config
        self.store = store
        self.lock = threading.Lock()
        """Guards the single flights and the transaction counts of all users, for a moment each."""
        # The registrations of the application, by authorization server; those that the store holds.
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
        """Read the registrations of the application, once."""
        if not self._loaded:
            kept = await self.read(runtime, REGISTRATIONS_USER_ID)
            clients = (kept or {}).get("clients")
            self._kept = dict(cast("dict[str, Any]", clients)) if isinstance(clients, dict) else {}
            self._registered.update(self._kept)
            self._loaded = True

    async def keep(self, runtime: Runtime, user_id: str, members: Record, lock: HeldLock) -> None:
        """Write the record of a user, and the registrations of the application."""
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
            runtime: The runtime of the caller.
            user_id: The user of the record.
            needless: Called after each pause while the lock is held: returns whether it is needed no more.

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
            record: The record of a user.
            key: Signs the user's requests, None for plain tokens.
            tag: The suffix of the state of each sign-in.
        """
        config = self.config
        application = Application(
            name=config.client_name,
            redirect_uri=config.redirects_to(),
            client_id=config.client_id,
            client_secret=config.client_secret,
            server=config.authorization_server,
            metadata_url=config.client_metadata_url,
            scope=tuple(config.extra_scopes),
            exact_scope=tuple(config.scopes) if config.scopes is not None else None,
            offline_access=config.offline_access,
            page_parameters=config.authorize_params,
            token_parameters=config.token_params,
            resource=config.resource,
            grant=config.grant,
            interactive=config.authorize is not None,
            on_device=isinstance(config.authorize, DeviceCode),
            signer=key,
            prefers_dpop=config.dpop is True,
            tag=tag,
        )
        return Authorizer(
            self._endpoint, application, record, self._registered, random=os.urandom, clock=time.time
        )

    def audit(self, action: Action, user_id: str, authorizer: Authorizer | None) -> None:
        """Report to the application what was done with tokens."""
        if self.config.on_audit is not None:
            tokens = authorizer.tokens if authorizer is not None else None
            issuer = tokens.issuer if tokens is not None else None
            try:
                self.config.on_audit(AuditEvent(action, user_id, self.server_id, issuer))
            except Exception:  # noqa: BLE001 - the application's own, whatever it is
                # It is done already: what was obtained must not be lost for that.
                log.exception("on_audit failed for %s", action)


def proof_key(config: OAuthConfig, record: GrantRecord) -> Signer | None:
    """Return the DPoP key of a user, None where plain tokens are used."""
    if not config.dpop:
        return None
    try:
        from ..signing import ProofKey  # noqa: PLC0415 - of the extra ``oauth``
    except ImportError:
        return None
    kept = record.members.get("dpop_key")
    return ProofKey(cast("dict[str, Any]", kept) if isinstance(kept, dict) else None)

"""Leases of a token store's locks, which applications renew.

An application that ends while it holds a lock must not block the others and the gateway itself:
the store's own lock may last as long as the process that holds it, which is this one. So each
lease expires. A fencing token with each record tells a holder that comes too late
(https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html).
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from routermcp_proto.exceptions import LockLostError, OAuthError

from ....oauth.stores.base import AdapterLock, Record, TokenAdapter

log = logging.getLogger("routermcp.gateway")

T = TypeVar("T")

#: Seconds that a lease lasts without a renewal.
TOKEN_LEASE_SECONDS = 30.0

#: Leases at once; beyond, an application has to try again. The lock of a file takes a descriptor, of
#: which a process may have 1,024 by default on Linux, and each is held for a request or two.
MAX_LEASES = 250

#: Records whose last fence is remembered. A writer that stalled while so many others were locked is
#: refused like one whose lease has expired.
MAX_FENCES = 100_000

#: Seconds that releasing all locks may take at shutdown; a store that is down releases them itself.
RELEASE_ALL_SECONDS = 5.0

LeaseKey = tuple[str, str]
"""A user and a server."""


@dataclass(slots=True, eq=False)
class _Lease:
    """A lock that an application holds."""

    token: str
    fence: int
    lock: AdapterLock
    timer: asyncio.TimerHandle | None = None
    renewals: int = 0
    """Tells an older timer that the lease was renewed."""


class TokenLeases:
    """Leases the locks of a store.

    Runs under asyncio. All methods raise ``OAuthError`` where the store cannot be reached.

    Args:
        adapter: The store.
        seconds: Seconds that a lease lasts without a renewal.
        most: Leases at once.

    Attributes:
        on_expired: Called with each lease that was not renewed.
    """

    def __init__(
        self, adapter: TokenAdapter, *, seconds: float = TOKEN_LEASE_SECONDS, most: int = MAX_LEASES
    ) -> None:
        self.seconds = seconds
        self.on_expired: Callable[[LeaseKey], None] = lambda _key: None
        self._most = most
        self._adapter = adapter
        self._leases: dict[LeaseKey, _Lease] = {}
        self._fences: OrderedDict[LeaseKey, int] = OrderedDict()
        self._forgotten = 0
        self._mutex = asyncio.Lock()
        self._ending: set[asyncio.Task[None]] = set()

    async def run(self, work: Callable[[], T]) -> T:
        """Run a function of the store without blocking the event loop."""
        return work() if self._adapter.inline else await asyncio.to_thread(work)

    async def acquire(self, key: LeaseKey, token: str) -> int | None:
        """Lease a lock to an application; return the fence, None where another has the lock."""
        async with self._mutex:
            held = self._leases.get(key)
            if held is not None:
                # Leased to the same application, which has lost the answer to its first request.
                return held.fence if held.token == token and await self._extend(key, held) else None
            if len(self._leases) >= self._most:
                return None
            lock = self._adapter.lock(*key)
            if not await self.run(lock.acquire):
                return None
            lease = self._leases[key] = _Lease(token, self._next_fence(key), lock)
            self._set_timer(key, lease)
            return lease.fence

    def _next_fence(self, key: LeaseKey) -> int:
        fence = self._fences[key] = self._fences.pop(key, self._forgotten) + 1
        if len(self._fences) > MAX_FENCES:
            self._forgotten = max(self._forgotten, self._fences.popitem(last=False)[1])
        return fence

    async def renew(self, key: LeaseKey, token: str) -> bool:
        """Extend a lease; say whether the application still has it."""
        async with self._mutex:
            held = self._leases.get(key)
            return held is not None and held.token == token and await self._extend(key, held)

    async def release(self, key: LeaseKey, token: str) -> bool:
        """Release the lock of a lease; say whether the application had it."""
        async with self._mutex:
            held = self._leases.get(key)
            if held is None or held.token != token:
                return False
            self._forget(key, held)
            await self.run(held.lock.release)
            return True

    async def store(self, key: LeaseKey, record: Record, fence: str | None) -> bool:
        """Store a record, with a fence only for the holder of the lock; say whether it was stored."""
        async with self._mutex:
            if fence is None:
                await self.run(lambda: self._adapter.set(*key, record))
                return True
            held = self._leases.get(key)
            if held is None or str(held.fence) != fence:
                return False
            try:
                await self.run(lambda: self._adapter.set(*key, record, lock=held.lock))
            except LockLostError:
                self._forget(key, held)
                return False
            return True

    async def _extend(self, key: LeaseKey, lease: _Lease) -> bool:
        if not await self.run(lease.lock.renew):
            self._forget(key, lease)
            return False
        self._set_timer(key, lease)
        return True

    # ---- ends ----------------------------------------------------------------------------------

    def _set_timer(self, key: LeaseKey, lease: _Lease) -> None:
        if lease.timer is not None:
            lease.timer.cancel()
        lease.renewals += 1
        loop = asyncio.get_running_loop()
        lease.timer = loop.call_later(self.seconds, self._end, key, lease, lease.renewals)

    def _end(self, key: LeaseKey, lease: _Lease, renewals: int) -> None:
        async def expire() -> None:
            async with self._mutex:
                # It may have been renewed while this waited for the mutex.
                if self._leases.get(key) is lease and lease.renewals == renewals:
                    self._forget(key, lease)
                    self.on_expired(key)
                    await self._release(lease)

        task = asyncio.create_task(expire())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _forget(self, key: LeaseKey, lease: _Lease) -> None:
        del self._leases[key]
        if lease.timer is not None:
            lease.timer.cancel()

    async def _release(self, lease: _Lease) -> None:
        try:
            await self.run(lease.lock.release)
        except OAuthError as error:
            log.warning("a lock on tokens could not be released: %s", error)

    async def close(self) -> None:
        """Release all locks: no application can renew them here any more."""
        leases = list(self._leases.items())
        for key, lease in leases:
            self._forget(key, lease)
        ending = [*self._ending, *(asyncio.create_task(self._release(lease)) for _, lease in leases)]
        if ending:
            await asyncio.wait(ending, timeout=RELEASE_ALL_SECONDS)

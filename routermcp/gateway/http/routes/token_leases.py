"""The locks of a store of tokens, lent to applications for as long as they see to them.

An application that ends while it holds one must not keep everybody else away, the gateway itself
among them: the store's own lock may last as long as the process that holds it, which is this one.
So each is given up when its time is over. Who comes late with a record is told by its fence.
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

#: Seconds that a lock lasts without being renewed.
LEASE_SECONDS = 30.0

#: Locks that are lent at once; who finds no room tries again. One on a file takes a descriptor, of
#: which a process may have 1,024 by default on Linux, and each is held for a request or two.
MAX_LEASES = 250

#: Records whose last fence is remembered. A writer that stalled for as long as it takes so many
#: others to be locked is refused like one that is late.
MAX_FENCES = 100_000

#: Seconds that giving up all locks may take at the end; those of a store that is away end there.
CLOSE_SECONDS = 5.0

Key = tuple[str, str]
"""A user and a server."""


@dataclass(slots=True, eq=False)
class _Lease:
    """A lock that an application holds."""

    token: str
    fence: int
    lock: AdapterLock
    timer: asyncio.TimerHandle | None = None
    renewals: int = 0
    """Tells a timer that it is not the last one."""


class Leases:
    """Lends the locks of a store.

    Runs under asyncio. All methods raise ``OAuthError`` where the store cannot be reached.

    Args:
        adapter: The store.
    """

    def __init__(self, adapter: TokenAdapter) -> None:
        self._adapter = adapter
        self._leases: dict[Key, _Lease] = {}
        self._fences: OrderedDict[Key, int] = OrderedDict()
        self._forgotten = 0
        self._turn = asyncio.Lock()
        self._ending: set[asyncio.Task[None]] = set()

    async def do(self, work: Callable[[], T]) -> T:
        """Let the store do something, without holding up the loop."""
        return work() if self._adapter.inline else await asyncio.to_thread(work)

    async def acquire(self, key: Key, token: str) -> int | None:
        """Lend a lock to an application; return its fence, None where somebody has it."""
        async with self._turn:
            held = self._leases.get(key)
            if held is not None:
                # Its own, where the answer to its first request was lost.
                return held.fence if held.token == token and await self._prolong(key, held) else None
            if len(self._leases) >= MAX_LEASES:
                return None
            lock = self._adapter.lock(*key)
            if not await self.do(lock.acquire):
                return None
            lease = self._leases[key] = _Lease(token, self._next_fence(key), lock)
            self._set_timer(key, lease)
            return lease.fence

    def _next_fence(self, key: Key) -> int:
        fence = self._fences[key] = self._fences.pop(key, self._forgotten) + 1
        if len(self._fences) > MAX_FENCES:
            self._forgotten = max(self._forgotten, self._fences.popitem(last=False)[1])
        return fence

    async def renew(self, key: Key, token: str) -> bool:
        """Lend it for longer; say whether the application still has it."""
        async with self._turn:
            held = self._leases.get(key)
            return held is not None and held.token == token and await self._prolong(key, held)

    async def release(self, key: Key, token: str) -> None:
        """Take it back."""
        async with self._turn:
            held = self._leases.get(key)
            if held is not None and held.token == token:
                self._forget(key, held)
                await self.do(held.lock.release)

    async def keep(self, key: Key, record: Record, fence: str | None) -> bool:
        """Keep a record, where a fence is given only for whoever has the lock; say whether that is so."""
        async with self._turn:
            if fence is None:
                await self.do(lambda: self._adapter.set(*key, record))
                return True
            held = self._leases.get(key)
            if held is None or str(held.fence) != fence:
                return False
            try:
                await self.do(lambda: self._adapter.set(*key, record, lock=held.lock))
            except LockLostError:
                self._forget(key, held)
                return False
            return True

    async def _prolong(self, key: Key, lease: _Lease) -> bool:
        if not await self.do(lease.lock.renew):
            self._forget(key, lease)
            return False
        self._set_timer(key, lease)
        return True

    # ---- ends ----------------------------------------------------------------------------------

    def _set_timer(self, key: Key, lease: _Lease) -> None:
        if lease.timer is not None:
            lease.timer.cancel()
        lease.renewals += 1
        loop = asyncio.get_running_loop()
        lease.timer = loop.call_later(LEASE_SECONDS, self._end, key, lease, lease.renewals)

    def _end(self, key: Key, lease: _Lease, renewals: int) -> None:
        async def give_up() -> None:
            async with self._turn:
                # It may have been renewed while this waited for its turn.
                if self._leases.get(key) is lease and lease.renewals == renewals:
                    self._forget(key, lease)
                    await self._give_up(lease)

        task = asyncio.create_task(give_up())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _forget(self, key: Key, lease: _Lease) -> None:
        del self._leases[key]
        if lease.timer is not None:
            lease.timer.cancel()

    async def _give_up(self, lease: _Lease) -> None:
        try:
            await self.do(lease.lock.release)
        except OAuthError as error:
            log.warning("a lock on tokens could not be given up: %s", error)

    async def close(self) -> None:
        """Give all of them up: nobody can renew them here any more."""
        leases = list(self._leases.items())
        for key, lease in leases:
            self._forget(key, lease)
        ending = [*self._ending, *(asyncio.create_task(self._give_up(lease)) for _, lease in leases)]
        if ending:
            await asyncio.wait(ending, timeout=CLOSE_SECONDS)

"""A store of tokens as the flows use it: one way for adapters that block and for those that are awaited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from routermcp_adapters.http.connect import is_deadline
from routermcp_adapters.logs import log
from routermcp_adapters.runtime import Runtime
from routermcp_proto.exceptions import ConfigError, LockLostError, MCPError, TokenStoreError

from ..stores.base import AdapterLock, AnyAdapter, AsyncAdapterLock, Record, TokenAdapter, runtime_of

T = TypeVar("T")

#: Seconds to give a lock up in: a round trip to a store.
RELEASE_SECONDS = 2.0


class Store:
    """Uses an adapter, without holding up other tasks.

    All methods raise :class:`~routermcp.types.TokenStoreError` where the store cannot be reached or too
    many want to use it at once, and ``ConfigError`` where the adapter is for another runtime.
    """

    def __init__(self, adapter: AnyAdapter) -> None:
        self.adapter = adapter

    def __repr__(self) -> str:
        return f"<Store {self.adapter!r}>"

    async def get(self, runtime: Runtime, user_id: str, server_id: str) -> Record | None:
        """Return a record, None where there is none."""
        return await self.do(runtime, lambda: self.adapter.get(user_id, server_id))

    async def set(
        self,
        runtime: Runtime,
        user_id: str,
        server_id: str,
        record: Record,
        lock: AdapterLock | AsyncAdapterLock | None = None,
    ) -> None:
        """Keep a record in place of what was there.

        Raises:
            LockLostError: The lock is no longer the writer's.
        """
        # A lock goes to the adapter that it comes from.
        await self.do(runtime, lambda: self.adapter.set(user_id, server_id, record, lock=cast("Any", lock)))

    async def list(self, runtime: Runtime, user_id: str) -> list[str]:
        """Return the ids of the servers for which there are records of a user."""
        return await self.do(runtime, lambda: self.adapter.list(user_id))

    async def do(self, runtime: Runtime, work: Callable[[], T | Awaitable[T]]) -> T:
        """Let the adapter do something."""
        adapter = self.adapter
        try:
            own = runtime_of(adapter)
            if own is None:
                blocking = cast("Callable[[], T]", work)
                inline = cast("TokenAdapter", adapter).inline
                return blocking() if inline else await runtime.run_blocking(blocking)
            if own not in ("any", runtime.name):
                raise ConfigError(f"{type(adapter).__name__} is an adapter for {own}, not for {runtime.name}")
            return await cast("Awaitable[T]", work())
        except OSError as error:
            if is_deadline(error):
                raise
            raise TokenStoreError(f"the store of the tokens cannot be used: {error}") from error


class HeldLock:
    """A lock on a record, which is held once it was acquired and lasts as long as it is looked after.

    A lease is renewed after ``renew_fraction`` of its time.
    """

    def __init__(
        self,
        store: Store,
        lock: AdapterLock | AsyncAdapterLock,
        runtime: Runtime,
        renew_fraction: float,
    ) -> None:
        self._store = store
        self.lock = lock
        self.runtime = runtime
        self._renew_fraction = renew_fraction
        self._since = runtime.now()
        self._given_up = False

    async def acquire(self) -> bool:
        """Take the lock if it is free; return whether that worked."""
        lock, since = self.lock, self.runtime.now()
        if runtime_of(self._store.adapter) is None:
            taken = await self._store.do(self.runtime, self._take)
        else:
            taken = await self._store.do(self.runtime, lock.acquire)
        self._since = since
        return taken

    def _take(self) -> bool:
        lock = cast("AdapterLock", self.lock)
        taken = lock.acquire()
        if taken and self._given_up:
            lock.release()
        return taken

    def give_up(self) -> None:
        """Do not want it any more, although it may just be taken."""
        self._given_up = True

    @property
    def seconds(self) -> float | None:
        """How long it lasts by itself, None for ever."""
        return self.lock.seconds

    async def hold_on(self) -> None:
        """Make it last longer where a good part of its time has gone by.

        Raises:
            LockLostError: Another holder may have it by now.
        """
        seconds, now = self.lock.seconds, self.runtime.now()
        if seconds is None or now - self._since < seconds * self._renew_fraction:
            return
        if not await self._store.do(self.runtime, self.lock.renew):
            raise LockLostError(
                "renewing tokens outlasted the lock, which another process holds now; call again"
            )
        self._since = now

    async def release(self) -> None:
        """Release the lock. An awaited release runs to its end also if the caller is cancelled."""
        if runtime_of(self._store.adapter) is None:
            await self._store.do(self.runtime, self.lock.release)
            return
        done = self.runtime.event()

        async def work() -> None:
            try:
                await self._store.do(self.runtime, self.lock.release)
            except MCPError as error:
                log.warning("the lock of a record could not be given up: %s", error)
            finally:
                done.set()

        self.runtime.begin(work)
        await done.wait()

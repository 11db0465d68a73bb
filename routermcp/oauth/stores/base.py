"""The interface of a token store.

An adapter keeps one JSON object, a *record*, for each user at each server. What the record
holds is no concern of the adapter's: it gives back what it was given, fields that it has never
heard of included. User and server ids are any text, the empty one included; an adapter encodes
them so that no two collide and none leads anywhere else.

The methods block. Clients on asyncio and trio call them in a thread, unless the adapter says
that it never waits (``inline``).
"""

from __future__ import annotations

from typing import Any, Protocol

Record = dict[str, Any]
"""A JSON object: the data kept for one user at one server."""

#: Seconds that a lease on a record lasts without being renewed: many times what a token server
#: takes, and what others wait for at most when its holder dies.
LEASE_SECONDS = 30.0


class AdapterLock(Protocol):
    """Keeps others away from a record while its tokens are renewed, in all processes that share the adapter.

    A lock that can outlive its holder is a lease: it ends by itself ``seconds`` after it was
    acquired or renewed last, and has a ``fence``, a number that grows with each holder, by
    which a write of a former holder is refused.
    """

    seconds: float | None
    """How long it lasts without :meth:`renew`; None where it ends with its process."""

    def acquire(self) -> bool:
        """Take the lock if it is free, without waiting; return whether that worked.

        Its holder gets it again: the answer to the first request may have been lost. It lasts
        as long as after :meth:`renew` then, and one :meth:`release` gives it up.

        Raises:
            TokenStoreError: The store cannot be reached.
        """
        ...

    def renew(self) -> bool:
        """Make it last longer; return whether it is still ours.

        Raises:
            TokenStoreError: The store cannot be reached.
        """
        ...

    def release(self) -> None:
        """Give it up; does nothing where it is not ours."""
        ...


class TokenAdapter(Protocol):
    """Keeps the records of users.

    Adapters that hold connections also have a method ``close``, for their creator.
    """

    inline: bool
    """Whether no method ever waits for anything, so that it may be called in an event loop."""

    def get(self, user_id: str, server_id: str) -> Record | None:
        """Return a record, None where there is none.

        Raises:
            TokenStoreError: The store cannot be reached.
            OAuthError: It holds something else there.
        """
        ...

    def set(self, user_id: str, server_id: str, record: Record, *, lock: AdapterLock | None = None) -> None:
        """Keep a record in place of what was there, whole or not at all.

        Args:
            user_id: The user.
            server_id: The server.
            record: A JSON object.
            lock: The lock on this record that the writer holds; the write is refused if
                another holder has had it since.

        Raises:
            LockLostError: The lock is no longer the writer's.
            TokenStoreError: The store cannot be reached.
        """
        ...

    def delete(self, user_id: str, server_id: str) -> None:
        """Forget a record; does nothing where there is none.

        Raises:
            TokenStoreError: The store cannot be reached.
        """
        ...

    def list(self, user_id: str) -> list[str]:
        """Return the ids of the servers for which there are records of a user, sorted.

        Raises:
            TokenStoreError: The store cannot be reached.
        """
        ...

    def lock(self, user_id: str, server_id: str) -> AdapterLock:
        """Make a lock on a record, which need not exist; it is not acquired yet."""
        ...


class AsyncAdapterLock(Protocol):
    """An :class:`AdapterLock` whose methods are awaited."""

    seconds: float | None
    """How long it lasts without :meth:`renew`; None where it ends with its process."""

    async def acquire(self) -> bool:
        """Take the lock if it is free, without waiting; return whether that worked."""
        ...

    async def renew(self) -> bool:
        """Make it last longer; return whether it is still ours."""
        ...

    async def release(self) -> None:
        """Give it up; does nothing where it is not ours."""
        ...


class AsyncTokenAdapter(Protocol):
    """A :class:`TokenAdapter` whose methods are awaited, for clients on asyncio, on trio, or both."""

    runtime: str
    """``"asyncio"``, ``"trio"``, or ``"any"`` for both."""

    async def get(self, user_id: str, server_id: str) -> Record | None:
        """Return a record, None where there is none."""
        ...

    async def set(
        self, user_id: str, server_id: str, record: Record, *, lock: AsyncAdapterLock | None = None
    ) -> None:
        """Keep a record in place of what was there, whole or not at all."""
        ...

    async def delete(self, user_id: str, server_id: str) -> None:
        """Forget a record; does nothing where there is none."""
        ...

    async def list(self, user_id: str) -> list[str]:
        """Return the ids of the servers for which there are records of a user, sorted."""
        ...

    def lock(self, user_id: str, server_id: str) -> AsyncAdapterLock:
        """Make a lock on a record, which need not exist; it is not acquired yet."""
        ...


AnyAdapter = TokenAdapter | AsyncTokenAdapter
"""Where tokens can be kept."""


def runtime_of(adapter: object) -> str | None:
    """Return the runtime that an adapter with awaited methods is for, None for one that blocks."""
    declared = getattr(adapter, "runtime", None)
    return declared if isinstance(declared, str) else None

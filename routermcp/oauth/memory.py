"""Tokens in memory: for tests and programs that end soon."""

from __future__ import annotations

import copy
import threading

from .store import AdapterLock, Record, TokenAdapter

Key = tuple[str, str]


class _MemoryLock:
    """A lock between the tasks and threads of this process."""

    seconds: float | None = None

    def __init__(self, held: set[Key], guard: threading.Lock, key: Key) -> None:
        self._held = held
        self._guard = guard
        self._key = key
        self._mine = False

    def acquire(self) -> bool:
        with self._guard:
            if self._key in self._held:
                return False
            self._held.add(self._key)
            self._mine = True
            return True

    def renew(self) -> bool:
        return self._mine

    def release(self) -> None:
        with self._guard:
            if self._mine:
                self._mine = False
                self._held.discard(self._key)


class _MemoryAdapter:
    """Keeps records in a dict."""

    inline = True

    def __init__(self) -> None:
        self._records: dict[Key, Record] = {}
        self._held: set[Key] = set()
        self._guard = threading.Lock()

    def __repr__(self) -> str:
        return f"<memory_adapter with {len(self._records)} records>"

    def get(self, user_id: str, server_id: str) -> Record | None:
        with self._guard:
            return copy.deepcopy(self._records.get((user_id, server_id)))

    def set(self, user_id: str, server_id: str, record: Record, *, lock: AdapterLock | None = None) -> None:
        del lock  # it cannot be lost
        with self._guard:
            self._records[(user_id, server_id)] = copy.deepcopy(record)

    def delete(self, user_id: str, server_id: str) -> None:
        with self._guard:
            self._records.pop((user_id, server_id), None)

    def list(self, user_id: str) -> list[str]:
        with self._guard:
            return sorted(server_id for user, server_id in self._records if user == user_id)

    def lock(self, user_id: str, server_id: str) -> AdapterLock:
        return _MemoryLock(self._held, self._guard, (user_id, server_id))


def memory_adapter() -> TokenAdapter:
    """Keep tokens in memory, for as long as the adapter lives; clients that share it share them."""
    return _MemoryAdapter()

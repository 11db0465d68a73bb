"""Tokens in memory: for tests and programs that end soon."""

from __future__ import annotations

import copy
import threading

from routermcp_adapters.concurrency import fork

from .base import AdapterLock, Record, TokenAdapter

_RecordKey = tuple[str, str]


class _MemoryLock:
    """A lock between the tasks and threads of this process."""

    seconds: float | None = None

    def __init__(self, adapter: _MemoryAdapter, key: _RecordKey) -> None:
        self._adapter = adapter
        self._key = key

    def acquire(self) -> bool:
        with self._adapter.guard:
            return self._adapter.held.setdefault(self._key, self) is self

    def renew(self) -> bool:
        return self._adapter.held.get(self._key) is self

    def release(self) -> None:
        with self._adapter.guard:
            if self._adapter.held.get(self._key) is self:
                del self._adapter.held[self._key]


class _MemoryAdapter:
    """Keeps records in a dict."""

    inline = True

    def __init__(self) -> None:
        self._records: dict[_RecordKey, Record] = {}
        self.held: dict[_RecordKey, _MemoryLock] = {}
        self.guard = threading.Lock()
        fork.watch(self)

    def __repr__(self) -> str:
        return f"<memory_adapter with {len(self._records)} records>"

    def after_fork(self) -> None:
        """Hold nothing for threads of the parent process, which would never give it up here."""
        self.guard = threading.Lock()
        self.held.clear()

    def get(self, user_id: str, server_id: str) -> Record | None:
        with self.guard:
            return copy.deepcopy(self._records.get((user_id, server_id)))

    def set(self, user_id: str, server_id: str, record: Record, *, lock: AdapterLock | None = None) -> None:
        del lock  # it cannot be lost
        with self.guard:
            self._records[(user_id, server_id)] = copy.deepcopy(record)

    def delete(self, user_id: str, server_id: str) -> None:
        with self.guard:
            self._records.pop((user_id, server_id), None)

    def list(self, user_id: str) -> list[str]:
        with self.guard:
            return sorted(server_id for user, server_id in self._records if user == user_id)

    def lock(self, user_id: str, server_id: str) -> AdapterLock:
        return _MemoryLock(self, (user_id, server_id))


def memory_adapter() -> TokenAdapter:
    """Keep tokens in memory, for as long as the adapter lives; clients that share it share them."""
    return _MemoryAdapter()

"""Shares of what all clients have together, so that one of them cannot take it all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

#: Places that one owner may have for each one that is left: alone four fifths of all, two owners four ninths
#: each, and so on (the dynamic thresholds of switches that share a buffer).
OWNER_SHARE = 4


class OwnedValues:
    """Values, each with the owner that added it first; the room for them is shared among the owners.

    Args:
        most: The values that there is room for.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._owners: dict[str, bytes] = {}
        self._held: Counter[bytes] = Counter()

    def __contains__(self, value: str) -> bool:
        return value in self._owners

    def has_room(self, owner: bytes) -> bool:
        """Return whether an owner may add one more."""
        return self._held[owner] < OWNER_SHARE * (self._most - len(self._owners))

    def add(self, value: str, owner: bytes) -> None:
        """Add a value, unless it is there."""
        if value not in self._owners:
            self._owners[value] = owner
            self._held[owner] += 1

    def discard(self, value: str) -> None:
        """Remove a value, where it is there."""
        owner = self._owners.pop(value, None)
        if owner is not None:
            self._held[owner] -= 1
            if not self._held[owner]:
                del self._held[owner]

    def among(self, values: Iterable[str]) -> set[str]:
        """Return those of some values that are there."""
        return self._owners.keys() & values

    def all(self) -> set[str]:
        """Return all values."""
        return set(self._owners)

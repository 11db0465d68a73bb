"""What several servers offer, side by side under the names by which clients know it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Protocol

from ..backend import Listing
from .entries import KINDS, Catalog, Entry
from .tool_search import TaskSearch


class Stocked(Protocol):
    """A server with a catalog."""

    @property
    def catalog(self) -> Catalog:
        """What it offers."""
        ...


class MergedCatalog:
    """The entries of some servers in one list of each kind, in alphabetical order.

    Where two servers have the same resource, the server that comes first has it.

    Args:
        servers: The servers, the more important ones first.
    """

    def __init__(self, servers: Sequence[Stocked]) -> None:
        self._servers = servers
        self._entries: dict[Listing, dict[str, Entry]] = {}
        self._order: dict[Listing, list[str]] = {}
        self._own_names: dict[Listing, dict[str, list[str]]] = {}
        self.search = TaskSearch(lambda: self[Listing.TOOLS])

    def __getitem__(self, listing: Listing) -> Mapping[str, Entry]:
        entries = self._entries.get(listing)
        if entries is None:
            entries = self._entries[listing] = {}
            for server in reversed(self._servers):
                entries.update(server.catalog[listing])
            self._order[listing] = sorted(entries)
        return entries

    def after(self, listing: Listing, name: str | None, count: int) -> list[str]:
        """Return the names that follow another one, the first ones for None.

        Args:
            listing: Of which list.
            name: The name before, which need not be there.
            count: How many at most.
        """
        if not self[listing]:
            return []
        order = self._order[listing]
        begin = 0 if name is None else bisect_right(order, name)
        return order[begin : begin + count]

    def named(self, listing: Listing, own: str) -> Sequence[str]:
        """Return the names here of what servers call by a name of their own."""
        names = self._own_names.get(listing)
        if names is None:
            names = self._own_names[listing] = {}
            for name, entry in self[listing].items():
                names.setdefault(entry.name, []).append(name)
        return names.get(own, ())

    def forget(self, changed: str) -> None:
        """Look at a list anew.

        Args:
            changed: The notification that says that it is another one.
        """
        for listing, kind in KINDS.items():
            if kind.changed == changed:
                self._entries.pop(listing, None)
                self._order.pop(listing, None)
                self._own_names.pop(listing, None)
        if changed == KINDS[Listing.TOOLS].changed:
            self.search.forget()

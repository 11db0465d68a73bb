"""The catalogs of several servers merged into one, under the names by which clients know the entries."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from routermcp_proto import jsonrpc

from ..backend import Listing
from .entries import KINDS, Catalog, Entry
from .tool_search import TaskSearch


class MergedCatalog:
    """The entries of some servers in one list of each kind, in alphabetical order.

    Where two servers have the same resource, the server that comes first has it.

    Args:
        catalogs: The catalogs of the servers, the more important ones first.
    """

    def __init__(self, catalogs: Sequence[Catalog]) -> None:
        self._catalogs = catalogs
        self._spellings: dict[Listing, dict[str, list[str]]] = {}
        self._entries: dict[Listing, dict[str, Entry]] = {}
        self._order: dict[Listing, list[str]] = {}
        self._own_names: dict[Listing, dict[str, list[str]]] = {}
        self.search = TaskSearch(lambda: self[Listing.TOOLS])

    def __getitem__(self, listing: Listing) -> Mapping[str, Entry]:
        entries = self._entries.get(listing)
        if entries is None:
            entries = self._entries[listing] = {}
            for catalog in reversed(self._catalogs):
                entries.update(catalog[listing])
            self._order[listing] = sorted(entries)
        return entries

    def after(self, listing: Listing, name: str | None, count: int) -> list[str]:
        """Return the names that follow another one, the first ones for None.

        Args:
            listing: The list.
            name: The name before, which need not be in the list.
            count: The most names to return.
        """
        if not self[listing]:
            return []
        order = self._order[listing]
        begin = 0 if name is None else bisect_right(order, name)
        return order[begin : begin + count]

    def naming(self, uri: str) -> Entry | None:
        """Return the first tool whose entry has a URI as a value, as ``_meta`` of MCP Apps has."""
        value = jsonrpc.dumps(uri)
        return next((entry for entry in self[Listing.TOOLS].values() if value in entry.encoded), None)

    def spelled(self, listing: Listing, name: str) -> Sequence[str]:
        """Return the names here of the entries that a name means in another spelling."""
        names = self._spellings.get(listing)
        if names is None:
            names = self._spellings[listing] = {}
            for catalog in self._catalogs:
                for here, entry in catalog[listing].items():
                    for other in catalog.spellings(listing, entry.name):
                        names.setdefault(other, []).append(here)
        return names.get(name, ())

    def named(self, listing: Listing, own: str) -> Sequence[str]:
        """Return the names here of the entries that have a name at their servers."""
        names = self._own_names.get(listing)
        if names is None:
            names = self._own_names[listing] = {}
            for name, entry in self[listing].items():
                names.setdefault(entry.name, []).append(name)
        return names.get(own, ())

    def invalidate(self, changed: str) -> None:
        """Invalidate the cached list that a ``list_changed`` notification names.

        Args:
            changed: The method of the notification.
        """
        for listing, kind in KINDS.items():
            if kind.changed == changed:
                self._entries.pop(listing, None)
                self._order.pop(listing, None)
                self._own_names.pop(listing, None)
                self._spellings.pop(listing, None)
        if changed == KINDS[Listing.TOOLS].changed:
            self.search.invalidate()

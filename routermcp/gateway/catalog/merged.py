"""The catalogs of several servers merged into one, under the names by which clients know the entries."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, cast

from routermcp_proto import jsonrpc

from ..backend import Listing, View
from .entries import KINDS, MAX_WARNINGS, Catalog, Entry, log
from .tool_search import TaskSearch

#: Views of which a catalog keeps the lists: those of some projects, keys and servers. With more of them
#: lists are made again, not wrong.
MAX_VIEWS = 1_024


class MergedCatalog:
    """The entries of some servers in one list of each kind, in alphabetical order.

    Where two servers have the same resource, or the same name, it is that of the server that comes
    first; the other one's gets another name, with a warning.

    Args:
        catalogs: The catalogs of the servers, the more important ones first.
        view: Shows the entries that are in it; None for all.
        warned: What was warned of; None for a set of its own.
    """

    def __init__(
        self, catalogs: Sequence[Catalog], view: View | None = None, warned: set[str] | None = None
    ) -> None:
        self.warned: set[str] = set() if warned is None else warned
        self._catalogs = catalogs
        self._view = view
        self._seen: dict[View, MergedCatalog] = {}
        self._spellings: dict[Listing, dict[str, list[str]]] = {}
        self._entries: dict[Listing, dict[str, Entry]] = {}
        self._order: dict[Listing, list[str]] = {}
        self._own_names: dict[Listing, dict[str, list[str]]] = {}
        self.search = TaskSearch(lambda: self[Listing.TOOLS])

    def __getitem__(self, listing: Listing) -> Mapping[str, Entry]:
        entries = self._entries.get(listing)
        if entries is None:
            entries = self._entries[listing] = self._merged(listing)
            self._order[listing] = sorted(entries)
        return entries

    def _merged(self, listing: Listing) -> dict[str, Entry]:
        merged: dict[str, Entry] = {}
        for catalog in self._catalogs:
            entries = catalog[listing]
            if merged.keys().isdisjoint(entries):
                merged.update(entries)
            else:
                self._add_each(listing, catalog, merged)
        view = self._view
        if view is None:
            return merged
        return {here: entry for here, entry in merged.items() if view.shows(listing, entry.alias, entry.name)}

    def _add_each(self, listing: Listing, catalog: Catalog, merged: dict[str, Entry]) -> None:
        """Add the entries of a server, those under other names whose names are taken."""
        taken = {*merged, *catalog[listing]}
        for here, entry in catalog[listing].items():
            if here not in merged:
                merged[here] = entry
                continue
            distinct = catalog.distinct(listing, entry, taken)
            if distinct is not None:
                taken.add(distinct[0])
                merged[distinct[0]] = distinct[1]
            self._warn(here, entry.alias, merged[here].alias, distinct[0] if distinct is not None else None)

    def _warn(self, name: str, alias: str, first: str, other: str | None) -> None:
        """Say once that two servers have the same name or URI."""
        key = f"{alias} {name}"
        if key not in self.warned and len(self.warned) < MAX_WARNINGS:
            self.warned.add(key)
            outcome = f"is called {other:.200}" if other is not None else "is left out"
            log.warning("%s has %.200r too, as %s has: its own %s here", alias, name, first, outcome)

    def seen_by(self, view: View) -> MergedCatalog:
        """Return the entries that a view shows, under the same names."""
        seen = self._seen.get(view)
        if seen is None:
            if len(self._seen) >= MAX_VIEWS:
                self._seen.clear()
            seen = self._seen[view] = MergedCatalog(self._catalogs, view, self.warned)
        return seen

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

    def schema_with_headers(self, tool: str) -> Mapping[str, Any] | None:
        """Return the input schema of a tool if it declares headers, else None."""
        entry = self[Listing.TOOLS].get(tool)
        if entry is None or b"x-mcp-header" not in entry.encoded:
            return None
        schema = entry.listed().get("inputSchema")
        return cast("dict[str, Any]", schema) if isinstance(schema, dict) else None

    def naming(self, uri: str) -> Entry | None:
        """Return the first tool whose entry has a URI as a value, as ``_meta`` of MCP Apps has."""
        value = jsonrpc.dumps(uri)
        return next((entry for entry in self[Listing.TOOLS].values() if value in entry.encoded), None)

    def spelled(self, listing: Listing, name: str) -> Sequence[str]:
        """Return the names here of the entries that a name means in another spelling."""
        names = self._spellings.get(listing)
        if names is None:
            names = self._spellings[listing] = {}
            catalogs = {catalog.alias: catalog for catalog in self._catalogs}
            for here, entry in self[listing].items():
                for other in catalogs[entry.alias].spellings(listing, entry.name):
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
        for seen in self._seen.values():
            seen.invalidate(changed)

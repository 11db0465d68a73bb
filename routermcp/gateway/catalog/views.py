"""Views: the servers and entries that a project, an API key or a path lets its clients see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..backend import Listing, View
from ..config.filters import Filter
from .entries import PREFIXED


@dataclass(frozen=True, slots=True, eq=False)
class EntryView:
    """A view by rules.

    Attributes:
        servers: The servers in it, None for all of them.
        rules: Which entries are in it: tools and prompts by ``{alias}.{name at the server}``,
            however they are called here, resources by the URI at the server.
    """

    servers: frozenset[str] | None
    rules: Mapping[Listing, Filter]

    def shows_server(self, alias: str) -> bool:
        """Return whether a server is in it."""
        return self.servers is None or alias in self.servers

    def shows(self, listing: Listing, alias: str, name: str) -> bool:
        """Return whether an entry is in it."""
        if not self.shows_server(alias):
            return False
        return self.rules[listing].allows(f"{alias}.{name}" if listing in PREFIXED else name)


@dataclass(frozen=True, slots=True)
class ServerView:
    """The view of one server, at a path of its own."""

    alias: str

    def shows_server(self, alias: str) -> bool:
        """Return whether a server is the one."""
        return alias == self.alias

    def shows(self, listing: Listing, alias: str, name: str) -> bool:
        """Return whether an entry is one of the server's."""
        del listing, name
        return alias == self.alias


@dataclass(frozen=True, slots=True)
class CommonView:
    """What all of several views show."""

    views: tuple[View, ...]

    def shows_server(self, alias: str) -> bool:
        """Return whether a server is in all of them."""
        return all(view.shows_server(alias) for view in self.views)

    def shows(self, listing: Listing, alias: str, name: str) -> bool:
        """Return whether an entry is in all of them."""
        return all(view.shows(listing, alias, name) for view in self.views)


def common_view(*views: View | None) -> View | None:
    """Return the view of what several views show; None shows all."""
    given = tuple(view for view in views if view is not None)
    return CommonView(given) if len(given) > 1 else next(iter(given), None)

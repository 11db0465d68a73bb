"""The catalog of one upstream server: its entries as clients of the gateway get them."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic_core import from_json

from routermcp_proto import jsonrpc
from routermcp_proto.calls import Call
from routermcp_proto.calls import list_prompts as prompts
from routermcp_proto.calls import list_resource_templates as templates
from routermcp_proto.calls import list_resources as resources
from routermcp_proto.calls import list_tools as tools
from routermcp_proto.exceptions import LocalProtocolError
from routermcp_proto.types import WireModel

from ..backend import Listing
from ..names import distinct_uris
from .server_names import ServerNaming
from .strict import strictly

#: Entries of one listing of one server, twice those of the largest gateway that routermcp is built
#: for: a server whose list never ends must not fill the memory.
MAX_LISTED = 200_000


#: Entries of one server that warnings name: the first ones show what is the matter with it.
MAX_WARNINGS = 20

log = logging.getLogger("routermcp.gateway")


@dataclass(frozen=True, slots=True)
class Kind:
    """How one of the lists of a server is read.

    Attributes:
        capability: The server's capability that says that it has the list.
        key: The member by which an entry is known.
        call: Returns the call for the first page.
        changed: The notification that says that the list has changed.
    """

    capability: str
    key: str
    call: Callable[[], Call[Any]]
    changed: str


KINDS: Mapping[Listing, Kind] = {
    Listing.TOOLS: Kind("tools", "name", tools, "notifications/tools/list_changed"),
    Listing.RESOURCES: Kind("resources", "uri", resources, "notifications/resources/list_changed"),
    Listing.RESOURCE_TEMPLATES: Kind(
        "resources", "uriTemplate", templates, "notifications/resources/list_changed"
    ),
    Listing.PROMPTS: Kind("prompts", "name", prompts, "notifications/prompts/list_changed"),
}

#: Listings whose entries get the server's alias before their name.
PREFIXED = frozenset({Listing.TOOLS, Listing.PROMPTS})


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a list.

    Attributes:
        alias: The server that has it.
        name: Its name at the server.
        encoded: The entry as clients get it, encoded: a gateway holds many, and shows few at a time.
    """

    alias: str
    name: str
    encoded: bytes

    def listed(self) -> dict[str, Any]:
        """Return the entry as it goes into a list."""
        return from_json(self.encoded)


class Catalog:
    """The entries of one server, by the name under which its clients know them.

    Args:
        alias: The name of the server here.
        names: How its tools and prompts are called here.
        allows: Whether an entry of a listing may be seen.

    Attributes:
        alias: The name of the server here.
    """

    def __init__(self, alias: str, *, names: ServerNaming, allows: Callable[[Listing, str], bool]) -> None:
        self.alias = alias
        self._names = names
        self._allows = allows
        self._warned: set[str] = set()
        self._entries: dict[Listing, dict[str, Entry]] = {listing: {} for listing in Listing}

    def __getitem__(self, listing: Listing) -> Mapping[str, Entry]:
        return self._entries[listing]

    def copy(self) -> Catalog:
        """Return a catalog with the same entries, which is replaced on its own."""
        own = copy.copy(self)
        own._entries = self._entries.copy()  # noqa: SLF001 - of a copy of ours
        return own

    def spellings(self, listing: Listing, name: str) -> Sequence[str]:
        """Return other names under which an entry is found."""
        return self._names.spellings(name, tool=listing is Listing.TOOLS) if listing in PREFIXED else ()

    def own_name(self, listing: Listing, name: str) -> str | None:
        """Return the name at the server that a name with the server's alias means, None for another's.

        Args:
            listing: The list that the entry would be in; it need not be there.
            name: The name that a client gave.
        """
        if listing not in PREFIXED:
            return None if self._names.prefix else name
        return self._names.own_name(name, tool=listing is Listing.TOOLS)

    def distinct(self, listing: Listing, entry: Entry, taken: Container[str]) -> tuple[str, Entry] | None:
        """Return an entry under a name that no other has, None where there is none.

        Args:
            listing: The list of the entry.
            entry: The entry.
            taken: The names of other servers' entries.
        """
        prefixed = listing in PREFIXED
        names = self._names.distinct(entry.name) if prefixed else distinct_uris(self.alias, entry.name)
        here = next((name for name in names if name not in taken), None)
        if here is None:
            return None
        encoded = jsonrpc.dumps({**entry.listed(), KINDS[listing].key: here})
        return here, Entry(self.alias, entry.name, encoded)

    def read(self, listing: Listing, page: Iterable[WireModel], into: dict[str, Entry]) -> None:
        """Add the entries of one page of the server's list that may be seen."""
        key = KINDS[listing].key
        for item in page:
            listed = item.to_wire()
            name = str(listed[key])
            tool = listing is Listing.TOOLS
            here = self._names.name(name, tool=tool) if listing in PREFIXED else name
            if len(into) >= MAX_LISTED or not self._allows(listing, name):
                continue
            if here in into or (tool and self._names.reserved(name)):
                self._warn(here, "it is left out of the lists: another entry of this server has the name")
                continue
            if here != name:
                listed[key] = here
            if tool and name in self._names.descriptions:
                listed["description"] = self._names.descriptions[name]
            try:
                entry = strictly(listing, listed, partial(self._warn, here))
                into[here] = Entry(self.alias, name, jsonrpc.dumps(entry, here))
            except LocalProtocolError as error:
                self._warn(here, f"it is left out of the lists: {error}")

    def _warn(self, name: str, told: str) -> None:
        """Say once what is wrong with an entry."""
        if name not in self._warned and len(self._warned) < MAX_WARNINGS:
            self._warned.add(name)
            log.warning("%.200r: %s", name, told)

    def replace(self, listing: Listing, entries: dict[str, Entry]) -> bool:
        """Replace a list, and return whether it has changed."""
        changed = entries != self._entries[listing]
        self._entries[listing] = entries
        return changed

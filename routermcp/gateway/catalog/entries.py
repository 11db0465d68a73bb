"""The catalog of one upstream server: its entries as clients of the gateway get them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from routermcp_proto import jsonrpc
from routermcp_proto.calls import Call
from routermcp_proto.calls import list_prompts as prompts
from routermcp_proto.calls import list_resource_templates as templates
from routermcp_proto.calls import list_resources as resources
from routermcp_proto.calls import list_tools as tools
from routermcp_proto.types import WireModel

from ..backend import Listing

#: Entries of one listing of one server, twice those of the largest gateway that routermcp is built
#: for: a server whose list never ends must not fill the memory.
MAX_LISTED = 200_000


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
        prefix: Whether names begin with it.
        allows: Whether an entry of a listing may be seen.
    """

    def __init__(self, alias: str, *, prefix: bool, allows: Callable[[Listing, str], bool]) -> None:
        self._alias = alias
        self._prefix = prefix
        self._allows = allows
        self._entries: dict[Listing, dict[str, Entry]] = {listing: {} for listing in Listing}

    def __getitem__(self, listing: Listing) -> Mapping[str, Entry]:
        return self._entries[listing]

    def name_here(self, listing: Listing, name: str) -> str:
        """Return the name under which clients know an entry of this server."""
        return f"{self._alias}.{name}" if self._prefix and listing in PREFIXED else name

    def read(self, listing: Listing, page: Iterable[WireModel], into: dict[str, Entry]) -> None:
        """Add the entries of one page of the server's list that may be seen."""
        key = KINDS[listing].key
        for item in page:
            listed = item.to_wire()
            name = str(listed[key])
            here = self.name_here(listing, name)
            if here in into or len(into) >= MAX_LISTED or not self._allows(listing, name):
                continue
            if here != name:
                listed[key] = here
            into[here] = Entry(self._alias, name, jsonrpc.dumps(listed))

    def replace(self, listing: Listing, entries: dict[str, Entry]) -> bool:
        """Replace a list, and return whether it has changed."""
        changed = entries != self._entries[listing]
        self._entries[listing] = entries
        return changed

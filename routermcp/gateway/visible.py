"""The servers that one client can reach, and the search for the server that a request means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from routermcp_proto.error_codes import INVALID_PARAMS, TOOL_DISABLED, TOOL_NOT_FOUND
from routermcp_proto.exceptions import InvalidParamsError, ResourceNotFoundError, RPCError

from .backend import Listing, Result, View
from .catalog.instructions import merged_instructions
from .catalog.merged import MergedCatalog
from .catalog.uri_templates import template_fit
from .upstreams.availability import UpstreamState
from .upstreams.upstream import Upstream

#: Names that an error gives to choose from.
MAX_NAMES_SHOWN = 10

Target = tuple[Upstream, str]
"""A server, and the name or URI there."""


@dataclass(frozen=True, slots=True)
class VisibleServers:
    """The servers that one client can reach, with what it sees of them."""

    catalogs: Sequence[MergedCatalog]
    """Their catalogs: that of the servers that all users share first."""
    upstreams: Mapping[str, Upstream]
    """All of them, by alias."""
    personal: Mapping[str, Upstream] = field(default_factory=dict[str, Upstream])
    """Those among them that the user signs in at."""
    view: View | None = None
    """The part that the client sees, None for the whole."""

    def seen_by(self, view: View) -> VisibleServers:
        """Return the part that a view shows."""
        return VisibleServers(
            [catalog.seen_by(view) for catalog in self.catalogs],
            _shown(self.upstreams, view),
            _shown(self.personal, view),
            view,
        )

    @property
    def instructions(self) -> str | None:
        """How the servers are used, by themselves, merged."""
        servers = [(upstream.alias, upstream.server) for upstream in self.upstreams.values()]
        return merged_instructions(
            (alias, server.instructions) for alias, server in servers if server is not None
        )

    def input_schema(self, tool: str) -> Mapping[str, Any] | None:
        """Return the input schema of a tool that all users see, if it declares headers, else None."""
        return self.catalogs[0].schema_with_headers(tool)

    def allows(self, upstream: Upstream, listing: Listing, name: str) -> bool:
        """Return whether an entry may be used, which a server has or may have."""
        if not upstream.allows(listing, name):
            return False
        return self.view is None or self.view.shows(listing, upstream.alias, name)

    # ---- tools and prompts -----------------------------------------------------------------------

    def guess(self, listing: Listing, name: str) -> Target:
        """Find the server of a name that is in no list.

        Raises:
            RPCError: No server has it, or more than one.
        """
        found = [(full, catalog) for catalog in self.catalogs for full in catalog.spelled(listing, name)]
        if not found:
            found = [(full, catalog) for catalog in self.catalogs for full in catalog.named(listing, name)]
        if len(found) == 1:
            ((full, catalog),) = found
            entry = catalog[listing][full]
            return self.upstreams[entry.alias], entry.name
        if found:
            names = ", ".join(sorted(full for full, _ in found)[:MAX_NAMES_SHOWN])
            raise InvalidParamsError(f"several servers have {name[:200]}: say which, {names}")
        away = [each for each in self.personal.values() if each.state is not UpstreamState.READY]
        for upstream in away:
            own = upstream.catalog.own_name(listing, name)
            # The lists of such a server are not known before its user has signed in.
            if own is None and len(away) == 1 and "." not in name and "__" not in name:
                own = name
            if own is not None and self.allows(upstream, listing, own):
                return upstream, own
        raise self._not_found(listing, name)

    def _not_found(self, listing: Listing, name: str) -> RPCError:
        for upstream in self.upstreams.values():
            own = upstream.catalog.own_name(listing, name)
            if own is None:
                continue
            if not self.allows(upstream, listing, own):
                return RPCError(f"{name[:200]} is disabled here", code=TOOL_DISABLED)
            if upstream.state is not UpstreamState.READY:
                return upstream.availability.unavailable()
        if listing is Listing.TOOLS:
            return RPCError(f"there is no tool {name[:200]}", code=TOOL_NOT_FOUND)
        return InvalidParamsError(f"there is no prompt {name[:200]}")

    # ---- resources -------------------------------------------------------------------------------

    def listed_resource(self, uri: str) -> Target | None:
        """Find the server that lists a resource, or whose template fits it best."""
        for catalog in self.catalogs:
            entry = catalog[Listing.RESOURCES].get(uri)
            if entry is not None:
                return self.upstreams[entry.alias], entry.name
        fits = [
            (shared, template, entry)
            for catalog in self.catalogs
            for template, entry in catalog[Listing.RESOURCE_TEMPLATES].items()
            if (shared := template_fit(template, uri)) is not None
        ]
        if not fits:
            return None
        _, template, entry = max(fits, key=lambda each: each[0])
        # A template whose name another server has too begins with its server here.
        return self.upstreams[entry.alias], uri[len(template) - len(entry.name) :]

    def template(self, uri_template: str) -> Target | None:
        """Find the server that lists a template."""
        found = (catalog[Listing.RESOURCE_TEMPLATES].get(uri_template) for catalog in self.catalogs)
        entry = next((each for each in found if each is not None), None)
        return (self.upstreams[entry.alias], entry.name) if entry is not None else None

    def unlisted_resource(self, uri: str) -> Target | None:
        """Find the server of a resource that is in no list: the only one, or that whose tool names it."""
        # Some servers read what they do not list, such as the user interfaces of their tools (MCP Apps).
        if len(self.upstreams) == 1:
            return next(iter(self.upstreams.values())), uri
        named = (catalog.naming(uri) for catalog in self.catalogs)
        entry = next((each for each in named if each is not None), None)
        return (self.upstreams[entry.alias], uri) if entry is not None else None

    def checked(self, target: Target | None, uri: str) -> Target:
        """Return the server of a resource, if it is known and the resource may be used.

        Raises:
            ResourceNotFoundError: It is not.
        """
        if target is None or not self.allows(target[0], Listing.RESOURCES, target[1]):
            raise no_resource(uri)
        return target


def _shown(upstreams: Mapping[str, Upstream], view: View) -> dict[str, Upstream]:
    return {alias: upstream for alias, upstream in upstreams.items() if view.shows_server(alias)}


def with_uri(result: Result, own: str, here: str) -> Result:
    """Return what was read of a resource, with its URI here where its server names its own."""
    given: Any = result.get("contents")
    if not isinstance(given, list):
        return result
    return {**result, "contents": [_with_uri(each, own, here) for each in cast("list[Any]", given)]}


def _with_uri(content: Any, own: str, here: str) -> Any:
    if not isinstance(content, dict):
        return content
    members = cast("dict[str, Any]", content)
    return {**members, "uri": here} if members.get("uri") == own else members


def no_resource(uri: str) -> ResourceNotFoundError:
    """Return the error for a resource that no server has."""
    return ResourceNotFoundError("there is no such resource", code=INVALID_PARAMS, data={"uri": uri})

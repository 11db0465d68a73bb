"""Many servers as one: what each offers is listed under one roof, and requests find their way.

Tools and prompts are named ``{alias}.{name}``. Resources keep their URIs; where two servers
have the same one, the server that comes first in the configuration has it. Lists are in
alphabetical order, so that they and their pages are the same in every process.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from routermcp_proto.calls import Call
from routermcp_proto.exceptions import InvalidParamsError, ResourceNotFoundError, RPCError
from routermcp_proto.types import WireModel

from .._version import __version__
from .backend import RESOURCE_UPDATED, Caller, Listing
from .catalog import KINDS, Entry
from .codes import TOOL_DISABLED, TOOL_NOT_FOUND
from .meta_tool import SEARCH_TOOL, TaskSearch
from .templates import fit
from .upstream import State, Upstream

#: Entries of one page. A thousand tools are half a megabyte.
PAGE_SIZE = 1_000

#: Seconds that a list waits for servers that are being started; what comes later is announced.
PATIENCE = 3.0

SERVER_INFO: Mapping[str, Any] = {"name": "RouterMCP", "version": __version__}
CAPABILITIES: Mapping[str, Any] = {
    "tools": {"listChanged": True},
    "resources": {"subscribe": True, "listChanged": True},
    "prompts": {"listChanged": True},
    "completions": {},
    "logging": {},
}

Result = Mapping[str, Any]


class Aggregate:
    """The backend of a gateway: its servers under one roof.

    Runs under asyncio.

    Args:
        upstreams: The servers, the more important ones first.
        search: Whether to offer the search for tools.
        patience: Seconds that a list waits for servers that are being started.

    Attributes:
        on_changed: Told of what clients are to be told: method and parameters.
    """

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        *,
        search: bool = True,
        patience: float = PATIENCE,
    ) -> None:
        self.on_changed: Callable[[str, Mapping[str, Any]], None] = lambda _method, _params: None
        self._upstreams = {upstream.alias: upstream for upstream in upstreams}
        self._patience = patience
        self._search = TaskSearch(self._tools) if search else None
        self._entries: dict[Listing, dict[str, Entry]] = {}
        self._order: dict[Listing, list[str]] = {}
        for upstream in upstreams:
            upstream.on_change = self._changed
            upstream.on_news = self._hear

    @property
    def upstreams(self) -> Mapping[str, Upstream]:
        """The servers by their aliases."""
        return self._upstreams

    @property
    def server_info(self) -> Mapping[str, Any]:
        """The name by which clients know a RouterMCP gateway."""
        return SERVER_INFO

    @property
    def capabilities(self) -> Mapping[str, Any]:
        """What the servers may offer together: which of them do shows when they are reached."""
        return CAPABILITIES

    @property
    def instructions(self) -> str | None:
        """Nothing: each server would say something else."""
        return None

    def states(self) -> dict[str, str]:
        """Return how each server is, by alias."""
        return {alias: upstream.state.value for alias, upstream in self._upstreams.items()}

    async def begin(self) -> None:
        """Begin to reach the servers, so that the first client waits less."""
        for upstream in self._upstreams.values():
            upstream.start()

    # ---- lists -----------------------------------------------------------------------------

    def _changed(self, method: str) -> None:
        for listing, kind in KINDS.items():
            if kind.changed == method:
                self._entries.pop(listing, None)
                self._order.pop(listing, None)
        if method == KINDS[Listing.TOOLS].changed and self._search is not None:
            self._search.forget()
        self.on_changed(method, {})

    def _hear(self, method: str, params: Mapping[str, Any]) -> None:
        if method == RESOURCE_UPDATED:
            self.on_changed(method, params)

    def _listed(self, listing: Listing) -> Mapping[str, Entry]:
        entries = self._entries.get(listing)
        if entries is None:
            entries = self._entries[listing] = {}
            for upstream in reversed(self._upstreams.values()):
                entries.update(upstream.catalog[listing])
            self._order[listing] = sorted(entries)
        return entries

    def _tools(self) -> Mapping[str, Entry]:
        return self._listed(Listing.TOOLS)

    async def _settle(self) -> None:
        """Give servers that are being started a little time."""
        waiting = [upstream.settled(self._patience) for upstream in self._upstreams.values()]
        if any(upstream.state is not State.READY for upstream in self._upstreams.values()):
            await asyncio.gather(*waiting)
        else:
            for wait in waiting:
                await wait

    async def list_page(self, listing: Listing, cursor: str | None, caller: Caller) -> Result:
        """Return a page of what all servers have together.

        Raises:
            InvalidParamsError: No page has given that cursor.
        """
        del caller
        await self._settle()
        entries = self._listed(listing)
        order = self._order[listing]
        begin = 0 if cursor is None else bisect_right(order, _uncursor(cursor))
        names = order[begin : begin + PAGE_SIZE]
        page: list[Any] = [entries[name].listed() for name in names]
        if listing is Listing.TOOLS and cursor is None and self._search is not None:
            page.insert(0, SEARCH_TOOL)
        result: dict[str, Any] = {listing.value: page}
        if begin + PAGE_SIZE < len(order):
            result["nextCursor"] = _cursor(names[-1])
        return result

    def input_schema(self, tool: str) -> Mapping[str, Any] | None:
        """Return the input schema of a tool if it says anything about headers, else None."""
        entry = self._tools().get(tool)
        if entry is None or b"x-mcp-header" not in entry.wire:
            return None
        schema = entry.listed().get("inputSchema")
        return cast("dict[str, Any]", schema) if isinstance(schema, dict) else None

    # ---- requests ----------------------------------------------------------------------------

    async def call_tool(self, name: str, arguments: Mapping[str, Any], caller: Caller) -> Result:
        """Run a tool where it is.

        Raises:
            RPCError: There is no such tool (-32002), it may not be used (-32003), its server
                cannot be reached (-32004), or refuses.
        """
        if self._search is not None and name == SEARCH_TOOL["name"]:
            await self._settle()
            return await self._search.run(arguments)
        upstream, own = await self._find(Listing.TOOLS, name)
        call = Call(
            "tools/call",
            {"name": own, "arguments": arguments},
            WireModel,
            safe=False,
            named_by="name",
            may_ask_input=True,
        )
        return await upstream.call(call, caller)

    async def get_prompt(self, name: str, arguments: Mapping[str, Any], caller: Caller) -> Result:
        """Return a prompt from where it is.

        Raises:
            RPCError: As :meth:`call_tool`.
        """
        upstream, own = await self._find(Listing.PROMPTS, name)
        call = Call(
            "prompts/get",
            {"name": own, "arguments": arguments},
            WireModel,
            safe=True,
            named_by="name",
            may_ask_input=True,
        )
        return await upstream.call(call, caller)

    async def _find(self, listing: Listing, name: str) -> tuple[Upstream, str]:
        """Find the server of a tool or a prompt, and its name there."""
        for look in (None, self._settle):
            if look is not None:
                await look()
            entry = self._listed(listing).get(name)
            if entry is not None:
                return self._upstreams[entry.alias], entry.name
        raise self._not_found(listing, name)

    def _not_found(self, listing: Listing, name: str) -> RPCError:
        for upstream in self._upstreams.values():
            own = name.removeprefix(upstream.catalog.name_here(listing, ""))
            if upstream.catalog.name_here(listing, own) != name:
                continue
            if not upstream.allows(listing, own):
                return RPCError(f"{name[:200]} is disabled here", code=TOOL_DISABLED)
            if upstream.state is not State.READY:
                return upstream.unavailable()
        if listing is Listing.TOOLS:
            return RPCError(f"there is no tool {name[:200]}", code=TOOL_NOT_FOUND)
        return InvalidParamsError(f"there is no prompt {name[:200]}", code=-32602)

    async def read_resource(self, uri: str, caller: Caller) -> Result:
        """Read a resource where it is.

        Raises:
            RPCError: There is no such resource (-32002), or as :meth:`call_tool`.
        """
        params = {"uri": uri}
        call = Call("resources/read", params, WireModel, safe=True, named_by="uri", may_ask_input=True)
        upstream = await self._having(uri)
        if not upstream.allows(Listing.RESOURCES, uri):
            raise _no_resource(uri)
        return await upstream.call(call, caller)

    async def _having(self, uri: str) -> Upstream:
        """Find the server of a resource: the one that lists it, or has a template that it fits."""
        for look in (None, self._settle):
            if look is not None:
                await look()
            entry = self._listed(Listing.RESOURCES).get(uri)
            if entry is not None:
                return self._upstreams[entry.alias]
            fits = [
                (shared, entry)
                for template, entry in self._listed(Listing.RESOURCE_TEMPLATES).items()
                if (shared := fit(template, uri)) is not None
            ]
            if fits:
                _, entry = max(fits, key=lambda each: each[0])
                return self._upstreams[entry.alias]
        # Some servers read what they do not list.
        if len(self._upstreams) == 1:
            (upstream,) = self._upstreams.values()
            return upstream
        raise _no_resource(uri)

    async def complete(self, params: Mapping[str, Any], caller: Caller) -> Result:
        """Pass a request for completions on to the server of the prompt or the resource.

        Raises:
            RPCError: There is no such thing, or as :meth:`call_tool`.
        """
        ref = params.get("ref")
        named = cast("dict[str, Any]", ref) if isinstance(ref, dict) else {}
        name, uri = named.get("name"), named.get("uri")
        if isinstance(name, str):
            upstream, own = await self._find(Listing.PROMPTS, name)
            named = {**named, "name": own}
        elif isinstance(uri, str):
            entry = self._listed(Listing.RESOURCE_TEMPLATES).get(uri)
            upstream = self._upstreams[entry.alias] if entry is not None else await self._having(uri)
        else:
            raise InvalidParamsError("ref names neither a prompt nor a resource", code=-32602)
        passed = {key: value for key, value in params.items() if key != "_meta"}
        call = Call("completion/complete", {**passed, "ref": named}, WireModel, safe=True)
        return await upstream.call(call, caller)

    # ---- changes -------------------------------------------------------------------------------

    async def subscribe(self, uri: str, caller: Caller) -> None:
        """Begin to announce changes of a resource.

        Raises:
            RPCError: As :meth:`read_resource`, or its server does not tell of changes.
        """
        upstream = await self._having(uri)
        if not upstream.allows(Listing.RESOURCES, uri):
            raise _no_resource(uri)
        await upstream.subscribe(uri, caller)

    async def unsubscribe(self, uri: str) -> None:
        """Announce them no more."""
        for upstream in self._upstreams.values():
            await upstream.unsubscribe(uri)

    # ---- ends ----------------------------------------------------------------------------------

    async def end_session(self, session_id: str) -> None:
        """End what a client had at the servers."""
        for upstream in self._upstreams.values():
            upstream.end_session(session_id)

    async def close(self) -> None:
        """End everything, child processes included."""
        await asyncio.gather(*(upstream.close() for upstream in self._upstreams.values()))


def _no_resource(uri: str) -> ResourceNotFoundError:
    return ResourceNotFoundError("there is no such resource", code=-32602, data={"uri": uri})


def _cursor(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode("ascii")


def _uncursor(cursor: str) -> str:
    try:
        return base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidParamsError("unknown cursor", code=-32602) from error

"""Many servers as one: one list of the tools of all servers, and each request goes to its server.

Tools and prompts are named ``{alias}.{name}``, or as :mod:`.names` says. Resources keep
their URIs; where two servers have the same one, the server that comes first in the configuration
has it. Lists are in alphabetical order, so that they and their pages are the same in every process.
A name without an alias is understood where only one server has it.

Servers that users sign in at are each user's own: only a user who has signed in sees what they offer.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from routermcp_proto.calls import Call
from routermcp_proto.error_codes import INVALID_PARAMS, TOOL_DISABLED, TOOL_NOT_FOUND
from routermcp_proto.exceptions import InvalidParamsError, ResourceNotFoundError, RPCError
from routermcp_proto.names import RESOURCE_UPDATED
from routermcp_proto.types import WireModel

from .. import __version__
from ..oauth.stores.base import TokenAdapter
from .backend import Announce, Caller, InputRequired, Listing, Result
from .catalog.entries import KINDS, Entry
from .catalog.instructions import merged_instructions
from .catalog.merged import MergedCatalog
from .catalog.tool_search import search, search_tool
from .catalog.uri_templates import template_fit
from .names import DOTTED, PORTABLE, SPELLINGS, Naming
from .telemetry.records import CallRecord, OnCall
from .upstreams.capabilities import of_server
from .upstreams.upstream import Upstream, UpstreamState
from .users.methods import UserMethods
from .users.oauth_state import PATH as CALLBACK_PATH
from .users.oauth_state import StateEncryptor
from .users.registry import PerUserServer, UserRegistry, user_of

#: Servers that are asked for one resource that none of them lists: more than a gateway commonly has.
MAX_ASKED_IN_TURN = 64

#: Entries of one page. A thousand tools are half a megabyte.
PAGE_SIZE = 1_000

#: Names that an error gives to choose from.
MAX_NAMES_SHOWN = 10

#: Seconds that a list waits for servers that are being started; what comes later is announced.
LIST_WAIT_SECONDS = 3.0

#: The names under which the search is called, beside the one that it is listed with.
SEARCH_NAMES = frozenset(search_tool(naming)["name"] for naming in (DOTTED, PORTABLE))

SERVER_INFO: Mapping[str, Any] = {"name": "RouterMCP", "version": __version__}
CAPABILITIES: Mapping[str, Any] = {
    "tools": {"listChanged": True},
    "resources": {"subscribe": True, "listChanged": True},
    "prompts": {"listChanged": True},
    "completions": {},
    "logging": {},
}

_LISTS = {
    "tools/call": Listing.TOOLS,
    "prompts/get": Listing.PROMPTS,
    "resources/read": Listing.RESOURCES,
}


@dataclass(frozen=True, slots=True)
class _View:
    """The servers that one user can reach."""

    catalogs: Sequence[MergedCatalog]
    """Their catalogs: that of the servers that all users share first."""
    upstreams: Mapping[str, Upstream]
    """All of them, by alias."""
    personal: Mapping[str, Upstream] = field(default_factory=dict[str, Upstream])
    """Those among them that the user signs in at."""


class Aggregate:
    """The backend of a gateway, which forwards to its servers.

    Runs under asyncio.

    Args:
        upstreams: The servers that all users share, the more important ones first.
        personal: The servers that each user signs in at.
        seal: Reads the user from the ``state`` of a browser that comes back from signing in; needed
            where there are such servers.
        tokens: The store of users' tokens, which these servers have in their settings.
        search: Whether to offer the search for tools.
        naming: How the name of that search is made.
        patience: Seconds that a list waits for servers that are being started.

    Attributes:
        on_changed: Called with the method and parameters of a notification for the clients.
        accounts: The methods of users who sign in at servers, None where there are no such servers.
        tokens: The store of users' tokens.
        server_info: The name by which clients know a RouterMCP gateway.
        capabilities: All that servers may have: those they do have are known when they are reached.
        instructions: Those of the servers that were reached, merged.
        upstreams: The servers that all users share, by alias.
        call_listeners: Hear of each request for a tool, a prompt or a resource that has ended.
    """

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        personal: Sequence[PerUserServer] = (),
        *,
        seal: StateEncryptor | None = None,
        tokens: TokenAdapter | None = None,
        search: bool = True,
        naming: Naming = DOTTED,
        patience: float = LIST_WAIT_SECONDS,
    ) -> None:
        self.on_changed: Announce = lambda _method, _params, _session_id=None: None
        self.call_listeners: list[OnCall] = []
        self.tokens = tokens
        self.server_info = SERVER_INFO
        self.capabilities = CAPABILITIES
        self.instructions: str | None = None
        self.upstreams: Mapping[str, Upstream] = {upstream.alias: upstream for upstream in upstreams}
        self._patience = patience
        self._search_tool = search_tool(naming) if search else None
        self._search_names = (
            SEARCH_NAMES | {self._search_tool["name"]} if self._search_tool is not None else frozenset[str]()
        )
        self._catalog = MergedCatalog([upstream.catalog for upstream in upstreams])
        self._shared = _View((self._catalog,), self.upstreams)
        self._retiring: set[asyncio.Task[None]] = set()
        self._users = UserRegistry(personal)
        self.accounts = UserMethods(self._users, seal) if seal is not None else None
        self._own: dict[str, MergedCatalog | None] = {}
        """Merged lists of the sessions that have some of their own, None where they are stale."""
        for upstream in upstreams:
            self._watch(upstream)

    @property
    def personal(self) -> Mapping[str, PerUserServer]:
        """The servers that each user signs in at, by alias."""
        return self._users.servers

    def states(self) -> dict[str, str]:
        """Return the state of each server, by alias."""
        states = {alias: upstream.state.value for alias, upstream in self.upstreams.items()}
        return {**states, **dict.fromkeys(self._users.servers, "each user's own")}

    def problems(self) -> dict[str, str]:
        """Return why servers cannot be used, by the alias of each that failed."""
        return {
            alias: upstream.reason
            for alias, upstream in self.upstreams.items()
            if upstream.state is UpstreamState.FAILED and upstream.reason
        }

    def entry_of(self, record: CallRecord) -> tuple[str, str] | None:
        """Return the alias of the server that a request went to, and the name of the entry here.

        None where no server has such an entry. The name is empty for a server that users sign in at.
        """
        listing, name = _LISTS[record.method], record.subject
        entries, catalog = self._catalog[listing], self._catalog
        entry = entries.get(name)
        if entry is not None:
            return entry.alias, name
        found = (*catalog.spelled(listing, name), *catalog.named(listing, name))
        if found:
            return entries[found[0]].alias, found[0]
        aliases = (name.partition(naming.separator)[0] for naming in SPELLINGS)
        return next(((alias, "") for alias in aliases if alias in self._users.servers), None)

    def listens_at(self, origin: str) -> None:
        """Have browsers come back to the gateway's own page, where no other one is configured."""
        for server in self._users.servers.values():
            if server.own_page:
                server.redirect_uri = origin + CALLBACK_PATH

    async def begin(self) -> None:
        """Begin to reach the servers, so that the first client waits less."""
        for upstream in self.upstreams.values():
            upstream.start()

    def replace(self, upstreams: Sequence[Upstream]) -> None:
        """Serve other servers; those that are gone end when their requests have ended.

        Args:
            upstreams: The servers that all users share, those that stay among them.
        """
        gone = [upstream for upstream in self.upstreams.values() if upstream not in upstreams]
        self.upstreams = {upstream.alias: upstream for upstream in upstreams}
        self._catalog = MergedCatalog([upstream.catalog for upstream in upstreams])
        self._shared = _View((self._catalog,), self.upstreams)
        for upstream in upstreams:
            self._watch(upstream)
            upstream.start()
        for upstream in gone:
            upstream.on_reached = lambda: None
            upstream.on_change = lambda _method: None
            upstream.on_session_change = lambda _session_id, _method: None
            upstream.on_notification = lambda _method, _params: None
            task = asyncio.create_task(upstream.retire())
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
        self._own = dict.fromkeys(self._own)
        self._introduce()
        for method in dict.fromkeys(kind.changed for kind in KINDS.values()):
            self.on_changed(method, {})

    # ---- lists -----------------------------------------------------------------------------

    def _watch(self, upstream: Upstream) -> None:
        upstream.on_reached = self._introduce
        upstream.on_change = self._changed
        upstream.on_session_change = self._changed_in_session
        upstream.on_notification = self._hear

    def _introduce(self) -> None:
        """Take over what the servers say about their use."""
        servers = [(upstream.alias, upstream.server) for upstream in self.upstreams.values()]
        self.instructions = merged_instructions(
            (alias, server.instructions) for alias, server in servers if server is not None
        )

    def _changed(self, method: str) -> None:
        self._catalog.invalidate(method)
        self._own = dict.fromkeys(self._own)
        self.on_changed(method, {})

    def _changed_in_session(self, session_id: str, method: str) -> None:
        upstreams = self.upstreams.values()
        if any(upstream.catalog_of(session_id) is not upstream.catalog for upstream in upstreams):
            self._own[session_id] = None
        else:
            self._own.pop(session_id, None)
        self.on_changed(method, {}, session_id)

    def _hear(self, method: str, params: Mapping[str, Any]) -> None:
        if method == RESOURCE_UPDATED:
            self.on_changed(method, params)

    def _view(self, caller: Caller) -> _View:
        shared = self._shared
        if caller.session_id in self._own:
            shared = _View((self._merged_for(caller.session_id),), shared.upstreams)
        if not self._users.servers:
            return shared
        user = self._users.named(user_of(caller))
        upstreams = {**shared.upstreams, **user.upstreams}
        return _View((*shared.catalogs, user.catalog), upstreams, user.upstreams)

    def _merged_for(self, session_id: str) -> MergedCatalog:
        merged = self._own[session_id]
        if merged is None:
            catalogs = [upstream.catalog_of(session_id) for upstream in self.upstreams.values()]
            merged = self._own[session_id] = MergedCatalog(catalogs)
        return merged

    async def _settle(self, view: _View) -> None:
        """Give servers that are being started a little time."""
        upstreams = view.upstreams.values()
        waiting = [upstream.settled(self._patience) for upstream in upstreams]
        if any(upstream.state is not UpstreamState.READY for upstream in upstreams):
            await asyncio.gather(*waiting)
        else:
            for wait in waiting:
                await wait

    async def list_page(self, listing: Listing, cursor: str | None, caller: Caller) -> Result:
        """Return a page of the merged list of all servers.

        Raises:
            InvalidParamsError: No page has given that cursor.
        """
        view = self._view(caller)
        await self._settle(view)
        before = None if cursor is None else _name_in_cursor(cursor)
        entries: dict[str, Entry] = {}
        for catalog in reversed(view.catalogs):
            found = catalog[listing]
            entries.update({name: found[name] for name in catalog.after(listing, before, PAGE_SIZE + 1)})
        names = sorted(entries)
        page: list[Any] = [entries[name].listed() for name in names[:PAGE_SIZE]]
        if listing is Listing.TOOLS and cursor is None and self._search_tool is not None:
            page.insert(0, self._search_tool)
        result: dict[str, Any] = {listing.value: page}
        if len(names) > PAGE_SIZE:
            result["nextCursor"] = _list_cursor(names[PAGE_SIZE - 1])
        return result

    def input_schema(self, tool: str) -> Mapping[str, Any] | None:
        """Return the input schema of a tool if it declares headers, else None."""
        entry = self._catalog[Listing.TOOLS].get(tool)
        if entry is None or b"x-mcp-header" not in entry.encoded:
            return None
        schema = entry.listed().get("inputSchema")
        return cast("dict[str, Any]", schema) if isinstance(schema, dict) else None

    # ---- requests ----------------------------------------------------------------------------

    async def call_tool(self, name: str, arguments: Mapping[str, Any], caller: Caller) -> Result:
        """Run a tool at its server.

        Raises:
            RPCError: There is no such tool (-32002), it may not be used (-32003), its server
                cannot be reached (-32004), or refuses.
        """
        view = self._view(caller)
        if name in self._search_names:
            await self._settle(view)
            return await search([catalog.search for catalog in view.catalogs], arguments)
        upstream, own = await self._find(Listing.TOOLS, name, view)
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
        """Return a prompt from its server.

        Raises:
            RPCError: As :meth:`call_tool`.
        """
        upstream, own = await self._find(Listing.PROMPTS, name, self._view(caller))
        call = Call(
            "prompts/get",
            {"name": own, "arguments": arguments},
            WireModel,
            safe=True,
            named_by="name",
            may_ask_input=True,
        )
        return await upstream.call(call, caller)

    async def _find(self, listing: Listing, name: str, view: _View) -> tuple[Upstream, str]:
        """Find the server of a tool or a prompt, and its name there.

        Raises:
            RPCError: No server has it, or it cannot be used.
        """
        for wait in (None, self._settle, partial(self._started, listing, name)):
            if wait is not None:
                await wait(view)
            for catalog in view.catalogs:
                entry = catalog[listing].get(name)
                if entry is not None:
                    return view.upstreams[entry.alias], entry.name
        return self._guess(listing, name, view)

    async def _started(self, listing: Listing, name: str, view: _View) -> None:
        """Wait for the servers that are being started and that a name belongs to."""
        waits = [
            upstream.started()
            for upstream in view.upstreams.values()
            if upstream.state is UpstreamState.CONNECTING
            and upstream.catalog.own_name(listing, name) is not None
        ]
        await asyncio.gather(*waits)

    def _guess(self, listing: Listing, name: str, view: _View) -> tuple[Upstream, str]:
        """Find the server of a name that is in no list.

        Raises:
            RPCError: No server has it, or more than one.
        """
        found = [(full, catalog) for catalog in view.catalogs for full in catalog.spelled(listing, name)]
        if not found:
            found = [(full, catalog) for catalog in view.catalogs for full in catalog.named(listing, name)]
        if len(found) == 1:
            ((full, catalog),) = found
            entry = catalog[listing][full]
            return view.upstreams[entry.alias], entry.name
        if found:
            names = ", ".join(sorted(full for full, _ in found)[:MAX_NAMES_SHOWN])
            raise InvalidParamsError(f"several servers have {name[:200]}: say which, {names}")
        away = [each for each in view.personal.values() if each.state is not UpstreamState.READY]
        for upstream in away:
            own = upstream.catalog.own_name(listing, name)
            # The lists of such a server are not known before its user has signed in.
            if own is None and len(away) == 1 and "." not in name and "__" not in name:
                own = name
            if own is not None and upstream.allows(listing, own):
                return upstream, own
        raise self._not_found(listing, name, view)

    def _not_found(self, listing: Listing, name: str, view: _View) -> RPCError:
        for upstream in view.upstreams.values():
            own = upstream.catalog.own_name(listing, name)
            if own is None:
                continue
            if not upstream.allows(listing, own):
                return RPCError(f"{name[:200]} is disabled here", code=TOOL_DISABLED)
            if upstream.state is not UpstreamState.READY:
                return upstream.unavailable()
        if listing is Listing.TOOLS:
            return RPCError(f"there is no tool {name[:200]}", code=TOOL_NOT_FOUND)
        return InvalidParamsError(f"there is no prompt {name[:200]}")

    async def read_resource(self, uri: str, caller: Caller) -> Result:
        """Read a resource at its server.

        Raises:
            RPCError: There is no such resource (-32002), or as :meth:`call_tool`.
        """
        params = {"uri": uri}
        call = Call("resources/read", params, WireModel, safe=True, named_by="uri", may_ask_input=True)
        view = self._view(caller)
        upstream = await self._known_server_of(uri, view)
        if upstream is None:
            return await self._read_in_turn(uri, call, view, caller)
        if not upstream.allows(Listing.RESOURCES, uri):
            raise _no_resource(uri)
        return await upstream.call(call, caller)

    async def _read_in_turn(self, uri: str, call: Call[WireModel], view: _View, caller: Caller) -> Result:
        """Read a resource that no server lists or names: results have links to such ones, for example.

        Raises:
            ResourceNotFoundError: No server has it.
        """
        offering = [each for each in view.upstreams.values() if each.reads_resources]
        for upstream in offering[:MAX_ASKED_IN_TURN]:
            if upstream.allows(Listing.RESOURCES, uri):
                # A question of one server could not be told from that of the next: it is passed over.
                with contextlib.suppress(RPCError, InputRequired):
                    return await upstream.call(call, caller.with_input(None, None))
        raise _no_resource(uri)

    async def _server_of(self, uri: str, view: _View) -> Upstream:
        """Return the server of a resource.

        Raises:
            ResourceNotFoundError: None is known to have it.
        """
        upstream = await self._known_server_of(uri, view)
        if upstream is None:
            raise _no_resource(uri)
        return upstream

    async def _known_server_of(self, uri: str, view: _View) -> Upstream | None:
        """Find the server that lists a resource, whose template fits it best, or whose tool names it."""
        for settle in (False, True):
            if settle:
                await self._settle(view)
            for catalog in view.catalogs:
                entry = catalog[Listing.RESOURCES].get(uri)
                if entry is not None:
                    return view.upstreams[entry.alias]
            fits = [
                (shared, entry)
                for catalog in view.catalogs
                for template, entry in catalog[Listing.RESOURCE_TEMPLATES].items()
                if (shared := template_fit(template, uri)) is not None
            ]
            if fits:
                _, entry = max(fits, key=lambda each: each[0])
                return view.upstreams[entry.alias]
        # Some servers read what they do not list, such as the user interfaces of their tools (MCP Apps).
        if len(view.upstreams) == 1:
            return next(iter(view.upstreams.values()))
        named = (catalog.naming(uri) for catalog in view.catalogs)
        entry = next((each for each in named if each is not None), None)
        return view.upstreams[entry.alias] if entry is not None else None

    async def complete(self, params: Mapping[str, Any], caller: Caller) -> Result:
        """Forward a request for completions to the server of the prompt or the resource.

        Raises:
            RPCError: There is no such prompt or resource, or as :meth:`call_tool`.
        """
        ref = params.get("ref")
        named = cast("dict[str, Any]", ref) if isinstance(ref, dict) else {}
        name, uri = named.get("name"), named.get("uri")
        view = self._view(caller)
        if isinstance(name, str):
            upstream, own = await self._find(Listing.PROMPTS, name, view)
            named = {**named, "name": own}
        elif isinstance(uri, str):
            found = (catalog[Listing.RESOURCE_TEMPLATES].get(uri) for catalog in view.catalogs)
            entry = next((each for each in found if each is not None), None)
            if entry is not None:
                upstream = view.upstreams[entry.alias]
            else:
                upstream = await self._server_of(uri, view)
        else:
            raise InvalidParamsError("ref names neither a prompt nor a resource")
        forwarded = {key: value for key, value in params.items() if key != "_meta"}
        call = Call("completion/complete", {**forwarded, "ref": named}, WireModel, safe=True)
        return await upstream.call(call, caller)

    # ---- changes -------------------------------------------------------------------------------

    async def subscribe(self, uri: str, caller: Caller) -> None:
        """Begin to announce changes of a resource.

        Raises:
            RPCError: As :meth:`read_resource`, or its server has no subscriptions.
        """
        upstream = await self._server_of(uri, self._view(caller))
        if not upstream.allows(Listing.RESOURCES, uri):
            raise _no_resource(uri)
        await upstream.subscribe(uri, caller)

    async def unsubscribe(self, uri: str) -> None:
        """Stop announcing changes of a resource."""
        for upstream in self.upstreams.values():
            await upstream.unsubscribe(uri)

    # ---- ends ----------------------------------------------------------------------------------

    async def end_session(self, session_id: str) -> None:
        """End the sessions that a client had at the servers."""
        for upstream in self.upstreams.values():
            upstream.end_session(session_id)
        self._own.pop(session_id, None)
        self._users.end_session(session_id)

    async def close(self) -> None:
        """End everything, child processes included."""
        for task in self._retiring:
            task.cancel()  # which closes the server at once
        closing = [upstream.close() for upstream in self.upstreams.values()]
        await asyncio.gather(*closing, self._users.close(), *self._retiring, return_exceptions=True)


def _no_resource(uri: str) -> ResourceNotFoundError:
    return ResourceNotFoundError("there is no such resource", code=INVALID_PARAMS, data={"uri": uri})


def _list_cursor(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode("ascii")


def _name_in_cursor(cursor: str) -> str:
    try:
        return base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidParamsError("unknown cursor") from error


class SingleServer(Aggregate):
    """The backend that forwards everything to one server.

    Args:
        upstream: The server, made with ``prefix=False``.
        patience: Seconds that a list waits for it while it is being started.
    """

    def __init__(self, upstream: Upstream, *, patience: float = LIST_WAIT_SECONDS) -> None:
        super().__init__([upstream], search=False, patience=patience)
        self._server = upstream

    async def begin(self) -> None:
        """Reach the server, so that the first client gets the server's own description."""
        await self._settle(self._shared)

    def _introduce(self) -> None:
        """Take over the server's description of itself."""
        server = self._server.server
        if server is not None:
            self.server_info = server.serverInfo.to_wire()
            self.capabilities = of_server(server.capabilities.to_wire())
            self.instructions = server.instructions

"""Many servers as one: one list of the tools of all servers, and each request goes to its server.

Tools and prompts are named ``{alias}.{name}``, or as :mod:`.names` says. Resources keep
their URIs; where two servers have the same one, that of the second in the configuration begins with
the server here. Lists are in alphabetical order, so that they and their pages are the same in every process.
A name without an alias is understood where only one server has it.

Servers that users sign in at are each user's own: only a user who has signed in sees what they offer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

from routermcp_proto.calls import Call
from routermcp_proto.exceptions import InvalidParamsError, RPCError
from routermcp_proto.names import RESOURCE_UPDATED
from routermcp_proto.types import WireModel

from .. import __version__
from ..oauth.stores.base import TokenAdapter
from .backend import Announce, Caller, InputRequired, Listing, Result, View
from .catalog.entries import KINDS
from .catalog.merged import MergedCatalog
from .catalog.pages import merged_page
from .catalog.tool_search import search, search_helps, search_tool
from .catalog.watched import RenamedResources
from .names import DOTTED, PORTABLE, SPELLINGS, Naming
from .telemetry.records import CallRecord, OnCall
from .upstreams.availability import UpstreamState
from .upstreams.upstream import Upstream
from .users.methods import UserMethods
from .users.oauth_state import PATH as CALLBACK_PATH
from .users.oauth_state import StateEncryptor
from .users.registry import PerUserServer, UserRegistry, user_of
from .visible import Target, VisibleServers, no_resource, with_uri

#: Servers that are asked for one resource that none of them lists: more than a gateway commonly has.
MAX_ASKED_IN_TURN = 64

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


class Aggregate:
    """The backend of a gateway, which forwards to its servers.

    Runs under asyncio.

    Args:
        upstreams: The servers that all users share, the more important ones first.
        personal: The servers that each user signs in at.
        seal: Reads the user from the ``state`` of a browser that comes back from signing in; needed
            where there are such servers.
        tokens: The store of users' tokens, which these servers have in their settings.
        search: Whether to offer the search for tools; None for where there are many, or several servers.
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
        search: bool | None = None,
        naming: Naming = DOTTED,
        patience: float = LIST_WAIT_SECONDS,
    ) -> None:
        self.on_changed: Announce = lambda _method, _params, _session_id=None, _server=None: None
        self.call_listeners: list[OnCall] = []
        self.tokens = tokens
        self.server_info = SERVER_INFO
        self.capabilities = CAPABILITIES
        self.instructions: str | None = None
        self.upstreams: Mapping[str, Upstream] = {upstream.alias: upstream for upstream in upstreams}
        self._patience = patience
        self._search_tool = search_tool(naming) if search is not False else None
        self._searches_few = search is True
        self._renamed = RenamedResources()
        self._search_names = (
            SEARCH_NAMES | {self._search_tool["name"]} if self._search_tool is not None else frozenset[str]()
        )
        self._catalog = MergedCatalog([upstream.catalog for upstream in upstreams])
        self._shared = VisibleServers((self._catalog,), self.upstreams)
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
            alias: upstream.availability.reason
            for alias, upstream in self.upstreams.items()
            if upstream.state is UpstreamState.FAILED and upstream.availability.reason
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
            upstream.availability.start()

    def replace(self, upstreams: Sequence[Upstream]) -> None:
        """Serve other servers; those that are gone end when their requests have ended.

        Args:
            upstreams: The servers that all users share, those that stay among them.
        """
        gone = [upstream for upstream in self.upstreams.values() if upstream not in upstreams]
        self.upstreams = {upstream.alias: upstream for upstream in upstreams}
        self._catalog = MergedCatalog([upstream.catalog for upstream in upstreams])
        self._shared = VisibleServers((self._catalog,), self.upstreams)
        for upstream in upstreams:
            self._watch(upstream)
            upstream.availability.start()
        for upstream in gone:
            upstream.on_reached = lambda: None
            upstream.on_change = lambda _method: None
            upstream.on_session_change = lambda _session_id, _method: None
            upstream.on_notification = lambda _session_id, _method, _params: None
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
        upstream.on_change = partial(self._changed, upstream.alias)
        upstream.on_session_change = partial(self._changed_in_session, upstream.alias)
        upstream.on_notification = partial(self._hear, upstream.alias)

    def _introduce(self) -> None:
        """Take over what the servers say about their use."""
        self.instructions = self._shared.instructions

    def _changed(self, alias: str, method: str) -> None:
        self._catalog.invalidate(method)
        self._own = dict.fromkeys(self._own)
        self.on_changed(method, {}, None, alias)

    def _changed_in_session(self, alias: str, session_id: str, method: str) -> None:
        upstreams = self.upstreams.values()
        if any(upstream.catalog_of(session_id) is not upstream.catalog for upstream in upstreams):
            self._own[session_id] = None
        else:
            self._own.pop(session_id, None)
        self.on_changed(method, {}, session_id, alias)

    def _hear(self, alias: str, session_id: str | None, method: str, params: Mapping[str, Any]) -> None:
        uri = params.get("uri")
        if method == RESOURCE_UPDATED and isinstance(uri, str):
            entry = self._catalog[Listing.RESOURCES].get(uri)
            if entry is None or entry.alias == alias:
                self.on_changed(method, params, session_id, alias)
            for here in self._renamed.changed(alias, uri):
                self.on_changed(method, {**params, "uri": here}, session_id, alias)

    def seen_by(self, view: View) -> VisibleServers:
        """Return what a view shows of the servers that all users share."""
        return self._shared.seen_by(view)

    def _visible(self, caller: Caller) -> VisibleServers:
        visible = self._shared
        if caller.session_id in self._own:
            visible = VisibleServers((self._merged_for(caller.session_id),), visible.upstreams)
        if self._users.servers:
            user = self._users.named(user_of(caller))
            upstreams = {**visible.upstreams, **user.upstreams}
            visible = VisibleServers((*visible.catalogs, user.catalog), upstreams, user.upstreams)
        return visible if caller.view is None else visible.seen_by(caller.view)

    def _merged_for(self, session_id: str) -> MergedCatalog:
        merged = self._own[session_id]
        if merged is None:
            catalogs = [upstream.catalog_of(session_id) for upstream in self.upstreams.values()]
            merged = self._own[session_id] = MergedCatalog(catalogs, warned=self._catalog.warned)
        return merged

    async def _settle(self, visible: VisibleServers) -> None:
        """Give servers that are being started a little time."""
        upstreams = visible.upstreams.values()
        waiting = [upstream.availability.settled(self._patience) for upstream in upstreams]
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
        visible = self._visible(caller)
        await self._settle(visible)
        page = merged_page(visible.catalogs, listing, cursor)
        if listing is Listing.TOOLS and cursor is None and self._search_tool is not None:
            tools = sum(len(catalog[listing]) for catalog in visible.catalogs)
            if self._searches_few or search_helps(len(visible.upstreams), tools):
                page[listing.value].insert(0, self._search_tool)
        return page

    def input_schema(self, tool: str) -> Mapping[str, Any] | None:
        """Return the input schema of a tool if it declares headers, else None."""
        return self._catalog.schema_with_headers(tool)

    # ---- requests ----------------------------------------------------------------------------

    async def call_tool(self, name: str, arguments: Mapping[str, Any], caller: Caller) -> Result:
        """Run a tool at its server.

        Raises:
            RPCError: There is no such tool (-32002), it may not be used (-32003), its server
                cannot be reached (-32004), or refuses.
        """
        visible = self._visible(caller)
        if name in self._search_names:
            await self._settle(visible)
            return await search([catalog.search for catalog in visible.catalogs], arguments)
        upstream, own = await self._find(Listing.TOOLS, name, visible)
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
        upstream, own = await self._find(Listing.PROMPTS, name, self._visible(caller))
        call = Call(
            "prompts/get",
            {"name": own, "arguments": arguments},
            WireModel,
            safe=True,
            named_by="name",
            may_ask_input=True,
        )
        return await upstream.call(call, caller)

    async def _find(self, listing: Listing, name: str, visible: VisibleServers) -> tuple[Upstream, str]:
        """Find the server of a tool or a prompt, and its name there.

        Raises:
            RPCError: No server has it, or it cannot be used.
        """
        for wait in (None, self._settle, partial(self._started, listing=listing, name=name)):
            if wait is not None:
                await wait(visible)
            for catalog in visible.catalogs:
                entry = catalog[listing].get(name)
                if entry is not None:
                    return visible.upstreams[entry.alias], entry.name
        return visible.guess(listing, name)

    async def _started(self, visible: VisibleServers, listing: Listing | None = None, name: str = "") -> bool:
        """Wait for the servers that are being started and that a name belongs to; say whether there are any.

        No list is for a URI, which does not say whose it is.
        """
        waits = [
            upstream.started()
            for upstream in visible.upstreams.values()
            if upstream.state is UpstreamState.CONNECTING
            and (listing is None or upstream.catalog.own_name(listing, name) is not None)
        ]
        await asyncio.gather(*waits)
        return bool(waits)

    async def read_resource(self, uri: str, caller: Caller) -> Result:
        """Read a resource at its server.

        Raises:
            RPCError: There is no such resource (-32002), or as :meth:`call_tool`.
        """
        visible = self._visible(caller)
        for wait in (False, True):
            if wait and not await self._started(visible):
                break
            found = await self._known_server_of(uri, visible)
            if found is not None:
                upstream, own = visible.checked(found, uri)
                result = await upstream.call(_read_call(own), caller)
                return result if own == uri else with_uri(result, own, uri)
            result = await self._read_in_turn(uri, visible, caller)
            if result is not None:
                return result
        raise no_resource(uri)

    async def _read_in_turn(self, uri: str, visible: VisibleServers, caller: Caller) -> Result | None:
        """Read a resource that no server lists or names: results have links to such ones, for example.

        None where no server has it.
        """
        offering = [each for each in visible.upstreams.values() if each.reads_resources]
        for upstream in offering[:MAX_ASKED_IN_TURN]:
            if visible.allows(upstream, Listing.RESOURCES, uri):
                # A question of one server could not be told from that of the next: it is passed over.
                with contextlib.suppress(RPCError, InputRequired):
                    return await upstream.call(_read_call(uri), caller.with_input(None, None))
        return None

    async def _known_server_of(self, uri: str, visible: VisibleServers) -> Target | None:
        """Find the server of a resource, after a little time for those that are being started."""
        found = visible.listed_resource(uri)
        if found is None:
            await self._settle(visible)
            found = visible.listed_resource(uri) or visible.unlisted_resource(uri)
        return found

    async def _server_of(self, uri: str, visible: VisibleServers) -> Target | None:
        """Find the server of a resource, after as long as a call waits for those that are being started."""
        found = await self._known_server_of(uri, visible)
        if found is None and await self._started(visible):
            found = visible.template(uri) or await self._known_server_of(uri, visible)
        return found

    async def complete(self, params: Mapping[str, Any], caller: Caller) -> Result:
        """Forward a request for completions to the server of the prompt or the resource.

        Raises:
            RPCError: There is no such prompt or resource, or as :meth:`call_tool`.
        """
        ref = params.get("ref")
        named = cast("dict[str, Any]", ref) if isinstance(ref, dict) else {}
        name, uri = named.get("name"), named.get("uri")
        visible = self._visible(caller)
        if isinstance(name, str):
            upstream, own = await self._find(Listing.PROMPTS, name, visible)
            named = {**named, "name": own}
        elif isinstance(uri, str):
            found = visible.template(uri) or await self._server_of(uri, visible)
            upstream, own = visible.checked(found, uri)
            named = {**named, "uri": own}
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
        visible = self._visible(caller)
        upstream, own = visible.checked(await self._server_of(uri, visible), uri)
        await upstream.subscribe(own, caller)
        if own != uri:
            self._renamed.add(upstream.alias, own, uri)

    async def unsubscribe(self, uri: str) -> None:
        """Stop announcing changes of a resource."""
        known = self._renamed.discard(uri)
        if known is not None and known[0] in self.upstreams:
            await self.upstreams[known[0]].unsubscribe(known[1])
            return
        for upstream in self.upstreams.values():
            if not any(self._renamed.changed(upstream.alias, uri)):
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


def _read_call(uri: str) -> Call[WireModel]:
    return Call("resources/read", {"uri": uri}, WireModel, safe=True, named_by="uri", may_ask_input=True)

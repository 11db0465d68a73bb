"""Many servers as one: what each offers is listed under one roof, and requests find their way.

Tools and prompts are named ``{alias}.{name}``. Resources keep their URIs; where two servers
have the same one, the server that comes first in the configuration has it. Lists are in
alphabetical order, so that they and their pages are the same in every process. A name without
an alias is understood where only one server has it.

Servers that users sign in at are each user's own: only who has signed in sees what they offer.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from routermcp_proto.calls import Call
from routermcp_proto.error_codes import INVALID_PARAMS, TOOL_DISABLED, TOOL_NOT_FOUND
from routermcp_proto.exceptions import InvalidParamsError, ResourceNotFoundError, RPCError
from routermcp_proto.names import RESOURCE_UPDATED
from routermcp_proto.types import WireModel

from .. import __version__
from ..oauth.stores.base import TokenAdapter
from .backend import Caller, Listing
from .catalog.entries import Entry
from .catalog.merged import MergedCatalog
from .catalog.tool_search import SEARCH_TOOL, search
from .catalog.uri_templates import fit
from .upstreams.upstream import State, Upstream
from .users.methods import UserMethods
from .users.oauth_state import PATH as CALLBACK_PATH
from .users.oauth_state import StateEncryptor
from .users.registry import PerUserServer, RegisteredUser, UserRegistry

#: Entries of one page. A thousand tools are half a megabyte.
PAGE_SIZE = 1_000

#: Names that an error gives to choose from.
MAX_NAMES_SHOWN = 10

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
        upstreams: The servers that are everybody's, the more important ones first.
        personal: The servers that each user signs in at.
        seal: Tells whose browser comes back from signing in; needed where there are such servers.
        tokens: Where the tokens of users are kept, which these servers have in their settings.
        search: Whether to offer the search for tools.
        patience: Seconds that a list waits for servers that are being started.

    Attributes:
        on_changed: Told of what clients are to be told: method and parameters.
        accounts: What users do about the servers that they sign in at, None where there are none.
        tokens: Where the tokens of users are kept.
    """

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        personal: Sequence[PerUserServer] = (),
        *,
        seal: StateEncryptor | None = None,
        tokens: TokenAdapter | None = None,
        search: bool = True,
        patience: float = PATIENCE,
    ) -> None:
        self.on_changed: Callable[[str, Mapping[str, Any]], None] = lambda _method, _params: None
        self._upstreams = {upstream.alias: upstream for upstream in upstreams}
        self._patience = patience
        self._search = search
        self.tokens = tokens
        self._shelf = MergedCatalog(upstreams)
        self._people = UserRegistry(personal)
        self.accounts = UserMethods(self._people, seal) if seal is not None else None
        for upstream in upstreams:
            upstream.on_change = self._changed
            upstream.on_news = self._hear

    @property
    def upstreams(self) -> Mapping[str, Upstream]:
        """The servers that are everybody's, by their aliases."""
        return self._upstreams

    @property
    def personal(self) -> Mapping[str, PerUserServer]:
        """The servers that each user signs in at, by their aliases."""
        return self._people.servers

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
        states = {alias: upstream.state.value for alias, upstream in self._upstreams.items()}
        return {**states, **dict.fromkeys(self._people.servers, "each user's own")}

    def listens_at(self, origin: str) -> None:
        """Let browsers come back to the gateway's own page, where nothing else is set."""
        for server in self._people.servers.values():
            if server.own_page:
                server.redirect_uri = origin + CALLBACK_PATH

    async def begin(self) -> None:
        """Begin to reach the servers, so that the first client waits less."""
        for upstream in self._upstreams.values():
            upstream.start()

    # ---- lists -----------------------------------------------------------------------------

    def _changed(self, method: str) -> None:
        self._shelf.forget(method)
        self.on_changed(method, {})

    def _hear(self, method: str, params: Mapping[str, Any]) -> None:
        if method == RESOURCE_UPDATED:
            self.on_changed(method, params)

    def _shelves(self, person: RegisteredUser | None) -> tuple[MergedCatalog, ...]:
        return (self._shelf,) if person is None else (self._shelf, person.shelf)

    async def _settle(self, person: RegisteredUser | None = None) -> None:
        """Give servers that are being started a little time."""
        upstreams = [*self._upstreams.values(), *(person.upstreams.values() if person is not None else ())]
        waiting = [upstream.settled(self._patience) for upstream in upstreams]
        if any(upstream.state is not State.READY for upstream in upstreams):
            await asyncio.gather(*waiting)
        else:
            for wait in waiting:
                await wait

    async def list_page(self, listing: Listing, cursor: str | None, caller: Caller) -> Result:
        """Return a page of what all servers have together.

        Raises:
            InvalidParamsError: No page has given that cursor.
        """
        person = self._people.of(caller)
        await self._settle(person)
        before = None if cursor is None else _uncursor(cursor)
        entries: dict[str, Entry] = {}
        for shelf in reversed(self._shelves(person)):
            found = shelf[listing]
            entries.update({name: found[name] for name in shelf.after(listing, before, PAGE_SIZE + 1)})
        names = sorted(entries) if person is not None else list(entries)
        page: list[Any] = [entries[name].listed() for name in names[:PAGE_SIZE]]
        if listing is Listing.TOOLS and cursor is None and self._search:
            page.insert(0, SEARCH_TOOL)
        result: dict[str, Any] = {listing.value: page}
        if len(names) > PAGE_SIZE:
            result["nextCursor"] = _cursor(names[PAGE_SIZE - 1])
        return result

    def input_schema(self, tool: str) -> Mapping[str, Any] | None:
        """Return the input schema of a tool if it says anything about headers, else None."""
        entry = self._shelf[Listing.TOOLS].get(tool)
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
        person = self._people.of(caller)
        if self._search and name == SEARCH_TOOL["name"]:
            await self._settle(person)
            return await search([shelf.search for shelf in self._shelves(person)], arguments)
        upstream, own = await self._find(Listing.TOOLS, name, person)
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
        upstream, own = await self._find(Listing.PROMPTS, name, self._people.of(caller))
        call = Call(
            "prompts/get",
            {"name": own, "arguments": arguments},
            WireModel,
            safe=True,
            named_by="name",
            may_ask_input=True,
        )
        return await upstream.call(call, caller)

    async def _find(self, listing: Listing, name: str, person: RegisteredUser | None) -> tuple[Upstream, str]:
        """Find the server of a tool or a prompt, and its name there."""
        for settle in (False, True):
            if settle:
                await self._settle(person)
            for shelf in self._shelves(person):
                entry = shelf[listing].get(name)
                if entry is not None:
                    return self._upstream(entry, person), entry.name
        return self._guess(listing, name, person)

    def _upstream(self, entry: Entry, person: RegisteredUser | None) -> Upstream:
        upstream = self._upstreams.get(entry.alias)
        if upstream is None and person is not None:
            upstream = person.upstreams[entry.alias]
        if upstream is None:
            raise AssertionError("what is listed has a server")
        return upstream

    def _guess(self, listing: Listing, name: str, person: RegisteredUser | None) -> tuple[Upstream, str]:
        """Find out what is meant by a name that is in no list.

        Raises:
            RPCError: Nothing, or more than one thing.
        """
        named = [(shelf, each) for shelf in self._shelves(person) for each in shelf.named(listing, name)]
        if len(named) == 1:
            ((shelf, full),) = named
            entry = shelf[listing][full]
            return self._upstream(entry, person), entry.name
        if named:
            names = ", ".join(sorted(each for _, each in named)[:MAX_NAMES_SHOWN])
            problem = f"several servers have {name[:200]}: say which, {names}"
            raise InvalidParamsError(problem)
        away = [each for each in person.upstreams.values() if each.state is not State.READY] if person else []
        for upstream in away:
            own = name.removeprefix(f"{upstream.alias}.")
            # What a server lists is not known before its user has signed in.
            if (own != name or (len(away) == 1 and "." not in name)) and upstream.allows(listing, own):
                return upstream, own
        raise self._not_found(listing, name, person)

    def _not_found(self, listing: Listing, name: str, person: RegisteredUser | None) -> RPCError:
        for upstream in (*self._upstreams.values(), *(person.upstreams.values() if person else ())):
            own = name.removeprefix(upstream.catalog.name_here(listing, ""))
            if upstream.catalog.name_here(listing, own) != name:
                continue
            if not upstream.allows(listing, own):
                return RPCError(f"{name[:200]} is disabled here", code=TOOL_DISABLED)
            if upstream.state is not State.READY:
                return upstream.unavailable()
        if listing is Listing.TOOLS:
            return RPCError(f"there is no tool {name[:200]}", code=TOOL_NOT_FOUND)
        return InvalidParamsError(f"there is no prompt {name[:200]}")

    async def read_resource(self, uri: str, caller: Caller) -> Result:
        """Read a resource where it is.

        Raises:
            RPCError: There is no such resource (-32002), or as :meth:`call_tool`.
        """
        params = {"uri": uri}
        call = Call("resources/read", params, WireModel, safe=True, named_by="uri", may_ask_input=True)
        upstream = await self._having(uri, self._people.of(caller))
        if not upstream.allows(Listing.RESOURCES, uri):
            raise _no_resource(uri)
        return await upstream.call(call, caller)

    async def _having(self, uri: str, person: RegisteredUser | None) -> Upstream:
        """Find the server of a resource: the one that lists it, or has a template that it fits."""
        shelves = self._shelves(person)
        for settle in (False, True):
            if settle:
                await self._settle(person)
            for shelf in shelves:
                entry = shelf[Listing.RESOURCES].get(uri)
                if entry is not None:
                    return self._upstream(entry, person)
            fits = [
                (shared, entry)
                for shelf in shelves
                for template, entry in shelf[Listing.RESOURCE_TEMPLATES].items()
                if (shared := fit(template, uri)) is not None
            ]
            if fits:
                _, entry = max(fits, key=lambda each: each[0])
                return self._upstream(entry, person)
        # Some servers read what they do not list.
        upstreams = [*self._upstreams.values(), *(person.upstreams.values() if person else ())]
        if len(upstreams) == 1:
            return upstreams[0]
        raise _no_resource(uri)

    async def complete(self, params: Mapping[str, Any], caller: Caller) -> Result:
        """Pass a request for completions on to the server of the prompt or the resource.

        Raises:
            RPCError: There is no such thing, or as :meth:`call_tool`.
        """
        ref = params.get("ref")
        named = cast("dict[str, Any]", ref) if isinstance(ref, dict) else {}
        name, uri = named.get("name"), named.get("uri")
        person = self._people.of(caller)
        if isinstance(name, str):
            upstream, own = await self._find(Listing.PROMPTS, name, person)
            named = {**named, "name": own}
        elif isinstance(uri, str):
            found = (shelf[Listing.RESOURCE_TEMPLATES].get(uri) for shelf in self._shelves(person))
            entry = next((each for each in found if each is not None), None)
            upstream = self._upstream(entry, person) if entry is not None else await self._having(uri, person)
        else:
            raise InvalidParamsError("ref names neither a prompt nor a resource")
        passed = {key: value for key, value in params.items() if key != "_meta"}
        call = Call("completion/complete", {**passed, "ref": named}, WireModel, safe=True)
        return await upstream.call(call, caller)

    # ---- changes -------------------------------------------------------------------------------

    async def subscribe(self, uri: str, caller: Caller) -> None:
        """Begin to announce changes of a resource.

        Raises:
            RPCError: As :meth:`read_resource`, or its server does not tell of changes.
        """
        upstream = await self._having(uri, self._people.of(caller))
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
        self._people.end_session(session_id)

    async def close(self) -> None:
        """End everything, child processes included."""
        closing = [upstream.close() for upstream in self._upstreams.values()]
        await asyncio.gather(*closing, self._people.close())


def _no_resource(uri: str) -> ResourceNotFoundError:
    return ResourceNotFoundError("there is no such resource", code=INVALID_PARAMS, data={"uri": uri})


def _cursor(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode("ascii")


def _uncursor(cursor: str) -> str:
    try:
        return base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidParamsError("unknown cursor") from error


class SingleServer(Aggregate):
    """The backend that passes everything on to one server.

    Args:
        upstream: The server, made with ``prefix=False``.
        patience: Seconds that a list waits for it while it is being started.
    """

    def __init__(self, upstream: Upstream, *, patience: float = PATIENCE) -> None:
        super().__init__([upstream], search=False, patience=patience)
        self._mirrored = upstream

    async def begin(self) -> None:
        """Reach the server, so that the first client hears what it says about itself."""
        await self._settle()

    @property
    def server_info(self) -> Mapping[str, Any]:
        """The server's own name; ours until it is reached."""
        server = self._mirrored.server
        return super().server_info if server is None else server.serverInfo.to_wire()

    @property
    def capabilities(self) -> Mapping[str, Any]:
        """What the server offers; anything, until it is reached."""
        server = self._mirrored.server
        return super().capabilities if server is None else server.capabilities.to_wire()

    @property
    def instructions(self) -> str | None:
        """What the server tells language models."""
        server = self._mirrored.server
        return None if server is None else server.instructions

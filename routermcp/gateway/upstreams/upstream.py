"""One server behind the gateway: its state, what it offers, its sessions.

The server is started or reached when something of it is first wanted. One that cannot be
reached is tried again with growing pauses, by a task of its own; until then it costs only
its own tools.

Where the server is stateless, one session serves all clients. A server of the handshake
era may keep in a session what a client did before: a client that has a session here gets
one of its own there too.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import Any

from routermcp_adapters.http.base import SharedTransport
from routermcp_proto.calls import Call
from routermcp_proto.error_codes import UPSTREAM_ERROR
from routermcp_proto.exceptions import (
    AuthorizationRequiredError,
    MCPError,
    MethodNotFoundError,
    RPCError,
    TransportError,
)
from routermcp_proto.http.outcomes import AUTHORIZATION_REQUIRED
from routermcp_proto.types import InitializeResult, WireModel

from ..._internal import ClientSettings, transport_of
from ..backend import Caller, Listing
from ..catalog.entries import KINDS, Catalog, Entry
from .callbacks import EVERYTHING
from .changes import ChangeSubscription
from .forwarding import ForwardedRequest, Result, SuspendedRequests
from .request_state import Interlude, resumed
from .sanitize import retold, said_by
from .session import UpstreamSession
from .sign_in import refusal

log = logging.getLogger("routermcp.gateway")

#: Milliseconds for a server to be reached and to agree: programs of npm take seconds to start.
CONNECT_TIMEOUT = 30_000

#: Milliseconds for a server to give one of its lists, all pages of it.
LIST_TIMEOUT = 60_000

#: Milliseconds that a request may take. Clients have shorter deadlines of their own, and
#: their leaving ends a request; this is for those that have none.
CALL_TIMEOUT = 600_000

#: Seconds before a server that could not be reached is tried again: the first time, and at most.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0

#: Seconds after which the lists are read anew when somebody wants one, unless the server
#: says earlier that they changed.
LIST_SECONDS = 60.0

#: Seconds before a server is tried again that the user has to sign in at first: until then each
#: list of that user would ask it in vain.
SIGN_IN_PAUSE = 2.0

#: Seconds after which the session that a client has at a server is ended, if it is not used:
#: what the gateway's own sessions have as default.
BOUND_IDLE_SECONDS = 300.0

#: Sessions of clients at one server; beyond, the one that was used longest ago is ended.
MAX_BOUND = 100


class State(Enum):
    """How a server is."""

    IDLE = "idle"
    CONNECTING = "connecting"
    READY = "ready"
    FAILED = "failed"


SignIn = Callable[[AuthorizationRequiredError, Interlude], Awaitable[None]]
"""Has a user sign in; returns when that is done, or raises what the client is told."""


class Upstream:
    """A server behind the gateway.

    Runs under asyncio.

    Args:
        alias: Its name here.
        settings: How to reach it.
        allows: Which of its things may be seen and used.
        prefix: Whether the names of its things begin with its alias.
        timeout: Milliseconds that a request may take.
        exchanges: Connections that it shares with others; None for its own.
        sign_in: Has the user sign in whose server this is alone; None where it is everybody's.

    Attributes:
        state: How it is.
        problem: Why it failed last, None where it did not.
        on_change: Told, by the name of the notification, when a list is another one now.
        on_news: Told of the server's other notifications: method and parameters.
    """

    def __init__(
        self,
        alias: str,
        settings: ClientSettings,
        *,
        allows: Callable[[Listing, str], bool] = lambda _listing, _name: True,
        prefix: bool = True,
        timeout: int = CALL_TIMEOUT,
        exchanges: SharedTransport | None = None,
        sign_in: SignIn | None = None,
    ) -> None:
        self.alias = alias
        self.allows = allows
        self.catalog = Catalog(alias, prefix=prefix, allows=allows)
        self.state = State.IDLE
        self.problem: str | None = None
        self.on_change: Callable[[str], None] = _ignore
        self.on_news: Callable[[str, Mapping[str, Any]], None] = _ignore
        self._settings = settings
        self._timeout = timeout
        self._sign_in = sign_in
        self._shares = exchanges is not None
        self._exchanges = exchanges or transport_of(settings)
        self._shared = self._new_wire(EVERYTHING)
        self._bound: OrderedDict[str, UpstreamSession] = OrderedDict()
        self._watches: dict[UpstreamSession, ChangeSubscription] = {}
        self._parking = SuspendedRequests()
        self._effort: asyncio.Task[None] | None = None
        self._began = 0.0
        self._tried = asyncio.Event()
        self._fresh_until = 0.0
        self._closing: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Upstream {self.alias} {self.state.value}>"

    @property
    def server(self) -> InitializeResult | None:
        """What the server said about itself, None before it was reached."""
        return self._shared.server

    def _new_wire(self, capabilities: Mapping[str, Any]) -> UpstreamSession:
        return UpstreamSession(self._settings, self._exchanges, capabilities, self._hear)

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return self._shared.busy or any(wire.busy for wire in self._bound.values())

    # ---- being there -------------------------------------------------------------------------

    def start(self) -> None:
        """See that the server is reached and its lists are read, now or as soon as that works."""
        if self._effort is not None and not self._effort.done():
            return
        if time.monotonic() >= self._fresh_until:
            if self.state is State.IDLE or (self.state is State.FAILED and self._sign_in is not None):
                self.state = State.CONNECTING
            self._began = time.monotonic()
            self._tried.clear()
            self._effort = asyncio.create_task(self._keep_trying())

    async def settled(self, patience: float) -> None:
        """Wait until it is known whether the server is there.

        Args:
            patience: Seconds to wait, counted from when it was begun to be reached.
        """
        self.start()
        left = self._began + patience - time.monotonic()
        if self.state in (State.IDLE, State.CONNECTING) and left > 0:
            await asyncio.wait([asyncio.ensure_future(self._tried.wait())], timeout=left)

    async def _keep_trying(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                await self._try()
            except AuthorizationRequiredError as error:
                if said_by(error) is None:
                    self._show_nothing()
                self._failed(error)
                self._fresh_until = time.monotonic() + SIGN_IN_PAUSE
                self._tried.set()
                return  # trying again is for the user, who has to sign in
            except MCPError as error:
                self._failed(error)
            except Exception:
                log.exception("%s: its lists could not be read", self.alias)
                self.state, self.problem = State.FAILED, "internal error"
            self._tried.set()
            if self.state is State.READY:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _try(self) -> None:
        await self._shared.connect(CONNECT_TIMEOUT)
        changed = [kind.changed for listing, kind in KINDS.items() if await self._read_list(listing)]
        self.state, self.problem = State.READY, None
        self._fresh_until = time.monotonic() + LIST_SECONDS
        if self._sign_in is None:  # a stream for each user would be too many
            self._watch_over(self._shared).begin()
        for method in dict.fromkeys(changed):
            self.on_change(method)

    async def _read_list(self, listing: Listing) -> bool:
        server, kind = self.server, KINDS[listing]
        entries: dict[str, Entry] = {}
        if server is not None and getattr(server.capabilities, kind.capability) is not None:
            try:
                await self._shared.each_page(
                    kind.call(), LIST_TIMEOUT, lambda page: self.catalog.read(listing, page, entries)
                )
            except MethodNotFoundError:
                log.debug("%s has no %s", self.alias, listing.value)
        return self.catalog.replace(listing, entries)

    def _failed(self, error: MCPError) -> None:
        if self.state is not State.FAILED and not isinstance(error, AuthorizationRequiredError):
            log.warning("%s failed: %s", self.alias, error)
        self.state, self.problem = State.FAILED, getattr(error, "code", None) or type(error).__name__
        self._fresh_until = 0.0

    def _hear(self, method: str, params: Mapping[str, Any]) -> None:
        if method in {kind.changed for kind in KINDS.values()}:
            self.look_again()
        else:
            self.on_news(method, params)

    # ---- changes -------------------------------------------------------------------------------

    def _watch_over(self, wire: UpstreamSession) -> ChangeSubscription:
        watch = self._watches.get(wire)
        if watch is None:
            watch = self._watches[wire] = ChangeSubscription(wire, self.look_again)
        return watch

    def look_again(self) -> None:
        """Read the lists anew."""
        self._fresh_until = 0.0
        self.start()

    def begin_anew(self) -> None:
        """Read the lists anew; what was read before is shown no more, as it may not be for this user now."""
        effort, self._effort = self._effort, None
        if effort is not None:
            effort.cancel()  # what it reads is what the user could see until now
            self._see_out(effort)
        self._show_nothing()
        self.state = State.IDLE
        self.look_again()

    def _show_nothing(self) -> None:
        changed = [kind.changed for listing, kind in KINDS.items() if self.catalog.replace(listing, {})]
        for method in dict.fromkeys(changed):
            self.on_change(method)

    async def subscribe(self, uri: str, caller: Caller) -> None:
        """Begin to hear of changes of a resource.

        Raises:
            RPCError: The server refuses, does not tell of changes, or (-32004) could not be reached.
        """
        if self._sign_in is not None:
            # Who has subscribed to what is known by the resource alone, not by the user.
            raise MethodNotFoundError("changes are not announced of what is a user's own")
        try:
            await self._watch_over(await self._wire_for(caller)).add(uri)
        except MCPError as error:
            raise self._told(error) or self._unanswered("resources/subscribe", error) from error

    async def unsubscribe(self, uri: str) -> None:
        """Hear of them no more; a server that is gone has forgotten it by itself."""
        for watch in tuple(self._watches.values()):
            if uri in watch:
                try:
                    await watch.remove(uri)
                except MCPError as error:
                    log.debug("%s: resources/unsubscribe failed: %s", self.alias, error)

    # ---- requests ------------------------------------------------------------------------------

    async def call(self, call: Call[WireModel], caller: Caller) -> Result:
        """Pass a request on and return its result as it came.

        Raises:
            InputNeeded: The client has to be asked first.
            RPCError: The server refused, or (-32004) could not be reached or understood.
        """
        asked = resumed(caller)
        # Work that waits for the client's answer is over when it fails.
        before = asked.anew() if asked.caller.request_state in self._parking else asked
        try:
            try:
                return await self._pass_on(call, asked, before)
            except AuthorizationRequiredError as required:
                if self._sign_in is None:
                    raise
                if self.state is State.READY:
                    self.look_again()  # there may be nothing to see for the user any more
                await self._sign_in(required, before)
            try:
                return await self._pass_on(call, before, before)
            except AuthorizationRequiredError as required:
                raise refusal(required, caller, AUTHORIZATION_REQUIRED) from required
        except RPCError:
            raise
        except MCPError as error:
            raise self._unanswered(call.method, error) from error

    async def _pass_on(self, call: Call[WireModel], asked: Interlude, before: Interlude) -> Result:
        try:
            return await self._carry(call, asked.caller)
        except MCPError as error:
            told = self._told(error)
            if told is None:
                raise
            raise before.pages(told) or told from error

    def _told(self, error: MCPError) -> RPCError | None:
        """Return what the client is told that the server said, None where it said nothing."""
        said = said_by(error)
        return retold(said, self.alias) if said is not None else None

    async def _carry(self, call: Call[WireModel], caller: Caller) -> Result:
        wire = await self._wire_for(caller)
        if self._sign_in is not None and self.state is not State.READY:
            self.look_again()  # the user has signed in by now
        if caller.revision.peer_requests:
            return await wire.call(call, ForwardedRequest(caller), self._timeout)
        if not wire.revision.peer_requests:
            return await wire.round(call, ForwardedRequest(caller), self._timeout)
        return await self._parking.run(caller, lambda passing: wire.call(call, passing, self._timeout))

    def unavailable(self) -> RPCError:
        """Return the error for a request while the server is not there."""
        data = {"server": self.alias, "state": self.state.value}
        return RPCError(f"the server {self.alias} is {self.state.value}", code=UPSTREAM_ERROR, data=data)

    def _unanswered(self, method: str, error: MCPError) -> RPCError:
        """Say that there is no answer; details, which may hold secrets, go to the log."""
        log.warning("%s: %s failed: %s", self.alias, method, error)
        data: dict[str, Any] = {"server": self.alias}
        if isinstance(error, TransportError):
            data["code"] = error.code
            if error.retry_after is not None:
                data["retryAfter"] = error.retry_after
            if error.code in ("connect", "closed", "interrupted"):
                self._failed(error)
                self.start()
        what = data.get("code", type(error).__name__)
        return RPCError(f"the server {self.alias} gave no answer ({what})", code=UPSTREAM_ERROR, data=data)

    async def _wire_for(self, caller: Caller) -> UpstreamSession:
        await self._shared.connect(CONNECT_TIMEOUT)
        if caller.session_id is None or not self._shared.revision.peer_requests:
            return self._shared
        wire = self._bound.get(caller.session_id)
        if wire is None:
            self._make_room()
            wire = self._bound[caller.session_id] = self._new_wire(caller.capabilities)
        self._bound.move_to_end(caller.session_id)
        self._end_when_idle(caller.session_id, wire)
        await wire.connect(CONNECT_TIMEOUT)
        return wire

    def _end_when_idle(self, session_id: str, wire: UpstreamSession) -> None:
        """End a session here that its client does not use: it may have ended elsewhere, or be forgotten."""

        def look() -> None:
            if self._bound.get(session_id) is not wire:
                return
            if wire.busy:
                wire.idle_timer = loop.call_later(BOUND_IDLE_SECONDS, look)
            else:
                self.end_session(session_id)

        loop = asyncio.get_running_loop()
        if wire.idle_timer is not None:
            wire.idle_timer.cancel()
        wire.idle_timer = loop.call_later(BOUND_IDLE_SECONDS, look)

    def _make_room(self) -> None:
        idle = [session_id for session_id, wire in self._bound.items() if not wire.busy]
        if len(self._bound) >= MAX_BOUND and idle:
            self.end_session(idle[0])

    def end_session(self, session_id: str) -> None:
        """End the session that a client had here."""
        wire = self._bound.pop(session_id, None)
        if wire is not None:
            self._see_out(asyncio.create_task(self._close_wire(wire)))

    def _see_out(self, task: asyncio.Task[None]) -> None:
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close_wire(self, wire: UpstreamSession) -> None:
        watch = self._watches.pop(wire, None)
        if watch is not None:
            await watch.close()
        await wire.close()

    async def close(self) -> None:
        """End everything, child processes included."""
        if self._effort is not None:
            self._effort.cancel()
            await asyncio.wait([self._effort])
        await self._parking.close()
        for session_id in tuple(self._bound):
            self.end_session(session_id)
        await asyncio.gather(self._close_wire(self._shared), *self._closing, return_exceptions=True)
        if self._exchanges is not None and not self._shares:
            self._exchanges.close_all()
        self.state, self._fresh_until = State.IDLE, 0.0


def _ignore(*_: object) -> None:
    """Nobody wants to know."""

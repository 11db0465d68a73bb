"""One server behind the gateway: its lists, its sessions, and the requests to it.

While the server cannot be used (:mod:`.availability`), only its own tools are missing.

Where the server is stateless, one session serves all clients. A server of the handshake
era may keep in a session what a client did before: a client with a session at the gateway gets
one of its own at the server too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeGuard

from routermcp_adapters.http.base import SharedTransport
from routermcp_proto import jsonrpc
from routermcp_proto.calls import Call
from routermcp_proto.error_codes import UPSTREAM_ERROR
from routermcp_proto.exceptions import (
    AuthorizationRequiredError,
    InvalidParamsError,
    LocalProtocolError,
    MCPError,
    MethodNotFoundError,
    RPCError,
    TransportError,
)
from routermcp_proto.http.outcomes import AUTHORIZATION_REQUIRED
from routermcp_proto.types import InitializeResult, WireModel

from ..._internal import ClientSettings, transport_of
from ..backend import Caller, InputRequired, Listing, Result
from ..catalog.entries import KINDS, Catalog
from ..catalog.server_names import ServerNaming
from ..wording import as_keys, kind_of_failure
from .availability import Availability, UpstreamState
from .callbacks import ForwardedRequest, OnUpstreamNotification
from .capabilities import EVERYTHING
from .changes import ChangeSubscription
from .input_required import InputRound, SuspendedRequests
from .sanitize import retold, said_by
from .session import UpstreamSession
from .session_lists import SessionLists, read_lists
from .sign_in import refusal
from .times import DEFAULT_TIMES, UpstreamTimes

log = logging.getLogger("routermcp.gateway")

#: Sessions of clients at one server; beyond, the one that was used longest ago is ended.
MAX_CLIENT_SESSIONS = 100

#: Seconds between looks whether a server that is to end still has requests.
RETIRE_SECONDS = 0.5

_LIST_CHANGES = tuple(dict.fromkeys(kind.changed for kind in KINDS.values()))


SignIn = Callable[[AuthorizationRequiredError, InputRound], Awaitable[None]]
"""Has a user sign in; returns when that is done, or raises the error for the client."""


OnClientNotification = Callable[[str | None, str, Mapping[str, Any]], None]
"""Called with the session of a client, the method and the parameters of a notification."""


class Upstream:
    """A server behind the gateway.

    Runs under asyncio.

    Args:
        alias: Its name here.
        settings: How to reach it.
        allows: Whether one of its tools, resources or prompts may be seen and used.
        names: How its tools and prompts are called; None for its alias, a dot and their names.
        timeout_ms: Milliseconds that a request may take, None for ``times.call_ms``.
        transport: Connections that it shares with others; None for its own.
        sign_in: Has the user sign in, where the server is one user's alone; None where all users share it.
        one_session: Whether all clients share one session at the server, and so one process.
        passed_headers: Headers of clients' requests that go on to it.
        tells_reason: Whether clients are told why it cannot be used, as they are those who run it.
        times: How long to wait for it.

    Attributes:
        one_session: Whether all clients share one session at the server.
        times: How long to wait for it.
        availability: Whether it can be used, and the attempts to reach it.
        on_reached: Called when the server was reached, also where it is still there.
        on_change: Called with the name of the notification when a list has changed.
        on_session_change: Called with a client's session and that name when a list has changed for
            that session alone.
        on_notification: Called with the server's other notifications: the client's session that one is
            for, "" for the clients without one, None for all; method and parameters.
    """

    def __init__(
        self,
        alias: str,
        settings: ClientSettings,
        *,
        allows: Callable[[Listing, str], bool] = lambda _listing, _name: True,
        names: ServerNaming | None = None,
        timeout_ms: int | None = None,
        transport: SharedTransport | None = None,
        sign_in: SignIn | None = None,
        one_session: bool = False,
        passed_headers: Sequence[str] = (),
        tells_reason: bool = False,
        times: UpstreamTimes = DEFAULT_TIMES,
    ) -> None:
        self.alias = alias
        self.allows = allows
        self.catalog = Catalog(alias, names=names or ServerNaming(alias, prefix=alias), allows=allows)
        self.availability = Availability(
            alias,
            self._reach,
            self._sign_in_needed,
            of_one_user=sign_in is not None,
            tells_reason=tells_reason,
            times=times,
        )
        self.on_reached: Callable[[], None] = lambda: None
        self.on_change: Callable[[str], None] = lambda _method: None
        self.on_session_change: Callable[[str, str], None] = lambda _session_id, _method: None
        self.on_notification: OnClientNotification = lambda _session_id, _method, _params: None
        self._settings = settings
        self.times = times
        self._timeout_ms = times.call_ms if timeout_ms is None else timeout_ms
        self._sign_in = sign_in
        self.one_session = one_session
        self._passed_headers = passed_headers
        self._shares = transport is not None
        self._transport = transport or transport_of(settings)
        self._shared = self._new_session(EVERYTHING, self._hear)
        self._client_sessions: OrderedDict[str, UpstreamSession] = OrderedDict()
        self._own_lists: dict[str, SessionLists] = {}
        self._subscriptions: dict[UpstreamSession, ChangeSubscription] = {}
        self._suspended = SuspendedRequests()
        self._closing: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Upstream {self.alias} {self.state.value}>"

    @property
    def state(self) -> UpstreamState:
        """Whether it can be used."""
        return self.availability.state

    @property
    def server(self) -> InitializeResult | None:
        """The server's description of itself, None before it was reached."""
        return self._shared.server

    def _new_session(self, capabilities: Mapping[str, Any], hear: OnUpstreamNotification) -> UpstreamSession:
        return UpstreamSession(
            self._settings, self._transport, capabilities, hear, self.times, self._passed_headers
        )

    @property
    def reads_resources(self) -> bool:
        """Whether the server is there and has resources."""
        ready = self.state is UpstreamState.READY
        return ready and self.server is not None and self.server.capabilities.resources is not None

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return self._shared.busy or any(session.busy for session in self._client_sessions.values())

    # ---- lists ---------------------------------------------------------------------------------

    async def started(self) -> None:
        """Wait for a server that is being started, for as long as a request may take."""
        await self.availability.settled((self._timeout_ms or self.times.call_ms) / 1000)

    async def _reach(self) -> None:
        await self._shared.connect()
        self.on_reached()
        changed = await read_lists(self._shared, self.catalog)
        self.availability.succeed()
        if self._sign_in is None:  # a stream for each user would be too many
            self._subscription_of(self._shared).begin()
        for method in changed:
            self.on_change(method)

    def _sign_in_needed(self, error: AuthorizationRequiredError) -> None:
        if said_by(error) is None:
            self._show_nothing()

    def _hear(self, method: str, params: Mapping[str, Any]) -> None:
        if method in _LIST_CHANGES:
            self.availability.refresh()
        else:
            # Where each session of a client has its own here, that hears what it subscribed to.
            own = self._shared.connected and self._shared.revision.peer_requests and not self.one_session
            self.on_notification("" if own else None, method, params)

    def _hear_in_session(self, session_id: str, method: str, params: Mapping[str, Any]) -> None:
        """Take a notification that a server sends in the session of one client."""
        if method not in _LIST_CHANGES:
            self.on_notification(session_id, method, params)
            return
        self.availability.refresh()  # it may be true of all sessions
        session = self._client_sessions.get(session_id)
        if session is not None and self._sign_in is None:
            lists = self._own_lists.get(session_id)
            if lists is None:
                told = partial(self._tell_session, session_id)
                lists = self._own_lists[session_id] = SessionLists(session, self._read_catalog, told)
            lists.read_again()

    def _tell_session(self, session_id: str, method: str) -> None:
        self.on_session_change(session_id, method)

    def catalog_of(self, session_id: str) -> Catalog:
        """Return the lists of a client's session: its own, where the server has changed them."""
        lists = self._own_lists.get(session_id)
        return (lists.catalog if lists is not None else None) or self.catalog

    async def _read_catalog(self) -> Catalog:
        """Return the lists that all clients see, after the attempt to read them that is under way."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.times.list_ms / 1000):
                await self.availability.tried()
        return self.catalog

    # ---- changes -------------------------------------------------------------------------------

    def _subscription_of(self, session: UpstreamSession) -> ChangeSubscription:
        subscription = self._subscriptions.get(session)
        if subscription is None:
            # What a client's session has missed is read when the client comes with a request.
            missed = self.availability.refresh if session is self._shared else _nothing
            subscription = ChangeSubscription(session, missed, self.times)
            self._subscriptions[session] = subscription
        return subscription

    def restart(self) -> None:
        """Drop the lists, which the user may no longer be allowed to see, and read them again."""
        attempts = self.availability.reset()  # what they read is what the user could see until now
        if attempts is not None:
            self._keep_until_done(attempts)
        self._show_nothing()
        self.availability.start()

    def _show_nothing(self) -> None:
        changed = [kind.changed for listing, kind in KINDS.items() if self.catalog.replace(listing, {})]
        for method in dict.fromkeys(changed):
            self.on_change(method)

    async def subscribe(self, uri: str, caller: Caller) -> None:
        """Subscribe to changes of a resource.

        Raises:
            RPCError: The server refuses, has no subscriptions, or (-32004) could not be reached.
        """
        if self._sign_in is not None:
            # A subscription is known by its resource alone, not by the user.
            raise MethodNotFoundError(
                f"server {self.alias!r} is each user's own: it has no subscriptions here"
            )
        try:
            await self._subscription_of(await self._session_for(caller)).add(uri)
        except MCPError as error:
            raise self._failure("resources/subscribe", error, None) from error

    async def unsubscribe(self, uri: str) -> None:
        """End a subscription; a server that is gone has forgotten it by itself."""
        for subscription in tuple(self._subscriptions.values()):
            if uri in subscription:
                try:
                    await subscription.remove(uri)
                except MCPError as error:
                    log.debug("%s: resources/unsubscribe failed: %s", self.alias, error)

    # ---- requests ------------------------------------------------------------------------------

    async def call(self, call: Call[WireModel], caller: Caller) -> Result:
        """Forward a request and return its result as it came.

        Raises:
            InputRequired: The client has to be asked first.
            RPCError: The server refused, or (-32004) could not be reached or understood.
        """
        again = InputRound.of(caller) if caller.request_state is not None else None
        try:
            return await self._forward(call, again.caller if again is not None else caller)
        except MCPError as error:
            return await self._recover(call, again or InputRound(caller), error)

    async def _forward(self, call: Call[WireModel], caller: Caller) -> Result:
        session = await self._session_for(caller)
        if self._sign_in is not None and self.state is not UpstreamState.READY:
            self.availability.refresh()  # the user has signed in by now
        if not session.revision.peer_requests:
            if caller.input_responses is not None or caller.request_state is not None:
                call = call.with_params(
                    inputResponses=caller.input_responses, requestState=caller.request_state
                )
        elif not caller.revision.peer_requests:
            return await self._suspended.run(
                caller, lambda request: session.forward(call, request, self._timeout_ms)
            )
        return await session.forward(call, ForwardedRequest(caller), self._timeout_ms)

    async def _recover(self, call: Call[WireModel], asked: InputRound, error: MCPError) -> Result:
        """Have the user sign in where the server wants that, and forward the request again.

        Raises:
            InputRequired: The client has to be asked first.
            RPCError: The error for the client.
        """
        if isinstance(error, LocalProtocolError):
            _check_params(call)
        if self._shared.revision.peer_requests:
            asked = asked.restarted()  # work that waits for an answer of the client is over when it fails
        if self._sign_in is not None and _needs_sign_in(error):
            if self.state is UpstreamState.READY:
                self.availability.refresh()  # there may be nothing to see for the user any more
            await self._sign_in(error, asked)
            try:
                return await self._forward(call, asked.caller)
            except MCPError as failed:
                if _needs_sign_in(failed):
                    raise refusal(failed, asked.caller, AUTHORIZATION_REQUIRED) from failed
                error = failed
        raise self._failure(call.method, error, asked) from error

    def _failure(self, method: str, error: MCPError, asked: InputRound | None) -> InputRequired | RPCError:
        """Return a question for the client, the server's error as a client is to see it, or the gateway's."""
        said = said_by(error)
        if said is None:
            return self._unanswered(method, error)
        told = retold(said, self.alias)
        return (asked.open_urls(told) if asked is not None else None) or told

    def _unanswered(self, method: str, error: MCPError) -> RPCError:
        """Return the error for a request without an answer; details may hold secrets, and go to the log."""
        log.warning("%s: %s failed: %s", self.alias, method, as_keys(str(error)))
        data: dict[str, Any] = {"server": self.alias}
        if isinstance(error, TransportError):
            data["code"] = error.code
            if error.retry_after is not None:
                data["retryAfter"] = error.retry_after
            if error.code in ("connect", "closed", "interrupted"):
                self.availability.fail(error)
                self.availability.start()
        message = f"server {self.alias!r} gave no answer ({kind_of_failure(error)}); see the gateway's log"
        return RPCError(message, code=UPSTREAM_ERROR, data=data)

    # ---- sessions at the server ----------------------------------------------------------------

    async def _session_for(self, caller: Caller) -> UpstreamSession:
        shared, session_id = self._shared, caller.session_id
        if not shared.connected:
            await shared.connect()
        if session_id is None or self.one_session or not shared.revision.peer_requests:
            return shared
        session = self._client_sessions.get(session_id)
        if session is None:
            self._make_room()
            hear = partial(self._hear_in_session, session_id)
            session = self._client_sessions[session_id] = self._new_session(caller.capabilities, hear)
        self._client_sessions.move_to_end(session_id)
        self._end_when_idle(session_id, session)
        if not session.connected:
            await session.connect()
            if self._sign_in is None and session.announces_lists:
                self._subscription_of(session).begin()
        return session

    def _end_when_idle(self, session_id: str, session: UpstreamSession) -> None:
        """End a session that its client does not use: the client's own may have ended elsewhere."""

        def look() -> None:
            if self._client_sessions.get(session_id) is not session:
                return
            if session.busy:
                session.idle_timer = loop.call_later(self.times.session_idle_seconds, look)
            else:
                self.end_session(session_id)

        loop = asyncio.get_running_loop()
        if session.idle_timer is not None:
            session.idle_timer.cancel()
        session.idle_timer = loop.call_later(self.times.session_idle_seconds, look)

    def _make_room(self) -> None:
        if len(self._client_sessions) >= MAX_CLIENT_SESSIONS:
            idle = (session_id for session_id, session in self._client_sessions.items() if not session.busy)
            oldest = next(idle, None)
            if oldest is not None:
                self.end_session(oldest)

    def end_session(self, session_id: str) -> None:
        """End the session that a client had here."""
        session, lists = self._client_sessions.pop(session_id, None), self._own_lists.pop(session_id, None)
        if session is not None:
            self._keep_until_done(asyncio.create_task(self._close_session(session, lists)))
        if lists is not None and lists.catalog is not None:  # what that session had is gone with it
            for method in _LIST_CHANGES:
                self.on_session_change(session_id, method)

    def _keep_until_done(self, task: asyncio.Task[None]) -> None:
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close_session(self, session: UpstreamSession, lists: SessionLists | None = None) -> None:
        if lists is not None:
            await lists.close()
        subscription = self._subscriptions.pop(session, None)
        if subscription is not None:
            await subscription.close()
        await session.close()

    async def retire(self) -> None:
        """End everything when no request is under way any more, or at once where this is cancelled."""
        try:
            while self.busy:
                await asyncio.sleep(RETIRE_SECONDS)
        except asyncio.CancelledError:
            log.debug("%s ends with requests under way", self.alias)
        await self.close()

    async def close(self) -> None:
        """End everything, child processes included."""
        await self.availability.stop()
        await self._suspended.close()
        for session_id in tuple(self._client_sessions):
            self.end_session(session_id)
        await asyncio.gather(self._close_session(self._shared), *self._closing, return_exceptions=True)
        if self._transport is not None and not self._shares:
            self._transport.close_all()
        self.availability.reset()


def _nothing() -> None:
    pass


def _check_params(call: Call[WireModel]) -> None:
    """Check that a client's parameters can be sent on: what is read may hold NaN, which JSON does not know.

    Raises:
        InvalidParamsError: They cannot.
    """
    try:
        jsonrpc.dumps(call.params, "params")
    except LocalProtocolError as error:
        raise InvalidParamsError(str(error)) from error


def _needs_sign_in(error: MCPError) -> TypeGuard[AuthorizationRequiredError]:
    """Whether the gateway itself found out that the user has to sign in."""
    return isinstance(error, AuthorizationRequiredError) and said_by(error) is None

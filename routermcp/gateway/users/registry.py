"""Servers that the users of a gateway sign in at, with connections of each user's own.

Such a server may offer each user other tools, so each user has a catalog, too. Idle users are
forgotten; their tokens stay in the store.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from routermcp_adapters.runtimes.auto import running
from routermcp_proto.exceptions import AuthorizationRequiredError

from ..._internal import ClientSettings, transport_of
from ...oauth.config import DEFAULT_REDIRECT_URI
from ...oauth.flows.connections import UserAccess
from ...oauth.flows.users import ONLY_USER
from ..backend import Caller, Listing
from ..catalog.merged import MergedCatalog
from ..catalog.server_names import ServerNaming
from ..telemetry.audit import AuditedEvent, OnAudited, unheard
from ..upstreams.input_required import InputRound
from ..upstreams.sign_in import sign_in
from ..upstreams.times import DEFAULT_TIMES, UpstreamTimes
from ..upstreams.upstream import Upstream

#: Users whose connections are kept; beyond, the least recent ones are closed.
MAX_USERS = 1_000

#: Seconds after which an idle user is forgotten: as the gateway's own sessions.
USER_IDLE_SECONDS = 300.0

#: Milliseconds for a round of requests to an authorization server.
ACCESS_TIMEOUT_MS = 30_000


class PerUserServer:
    """A server that wants each user to sign in.

    Args:
        alias: Its name here, and in the store of the tokens.
        settings: Returns the settings of its client for a redirect URI.
        allows: Whether an entry of a list may be seen and used.
        redirect_uri: The redirect URI of sign-ins, None for the gateway's own page.
        names: How its tools and prompts are called.
        timeout_ms: Milliseconds that a request may take, None for ``times.call_ms``.
        passed_headers: Headers of clients' requests that go on to it.
        times: How long to wait for it.

    Attributes:
        own_page: Whether browsers come back to the gateway's own page.
        redirect_uri: The redirect URI of sign-ins.
        on_audited: Hears of users who are sent to sign in.
    """

    def __init__(
        self,
        alias: str,
        settings: Callable[[str], ClientSettings],
        *,
        redirect_uri: str | None = None,
        allows: Callable[[Listing, str], bool] = lambda _listing, _name: True,
        names: ServerNaming | None = None,
        timeout_ms: int | None = None,
        passed_headers: Sequence[str] = (),
        times: UpstreamTimes = DEFAULT_TIMES,
    ) -> None:
        self.alias = alias
        self.allows = allows
        self.own_page = redirect_uri is None
        self.redirect_uri = redirect_uri or DEFAULT_REDIRECT_URI
        self.on_audited: OnAudited = unheard
        self._make = settings
        self._names = names
        self._timeout_ms = timeout_ms
        self._passed_headers = passed_headers
        self._times = times
        self._made: ClientSettings | None = None

    def __repr__(self) -> str:
        return f"<PerUserServer {self.alias}>"

    @property
    def settings(self) -> ClientSettings:
        """The settings of its client, made for the first user."""
        if self._made is None:
            self._made = self._make(self.redirect_uri)
            self._exchanges = transport_of(self._made)
        return self._made

    def upstream(self, user_id: str) -> Upstream:
        """Return the server as one user sees it."""
        return Upstream(
            self.alias,
            self.settings.for_user(user_id),
            allows=self.allows,
            timeout_ms=self._timeout_ms,
            passed_headers=self._passed_headers,
            transport=self._exchanges,
            sign_in=partial(self._sign_in, user_id),
            names=self._names,
            times=self._times,
        )

    async def _sign_in(self, user_id: str, required: AuthorizationRequiredError, asked: InputRound) -> None:
        if asked.answers is None and required.url is not None:
            self.on_audited(AuditedEvent.SIGN_IN_BEGUN, {"server": self.alias, "user": user_id})
        await sign_in(required, asked, self.access(user_id), self._times.sign_in_ms)

    def access(self, user_id: str) -> UserAccess:
        """Return the access to a user's tokens."""
        settings = self.settings.for_user(user_id)
        return UserAccess(settings, self._exchanges, running(), ACCESS_TIMEOUT_MS)

    def close(self) -> None:
        """Close all connections."""
        if self._made is not None and self._exchanges is not None:
            self._exchanges.close_all()


class RegisteredUser:
    """One user, and the servers as this user sees them."""

    def __init__(self, user_id: str, servers: Iterable[PerUserServer]) -> None:
        self.user_id = user_id
        self.upstreams: Mapping[str, Upstream] = {
            server.alias: server.upstream(user_id) for server in servers
        }
        self.catalog = MergedCatalog([upstream.catalog for upstream in self.upstreams.values()])
        for upstream in self.upstreams.values():
            upstream.on_change = self.catalog.invalidate
        self.seen = 0.0

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return any(upstream.busy for upstream in self.upstreams.values())

    async def close(self) -> None:
        """End the connections."""
        await asyncio.gather(*(upstream.close() for upstream in self.upstreams.values()))


class UserRegistry:
    """The users with open connections.

    Args:
        servers: The servers that they sign in at.
        clock: Returns the time, in seconds.
    """

    def __init__(self, servers: Sequence[PerUserServer], clock: Callable[[], float] = time.monotonic) -> None:
        self.servers: Mapping[str, PerUserServer] = {server.alias: server for server in servers}
        self._clock = clock
        self._users: OrderedDict[str, RegisteredUser] = OrderedDict()
        self._leaving: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._users)

    def named(self, user_id: str) -> RegisteredUser:
        """Return a user by name."""
        user = self._users.get(user_id)
        if user is None:
            user = self._users[user_id] = RegisteredUser(user_id, self.servers.values())
        self._users.move_to_end(user_id)
        user.seen = self._clock()
        self._make_room()
        return user

    def refresh(self, user_id: str, alias: str) -> None:
        """Read a server's lists anew for a user whose tokens are others now, or given back."""
        user = self._users.get(user_id)
        if user is not None:
            user.upstreams[alias].restart()

    def _make_room(self) -> None:
        now = self._clock()
        for user in tuple(self._users.values()):
            old = now - user.seen > USER_IDLE_SECONDS
            if not old and len(self._users) <= MAX_USERS:
                return
            if not user.busy and user.seen != now:
                del self._users[user.user_id]
                task = asyncio.create_task(user.close())
                self._leaving.add(task)
                task.add_done_callback(self._leaving.discard)

    def end_session(self, session_id: str) -> None:
        """End a client's sessions at the servers."""
        for user in self._users.values():
            for upstream in user.upstreams.values():
                upstream.end_session(session_id)

    async def close(self) -> None:
        """Close all connections."""
        users = [*self._users.values()]
        self._users.clear()
        await asyncio.gather(*(user.close() for user in users), *self._leaving)
        for server in self.servers.values():
            server.close()


def user_of(caller: Caller) -> str:
    """Return the id of the user whose tokens a request is made with."""
    return caller.user_id or ONLY_USER

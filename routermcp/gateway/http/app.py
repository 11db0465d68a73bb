"""The gateway as others see it: projects, keys, limits and health around an MCP endpoint.

::

    front = GatewayFront(GatewayApp(backend), keys=[APIKey("rmc_...")])

The endpoint is there at the application's own path, which belongs to the first project, and
for each project at ``/v1/mcp/{project}``, the same with ``/request``, and with ``/sse``,
where every answer is an event stream. ``/health`` says how the gateway is.

A request is looked at in this order: whether a page of another site is behind it, whether
there is such a project, who makes it and for whom, whether there is room for it, whether it
comes too soon. What is refused reached no backend. Refusals carry the id of the request, so
that clients take them for the gateway's word rather than for that of a proxy.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from routermcp_proto.error_codes import INVALID_REQUEST, PROJECT_NOT_FOUND
from routermcp_proto.exceptions import ConfigError
from routermcp_proto.jsonrpc import ErrorObject

from ..errors import Rejected
from ..users.methods import UserMethods
from . import rate_limit
from .asgi import Receive, Reply, RequestHead, Scope, Send, reject
from .authentication import APIKey, Identity, KeyRing, check_acts_for_users, identify
from .body import ReadAhead, requests_in
from .endpoint import MAX_BODY, GatewayApp
from .lifespan import Step, live
from .rate_limit import RateLimit, TokenBucket
from .routes import health, token_api
from .routes import oauth_callback as callback
from .routes.token_api import TokenAPI
from .session_ids import SessionIdSigner
from .sse import EventBridge, check_takes_events
from .validation import LOOPBACK_HOSTS, check_origin

#: The project that there is where none is named.
DEFAULT_PROJECT = "default"

#: Requests under way at once. Each has a connection, and often one to a server behind the
#: gateway; a process may have 1,024 descriptors by default on Linux.
MAX_REQUESTS = 500

#: Seconds after which a client may try again that found no room.
BUSY_SECONDS = 1

_SLUG = re.compile(r"[a-z0-9-]{1,50}")
_PROJECT_PATH = re.compile(r"/v1/mcp/(?P<project>[^/]+)(?:/(?P<kind>request|sse))?/?")

#: An id that no session has.
_NO_SESSION = "-"


@dataclass(frozen=True, slots=True)
class _Place:
    """What a path leads to."""

    project: str
    events: bool
    """Whether every answer is an event stream there."""


class GatewayFront:
    """An ASGI application that serves an MCP endpoint as a RouterMCP gateway does.

    Runs under asyncio servers, such as uvicorn.

    Args:
        app: Serves the endpoint.
        projects: Slugs of the projects, 1 to 50 lower-case letters, digits and hyphens.
        keys: Who may use the gateway; None for everybody. See
            :func:`~routermcp.gateway.http.authentication.check_binding`.
        limit: Requests that may be made in each project, None for no limit.
        allowed_hosts: As the application's.
        max_body: Bytes of the longest request, as the application's.
        max_requests: Requests under way at once. Streams that wait for announcements are not
            among them: each session has one at most.
        session_secret: At least 32 random bytes that processes share which share sessions;
            None for some that only this one has.
        upstreams: Returns the state of each server behind the gateway by its alias.
        tokens: Serves the tokens of users to those who act for them, None where nobody is to
            have them.
        accounts: Takes the browsers that come back from signing in at servers behind the gateway,
            None where there are no such servers.
        on_startup: Awaited before the first request.
        on_shutdown: Awaited after the last one.
        clock: Tells the time, in seconds.

    Raises:
        ConfigError: A slug is none, a secret is too short, or there is no key at all.
    """

    def __init__(  # noqa: PLR0913 - what a gateway can be told
        self,
        app: GatewayApp,
        *,
        projects: Sequence[str] = (DEFAULT_PROJECT,),
        keys: Sequence[APIKey] | None = None,
        limit: RateLimit | None = None,
        allowed_hosts: Collection[str] = LOOPBACK_HOSTS,
        max_body: int = MAX_BODY,
        max_requests: int = MAX_REQUESTS,
        session_secret: bytes | None = None,
        upstreams: Callable[[], Mapping[str, str]] = dict[str, str],
        tokens: TokenAPI | None = None,
        accounts: UserMethods | None = None,
        on_startup: Step | None = None,
        on_shutdown: Step | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = app.path
        self._app = app
        self._projects = _checked_slugs(projects)
        self._keys = KeyRing(keys) if keys is not None else None
        self._limit = limit
        self._buckets = {slug: TokenBucket(limit, clock) for slug in projects} if limit is not None else {}
        self._allowed_hosts = allowed_hosts
        self._max_body = max_body
        self._max_requests = max_requests
        self._under_way = 0
        self._seal = SessionIdSigner(session_secret)
        self._upstreams = upstreams
        self._tokens = tokens
        self._accounts = accounts
        self._on_startup = on_startup
        self._on_shutdown = on_shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request, or see the application through its life."""
        if scope["type"] == "lifespan":
            await live(receive, send, self._on_startup, self._on_shutdown)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"the gateway serves HTTP, not {scope['type']}")
        head = RequestHead(scope)
        body = ReadAhead(head, receive)
        try:
            await self._route(scope, head, body, send)
        except Rejected as rejected:
            if head.method == "POST":
                rejected.request_id = await body.request_id()
            await reject(rejected, send)

    async def _route(self, scope: Scope, head: RequestHead, body: ReadAhead, send: Send) -> None:
        if head.path == "/health":
            await self._tell_health(scope, head, send)
            return
        if self._accounts is not None and head.path == callback.PATH:
            # A browser comes here by way of other pages, and shows no key: the state is what counts.
            await callback.take(head, scope.get("query_string", b""), self._accounts, send)
            return
        check_origin(head, self._allowed_hosts)
        if self._tokens is not None and head.path.startswith(token_api.PREFIX):
            check_acts_for_users(identify(head, scope, self._keys), head, scope)
            # The path as it was sent: an id may have a slash, percent-encoded.
            head.path = scope.get("raw_path", head.path.encode()).decode("latin-1")
            await self._tokens.answer(head, scope.get("query_string", b""), body.receive, send)
            return
        place = self._find(head.path)
        identity = identify(head, scope, self._keys)
        if place.events:
            check_takes_events(head)
            send = EventBridge(send).send
        if head.method != "POST":
            await self._pass_on(head, place, identity, body, send)
            return
        if self._under_way >= self._max_requests:
            messages = await body.brief()
            if messages is None or requests_in(messages):
                raise _busy()
            # It may be what a request under way waits for: an answer, or its withdrawal.
            await self._pass_on(head, place, identity, body, send)
            return
        self._under_way += 1
        try:
            if await self._in_time(place.project, body, send):
                await self._pass_on(head, place, identity, body, send)
        finally:
            self._under_way -= 1

    def _find(self, path: str) -> _Place:
        if path == self.path:
            return _Place(self._projects[0], False)
        match = _PROJECT_PATH.fullmatch(path)
        if match is None:
            problem = f"the endpoint is {self.path} or /v1/mcp/ and a project"
            raise Rejected(404, ErrorObject(INVALID_REQUEST, problem))
        if match["project"] not in self._projects:
            raise Rejected(404, ErrorObject(PROJECT_NOT_FOUND, "project not found"))
        return _Place(match["project"], match["kind"] == "sse")

    async def _in_time(self, project: str, body: ReadAhead, send: Send) -> bool:
        """Count requests against the limit of their project; answer those that come too soon."""
        if self._limit is None:
            return True
        asked = requests_in(await body.messages(self._max_body))
        if asked > self._limit.requests:
            problem = f"a batch has at most {self._limit.requests} requests here"
            raise Rejected(400, ErrorObject(INVALID_REQUEST, problem))
        wait = self._buckets[project].take(asked)
        if wait is not None:
            await rate_limit.refuse(self._limit, wait, send)
        return wait is None

    # ---- the application behind ------------------------------------------------------------

    async def _pass_on(
        self, head: RequestHead, place: _Place, identity: Identity, body: ReadAhead, send: Send
    ) -> None:
        """Let the application answer; it sees session ids without their seals."""
        user = (identity.user_id or "").encode("ascii")
        owner = (place.project.encode("ascii"), identity.fingerprint, user)
        head.user_id = identity.user_id
        sealed = head.get("Mcp-Session-Id")
        if sealed is not None:
            opened = self._seal.open(sealed.encode("latin-1"), owner)
            head.replace("Mcp-Session-Id", opened.decode("latin-1") if opened else _NO_SESSION)
        if place.events:  # it need not take JSON, as the application asks of others
            head.replace("Accept", None)
        await self._app.answer(head, body.receive, send, lambda plain: self._seal.close(plain, owner))

    # ---- health ----------------------------------------------------------------------------

    async def _tell_health(self, scope: Scope, head: RequestHead, send: Send) -> None:
        if head.method != "GET":
            error = ErrorObject(INVALID_REQUEST, "/health takes GET")
            raise Rejected(405, error, headers=[(b"allow", b"GET")])
        try:
            check_origin(head, self._allowed_hosts)
            identify(head, scope, self._keys)
        except Rejected:  # load balancers, for one, come without keys, and by address
            document = health.BRIEF
        else:
            document = health.report(self._upstreams(), self._app.sessions)
        await Reply(send).json(document, headers=[(b"cache-control", b"no-store")])


def _checked_slugs(projects: Sequence[str]) -> tuple[str, ...]:
    if not projects:
        raise ConfigError("a gateway has at least one project")
    for slug in projects:
        if not _SLUG.fullmatch(slug):
            raise ConfigError(
                f"a project slug has 1 to 50 lower-case letters, digits and hyphens, not {slug!r:.80}"
            )
    return tuple(projects)


def _busy() -> Rejected:
    error = ErrorObject(INVALID_REQUEST, "too many requests are under way")
    return Rejected(503, error, headers=[(b"retry-after", b"%d" % BUSY_SECONDS)])

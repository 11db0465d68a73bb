"""The gateway's ASGI application: projects, API keys, limits and health around an MCP endpoint.

::

    app = ProjectGateway(GatewayApp(backend), keys=[APIKey("rmc_...")])

The endpoint is served at its own path, which belongs to the first project, and for each project
at ``/v1/mcp/{project}``, at the same with ``/request``, and with ``/sse``, where every response
is an event stream. Below its own path it is served for each server alone, at ``/mcp/{server}``.
``/health`` reports the state of the gateway, ``/metrics`` counts its calls.

A request is checked in this order: its origin, its project, its API key and user, the number of
running requests, the rate limit. A refused request reaches no backend. Refusals carry the id of
the request, so that clients attribute them to the gateway rather than to a proxy.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from routermcp_proto.error_codes import INVALID_REQUEST, PROJECT_NOT_FOUND, UNAUTHORIZED
from routermcp_proto.exceptions import ConfigError
from routermcp_proto.jsonrpc import ErrorObject

from ..backend import View
from ..catalog.views import ServerView, common_view
from ..config.listening import DEFAULT_DRAIN_SECONDS, MAX_REQUESTS
from ..errors import Rejected
from ..shares import OWNER_SHARE
from ..telemetry.audit import AuditedEvent, OnAudited, unheard
from ..users.methods import UserMethods
from ..users.oauth_state import PATH as CALLBACK_PATH
from . import rate_limit
from .asgi import Receive, RequestHead, ResponseWriter, Scope, Send, reject
from .authentication import (
    KEY_HEADER,
    USER_HEADER,
    APIKey,
    Authentication,
    Credential,
    Identity,
    KeyRing,
    check_acts_for_users,
)
from .body import REFUSED_SECONDS, RequestBody, requests_in
from .cors import SharedResponse, allowed_origin, answer_preflight, is_preflight
from .gateway_app import MAX_BODY, GatewayApp, SignSessionId
from .lifespan import LifespanHook, run_lifespan
from .rate_limit import MemoryRates, RateCounter, RateLimit
from .routes import health, oauth_callback
from .routes.protected_resource import METADATA_PATH, answer_resource_metadata
from .routes.token_api import USERS_PATH, TokenAPI
from .session_ids import SessionIdSigner
from .sse import EventStreamSender
from .validation import LOOPBACK_HOSTS, check_accept, check_get, check_origin

if TYPE_CHECKING:
    from .bearer import BearerTokens

#: The project of a gateway whose projects are not named.
DEFAULT_PROJECT = "default"

#: Seconds after which a client may retry that was refused because too many requests were running.
BUSY_RETRY_AFTER_SECONDS = 1

METRICS_CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

_SLUG = re.compile(r"[a-z0-9-]{1,50}")
_PROJECT_PATH = re.compile(r"/v1/mcp/(?P<project>[^/]+)(?:/(?P<kind>request|sse))?/?")
_SERVER_PATH = re.compile(r"/(?P<server>[A-Za-z0-9_-]+)/?")

#: An id that no session has.
_NO_SESSION = "-"

_Handler = Callable[[Scope, RequestHead, RequestBody, Send], Awaitable[None]]


class ProjectGateway:
    """An ASGI application that serves an MCP endpoint as a RouterMCP gateway does.

    Runs under asyncio servers, such as uvicorn.

    Args:
        app: Serves the endpoint.
        projects: Slugs of the projects, 1 to 50 lower-case letters, digits and hyphens.
        views: What is seen in projects that do not show everything.
        keys: The API keys that give access; None for access without a key, unless there are
            ``bearers``. See :func:`~routermcp.gateway.http.authentication.check_binding`.
        bearers: The access tokens that give access too, None for none.
        limit: Requests that each owner, a key and its user, may make in each project; None for no limit.
        rates: Counts them, None for a counter in this process's memory.
        allowed_hosts: As the application's.
        max_body: Bytes of the longest request, as the application's.
        max_requests: Requests under way at once. Streams that wait for announcements do not
            count: each session has one at most. An owner may have ``OWNER_SHARE`` times as many as are
            left, so that there is room for another.
        max_owner_requests: Those of one owner at most, None for that share alone.
        refused_seconds: Seconds that a request which is going to be refused gets to arrive.
        drain_seconds: Seconds that requests under way get when the server ends, before they are refused.
        session_secret: At least 32 random bytes, the same for all processes that share sessions;
            None for a random secret of this process.
        upstreams: Returns the state of each server behind the gateway by its alias.
        problems: Returns why servers cannot be used, by the alias of each that failed.
        metrics: Returns the page of metrics, None to serve none.
        tokens: Serves the tokens of users to applications that act for them; None to serve none.
        accounts: Completes the sign-ins of browsers that come back from servers behind the
            gateway, None without such servers.
        on_audited: Hears of each request that is refused.
        on_startup: Awaited before the first request.
        on_shutdown: Awaited after the last one.
        clock: Returns the time, in seconds.

    Raises:
        ConfigError: A slug is invalid, a secret is too short, or the list of keys is empty.
    """

    def __init__(  # noqa: PLR0913 - the options of a gateway
        self,
        app: GatewayApp,
        *,
        projects: Sequence[str] = (DEFAULT_PROJECT,),
        views: Mapping[str, View] = MappingProxyType({}),
        keys: Sequence[APIKey] | None = None,
        bearers: BearerTokens | None = None,
        limit: RateLimit | None = None,
        rates: RateCounter | None = None,
        allowed_hosts: Collection[str] = LOOPBACK_HOSTS,
        max_body: int = MAX_BODY,
        max_requests: int = MAX_REQUESTS,
        max_owner_requests: int | None = None,
        refused_seconds: float = REFUSED_SECONDS,
        drain_seconds: float = DEFAULT_DRAIN_SECONDS,
        session_secret: bytes | None = None,
        upstreams: Callable[[], Mapping[str, str]] = dict[str, str],
        problems: Callable[[], Mapping[str, str]] = dict[str, str],
        metrics: Callable[[], bytes] | None = None,
        tokens: TokenAPI | None = None,
        accounts: UserMethods | None = None,
        on_audited: OnAudited = unheard,
        on_startup: LifespanHook | None = None,
        on_shutdown: LifespanHook | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = app.path
        self._app = app
        self._projects = _checked_slugs(projects)
        self._views = views
        self._authentication = Authentication(KeyRing(keys) if keys is not None else None, bearers)
        self._bearers = bearers
        self._limit = limit
        self._rates = rates or (MemoryRates(limit, clock) if limit is not None else None)
        self._allowed_hosts = allowed_hosts
        self._max_body = max_body
        self._max_requests = max_requests
        self._max_owner_requests = max_requests if max_owner_requests is None else max_owner_requests
        self._refused_seconds = refused_seconds
        self._drain_seconds = drain_seconds
        self._ending = False
        self._under_way = 0
        self._under_way_of: dict[bytes, int] = {}
        self._signer = SessionIdSigner(session_secret)
        self._upstreams = upstreams
        self._problems = problems
        self._metrics = metrics
        self._tokens = tokens
        self._accounts = accounts
        self.on_audited = on_audited
        self._on_startup = on_startup
        self._on_shutdown = on_shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request, or run the lifespan of the application."""
        if scope["type"] == "lifespan":
            await run_lifespan(receive, send, self._on_startup, self._on_shutdown)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"the gateway serves HTTP, not {scope['type']}")
        head = RequestHead(scope)
        body = RequestBody(head, receive, self._refused_seconds)
        page = head.joined("Origin") is not None
        origin = allowed_origin(head, self._allowed_hosts) if page else None
        if origin is not None:
            send = SharedResponse(send, origin).send
        try:
            if origin is not None and is_preflight(head):
                await answer_preflight(head, send)  # it has no key
            else:
                await self._handler_of(head.path)(scope, head, body, send)
        except Rejected as rejected:
            self._note_refusal(head, rejected.status, rejected.error)
            if head.method == "POST" and rejected.request_id is None:  # the endpoint names its own
                rejected.request_id = await body.request_id()
            await reject(rejected, send)

    def _note_refusal(self, head: RequestHead, status: int, error: ErrorObject) -> None:
        known = isinstance(error.data, dict)
        details: dict[str, str | int | None] = {
            "status": status,
            "reason": error.message,
            "cause": cast("Mapping[str, Any]", error.data).get("reason") if known else None,
            "method": head.method,
            "path": head.path,
            "address": head.address,
            "user": head.joined(USER_HEADER),
        }
        self.on_audited(AuditedEvent.REFUSED, details)

    def begin_shutdown(self) -> None:
        """End the streams, and give the requests under way their time; to be called in the event loop."""
        if not self._ending:
            self._ending = True
            self._app.end_streams()
            asyncio.get_running_loop().call_later(self._drain_seconds, self._app.refuse_running)

    def _handler_of(self, path: str) -> _Handler:
        if path == "/health":
            return self._report_health
        if self._metrics is not None and path == "/metrics":
            return partial(self._report_metrics, self._metrics)
        if self._accounts is not None and path == CALLBACK_PATH:
            return partial(_complete_sign_in, self._accounts)
        if self._tokens is not None and path.startswith(USERS_PATH):
            return partial(self._serve_tokens, self._tokens)
        if self._bearers is not None and path.startswith(METADATA_PATH):
            return partial(self._describe_resource, self._bearers)
        return self._serve_endpoint

    async def _serve_tokens(
        self, tokens: TokenAPI, scope: Scope, head: RequestHead, body: RequestBody, send: Send
    ) -> None:
        check_origin(head, self._allowed_hosts)
        identity = await self._authentication.identify(head, scope)
        check_acts_for_users(identity, head, scope)
        if identity.credential is not None:
            identity.credential.check_opens_all("the store of tokens")
            head.owner = b"\0%b\0" % identity.credential.fingerprint  # of no project, for any user
        # The path as it was sent: an id may have a slash, percent-encoded.
        head.path = scope.get("raw_path", head.path.encode()).decode("latin-1")
        await tokens.answer(head, scope.get("query_string", b""), body.receive, send)

    async def _describe_resource(
        self, bearers: BearerTokens, scope: Scope, head: RequestHead, body: RequestBody, send: Send
    ) -> None:
        del body
        self._project_of(head.path.removeprefix(METADATA_PATH) or self.path)
        document = bearers.metadata(head, scope)
        await answer_resource_metadata(head, document, self._allowed_hosts, send)

    async def _report_health(self, scope: Scope, head: RequestHead, body: RequestBody, send: Send) -> None:
        del body
        check_get(head)
        try:
            check_origin(head, self._allowed_hosts)
            credential = (await self._authentication.identify(head, scope)).credential
        except Rejected as rejected:  # load balancers, for one, come without keys, and by address
            if head.joined("Authorization") or head.joined(KEY_HEADER):
                self._note_refusal(head, rejected.status, rejected.error)
            document = health.BRIEF
        else:
            upstreams = self._upstreams()
            if credential is not None:
                upstreams = {a: s for a, s in upstreams.items() if credential.shows_server(a, self._views)}
            document = health.report(upstreams, self._problems(), self._app.sessions)
        await ResponseWriter(send).document(document, headers=[(b"cache-control", b"no-store")])

    async def _report_metrics(
        self, metrics: Callable[[], bytes], scope: Scope, head: RequestHead, body: RequestBody, send: Send
    ) -> None:
        del body
        check_get(head)
        check_origin(head, self._allowed_hosts)
        credential = (await self._authentication.identify(head, scope)).credential
        if credential is not None:
            credential.check_opens_all("/metrics")
        headers = [(b"content-type", METRICS_CONTENT_TYPE), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": metrics()})

    # ---- the endpoint -----------------------------------------------------------------------

    async def _serve_endpoint(self, scope: Scope, head: RequestHead, body: RequestBody, send: Send) -> None:
        check_origin(head, self._allowed_hosts)
        project, streams, server = self._project_of(head.path)
        identity = await self._authentication.identify(head, scope)
        shown = identity.credential
        if server or self._views or (shown is not None and (shown.view or shown.projects is not None)):
            head.view = self._view_of(project, server, shown)
        if streams:
            check_accept(head, "text/event-stream")
            head.replace("accept", None)  # the client need not take JSON, which the endpoint asks for
            send = EventStreamSender(send).send
        sign = self._signing_for(head, project, identity)
        owner, counts = head.owner, head.method == "POST"
        held = self._under_way_of.get(owner, 0)
        left = min(OWNER_SHARE * (self._max_requests - self._under_way), self._max_owner_requests)
        if counts and held >= left:
            messages = await body.brief()
            if messages is None or requests_in(messages):
                error = ErrorObject(INVALID_REQUEST, "too many requests are under way")
                raise Rejected(503, error, headers=[(b"retry-after", b"%d" % BUSY_RETRY_AFTER_SECONDS)])
            counts = False  # a running request may wait for it: a response, or a cancellation
        if not counts:
            await self._app.answer(head, body.receive, send, sign)
            return
        self._under_way += 1
        self._under_way_of[owner] = self._under_way_of.get(owner, 0) + 1
        try:
            if self._limit is None or await self._within(self._limit, head, body, send):
                await self._app.answer(head, body.receive, send, sign)
        finally:
            self._under_way -= 1
            self._under_way_of[owner] -= 1
            if not self._under_way_of[owner]:
                del self._under_way_of[owner]

    def _project_of(self, path: str) -> tuple[str, bool, str]:
        """Return the project that a path names, whether every response is an event stream, and the server.

        The server is empty for all of them.
        """
        if path in (self.path, f"{self.path}/"):
            return self._projects[0], False, ""
        alone = _SERVER_PATH.fullmatch(path, len(self.path)) if path.startswith(self.path) else None
        if alone is not None:
            return self._projects[0], False, alone["server"]
        match = _PROJECT_PATH.fullmatch(path)
        if match is None:
            problem = f"the endpoint is {self.path} or /v1/mcp/ and a project"
            raise Rejected(404, ErrorObject(INVALID_REQUEST, problem))
        if match["project"] not in self._projects:
            raise Rejected(404, ErrorObject(PROJECT_NOT_FOUND, "project not found"))
        return match["project"], match["kind"] == "sse", ""

    def _view_of(self, project: str, server: str, shown: Credential | None) -> View | None:
        """Return what is seen in a project, or of one of its servers, with a credential.

        Raises:
            Rejected: The credential does not open the project (403), or there is no such server in what
                is seen (404).
        """
        if shown is not None and shown.projects is not None and project not in shown.projects:
            problem, reason = f"this {shown.kind} does not open the project", "project_not_allowed"
            raise Rejected(403, ErrorObject(UNAUTHORIZED, problem, {"reason": reason}))
        view = common_view(self._views.get(project), shown.view if shown is not None else None)
        if not server:
            return view
        if server not in self._upstreams() or (view is not None and not view.shows_server(server)):
            raise Rejected(404, ErrorObject(INVALID_REQUEST, "there is no such server here"))
        return common_view(view, ServerView(server))

    async def _within(self, limit: RateLimit, head: RequestHead, body: RequestBody, send: Send) -> bool:
        """Count requests against the limit of their owner; refuse requests beyond it."""
        asked = requests_in(await body.messages(self._max_body))
        if asked > limit.requests:
            problem = f"a batch has at most {limit.requests} requests here"
            raise Rejected(400, ErrorObject(INVALID_REQUEST, problem))
        wait = await self._rates.take(head.owner, asked) if self._rates is not None and asked else None
        if wait is not None:
            self._note_refusal(head, 429, ErrorObject(INVALID_REQUEST, "rate limit exceeded"))
            await rate_limit.refuse_rate_limited(limit, wait, send)
        return wait is None

    def _signing_for(self, head: RequestHead, project: str, identity: Identity) -> SignSessionId:
        """Replace a signed session id by the id alone, and return the function that signs new ones."""
        head.user_id = identity.user_id
        user = (identity.user_id or "").encode("ascii")
        shown = identity.credential
        owner = (project.encode("ascii"), shown.fingerprint if shown is not None else b"", user)
        head.owner = b"\0".join(owner)
        signed = head.get("mcp-session-id")
        if signed is not None:
            session_id = self._signer.verify(signed.encode("latin-1"), owner)
            head.replace("mcp-session-id", session_id.decode("latin-1") if session_id else _NO_SESSION)
        return partial(self._signer.sign, owner=owner)


async def _complete_sign_in(
    accounts: UserMethods, scope: Scope, head: RequestHead, body: RequestBody, send: Send
) -> None:
    # Other pages send the browser here, and it has no key: its state is what is checked.
    del body
    await oauth_callback.answer_oauth_callback(head, scope.get("query_string", b""), accounts, send)


def _checked_slugs(projects: Sequence[str]) -> tuple[str, ...]:
    if not projects:
        raise ConfigError("a gateway has at least one project")
    for slug in projects:
        if not _SLUG.fullmatch(slug):
            raise ConfigError(
                f"a project slug has 1 to 50 lower-case letters, digits and hyphens, not {slug!r:.80}"
            )
    return tuple(projects)

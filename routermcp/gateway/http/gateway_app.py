"""The MCP endpoint: Streamable HTTP on the server's session machine.

The era is decided for each request: one with a protocol version in its ``_meta`` gets a machine
of its own; ``initialize`` opens a session whose machine is kept under an ``Mcp-Session-Id``. A
request of the handshake era without a session gets a machine of its own too, so that
``tools/list`` works by itself as it does at a RouterMCP gateway; only methods that need a
session are refused then.

A client that disconnects cancels its request, in the handshake era too: streams cannot be
resumed, so the answer would reach no client.

Sources: https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http
and https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#streamable-http
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, cast

from routermcp_proto import jsonrpc
from routermcp_proto.error_codes import INTERNAL_ERROR, INVALID_REQUEST
from routermcp_proto.jsonrpc import ErrorObject
from routermcp_proto.server_session import ServerSession
from routermcp_proto.states import SessionState

from ..backend import Backend, Described, Viewed
from ..dispatch.context import Sender
from ..dispatch.subscriptions import Subscriptions
from ..errors import Header, Rejected
from ..sessions.base import MAX_SESSIONS, SESSION_IDLE_SECONDS, KeptSession, SessionEnd, SessionStore
from ..sessions.memory import MemorySessions
from ..sessions.owners import session_details
from ..telemetry.audit import AuditedEvent, OnAudited, unheard
from .asgi import (
    Receive,
    RequestHead,
    ResponseWriter,
    Scope,
    Send,
    disconnected,
    read_body,
    reject,
    write_events,
)
from .post import KEEP_ALIVE_SECONDS, Post
from .validation import (
    LOOPBACK_HOSTS,
    check_accept,
    check_content_type,
    check_origin,
    check_post_accept,
    check_session_version,
    is_stateless,
)

#: Bytes of the longest request: the limit of the official TypeScript server ("4mb").
MAX_BODY = 4 * 1024 * 1024

SignSessionId = Callable[[bytes], bytes]
"""Signs the id of a new session for its client."""


class GatewayApp:
    """An ASGI application that serves a backend at one MCP endpoint.

    Runs under asyncio servers, such as uvicorn.

    Args:
        backend: The backend to serve.
        path: Path of the endpoint.
        allowed_hosts: Host names, without port, that ``Host`` and ``Origin`` may have.
        max_body: Bytes of the longest request.
        max_sessions: Sessions of the handshake era at once.
        session_idle: Seconds after which an unused session is forgotten.
        sessions: The store of the sessions, with bounds of its own; None for this process's memory.
        clock: Returns the time, in seconds.
        keep_alive_seconds: Seconds after which a silent stream gets a comment.

    Attributes:
        on_audited: Hears of sessions that begin and end.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        path: str = "/mcp",
        allowed_hosts: Collection[str] = LOOPBACK_HOSTS,
        max_body: int = MAX_BODY,
        max_sessions: int = MAX_SESSIONS,
        session_idle: float = SESSION_IDLE_SECONDS,
        sessions: SessionStore | None = None,
        clock: Callable[[], float] = time.monotonic,
        keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
    ) -> None:
        self.path = path
        self._backend = backend
        self._allowed_hosts = allowed_hosts
        self._max_body = max_body
        self._keep_alive = keep_alive_seconds
        self._sessions: SessionStore = (
            sessions if sessions is not None else MemorySessions(max_sessions, session_idle, clock)
        )
        self._subscriptions = Subscriptions(backend, self._sessions, self._sessions.may_watch)
        self._sessions.on_announced = self._subscriptions.announce
        self._sessions.on_ended = self._note_end
        self.on_audited: OnAudited = unheard
        self._posts: set[Post] = set()
        self._methods = {"POST": self._post, "GET": self._get, "DELETE": self._delete}

    @property
    def sessions(self) -> int:
        """The number of kept sessions of the handshake era."""
        return len(self._sessions)

    def announce(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        session_id: str | None = None,
        server: str | None = None,
    ) -> None:
        """Send a notification to every client that is subscribed to it.

        These are clients of the handshake era that have opened their session's shared
        stream, and clients of the stateless era that listen for it. A change of a resource
        goes to the clients that have subscribed to the resource.

        To be called in the event loop that serves the application.

        Args:
            method: The notification.
            params: Its parameters.
            session_id: The one session of the handshake era that it is for, "" for the clients
                without one, None for all clients.
            server: The server that it is about, which a client has to see; None for the whole backend.

        Raises:
            LocalProtocolError: JSON cannot hold the parameters.
        """
        self._subscriptions.announce(method, params or {}, session_id, server)
        if not any(each.id == session_id and each.announcements is not None for each in self._sessions):
            # The client may have opened its stream at another process.
            self._sessions.spread(method, params or {}, session_id, server)

    def end_streams(self) -> None:
        """End the streams of clients that listen for changes."""
        self._subscriptions.end()
        for session in self._sessions:
            session.announce(None)

    def refuse_running(self) -> None:
        """Answer the requests under way with an error, as the server ends."""
        for post in tuple(self._posts):
            post.refuse(ErrorObject(INTERNAL_ERROR, "the gateway is ending", {"reason": "shutdown"}))

    async def close(self) -> None:
        """Cancel the running requests of the sessions, and close the session store."""
        await self._sessions.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] != "http":
            raise RuntimeError(f"the gateway serves HTTP, not {scope['type']}")
        try:
            head = RequestHead(scope)
            check_origin(head, self._allowed_hosts)
            if head.path != self.path:
                raise Rejected(404, ErrorObject(INVALID_REQUEST, f"the endpoint is {self.path}"))
            await self.answer(head, receive, send)
        except Rejected as rejected:
            await reject(rejected, send)

    def answer(
        self, head: RequestHead, receive: Receive, send: Send, sign: SignSessionId | None = None
    ) -> Awaitable[None]:
        """Answer a request whose path and origin are checked.

        Args:
            head: The head of the request.
            receive: The ASGI receive function.
            send: The ASGI send function.
            sign: Signs the id of a new session for its client; None sends it as it is.

        Raises:
            Rejected: The request is not one that the endpoint takes; nothing is sent yet.
        """
        method = self._methods.get(head.method)
        if method is None:
            raise _method_not_allowed("the endpoint takes POST, GET and DELETE")
        return method(head, receive, send, sign)

    def _note_end(self, session: KeptSession, reason: SessionEnd, owner: bytes = b"") -> None:
        details = session_details(session, owner or session.owner)
        self.on_audited(AuditedEvent.SESSION_ENDED, {**details, "reason": reason.value})

    # ---- POST --------------------------------------------------------------------------

    async def _post(
        self, head: RequestHead, receive: Receive, send: Send, sign: SignSessionId | None
    ) -> None:
        check_content_type(head)
        takes_events = check_post_accept(head)
        body = await read_body(head, receive, self._max_body)
        messages = jsonrpc.decode(body, batches=True)
        shown = self._backend if head.view is None else cast("Viewed", self._backend).seen_by(head.view)
        stateless = is_stateless(head, messages[0], shown.input_schema)
        if not takes_events and (stateless or messages[1:]):
            check_accept(head, "text/event-stream")  # only older hosts leave it out, and a batch needs it
        session = None if stateless else await self._session_of(head, messages[0])
        try:
            if stateless:
                machine = self._new_machine(shown, "")  # it sends no requests, which would need a prefix
            else:
                machine = session.machine if session is not None else self._session_machine(shown)
            is_batch = body.lstrip().startswith(b"[")  # which only one revision knows
            events = machine.receive_message(body) if is_batch else machine.receive_decoded(messages)
            headers: list[Header] = []
            if session is not None:
                await self._sessions.settle(session, body, events)
            elif not stateless and machine.state is SessionState.READY:
                session = await self._sessions.admit(machine, head.owner)
                self.on_audited(AuditedEvent.SESSION_BEGUN, session_details(session, head.owner))
                session_id = session.id.encode("ascii")
                headers.append((b"mcp-session-id", sign(session_id) if sign is not None else session_id))
            response = ResponseWriter(send, headers)
            post = Post(
                self._backend,
                self._subscriptions,
                machine,
                session,
                response,
                Sender(head.user_id, head.view, head.joined, head.owner),
                self._keep_alive,
                takes_events=takes_events,
            )
            self._posts.add(post)
            try:
                await post.run(events, receive)
            finally:
                self._posts.discard(post)
        finally:
            if session is not None:
                await self._sessions.used(session)

    async def _session_of(self, head: RequestHead, message: jsonrpc.Message) -> KeptSession | None:
        """Return the session that a message of the handshake era belongs to, None without one.

        Raises:
            Rejected: The session is unknown, or a response has none.
        """
        if isinstance(message, jsonrpc.Request) and message.method == "initialize":
            return None
        session_id = head.get("mcp-session-id")
        if session_id is not None:
            check_session_version(head)
            return await self._sessions.find(session_id, self._session_machine)
        if isinstance(message, jsonrpc.Response | jsonrpc.ErrorResponse):
            raise Rejected(400, ErrorObject(INVALID_REQUEST, "nothing was asked that this answers"))
        return None

    def _session_machine(self, shown: Described | None = None) -> ServerSession:
        return self._new_machine(shown or self._backend, self._sessions.request_prefix())

    def _new_machine(self, shown: Described, request_prefix: str) -> ServerSession:
        backend = self._backend
        return ServerSession(
            server_info=backend.server_info,
            capabilities=backend.capabilities,
            instructions=shown.instructions,
            request_prefix=request_prefix,
        )

    # ---- GET and DELETE ------------------------------------------------------------------

    async def _get(self, head: RequestHead, receive: Receive, send: Send, sign: SignSessionId | None) -> None:
        """Open the shared stream of a session, for messages that belong to no request."""
        del sign
        check_accept(head, "text/event-stream")
        session_id = head.get("mcp-session-id")
        if session_id is None:
            raise _method_not_allowed("without a session there is no stream to GET")
        check_session_version(head)
        session = await self._sessions.find(session_id, self._session_machine)
        try:
            queue = await self._sessions.open_stream(session)
            session.view = head.view
            watcher = asyncio.create_task(disconnected(receive))
            response = ResponseWriter(send)
            try:
                await response.keep_alive()
                await write_events(queue, watcher, response, self._keep_alive)
            finally:
                watcher.cancel()
                await self._sessions.close_stream(session)
            await response.end()
        finally:
            await self._sessions.used(session)

    async def _delete(
        self, head: RequestHead, receive: Receive, send: Send, sign: SignSessionId | None
    ) -> None:
        """End a session."""
        del receive, sign
        session_id = head.get("mcp-session-id")
        if session_id is None:
            raise Rejected(400, ErrorObject(INVALID_REQUEST, "the header Mcp-Session-Id is missing"))
        session = await self._sessions.find(session_id, self._session_machine)
        try:
            await self._sessions.remove(session)
            self._note_end(session, SessionEnd.CLIENT, head.owner)
            self._subscriptions.forget(session)
            await self._backend.end_session(session_id)
        finally:
            await self._sessions.used(session)
        await ResponseWriter(send).empty(204)


def _method_not_allowed(problem: str) -> Rejected:
    error = ErrorObject(INVALID_REQUEST, problem)
    return Rejected(405, error, headers=[(b"allow", b"POST, GET, DELETE")])

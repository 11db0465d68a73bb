"""The ASGI application: Streamable HTTP on the server's session machine.

Which era a request belongs to is decided for each request: one that carries a protocol
version in its ``_meta`` gets a machine of its own; ``initialize`` opens a session whose
machine is kept under an ``Mcp-Session-Id``. A request of the handshake era without a
session gets a machine of its own too, so that ``tools/list`` works by itself as it does at
a RouterMCP gateway; only what needs a session is then not there.

A client that disconnects cancels its request, in the handshake era too: streams are not
kept for resuming, so nobody could get the answer any more.

Sources: https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http
and https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#streamable-http
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from routermcp_proto import jsonrpc
from routermcp_proto.error_codes import INVALID_REQUEST
from routermcp_proto.events import MessageReady, RequestReceived
from routermcp_proto.jsonrpc import ErrorObject
from routermcp_proto.server_session import ServerSession
from routermcp_proto.states import SessionState

from ..backend import Backend
from ..dispatch.subscriptions import Subscriptions
from ..errors import Header, Rejected
from ..sessions.base import MAX_SESSIONS, SESSION_IDLE_SECONDS, KeptSession, SessionStore
from ..sessions.memory import SessionTable
from .asgi import Receive, Reply, RequestHead, Scope, Send, disconnected, read_body, reject
from .post import KEEP_ALIVE_SECONDS, Exchange
from .validation import (
    LOOPBACK_HOSTS,
    accepts,
    check_media_types,
    check_mirrored_headers,
    check_origin,
    check_session_version,
    is_stateless,
)

#: Bytes of the longest request: what the official TypeScript server takes ("4mb").
MAX_BODY = 4 * 1024 * 1024

Seal = Callable[[bytes], bytes]


def _plain(session_id: bytes) -> bytes:
    return session_id


class GatewayApp:
    """An ASGI application that serves a backend at one MCP endpoint.

    Runs under asyncio servers, such as uvicorn.

    Args:
        backend: What is offered.
        path: Path of the endpoint.
        allowed_hosts: Host names, without port, that ``Host`` and ``Origin`` may have.
        max_body: Bytes of the longest request.
        max_sessions: Sessions of the handshake era at once.
        session_idle: Seconds after which one that nobody uses is forgotten.
        sessions: Where they are kept, with bounds of its own; None for this process.
        clock: Tells the time, in seconds.
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
    ) -> None:
        self.path = path
        self._backend = backend
        self._allowed_hosts = allowed_hosts
        self._max_body = max_body
        self._sessions: SessionStore = (
            sessions if sessions is not None else SessionTable(max_sessions, session_idle, clock)
        )
        self._announcements = Subscriptions(backend, self._sessions)
        self._sessions.on_announced = self._announcements.announce

    @property
    def sessions(self) -> int:
        """How many sessions of the handshake era are kept."""
        return len(self._sessions)

    def announce(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send a notification to every client that wants to hear it.

        These are clients of the handshake era that have opened their session's shared
        stream, and those of the stateless era that listen for it. A change of a resource
        is for those who have subscribed to it.

        To be called in the event loop that serves the application.

        Raises:
            LocalProtocolError: JSON cannot hold the parameters.
        """
        self._announcements.announce(method, params or {})
        self._sessions.spread(method, params or {})

    def end_streams(self) -> None:
        """Tell clients of the stateless era that listen for changes that there will be no more."""
        self._announcements.end()

    async def close(self) -> None:
        """Stop what is under way in the sessions, and let go of where they are kept."""
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
        except Rejected as rejected:
            await reject(rejected, send)
        else:
            await self.answer(head, receive, send)

    async def answer(self, head: RequestHead, receive: Receive, send: Send, seal: Seal = _plain) -> None:
        """Answer a request whose path and origin somebody else has looked at.

        Args:
            head: The head of the request.
            receive: Where its body comes from.
            send: Where the answer goes.
            seal: Makes of the id of a new session what its client gets to see.
        """
        try:
            await self._route(head, receive, send, seal)
        except Rejected as rejected:
            await reject(rejected, send)

    async def _route(self, head: RequestHead, receive: Receive, send: Send, seal: Seal) -> None:
        if head.method == "POST":
            await self._post(head, receive, send, seal)
        elif head.method == "GET":
            await self._get(head, receive, send)
        elif head.method == "DELETE":
            await self._delete(head, send)
        else:
            raise _not_allowed("the endpoint takes POST, GET and DELETE")

    # ---- POST --------------------------------------------------------------------------

    async def _post(self, head: RequestHead, receive: Receive, send: Send, seal: Seal) -> None:
        check_media_types(head)
        body = await read_body(head, receive, self._max_body)
        messages = jsonrpc.decode(body, batches=True)
        session = await self._session_for(head, messages[0])
        try:
            machine = session.machine if session is not None else self._new_machine()
            is_batch = body.lstrip().startswith(b"[")  # which only one revision knows
            events = machine.receive_message(body) if is_batch else machine.receive_decoded(messages)
            headers: list[Header] = []
            if session is None and machine.state is SessionState.READY:
                session = await self._sessions.admit(machine)
                headers.append((b"mcp-session-id", seal(session.id.encode("ascii"))))
            elif session is not None:
                await self._sessions.settle(session, body, events)
            ready = [event for event in events if isinstance(event, MessageReady)]
            asked = [event for event in events if isinstance(event, RequestReceived)]
            reply = Reply(send, headers)
            exchange = Exchange(self._backend, self._announcements, machine, session, reply, head.user_id)
            await exchange.run(ready, asked, receive)
        finally:
            if session is not None:
                await self._sessions.used(session)

    async def _session_for(self, head: RequestHead, message: jsonrpc.Message) -> KeptSession | None:
        """Check a message against its headers, and find the session that it belongs to.

        Raises:
            Rejected: It contradicts its headers, or its session is unknown.
        """
        if isinstance(message, jsonrpc.Request):
            if is_stateless(head, message):
                check_mirrored_headers(head, message, self._backend.input_schema)
                return None
            if message.method == "initialize":
                return None
        session_id = head.get("Mcp-Session-Id")
        if session_id is not None:
            check_session_version(head)
            return await self._sessions.find(session_id, self._new_machine)
        if isinstance(message, jsonrpc.Response | jsonrpc.ErrorResponse):
            raise Rejected(400, ErrorObject(INVALID_REQUEST, "nothing was asked that this answers"))
        return None

    def _new_machine(self) -> ServerSession:
        backend = self._backend
        return ServerSession(
            server_info=backend.server_info,
            capabilities=backend.capabilities,
            instructions=backend.instructions,
            request_prefix=self._sessions.request_prefix(),
        )

    # ---- GET and DELETE ------------------------------------------------------------------

    async def _get(self, head: RequestHead, receive: Receive, send: Send) -> None:
        """Open the shared stream of a session, for what belongs to no request."""
        if not accepts(head, "text/event-stream"):
            raise Rejected(406, ErrorObject(INVALID_REQUEST, "Accept must list text/event-stream"))
        session_id = head.get("Mcp-Session-Id")
        if session_id is None:
            raise _not_allowed("without a session there is no stream to GET")
        check_session_version(head)
        session = await self._sessions.find(session_id, self._new_machine)
        try:
            queue = await self._sessions.open_stream(session)
            watcher = asyncio.create_task(disconnected(receive))
            reply = Reply(send)
            try:
                await reply.keep_alive()
                await self._stream(queue, watcher, reply)
            finally:
                watcher.cancel()
                await self._sessions.close_stream(session)
            await reply.end()
        finally:
            await self._sessions.used(session)

    async def _stream(
        self, queue: asyncio.Queue[bytes | None], watcher: asyncio.Task[None], reply: Reply
    ) -> None:
        while not watcher.done():
            following = asyncio.create_task(queue.get())
            try:
                done, _ = await asyncio.wait(
                    {following, watcher}, timeout=KEEP_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                if not following.done():
                    following.cancel()
            if following in done:
                payload = following.result()
                if payload is None:
                    return
                await reply.event(payload)
            elif not done:
                await reply.keep_alive()

    async def _delete(self, head: RequestHead, send: Send) -> None:
        session_id = head.get("Mcp-Session-Id")
        if session_id is None:
            raise Rejected(400, ErrorObject(INVALID_REQUEST, "the header Mcp-Session-Id is missing"))
        session = await self._sessions.find(session_id, self._new_machine)
        try:
            await self._sessions.remove(session)
            self._announcements.forget(session)
            await self._backend.end_session(session_id)
        finally:
            await self._sessions.used(session)
        await Reply(send).empty(204)


def _not_allowed(problem: str) -> Rejected:
    error = ErrorObject(INVALID_REQUEST, problem)
    return Rejected(405, error, headers=[(b"allow", b"POST, GET, DELETE")])

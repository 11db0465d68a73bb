"""HTTP+SSE, the transport of 2024-11-05, for clients that know no other.

A client opens an event stream, is told in its first event where to send messages, and gets every
answer on that stream. The session lives as long as the stream.

Source: https://modelcontextprotocol.io/specification/2024-11-05/basic/transports#http-with-sse
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qs

from routermcp_proto.error_codes import INVALID_REQUEST
from routermcp_proto.jsonrpc import ErrorObject

from ..backend import Backend
from ..errors import Rejected
from ..http.asgi import (
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
from ..http.cors import SharedResponse, allowed_origin, answer_preflight, is_preflight
from ..http.gateway_app import MAX_BODY
from ..http.post import KEEP_ALIVE_SECONDS
from ..http.validation import LOOPBACK_HOSTS, check_content_type, check_origin
from ..sessions.base import MAX_SESSIONS, SESSION_ID_BYTES
from .stream import StreamServer

#: Messages to one client that wait until it reads: beyond, the stream ends, as a client does not miss
#: a part of them unnoticed.
MAX_WAITING = 1_000


class LegacySSEApp:
    """An ASGI application that serves a backend over HTTP+SSE.

    Args:
        backend: The backend to serve.
        path: Path of the event streams.
        message_path: Path that messages are sent to.
        allowed_hosts: Host names, without port, that ``Host`` and ``Origin`` may have.
        keep_alive_seconds: Seconds after which a silent stream gets a comment.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        path: str = "/sse",
        message_path: str = "/message",
        allowed_hosts: Collection[str] = LOOPBACK_HOSTS,
        keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
    ) -> None:
        self.path = path
        self.message_path = message_path
        places = ((message_path, "POST"), (path, "GET"))
        self._methods = {f"{at}{slash}": method for at, method in places for slash in ("", "/")}
        self._backend = backend
        self._allowed_hosts = allowed_hosts
        self._keep_alive = keep_alive_seconds
        self._clients: dict[str, StreamServer] = {}
        self._queues: dict[str, asyncio.Queue[bytes | None]] = {}

    def serves(self, path: str) -> bool:
        """Say whether a path is one of its endpoints, with or without a slash at its end."""
        return path in self._methods

    def announce(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        session_id: str | None = None,
        server: str | None = None,
    ) -> None:
        """Send a notification to every client that is subscribed to it."""
        for client in tuple(self._clients.values()):
            client.announce(method, params or {}, session_id, server)

    def end_streams(self) -> None:
        """End all streams."""
        for queue in self._queues.values():
            _put_last(queue)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        try:
            head = RequestHead(scope)
            origin = allowed_origin(head, self._allowed_hosts)
            if origin is not None:
                send = SharedResponse(send, origin).send
                if is_preflight(head):
                    await answer_preflight(head, send)
                    return
            check_origin(head, self._allowed_hosts)
            wanted = self._methods.get(head.path, "POST")
            if head.method != wanted:
                # By this clients find out which transport it is: no message of MCP, which would be an answer.
                headers, body = [(b"allow", wanted.encode("ascii"))], b"Method Not Allowed"
                await ResponseWriter(send).document(body, 405, headers, media_type=b"text/plain")
            elif wanted == "GET":
                await self._stream(scope, receive, send)
            else:
                await self._post(head, scope, receive, send)
        except Rejected as rejected:
            await reject(rejected, send)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self._clients) >= MAX_SESSIONS:
            raise Rejected(503, ErrorObject(INVALID_REQUEST, "too many clients are connected"))
        session_id = secrets.token_urlsafe(SESSION_ID_BYTES)
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_WAITING)

        async def put(payload: bytes) -> None:
            if queue.full():
                _put_last(queue)
            else:
                queue.put_nowait(payload)

        client = StreamServer(self._backend, put)
        self._clients[session_id], self._queues[session_id] = client, queue
        watcher = asyncio.create_task(disconnected(receive))
        response = ResponseWriter(send)
        try:
            # A proxy in front may have taken away the beginning of the path.
            root: str = scope.get("root_path", "")
            place = f"{root}{self.message_path}?sessionId={session_id}"
            await response.stream(f"event: endpoint\ndata: {place}\n\n".encode("ascii"))
            await write_events(queue, watcher, response, self._keep_alive)
        finally:
            watcher.cancel()
            del self._clients[session_id], self._queues[session_id]
            closing = asyncio.create_task(client.close())
            await asyncio.shield(closing)
        await response.end()

    async def _post(self, head: RequestHead, scope: Scope, receive: Receive, send: Send) -> None:
        check_content_type(head)
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        client = self._clients.get(query.get("sessionId", [""])[0])
        if client is None:
            raise Rejected(404, ErrorObject(INVALID_REQUEST, "no client has such a session"))
        body = await read_body(head, receive, MAX_BODY)
        await ResponseWriter(send).document(b"Accepted", 202, media_type=b"text/plain")
        await client.receive(body)


def _put_last(queue: asyncio.Queue[bytes | None]) -> None:
    while queue.full():
        queue.get_nowait()
    queue.put_nowait(None)

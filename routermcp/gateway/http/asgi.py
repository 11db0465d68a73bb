"""Reads HTTP requests and writes HTTP responses over plain ASGI.

Source: https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from functools import lru_cache
from typing import Any

from routermcp_proto import jsonrpc
from routermcp_proto.error_codes import INVALID_REQUEST
from routermcp_proto.http.numbers import whole_number
from routermcp_proto.jsonrpc import ErrorObject

from ..backend import View
from ..errors import Header, Rejected

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: Header names whose ASGI spelling is cached: those that the gateway reads, and those that tools
#: declare for their parameters.
MAX_CACHED_NAMES = 1_024

_EVENT_STREAM: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    # "servers SHOULD include the X-Accel-Buffering: no header" (MCP 2026-07-28).
    (b"x-accel-buffering", b"no"),
)


@lru_cache(maxsize=MAX_CACHED_NAMES)
def _header_key(name: str) -> bytes:
    return name.lower().encode("ascii")


class RequestHead:
    """Method, path and headers of a request, and what its authentication says.

    Attributes:
        user_id: The user that the request is for; None for no user, or before authentication.
        view: The part of the backend that its client sees; None for the whole, or before authentication.
        owner: Names the key and the user, for limits; empty before authentication.
    """

    def __init__(self, scope: Scope) -> None:
        self.user_id: str | None = None
        self.view: View | None = None
        self.owner = b""
        self._scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        # ASGI servers give names in lower case (HTTP connection scope).
        headers: list[Header] = list(scope["headers"])
        self._headers = dict(headers)
        self._repeated: dict[bytes, list[bytes]] = {}
        if len(self._headers) < len(headers):
            for name, value in headers:
                self._repeated.setdefault(name, []).append(value)

    def get(self, name: str) -> str | None:
        """Return the value of a header that may appear once, None without it.

        Raises:
            Rejected: The header appears more than once, so that two readers could disagree.
        """
        value = self._headers.get(_header_key(name))
        if value is None:
            return None
        if self._repeated and len(self._repeated[_header_key(name)]) > 1:
            raise Rejected(400, ErrorObject(INVALID_REQUEST, f"the header {name} is given twice"))
        # Not every server strips the optional white space (RFC 9110, 5.5).
        return value.strip(b" \t").decode("latin-1")

    @property
    def address(self) -> str | None:
        """The address of the client, or of a proxy."""
        client = self._scope.get("client")
        return client[0] if client is not None else None

    def joined(self, name: str) -> str | None:
        """Return all values of a list header, joined with commas; None without it."""
        key = _header_key(name)
        if key not in self._headers:
            return None
        values = self._repeated[key] if self._repeated else [self._headers[key]]
        return b", ".join(values).decode("latin-1")

    def replace(self, name: str, value: str | None) -> None:
        """Set a header to one value, or remove it for None."""
        key = _header_key(name)
        self._headers.pop(key, None)
        if self._repeated:
            self._repeated[key] = [] if value is None else [value.encode("latin-1")]
        if value is not None:
            self._headers[key] = value.encode("latin-1")


async def read_body(head: RequestHead, receive: Receive, limit: int) -> bytes:
    """Read the body of a request.

    Raises:
        Rejected: The body is longer than the limit (413), or the client disconnected (400, unsent).
    """
    announced = head.get("Content-Length")
    # A number with fewer digits than the limit is below it.
    if announced is not None and len(announced) >= len(str(limit)):
        length = whole_number(announced, limit + 1)
        if length is not None and length > limit:
            raise _too_large(limit)
    chunks: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Rejected(400, ErrorObject(INVALID_REQUEST, "the body is not complete"))
        chunk: bytes = message.get("body", b"")
        length += len(chunk)
        if length > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunk if len(chunks) == 1 else b"".join(chunks)


def _too_large(limit: int) -> Rejected:
    return Rejected(413, ErrorObject(INVALID_REQUEST, f"a body has at most {limit} bytes"))


async def disconnected(receive: Receive) -> None:
    """Wait until the client disconnects; to be called after the body was read."""
    while (await receive())["type"] != "http.disconnect":
        pass


class ResponseWriter:
    """Writes one HTTP response: a whole document, or an event stream.

    Args:
        send: The ASGI send function.
        headers: Headers of the response, whichever kind it becomes.
    """

    def __init__(self, send: Send, headers: Sequence[Header] = ()) -> None:
        self._send = send
        self._headers = headers
        self._lock = asyncio.Lock()
        self.streaming = False
        self.complete = False

    async def empty(self, status: int, headers: Sequence[Header] = ()) -> None:
        """Send a response without a body."""
        length = () if status == 204 else ((b"content-length", b"0"),)
        await self._whole(status, (*self._headers, *headers, *length), b"")

    async def document(
        self,
        body: bytes,
        status: int = 200,
        headers: Sequence[Header] = (),
        media_type: bytes = b"application/json",
    ) -> None:
        """Send a whole document, JSON unless another media type is named."""
        own = ((b"content-type", media_type), *headers, (b"content-length", b"%d" % len(body)))
        await self._whole(status, (*self._headers, *own), body)

    async def _whole(self, status: int, headers: Sequence[Header], body: bytes) -> None:
        self.complete = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def stream(self, chunk: bytes) -> None:
        """Send a piece of the event stream; the first one begins it."""
        async with self._lock:
            if not self.streaming:
                self.streaming = True
                headers = [*self._headers, *_EVENT_STREAM]
                await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def event(self, payload: bytes) -> None:
        """Send a message as an event."""
        await self.stream(b"event: message\ndata: %b\n\n" % payload)

    async def keep_alive(self) -> None:
        """Send a comment, so that no proxy takes the stream for dead."""
        await self.stream(b":\n\n")

    async def end(self) -> None:
        """End the event stream; one that never began is sent empty."""
        if self.complete:
            return
        if not self.streaming:
            await self.stream(b"")
        self.complete = True
        await self._send({"type": "http.response.body", "body": b""})


async def write_events(
    queue: asyncio.Queue[bytes | None], watcher: asyncio.Task[None], response: ResponseWriter, silence: float
) -> None:
    """Write messages as events until the queue gives None, or the client disconnects.

    Args:
        queue: The messages.
        watcher: Ends when the client disconnects.
        response: The response.
        silence: Seconds after which a silent stream gets a comment.
    """
    while not watcher.done():
        following = asyncio.create_task(queue.get())
        try:
            done, _ = await asyncio.wait(
                {following, watcher}, timeout=silence, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            if not following.done():
                following.cancel()
        if following in done:
            payload = following.result()
            if payload is None:
                return
            await response.event(payload)
        elif not done:
            await response.keep_alive()


async def reject(rejected: Rejected, send: Send) -> None:
    """Send the HTTP error of a rejected request."""
    payload = jsonrpc.encode_error(rejected.request_id, rejected.error)
    await ResponseWriter(send).document(payload, rejected.status, rejected.headers)

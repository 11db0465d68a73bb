"""Reads HTTP requests and writes HTTP responses over plain ASGI.

Source: https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
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

_EVENT_STREAM: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    # "servers SHOULD include the X-Accel-Buffering: no header" (MCP 2026-07-28).
    (b"x-accel-buffering", b"no"),
)


class RequestHead:
    """Method, path and headers of a request, and what its authentication says.

    Attributes:
        get: Returns the value of a header that may appear once, by its name in lower case, as ASGI servers
            give it; None without it. Raises ``Rejected`` where it appears more than once, so that two
            readers could disagree.
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
        headers: list[Header] = list(scope["headers"])
        # Not every server strips the optional white space (RFC 9110, 5.5).
        self._values = {
            name.decode("latin-1"): value.strip(b" \t").decode("latin-1") for name, value in headers
        }
        # A request asks a dozen times: a dictionary answers in a tenth of what a method takes.
        self.get: Callable[[str], str | None] = self._values.get
        self._repeated: dict[str, list[str]] = {}
        if len(self._values) < len(headers):
            self.get = self._get_unrepeated
            for name, value in headers:
                self._repeated.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))

    def _get_unrepeated(self, name: str) -> str | None:
        if len(self._repeated.get(name, ())) > 1:
            raise Rejected(400, ErrorObject(INVALID_REQUEST, f"the header {name} is given twice"))
        return self._values.get(name)

    @property
    def address(self) -> str | None:
        """The address of the client, or of a proxy."""
        client = self._scope.get("client")
        return client[0] if client is not None else None

    def joined(self, name: str) -> str | None:
        """Return all values of a list header, by its name in any case, with commas; None without it."""
        name = name.lower()
        return ", ".join(self._repeated[name]) if name in self._repeated else self._values.get(name)

    def replace(self, name: str, value: str | None) -> None:
        """Set a header, by its name in lower case, to one value, or remove it for None."""
        self._repeated.pop(name, None)
        if value is None:
            self._values.pop(name, None)
        else:
            self._values[name] = value


async def read_body(head: RequestHead, receive: Receive, limit: int) -> bytes:
    """Read the body of a request.

    Raises:
        Rejected: The body is longer than the limit (413), or the client disconnected (400, unsent).
    """
    announced = head.get("content-length")
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

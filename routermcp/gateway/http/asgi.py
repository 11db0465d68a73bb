"""The little of HTTP that the gateway needs, over plain ASGI.

Source: https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from functools import lru_cache
from typing import Any

from routermcp_proto import jsonrpc
from routermcp_proto.error_codes import INVALID_REQUEST
from routermcp_proto.jsonrpc import ErrorObject

from ..errors import Header, Rejected

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: Names of headers whose spelling on the wire is kept: those that somebody asks for here, and
#: those that tools declare for their parameters.
MAX_NAMES = 1_024

_EVENT_STREAM: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    # "servers SHOULD include the X-Accel-Buffering: no header" (MCP 2026-07-28).
    (b"x-accel-buffering", b"no"),
)


@lru_cache(maxsize=MAX_NAMES)
def _key(name: str) -> bytes:
    return name.lower().encode("ascii")


class RequestHead:
    """Method, path and headers of a request, and whom it is for, where that was found out.

    Attributes:
        user_id: Whom it is for; None until somebody has found out.
    """

    def __init__(self, scope: Scope) -> None:
        self.user_id: str | None = None
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
        """Return the value of a header that may be given once.

        Raises:
            Rejected: It is given more than once, so that two readers may take it differently.
        """
        value = self._headers.get(_key(name))
        if value is None:
            return None
        if self._repeated and len(self._repeated[_key(name)]) > 1:
            raise Rejected(400, ErrorObject(INVALID_REQUEST, f"the header {name} is given twice"))
        # Not every server takes the white space off that may stand around (RFC 9110, 5.5).
        return value.strip(b" \t").decode("latin-1")

    def joined(self, name: str) -> str | None:
        """Return all values of a header that is a list, None where there is none."""
        key = _key(name)
        if key not in self._headers:
            return None
        values = self._repeated[key] if self._repeated else [self._headers[key]]
        return b", ".join(values).decode("latin-1")

    def replace(self, name: str, value: str | None) -> None:
        """Let a header have another value, or none at all."""
        key = _key(name)
        self._headers.pop(key, None)
        if self._repeated:
            self._repeated[key] = [] if value is None else [value.encode("latin-1")]
        if value is not None:
            self._headers[key] = value.encode("latin-1")


async def read_body(head: RequestHead, receive: Receive, limit: int) -> bytes:
    """Read the body of a request.

    Raises:
        Rejected: It is longer than the limit, or the client left (400, which nobody sees).
    """
    announced = head.get("Content-Length")
    if announced is not None and announced.isdecimal() and int(announced) > limit:
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
    """Wait until the client is gone; to be used after the body was read."""
    while (await receive())["type"] != "http.disconnect":
        pass


class Reply:
    """One HTTP response: a JSON document, or an event stream as soon as there is more to say.

    Args:
        send: Where it goes.
        headers: Headers of the response, whichever kind it becomes.
    """

    def __init__(self, send: Send, headers: Sequence[Header] = ()) -> None:
        self._send = send
        self._headers = headers
        self._turn = asyncio.Lock()
        self.streaming = False
        self.complete = False

    async def _whole(self, status: int, headers: Sequence[Header], body: bytes) -> None:
        self.complete = True
        length = (b"content-length", b"%d" % len(body))
        bodiless = status == 204
        all_headers = [*self._headers, *headers] if bodiless else [*self._headers, *headers, length]
        await self._send({"type": "http.response.start", "status": status, "headers": all_headers})
        await self._send({"type": "http.response.body", "body": body})

    async def empty(self, status: int, headers: Sequence[Header] = ()) -> None:
        """Send a response without a body."""
        await self._whole(status, headers, b"")

    async def json(self, payload: bytes, status: int = 200, headers: Sequence[Header] = ()) -> None:
        """Send a JSON document."""
        await self.document(b"application/json", payload, status, headers)

    async def document(
        self, media_type: bytes, payload: bytes, status: int = 200, headers: Sequence[Header] = ()
    ) -> None:
        """Send a document of some other kind."""
        await self._whole(status, ((b"content-type", media_type), *headers), payload)

    async def stream(self, chunk: bytes) -> None:
        """Send a piece of the event stream, which begins with the first one."""
        async with self._turn:
            if not self.streaming:
                self.streaming = True
                headers = [*self._headers, *_EVENT_STREAM]
                await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def event(self, payload: bytes) -> None:
        """Send a message as an event."""
        await self.stream(b"event: message\ndata: %b\n\n" % payload)

    async def keep_alive(self) -> None:
        """Send a comment, so that nobody on the way takes the stream for dead."""
        await self.stream(b":\n\n")

    async def end(self) -> None:
        """End the event stream; one that never began is then empty."""
        if self.complete:
            return
        if not self.streaming:
            await self.stream(b"")
        self.complete = True
        await self._send({"type": "http.response.body", "body": b""})


async def reject(rejected: Rejected, send: Send) -> None:
    """Send the HTTP error of a rejected request."""
    payload = jsonrpc.encode_error(rejected.request_id, rejected.error)
    await Reply(send).json(payload, rejected.status, rejected.headers)

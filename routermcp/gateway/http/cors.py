"""Cross-origin requests of browsers, for pages of the hosts that are allowed.

Source: Fetch Standard, section "CORS protocol", https://fetch.spec.whatwg.org/#http-cors-protocol.
"""

from __future__ import annotations

from collections.abc import Collection, MutableMapping
from typing import Any

from ..errors import Header, Rejected
from .asgi import RequestHead, ResponseWriter, Send
from .validation import check_origin

#: Seconds that a browser keeps the answer to a preflight: it asks before each call otherwise.
PREFLIGHT_SECONDS = 600

#: Headers of responses that pages may read.
EXPOSED_HEADERS = b"Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate, Retry-After"


def allowed_origin(head: RequestHead, allowed_hosts: Collection[str]) -> str | None:
    """Return the origin of the page that sent a request, None for no page, or one of another site."""
    try:
        check_origin(head, allowed_hosts)
        return head.get("origin")
    except Rejected:
        return None


def is_preflight(head: RequestHead) -> bool:
    """Whether a browser asks what its page may send."""
    return head.method == "OPTIONS" and head.joined("Access-Control-Request-Method") is not None


async def answer_preflight(head: RequestHead, send: Send) -> None:
    """Allow the page what it asks for: which headers a request may have is checked when it comes."""
    asked = head.joined("Access-Control-Request-Headers")
    headers: list[Header] = [
        (b"access-control-allow-methods", b"GET, POST, DELETE"),
        (b"access-control-max-age", b"%d" % PREFLIGHT_SECONDS),
    ]
    if asked is not None:
        headers.append((b"access-control-allow-headers", asked.encode("latin-1")))
    await ResponseWriter(send).empty(204, headers)


class SharedResponse:
    """Sends a response that a page of another origin may read.

    Args:
        send: The ASGI send function behind it.
        origin: The origin of the page.
    """

    def __init__(self, send: Send, origin: str) -> None:
        self._send = send
        self._headers: tuple[Header, ...] = (
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-expose-headers", EXPOSED_HEADERS),
            (b"vary", b"Origin"),
        )

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Take an ASGI message of the application."""
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *self._headers]}
        await self._send(message)

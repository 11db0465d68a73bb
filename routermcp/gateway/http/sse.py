"""Answers that are event streams, whatever the application makes of them."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from routermcp_proto.error_codes import INVALID_REQUEST
from routermcp_proto.jsonrpc import ErrorObject

from ..errors import Rejected
from .asgi import Reply, RequestHead, Send
from .validation import accepts

_OF_DOCUMENTS = (b"content-type", b"content-length")


def check_takes_events(head: RequestHead) -> None:
    """See that a client takes event streams.

    Raises:
        Rejected: It does not (406).
    """
    if not accepts(head, "text/event-stream"):
        raise Rejected(406, ErrorObject(INVALID_REQUEST, "Accept must list text/event-stream"))


class EventBridge:
    """Sends a JSON document as the only event of a stream; all else passes as it is.

    So do refusals, whose HTTP status says more than a stream could.

    Args:
        send: Where the answer goes.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._held: Reply | None = None

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Take what the application sends."""
        if self._held is not None:
            await self._held.event(message["body"])
            await self._held.end()
        elif self._is_document(message):
            kept = [pair for pair in message["headers"] if pair[0] not in _OF_DOCUMENTS]
            self._held = Reply(self._send, kept)
        else:
            await self._send(message)

    @staticmethod
    def _is_document(message: MutableMapping[str, Any]) -> bool:
        if message["type"] != "http.response.start" or message["status"] != 200:
            return False
        return (b"content-type", b"application/json") in message["headers"]

"""Responses as event streams, whichever form the endpoint chose."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from .asgi import ResponseWriter, Send

_DOCUMENT_HEADERS = (b"content-type", b"content-length")


class EventStreamSender:
    """Sends a JSON document as the only event of a stream; everything else passes unchanged.

    Refusals pass unchanged too: their HTTP status says more than a stream could.

    Args:
        send: The ASGI send function behind it.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._stream: ResponseWriter | None = None

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Take an ASGI message of the endpoint."""
        if self._stream is not None:
            await self._stream.event(message["body"])
            await self._stream.end()
        elif self._begins_document(message):
            headers = [pair for pair in message["headers"] if pair[0] not in _DOCUMENT_HEADERS]
            self._stream = ResponseWriter(self._send, headers)
        else:
            await self._send(message)

    @staticmethod
    def _begins_document(message: MutableMapping[str, Any]) -> bool:
        if message["type"] != "http.response.start" or message["status"] != 200:
            return False
        return (b"content-type", b"application/json") in message["headers"]

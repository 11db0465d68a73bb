"""HTTP requests that are not MCP's: the whole answer, of any content.

A sign-in needs documents and tokens of other servers. They use the same connections and
readers as MCP's messages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from ..events import Event, Fetched
from ..exceptions import RemoteProtocolError
from .headers import HeaderBlock, HTTPRequest
from .reader import BodyData, EndOfBody, ResponseHead
from .url import EndpointURL


class HTTPExchange(Protocol):
    """Reads the answer to one request."""

    private: bool
    """Whether request and answer must not be logged."""

    finished: bool
    """Whether the request has its outcome."""

    secrets: Callable[[], Sequence[str]]
    """Returns the secrets that were sent with the request, which are redacted in its answer."""

    sent: bool
    """Whether the request may have reached the server."""

    @property
    def size(self) -> int:
        """Bytes of the message that is being received."""
        ...

    @property
    def refused(self) -> bool:
        """Whether the answer is a refusal that becomes an event."""
        ...

    def receive(self, item: ResponseHead | BodyData | EndOfBody) -> list[Event]:
        """Feed an item of a reader.

        Raises:
            RemoteProtocolError: The item is not allowed here.
        """
        ...


class FetchExchange:
    """Reads one answer whole.

    Args:
        max_size: Bytes of the longest body.
    """

    private = True
    refused = False

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._head = ResponseHead(0, ())
        self._body = bytearray()
        self.finished = self.sent = False
        self.secrets: Callable[[], Sequence[str]] = tuple

    @property
    def size(self) -> int:
        """Bytes of the body so far."""
        return len(self._body)

    def receive(self, item: ResponseHead | BodyData | EndOfBody) -> list[Event]:
        """Feed an item of a reader.

        Raises:
            RemoteProtocolError: The body is too long, or compressed although no compression was accepted.
        """
        if isinstance(item, ResponseHead):
            self._head = item
            encodings = [value for name, value in item.headers if name == b"content-encoding"]
            if any(encoding.strip().lower() not in (b"", b"identity") for encoding in encodings):
                raise RemoteProtocolError("the body is compressed, but the request accepts only identity")
            return []
        if isinstance(item, BodyData):
            if len(self._body) + len(item.data) > self._max_size:
                raise RemoteProtocolError(f"the body is longer than {self._max_size} bytes")
            self._body += item.data
            return []
        self.finished = True
        headers: dict[str, str] = {}
        for raw, value in self._head.headers:
            name, text = raw.decode("latin-1"), value.decode("latin-1")
            headers[name] = f"{headers[name]}, {text}" if name in headers else text
        return [Fetched(self._head.status, headers, bytes(self._body))]


def fetch_request(method: str, endpoint: EndpointURL, headers: Mapping[str, str], body: bytes) -> HTTPRequest:
    """Return a request to any server.

    Raises:
        LocalProtocolError: A header is not valid in HTTP.
    """
    own = {"Host": endpoint.authority, "Accept-Encoding": "identity"}
    if body or method == "POST":
        own["Content-Length"] = str(len(body))
    return HTTPRequest(
        method.encode("ascii"),
        endpoint.target.encode("ascii"),
        HeaderBlock({**own, **headers}.items()),
        body,
        private=True,
    )

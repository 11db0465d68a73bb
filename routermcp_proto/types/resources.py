"""Resources: data that a server lets its clients read.

Source: https://modelcontextprotocol.io/specification/2026-07-28/server/resources
"""

from __future__ import annotations

import base64
from typing import Annotated, Any

from ..exceptions import RemoteProtocolError
from .base import (
    FAIL_FAST,
    PARTS,
    CacheableResult,
    EmptyForNull,
    Icons,
    Lenient,
    Meta,
    OptionalAnnotations,
    PaginatedResult,
    WireModel,
)

# What RFC 4648, section 5, writes for two of the characters.
_URL_SAFE = str.maketrans("-_", "+/")


class Resource(WireModel):
    """A resource that a server offers.

    Attributes:
        uri: Its URI, as the server wrote it.
        name: Name for programs.
        title: Name for people.
        size: Size of the raw content in bytes.
    """

    uri: str
    name: str
    title: str | None = None
    description: str | None = None
    mimeType: str | None = None
    annotations: OptionalAnnotations = None
    size: Annotated[int | None, Lenient()] = None
    icons: Icons = None
    meta: Meta = None


class ResourceTemplate(WireModel):
    """A family of resources.

    Attributes:
        uriTemplate: RFC 6570 template of their URIs.
        name: Name for programs.
        title: Name for people.
        mimeType: The media type of all of them, if they have one in common.
    """

    uriTemplate: str
    name: str
    title: str | None = None
    description: str | None = None
    mimeType: str | None = None
    annotations: OptionalAnnotations = None
    icons: Icons = None
    meta: Meta = None


class ResourceContents(WireModel):
    """The content of one resource: text, or bytes in base64.

    Attributes:
        uri: The resource; may differ from the requested one.
        text: The content, if it is text.
        blob: The content in base64, if it is not.
    """

    uri: str
    mimeType: str | None = None
    text: str | None = None
    blob: str | None = None
    meta: Meta = None

    @property
    def data(self) -> bytes:
        """The content as bytes, text in UTF-8.

        Raises:
            RemoteProtocolError: ``blob`` is not base64.
        """
        if self.blob is None:
            return (self.text or "").encode()
        return decode_base64(self.blob, f"the blob of resource {self.uri!r}")


class ReadResourceResult(CacheableResult):
    """A server's answer to ``resources/read``; a directory may have several contents."""

    contents: Annotated[list[ResourceContents], PARTS, EmptyForNull]


class ListResourcesResult(PaginatedResult):
    """One page of a server's resources."""

    resources: Annotated[list[Resource], FAIL_FAST, EmptyForNull]


class ListResourceTemplatesResult(PaginatedResult):
    """One page of a server's resource templates."""

    resourceTemplates: Annotated[list[ResourceTemplate], FAIL_FAST, EmptyForNull]


def decode_base64(text: Any, what: str) -> bytes:
    """Decode base64 from the peer: also with line breaks, URL-safe, unpadded or as a ``data:`` URI.

    Raises:
        RemoteProtocolError: It is not base64; the message names it by `what`.
    """
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        problem = error
    plain = "".join(str(text).split())
    if plain.startswith("data:"):
        plain = plain.partition(",")[2]
    plain = plain.rstrip("=").translate(_URL_SAFE)
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:
        raise RemoteProtocolError(f"{what} is not base64: {problem}") from None

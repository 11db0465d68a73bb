"""The bounded protocol over httptools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .protocol import BoundedProtocol

if TYPE_CHECKING:
    HttpToolsProtocol = object
else:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class BoundedHttptoolsProtocol(BoundedProtocol, HttpToolsProtocol):
    """HTTP over httptools, which calls back for each part of a request."""

"""One server as it is: names untouched, and what it says about itself too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .aggregate import PATIENCE, Aggregate
from .upstream import Upstream


class Mirror(Aggregate):
    """The backend that passes everything on to one server.

    Args:
        upstream: The server, made with ``prefix=False``.
        patience: Seconds that a list waits for it while it is being started.
    """

    def __init__(self, upstream: Upstream, *, patience: float = PATIENCE) -> None:
        super().__init__([upstream], search=False, patience=patience)
        self._mirrored = upstream

    async def begin(self) -> None:
        """Reach the server, so that the first client hears what it says about itself."""
        await self._settle()

    @property
    def server_info(self) -> Mapping[str, Any]:
        """The server's own name; ours until it is reached."""
        server = self._mirrored.server
        return super().server_info if server is None else server.serverInfo.to_wire()

    @property
    def capabilities(self) -> Mapping[str, Any]:
        """What the server offers; anything, until it is reached."""
        server = self._mirrored.server
        return super().capabilities if server is None else server.capabilities.to_wire()

    @property
    def instructions(self) -> str | None:
        """What the server tells language models."""
        server = self._mirrored.server
        return None if server is None else server.instructions

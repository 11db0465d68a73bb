"""The lists of one session at a server, where a session may have other tools than the next one.

A server of the handshake era may switch tools on in a session, by a call of that session's client. It
announces that in the session; the lists are read there again, and are that client's alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import Context

from routermcp_proto.exceptions import MCPError, MethodNotFoundError

from ..backend import Listing
from ..catalog.entries import KINDS, Catalog, Entry
from .session import UpstreamSession

log = logging.getLogger("routermcp.gateway")


async def read_lists(session: UpstreamSession, catalog: Catalog) -> list[str]:
    """Read the lists of a server anew; return the notifications of those that have changed.

    Raises:
        MCPError: The server cannot be reached, or refuses.
    """
    changed = [kind.changed for listing, kind in KINDS.items() if await _read(session, catalog, listing)]
    return list(dict.fromkeys(changed))


async def _read(session: UpstreamSession, catalog: Catalog, listing: Listing) -> bool:
    server, kind = session.server, KINDS[listing]
    entries: dict[str, Entry] = {}
    if server is not None and getattr(server.capabilities, kind.capability) is not None:
        try:
            await session.each_page(kind.call(), lambda page: catalog.read(listing, page, entries))
        except MethodNotFoundError:
            log.debug("%s has no %s", session, listing.value)
    return catalog.replace(listing, entries)


class SessionLists:
    """The lists of one session, read again whenever the server says that they have changed.

    Runs under asyncio.

    Args:
        session: The session at the server.
        shared: Waits until the lists that all clients see were read again, and returns them.
        on_change: Called with the notification of each list that has changed for this session alone.

    Attributes:
        catalog: The lists, None while they are those that all clients see.
    """

    def __init__(
        self,
        session: UpstreamSession,
        shared: Callable[[], Awaitable[Catalog]],
        on_change: Callable[[str], None],
    ) -> None:
        self.catalog: Catalog | None = None
        self._session = session
        self._shared = shared
        self._on_change = on_change
        self._stale = False
        self._task: asyncio.Task[None] | None = None

    def read_again(self) -> None:
        """Read the lists again; while that is under way, once more after it."""
        self._stale = True
        if self._task is None or self._task.done():
            # In a context of its own: the request during which the server said so has no part in it.
            self._task = asyncio.create_task(self._read_all(), context=Context())

    async def _read_all(self) -> None:
        while self._stale:
            self._stale = False
            try:
                catalog = self.catalog or (await self._shared()).copy()
                changed = await read_lists(self._session, catalog)
            except MCPError as error:
                log.warning("%s: the lists of a client's session cannot be read: %s", self._session, error)
                return
            if changed:
                self.catalog = catalog
            for method in changed:
                self._on_change(method)

    async def close(self) -> None:
        """Stop reading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

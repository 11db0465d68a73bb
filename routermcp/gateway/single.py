"""One server as it is: the backend of ``routermcp proxy`` and ``routermcp connect``."""

from __future__ import annotations

from .aggregate import LIST_WAIT_SECONDS, Aggregate
from .backend import Caller, Listing, Result
from .upstreams.availability import UpstreamState
from .upstreams.capabilities import of_server
from .upstreams.upstream import Upstream


class SingleServer(Aggregate):
    """The backend that forwards everything to one server.

    Args:
        upstream: The server, made with names that have no prefix.
        patience: Seconds that :meth:`begin` waits for it while it is being started.
    """

    def __init__(self, upstream: Upstream, *, patience: float = LIST_WAIT_SECONDS) -> None:
        super().__init__([upstream], search=False, patience=patience)
        self._server = upstream

    async def begin(self) -> None:
        """Reach the server, so that the first client gets the server's own description."""
        await self._settle(self._shared)

    async def list_page(self, listing: Listing, cursor: str | None, caller: Caller) -> Result:
        """Return a page of the server's list.

        Raises:
            RPCError: The server was never reached (-32004): an empty list would hide that.
        """
        if self._server.server is None:
            await self._server.started()
            if self._server.state is not UpstreamState.READY:
                raise self._server.availability.unavailable()
        return await super().list_page(listing, cursor, caller)

    def _introduce(self) -> None:
        """Take over the server's description of itself."""
        server = self._server.server
        if server is not None:
            self.server_info = server.serverInfo.to_wire()
            self.capabilities = of_server(server.capabilities.to_wire())
            self.instructions = server.instructions

"""One MCP session of one user: the methods, and its beginning and end."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from routermcp_adapters._exchanges import Exchanges
from routermcp_adapters._stepping import native as run
from routermcp_adapters.detect import running as runtime_here
from routermcp_proto.types import InitializeResult

from .._carriers import driver_of
from .._responder import Callbacks
from .._settings import ClientSettings, checked_timeout
from .methods import AsyncMethods


class AsyncSessionBase(AsyncMethods):
    """A session over connections that it may share with others."""

    def __init__(self, settings: ClientSettings, callbacks: Callbacks, transport: Exchanges | None) -> None:
        self._settings = settings
        self._callbacks = callbacks
        self._transport = transport
        self._timeout = settings.timeout
        self._driver = driver_of(settings, callbacks, transport)

    @property
    def user_id(self) -> str | None:
        """Whose session this is, None where nobody said."""
        return self._settings.user_id

    @property
    def server(self) -> InitializeResult | None:
        """What the server said about itself, None before ``connect``."""
        return self._driver.server

    def __repr__(self) -> str:
        state = "connected" if self._driver.connected else "not connected"
        user = f" user_id={self._settings.user_id!r}" if self._settings.user_id is not None else ""
        return f"<{type(self).__name__} {self._settings.place}{user} {state}>"

    async def connect(self, *, timeout: int | None = None) -> InitializeResult:
        """Connect to the server and agree on a revision of MCP; connected already, do nothing.

        Several calls at the same time are one. After :meth:`disconnect` the session may be
        connected again, in another event loop too.

        Args:
            timeout: Milliseconds, 0 for no limit; default that of the client.

        Returns:
            What the server said about itself, filled in the same way in both eras.

        Raises:
            TransportError: The server cannot be reached, or refuses.
            RPCError: The server answered with an error object.
            ResponseValidationError: There is no revision that both sides speak.
            ConfigError: It is connected in another event loop.
        """
        limit = self._timeout if timeout is None else checked_timeout(timeout)
        return await run(self._driver.connect(runtime_here(), limit))

    async def disconnect(self) -> None:
        """End the session at the server, and give its connections back. May be called again."""
        await run(self._driver.disconnect())

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.disconnect()


class RouterMCPSession(AsyncSessionBase):
    """A session of one user, made by :meth:`RouterMCPClient.create_session`.

    It has the methods of the client, shares its connections, and keeps its MCP session and
    whatever it learns about its user to itself.
    """

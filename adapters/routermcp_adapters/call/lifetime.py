"""The lifetime of a session: it is opened once, for all callers, and given back once."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable

from routermcp_proto import types
from routermcp_proto.exceptions import TransportError

from ..concurrency import fork
from ..concurrency.ctrl_c import ensured
from ..runtime import Runtime
from .transport import SessionTransport


class SessionLifetime(ABC):
    """A session that may be connected, on one runtime at a time.

    Args:
        transport: Carries its messages.
    """

    # An application may have a session for each of ten thousand users.
    __slots__ = ("__weakref__", "_blocks", "_connecting", "_entered", "_gate", "_runtime", "_transport")

    def __init__(self, transport: SessionTransport) -> None:
        self._transport = transport
        self._runtime: Runtime | None = None
        self._gate = threading.Lock()
        self._connecting: list[object] = []
        self._entered = False
        self._blocks = 0

    @abstractmethod
    async def _open(self, timeout: int) -> None:
        """Open the session on the runtime, within so many milliseconds, 0 for no limit."""

    async def connect(self, runtime: Runtime, timeout: int) -> types.InitializeResult:
        """Open the session, or wait for the caller that is opening it.

        Args:
            runtime: Where the session will live.
            timeout: Milliseconds, 0 for no limit.

        Raises:
            MCPError: There is no agreement with the server.
        """
        mine = object()
        try:
            with self._gate:
                if self._runtime is not None and self._runtime.over:
                    self._leave()
                    # The with blocks of an event loop that has ended are over too.
                    self._blocks = 0
                if self._runtime is None:
                    self._runtime = self._transport.open(runtime)
                    fork.watch(self)
                else:
                    self._runtime.check()
                self._connecting.append(mine)
            await self._open(timeout)
            self._entered = True
        except BaseException:
            with self._gate:
                # A caller that did not get in has nothing to leave again, a with block for example.
                # A session that another caller has opened stays.
                if not self._entered and all(each is mine for each in self._connecting):
                    self._leave()
            raise
        finally:
            if mine in self._connecting:
                self._connecting.remove(mine)
        server = self._transport.session.server
        if server is None:
            raise TransportError("the client was disconnected meanwhile", code="closed", not_run=True)
        return server

    async def disconnect(self, close_all: Callable[[], None] | None = None) -> None:
        """End the session at the server, and give the connections back.

        Args:
            close_all: Called last, come what may, where the session was connected.
        """
        runtime = self._runtime
        if runtime is None:
            return
        over, everything = runtime.over, close_all is not None
        if not over:
            runtime.check()
        connected = self._transport.session.server is not None
        leaving = ensured(self._leave_all, close_all if connected else None)
        try:
            if not over:
                await self._transport.farewell(runtime, everything)
        finally:
            leaving.close()

    def _leave_all(self, close_all: Callable[[], None] | None) -> None:
        self._leave()
        if close_all is not None:
            close_all()

    def enter_block(self) -> None:
        """Count a with block that has connected."""
        with self._gate:
            self._blocks += 1

    def leave_block(self) -> bool:
        """Count a with block less, and return whether it was the outermost."""
        with self._gate:
            self._blocks = max(self._blocks - 1, 0)
            return self._blocks == 0

    def _leave(self) -> None:
        """Give everything back; may be called again."""
        if self._runtime is not None:
            self._transport.close()
            self._runtime = None
            self._entered = False

    def after_fork(self) -> None:
        """Go on in a child process where that is possible; else it is to connect for itself."""
        self._gate = threading.Lock()
        self._connecting.clear()
        self._transport.after_fork()
        if self._runtime is not None and not self._runtime.survives_fork:
            self._runtime = None
            self._blocks = 0

"""Hearing what changes at a server, whichever era it is of.

A server of the stateless era is asked for it with ``subscriptions/listen``, whose answer is
a stream that stays open. When other resources are to be watched, a new stream takes the
place of the old one before that is closed. A server of the handshake era tells by itself,
except of resources, and somebody has to read while no request does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextvars import Context
from typing import Any, cast

from routermcp_proto import calls
from routermcp_proto.exceptions import InvalidParamsError, MCPError, MethodNotFoundError, TransportError
from routermcp_proto.names import LIST_FILTERS

from .session import UpstreamSession

log = logging.getLogger("routermcp.gateway")

#: Milliseconds for the server to take note of a resource that is to be watched.
NOTE_TIMEOUT = 10_000

#: Seconds before a stream that ended is opened anew: the first time, and at most. One that
#: lasted longer than that was no failure.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0


class ChangeSubscription:
    """Hears what changes at a server. What is heard goes where the wire's news go.

    Runs under asyncio.

    Args:
        wire: The session at the server.
        on_gap: Told when changes may have been missed; to see that the server is there, and
            then :meth:`begin` again.
    """

    def __init__(self, wire: UpstreamSession, on_gap: Callable[[], None]) -> None:
        self._wire = wire
        self._on_gap = on_gap
        self._uris: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._replaced: set[asyncio.Task[None]] = set()
        self._resting = False
        self._pause = FIRST_PAUSE
        self._turn = asyncio.Lock()

    def __contains__(self, uri: object) -> bool:
        return uri in self._uris

    # ---- resources ---------------------------------------------------------------------------

    async def add(self, uri: str) -> None:
        """Hear of changes of a resource, too.

        Raises:
            MethodNotFoundError: The server does not tell of such changes.
            MCPError: The server refuses, or is not there.
        """
        if not self._offers("resources", "subscribe"):
            raise MethodNotFoundError("the server does not tell of changes of resources")
        async with self._turn:
            known = uri in self._uris
            self._uris.add(uri)
            try:
                if self._wire.revision.peer_requests:
                    await self._wire.note(calls.subscribe(uri), NOTE_TIMEOUT)
                elif not known and uri not in await self._listen_anew():
                    raise InvalidParamsError("the server does not tell of that resource")
            except BaseException:
                if not known:
                    self._uris.discard(uri)
                raise
        self.begin()

    async def remove(self, uri: str) -> None:
        """Hear of them no more.

        Raises:
            MCPError: The server refuses, or is not there.
        """
        async with self._turn:
            self._uris.discard(uri)
            if self._wire.revision.peer_requests:
                await self._wire.note(calls.unsubscribe(uri), NOTE_TIMEOUT)
            else:
                await self._listen_anew()

    # ---- listening ---------------------------------------------------------------------------

    def begin(self) -> None:
        """See that somebody listens from now on."""
        if self._resting:
            self._replace()
        if self._task is None or self._task.done():
            self._task = self._new_task()

    def _new_task(self) -> asyncio.Task[None]:
        # Not in the name of the request during which this happens to begin.
        return asyncio.create_task(self._listen(), context=Context())

    def _replace(self) -> None:
        task, self._task, self._resting = self._task, None, False
        if task is not None and not task.done():
            task.cancel()
            self._replaced.add(task)
            task.add_done_callback(self._replaced.discard)

    async def _listen(self) -> None:
        """Listen until that ends, and say so after a while."""
        began = time.monotonic()
        try:
            if self._wire.revision.peer_requests:
                for uri in tuple(self._uris):  # the session may be another one than before
                    await self._wire.note(calls.subscribe(uri), NOTE_TIMEOUT)
                await self._wire.attend()
                return  # the server has no stream for that
            if not (wanted := self._filter()):
                return
            await self._wire.listen(wanted)
        except MethodNotFoundError as error:
            log.debug("%s cannot be listened to: %s", self._wire, error)
            return
        except MCPError as error:
            log.debug("%s can no longer be listened to: %s", self._wire, error)
        if time.monotonic() - began > LONGEST_PAUSE:
            self._pause = FIRST_PAUSE
        self._resting = True
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._resting = False
        self._on_gap()

    async def _listen_anew(self) -> list[str]:
        """Listen for what is wanted now, and only then no longer for what was wanted before.

        Returns:
            The resources that the server will tell of.

        Raises:
            TransportError: The server did not acknowledge anything.
        """
        before, acknowledged = self._task, self._wire.next_acknowledgement()
        self._resting = False
        task = self._task = self._new_task()
        try:
            async with asyncio.timeout(NOTE_TIMEOUT / 1000):
                await asyncio.wait([acknowledged, task], return_when=asyncio.FIRST_COMPLETED)
            if not acknowledged.done():
                return []  # the server has nothing to tell
            accepted: Any = acknowledged.result().get("notifications")
            named = cast("dict[str, Any]", accepted) if isinstance(accepted, dict) else {}
            uris: Any = named.get("resourceSubscriptions")
            return cast("list[str]", uris) if isinstance(uris, list) else []
        except TimeoutError:
            problem = "the server did not acknowledge what is to be listened to"
            raise TransportError(problem, code="timeout") from None
        finally:
            acknowledged.cancel()
            if before is not None:
                self._task = before
                self._replace()
                self._task = task

    def _filter(self) -> dict[str, Any]:
        wanted: dict[str, Any] = {
            name: True
            for name, (capability, _) in LIST_FILTERS.items()
            if self._offers(capability, "listChanged")
        }
        if self._uris:
            wanted["resourceSubscriptions"] = sorted(self._uris)
        return wanted

    def _offers(self, capability: str, member: str) -> bool:
        server = self._wire.server
        offered: dict[str, dict[str, Any]] = server.capabilities.to_wire() if server is not None else {}
        return bool(offered.get(capability, {}).get(member))

    async def close(self) -> None:
        """Listen no more."""
        self._replace()
        await asyncio.gather(*self._replaced, return_exceptions=True)

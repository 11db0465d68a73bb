"""Subscriptions to the changes at a server of either era.

A server of the stateless era is asked for changes with ``subscriptions/listen``, whose answer is
a stream that stays open. For other resources a new stream takes the place of the old one before
that is closed. A server of the handshake era announces changes of lists unasked, and of resources
after ``resources/subscribe``; its messages have to be read while no request is under way.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextvars import Context
from typing import Any, cast

from routermcp_proto import calls
from routermcp_proto.exceptions import InvalidParamsError, MCPError, MethodNotFoundError, TransportError

from .session import UpstreamSession
from .times import DEFAULT_TIMES, UpstreamTimes

log = logging.getLogger("routermcp.gateway")


class ChangeSubscription:
    """The subscriptions at one session; the session itself takes the notifications.

    Runs under asyncio.

    Args:
        session: The session at the server.
        on_gap: Called when changes may have been missed; has to reach the server, and then to call
            :meth:`begin` again.
        times: How long to wait for the server.
    """

    def __init__(
        self, session: UpstreamSession, on_gap: Callable[[], None], times: UpstreamTimes = DEFAULT_TIMES
    ) -> None:
        self._session = session
        self._on_gap = on_gap
        self._times = times
        self._uris: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._acknowledged: asyncio.Future[Mapping[str, Any]] | None = None
        self._replaced: set[asyncio.Task[None]] = set()
        self._resting = False
        self._pause = times.first_pause_seconds
        self._lock = asyncio.Lock()

    def __contains__(self, uri: object) -> bool:
        return uri in self._uris

    # ---- resources ---------------------------------------------------------------------------

    async def add(self, uri: str) -> None:
        """Receive changes of a resource, too.

        Raises:
            MethodNotFoundError: The server has no subscriptions to resources.
            MCPError: The server refuses, or is not there.
        """
        if not self._offers("resources", "subscribe"):
            raise MethodNotFoundError("the server has no subscriptions to resources")
        async with self._lock:
            known = uri in self._uris
            self._uris.add(uri)
            try:
                if self._session.revision.peer_requests:
                    await self._session.note(calls.subscribe(uri))
                elif not known and uri not in await self._listen_anew():
                    raise InvalidParamsError("the server has no subscriptions to that resource")
            except BaseException:
                if not known:
                    self._uris.discard(uri)
                raise
        self.begin()

    async def remove(self, uri: str) -> None:
        """Receive changes of a resource no more.

        Raises:
            MCPError: The server refuses, or is not there.
        """
        async with self._lock:
            self._uris.discard(uri)
            if self._session.revision.peer_requests:
                await self._session.note(calls.unsubscribe(uri))
            else:
                await self._listen_anew()

    # ---- listening ---------------------------------------------------------------------------

    def begin(self) -> None:
        """Listen from now on, if that was not begun."""
        if self._resting:
            self._replace()
        if self._task is None or self._task.done():
            self._task = self._new_task()

    def _new_task(self) -> asyncio.Task[None]:
        if self._acknowledged is not None:
            self._acknowledged.cancel()  # the session need not look for it any more
        if not self._session.revision.peer_requests:
            self._acknowledged = self._session.next_acknowledgement()
        # In a context of its own: the request during which this begins has no part in it.
        return asyncio.create_task(self._listen(), context=Context())

    async def _acknowledgement(self, task: asyncio.Task[None]) -> Mapping[str, Any] | None:
        """Return what the server accepts of the present stream, None where the stream ended at once."""
        acknowledged = self._acknowledged
        if acknowledged is None:
            return None
        await asyncio.wait([acknowledged, task], return_when=asyncio.FIRST_COMPLETED)
        return acknowledged.result() if acknowledged.done() and not acknowledged.cancelled() else None

    def _replace(self) -> None:
        task, self._task, self._resting = self._task, None, False
        if task is not None and not task.done():
            task.cancel()
            self._replaced.add(task)
            task.add_done_callback(self._replaced.discard)

    async def _listen(self) -> None:
        """Listen until the stream ends, and report the gap after a pause."""
        began = time.monotonic()
        try:
            if self._session.revision.peer_requests:
                for uri in tuple(self._uris):  # the session may be another one than before
                    await self._session.note(calls.subscribe(uri))
                await self._session.attend()
                return  # the server has no stream for that
            if not (wanted := self._filter()):
                return
            await self._session.listen(wanted)
        except MethodNotFoundError as error:
            log.debug("%s cannot be listened to: %s", self._session, error)
            return
        except MCPError as error:
            log.debug("%s can no longer be listened to: %s", self._session, error)
        if time.monotonic() - began > self._times.longest_pause_seconds:
            self._pause = self._times.first_pause_seconds
        self._resting = True
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, self._times.longest_pause_seconds)
        self._resting = False
        self._on_gap()

    async def _listen_anew(self) -> list[str]:
        """Open a stream for the present subscriptions, and then close the stream before it.

        Returns:
            The resources whose changes the server will announce.

        Raises:
            TransportError: The server did not acknowledge anything.
        """
        before = self._task
        try:
            async with asyncio.timeout(self._times.note_ms / 1000):
                if before is not None and not self._resting:
                    # What comes next would be taken for the acknowledgement of the new stream.
                    await self._acknowledgement(before)
                self._resting = False
                task = self._task = self._new_task()
                acknowledged = await self._acknowledgement(task)
            accepted: Any = acknowledged.get("notifications") if acknowledged is not None else None
            named = cast("dict[str, Any]", accepted) if isinstance(accepted, dict) else {}
            uris: Any = named.get("resourceSubscriptions")
            return cast("list[str]", uris) if isinstance(uris, list) else []
        except TimeoutError:
            problem = f"the server did not acknowledge the subscription within {self._times.note_ms} ms"
            raise TransportError(problem, code="timeout") from None
        finally:
            task = self._task
            if before is not None and task is not before:
                self._task = before
                self._replace()
                self._task = task

    def _filter(self) -> dict[str, Any]:
        server = self._session.server
        wanted: dict[str, Any] = {**calls.list_filter(server.capabilities)} if server is not None else {}
        if self._uris:
            wanted["resourceSubscriptions"] = sorted(self._uris)
        return wanted

    def _offers(self, capability: str, member: str) -> bool:
        server = self._session.server
        offered: dict[str, dict[str, Any]] = server.capabilities.to_wire() if server is not None else {}
        return bool(offered.get(capability, {}).get(member))

    async def close(self) -> None:
        """Close the stream."""
        self._replace()
        await asyncio.gather(*self._replaced, return_exceptions=True)

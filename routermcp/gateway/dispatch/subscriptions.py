"""Who wants to hear of which changes, and telling them.

A client of the handshake era hears of every list that changes, on its session's shared
stream, and of the resources that it subscribed to. One of the stateless era names what it
wants to hear in ``subscriptions/listen``, and hears that on the stream which answers it.

Changes say "look again". So of several that say the same only one waits for a client which
reads slowly, and none is lost.

Sources: https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/subscriptions
and https://modelcontextprotocol.io/specification/2025-11-25/server/resources#subscriptions
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, cast

from routermcp_proto import jsonrpc
from routermcp_proto.error_codes import INTERNAL_ERROR
from routermcp_proto.events import RequestReceived
from routermcp_proto.exceptions import InvalidParamsError, InvalidRequestError, MethodNotFoundError, RPCError
from routermcp_proto.jsonrpc import RequestId
from routermcp_proto.names import ACKNOWLEDGED, LIST_FILTERS, RESOURCE_UPDATED, SUBSCRIPTION_ID_KEY

from ..backend import Backend, Caller
from ..sessions.base import KeptSession, concerns

log = logging.getLogger("routermcp.gateway")


#: Resources that one client may watch. A page that shows them all would show fewer.
MAX_WATCHED = 1_000

#: Changes that wait for a client which does not read: one of each resource that it may
#: watch, and one of each list.
MAX_PENDING = MAX_WATCHED + len(LIST_FILTERS)

#: Resources that the backend watches for all clients together. Beyond, those are let go
#: whose sessions were forgotten meanwhile.
MAX_WATCHED_TOGETHER = 100_000

#: Streams of ``subscriptions/listen`` at once, each of which holds a connection.
MAX_LISTENERS = 1_000


class _Listener:
    """One stream of ``subscriptions/listen``."""

    def __init__(self, subscription: RequestId, methods: frozenset[str]) -> None:
        self.uris: set[str] = set()
        self._meta = {SUBSCRIPTION_ID_KEY: subscription}
        self._methods = methods
        self._pending: dict[tuple[str, Any], Mapping[str, Any]] = {}
        self._flag = asyncio.Event()
        self._ended = False

    def tell(self, method: str, params: Mapping[str, Any]) -> None:
        """Tell of a change, where that is wanted."""
        if method == RESOURCE_UPDATED:
            wanted = concerns(params.get("uri"), self.uris)
        else:
            wanted = method in self._methods
        key = (method, params.get("uri"))
        if wanted and (key in self._pending or len(self._pending) < MAX_PENDING):
            self._pending[key] = params
            self._flag.set()

    def end(self) -> None:
        """End the stream."""
        self._ended = True
        self._flag.set()

    def tagged(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return parameters that say which stream they belong to."""
        own: Mapping[str, Any] = params.get("_meta") or {}
        return {**params, "_meta": {**own, **self._meta}}

    async def pump(self, send: Callable[[bytes], Awaitable[None]]) -> Mapping[str, Any]:
        """Send changes until the stream is ended, and return the result that says so."""
        while not self._ended:
            await self._flag.wait()
            self._flag.clear()
            pending, self._pending = self._pending, {}
            for (method, _), params in pending.items():
                await send(jsonrpc.encode_notification(method, self.tagged(params)))
        return self.tagged({})


class Audience(Protocol):
    """The sessions of the handshake era, as far as announcements are concerned."""

    def __iter__(self) -> Iterator[KeptSession]:
        """The sessions that this process has to do with just now."""
        ...

    def may_watch(self, uri: str) -> bool:
        """Whether a session may want to hear of changes of a resource."""
        ...


class Subscriptions:
    """Tells the clients of one application of changes.

    Runs under asyncio.

    Args:
        backend: What changes.
        sessions: The sessions of the handshake era.
    """

    def __init__(self, backend: Backend, sessions: Audience) -> None:
        self._backend = backend
        self._sessions = sessions
        self._listeners: set[_Listener] = set()
        self._watched: set[str] = set()
        self._releasing: set[asyncio.Task[None]] = set()

    def announce(self, method: str, params: Mapping[str, Any]) -> None:
        """Tell everybody who wants to hear it.

        Raises:
            LocalProtocolError: JSON cannot hold the parameters.
        """
        payload = jsonrpc.encode_notification(method, params)
        for session in self._sessions:
            if session.wants(method, params):
                session.announce(payload)
        for listener in self._listeners:
            listener.tell(method, params)
        uri = params.get("uri")
        if method == RESOURCE_UPDATED and isinstance(uri, str):
            # Sessions that were forgotten have not said that they want no more of it.
            self._release([uri])

    # ---- the stateless era -------------------------------------------------------------------

    async def listen(
        self, asked: RequestReceived, caller: Caller, send: Callable[[bytes], Awaitable[None]]
    ) -> Mapping[str, Any]:
        """Answer ``subscriptions/listen``: send what is wanted, for as long as the client stays.

        Returns:
            The result, when the application ends the stream.

        Raises:
            InvalidParamsError: There is no filter, or too much in it.
            RPCError: Too many clients listen.
        """
        wanted = asked.params.get("notifications")
        if not isinstance(wanted, dict):
            raise InvalidParamsError("notifications is missing or not an object")
        if len(self._listeners) >= MAX_LISTENERS:
            raise RPCError("too many clients listen for changes", code=INTERNAL_ERROR)
        accepted = self._accepted(cast("dict[str, Any]", wanted))
        listener = _Listener(asked.request_id, frozenset(LIST_FILTERS[each][1] for each in accepted))
        # From now on, so that nothing is lost while the acknowledgement is on its way.
        self._listeners.add(listener)
        try:
            uris = await self._watch(cast("dict[str, Any]", wanted), listener, caller)
            filter_in_force = {
                **dict.fromkeys(accepted, True),
                **({"resourceSubscriptions": uris} if uris else {}),
            }
            acknowledged = listener.tagged({"notifications": filter_in_force})
            await send(jsonrpc.encode_notification(ACKNOWLEDGED, acknowledged))
            return await listener.pump(send)
        finally:
            self._listeners.discard(listener)
            self._release(listener.uris)

    def _accepted(self, wanted: Mapping[str, Any]) -> list[str]:
        return [
            name
            for name, (capability, _) in LIST_FILTERS.items()
            if wanted.get(name) is True and self._offers(capability, "listChanged")
        ]

    async def _watch(self, wanted: Mapping[str, Any], listener: _Listener, caller: Caller) -> list[str]:
        """Watch the resources that the filter names; return those that can be."""
        named: Any = wanted.get("resourceSubscriptions") or []
        if not isinstance(named, list) or len(cast("list[Any]", named)) > MAX_WATCHED:
            problem = f"resourceSubscriptions is not a list of at most {MAX_WATCHED} URIs"
            raise InvalidParamsError(problem)
        watched: list[str] = []
        if not self._can_watch():
            return watched
        for uri in cast("list[Any]", named):
            if not isinstance(uri, str):
                raise InvalidParamsError("resourceSubscriptions holds something that is no URI")
            listener.uris.add(uri)
            try:
                await self._begin_to_watch(uri, caller)
            except RPCError as error:
                log.debug("%s cannot be watched: %s", uri, error)
                listener.uris.discard(uri)
            else:
                watched.append(uri)
        return watched

    def end(self) -> None:
        """End the streams; their clients are told."""
        for listener in self._listeners:
            listener.end()

    # ---- the handshake era -------------------------------------------------------------------

    async def subscribe(self, session: KeptSession | None, uri: Any, caller: Caller) -> Mapping[str, Any]:
        """Answer ``resources/subscribe``.

        Raises:
            MethodNotFoundError: The backend does not tell of changes of resources.
            InvalidRequestError: There is no session in which to tell of them.
            InvalidParamsError: It names no resource, or too many were named.
            RPCError: The backend refuses.
        """
        kept = self._checked(session, uri)
        if uri not in kept.watched and len(kept.watched) >= MAX_WATCHED:
            raise InvalidParamsError(f"at most {MAX_WATCHED} resources can be watched")
        known = uri in kept.watched
        await kept.watch(uri, True)
        try:
            await self._begin_to_watch(uri, caller)
        except RPCError:
            if not known:
                await kept.watch(uri, False)
                self._release([uri])
            raise
        return {}

    async def unsubscribe(self, session: KeptSession | None, uri: Any) -> Mapping[str, Any]:
        """Answer ``resources/unsubscribe``.

        Raises:
            RPCError: As :meth:`subscribe`.
        """
        kept = self._checked(session, uri)
        await kept.watch(uri, False)
        self._release([uri])
        return {}

    def forget(self, session: KeptSession) -> None:
        """Note that a session has ended."""
        watched, session.watched = session.watched, set()
        self._release(watched)

    def _checked(self, session: KeptSession | None, uri: Any) -> KeptSession:
        if not self._can_watch():
            raise MethodNotFoundError("resources cannot be subscribed to here")
        if session is None:
            raise InvalidRequestError("this needs a session, in which to tell of changes")
        if not isinstance(uri, str):
            raise InvalidParamsError("uri is missing or not a string")
        return session

    # ---- both ----------------------------------------------------------------------------------

    def _can_watch(self) -> bool:
        return self._offers("resources", "subscribe")

    def _offers(self, capability: str, member: str) -> bool:
        offered: Mapping[str, Any] = self._backend.capabilities.get(capability) or {}
        return bool(offered.get(member))

    async def _begin_to_watch(self, uri: str, caller: Caller) -> None:
        if len(self._watched) >= MAX_WATCHED_TOGETHER:
            self._release(self._watched)
        if len(self._watched) >= MAX_WATCHED_TOGETHER:
            raise RPCError("too many resources are watched", code=INTERNAL_ERROR)
        known = uri in self._watched
        # Noted first: who leaves meanwhile may have it watched all the same.
        self._watched.add(uri)
        try:
            await self._backend.subscribe(uri, caller)
        except RPCError:
            if not known:
                self._watched.discard(uri)
            raise

    def _release(self, uris: Iterable[str]) -> None:
        """Let the backend know of resources that nobody watches any more."""
        for uri in self._watched.intersection(uris):
            if not self._is_watched(uri):
                self._watched.discard(uri)
                task = asyncio.create_task(self._backend.unsubscribe(uri))
                self._releasing.add(task)
                task.add_done_callback(self._released)

    def _released(self, task: asyncio.Task[None]) -> None:
        self._releasing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("a resource is watched still, though nobody wants that: %s", error)

    def _is_watched(self, uri: str) -> bool:
        return self._sessions.may_watch(uri) or any(
            concerns(uri, listener.uris) for listener in self._listeners
        )

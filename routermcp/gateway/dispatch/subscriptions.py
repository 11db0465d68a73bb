"""The subscriptions of clients to changes, and the notifications about changes.

A client of the handshake era is notified of every list that changes, on its session's shared
stream, and of the resources that it subscribed to. One of the stateless era names changes
in ``subscriptions/listen``, and is notified on the stream that answers this request.

A notification says that something is to be read again. So of several equal ones a single one waits
for a client that reads slowly, and no change is lost.

Sources: https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/subscriptions
and https://modelcontextprotocol.io/specification/2025-11-25/server/resources#subscriptions
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, cast

from routermcp_proto import jsonrpc
from routermcp_proto.error_codes import INTERNAL_ERROR
from routermcp_proto.events import RequestReceived
from routermcp_proto.exceptions import InvalidParamsError, InvalidRequestError, MethodNotFoundError, RPCError
from routermcp_proto.jsonrpc import RequestId
from routermcp_proto.names import ACKNOWLEDGED, LIST_FILTERS, RESOURCE_UPDATED, SUBSCRIPTION_ID_KEY

from ..backend import Backend, Caller, View
from ..sessions.base import KeptSession, concerns, sees, watched_among
from ..shares import OwnedValues

log = logging.getLogger("routermcp.gateway")

#: Resources that one client may subscribe to. A page that shows them all would show fewer.
MAX_SUBSCRIBED = 1_000

#: Notifications that wait for a client that does not read: one for each resource that it may
#: subscribe to, and one for each list.
MAX_PENDING_CHANGES = MAX_SUBSCRIBED + len(LIST_FILTERS)

#: Resources with a subscription at the backend, for all clients together, which their owners share. Beyond,
#: the backend is unsubscribed from those whose sessions have expired.
MAX_SUBSCRIBED_TOGETHER = 100_000

#: Seconds between two looks for those that have expired, each of which takes some tenths of one.
FULL_SECONDS = 10.0

#: Streams of ``subscriptions/listen`` at once, each of which holds a connection.
MAX_LISTENERS = 1_000


class _Listener:
    """One stream of ``subscriptions/listen``."""

    def __init__(self, subscription: RequestId, methods: frozenset[str], view: View | None) -> None:
        self.uris: set[str] = set()
        self._view = view
        self._meta = {SUBSCRIPTION_ID_KEY: subscription}
        self._methods = methods
        self._pending: dict[tuple[str, Any], Mapping[str, Any]] = {}
        self._flag = asyncio.Event()
        self._ended = False

    def tell(self, method: str, params: Mapping[str, Any], server: str | None) -> None:
        """Take a notification, where the client wants it and sees the server that it is about."""
        if not sees(self._view, server):
            return
        if method == RESOURCE_UPDATED:
            wanted = concerns(params.get("uri"), self.uris)
        else:
            wanted = method in self._methods
        key = (method, params.get("uri"))
        if wanted and (key in self._pending or len(self._pending) < MAX_PENDING_CHANGES):
            self._pending[key] = params
            self._flag.set()

    def end(self) -> None:
        """End the stream."""
        self._ended = True
        self._flag.set()

    def tagged(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return parameters with the id of the stream in their ``_meta``."""
        own: Mapping[str, Any] = params.get("_meta") or {}
        return {**params, "_meta": {**own, **self._meta}}

    async def pump(self, send: Callable[[bytes], Awaitable[None]]) -> Mapping[str, Any]:
        """Send notifications until the stream is ended, and return its result."""
        while not self._ended:
            await self._flag.wait()
            self._flag.clear()
            pending, self._pending = self._pending, {}
            for (method, _), params in pending.items():
                await send(jsonrpc.encode_notification(method, self.tagged(params)))
        return self.tagged({})


class Subscriptions:
    """The subscriptions of the clients of one backend.

    Runs under asyncio.

    Args:
        backend: The backend whose resources and lists change.
        sessions: The sessions of the handshake era, those of this process.
        in_session: Returns those of some resources that a session, in whichever process, may watch.
    """

    def __init__(
        self,
        backend: Backend,
        sessions: Iterable[KeptSession],
        in_session: Callable[[Collection[str]], set[str]],
    ) -> None:
        self._backend = backend
        self._sessions = sessions
        self._in_session = in_session
        self._listeners: set[_Listener] = set()
        self._subscribed = OwnedValues(MAX_SUBSCRIBED_TOGETHER)
        self._full_until = 0.0
        self._unsubscribing: set[asyncio.Task[None]] = set()

    def announce(
        self, method: str, params: Mapping[str, Any], session_id: str | None = None, server: str | None = None
    ) -> None:
        """Send a notification to every client that wants it.

        Args:
            method: The notification.
            params: Its parameters.
            session_id: The one session that it is for, "" for the clients without one, None for all clients.
            server: The server that it is about, which a client has to see; None for the whole backend.

        Raises:
            LocalProtocolError: JSON cannot hold the parameters.
        """
        payload = jsonrpc.encode_notification(method, params)
        for session in self._sessions:
            if session_id in (None, session.id) and session.wants(method, params, server):
                session.announce(payload)
        for listener in () if session_id else self._listeners:
            listener.tell(method, params, server)
        uri = params.get("uri")
        if method == RESOURCE_UPDATED and isinstance(uri, str):
            # Sessions that have expired have not unsubscribed.
            self._release([uri])

    # ---- the stateless era -------------------------------------------------------------------

    async def listen(
        self, asked: RequestReceived, caller: Caller, send: Callable[[bytes], Awaitable[None]]
    ) -> Mapping[str, Any]:
        """Answer ``subscriptions/listen``: send notifications for as long as the client is connected.

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
        methods = frozenset(LIST_FILTERS[each][1] for each in accepted)
        listener = _Listener(asked.request_id, methods, caller.view)
        # Added first, so that no change is lost while the acknowledgement is on its way.
        self._listeners.add(listener)
        try:
            uris = await self._subscribe_all(cast("dict[str, Any]", wanted), listener, caller)
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

    async def _subscribe_all(
        self, wanted: Mapping[str, Any], listener: _Listener, caller: Caller
    ) -> list[str]:
        """Subscribe to the resources that the filter names; return those that allow it."""
        named: Any = wanted.get("resourceSubscriptions") or []
        if not isinstance(named, list) or len(cast("list[Any]", named)) > MAX_SUBSCRIBED:
            problem = f"resourceSubscriptions is not a list of at most {MAX_SUBSCRIBED} URIs"
            raise InvalidParamsError(problem)
        subscribed: list[str] = []
        if not self._offers("resources", "subscribe"):
            return subscribed
        for uri in cast("list[Any]", named):
            if not isinstance(uri, str):
                raise InvalidParamsError("resourceSubscriptions holds a value that is not a URI")
            listener.uris.add(uri)
            try:
                await self._subscribe(uri, caller)
            except RPCError as error:
                log.debug("no subscription to %s: %s", uri, error)
                listener.uris.discard(uri)
            else:
                subscribed.append(uri)
        return subscribed

    def end(self) -> None:
        """End the streams, each with its result."""
        for listener in self._listeners:
            listener.end()

    # ---- the handshake era -------------------------------------------------------------------

    async def subscribe(self, session: KeptSession | None, uri: Any, caller: Caller) -> Mapping[str, Any]:
        """Answer ``resources/subscribe``.

        Raises:
            MethodNotFoundError: The backend has no subscriptions to resources.
            InvalidRequestError: There is no session to which to send notifications.
            InvalidParamsError: It names no resource, or the session has too many subscriptions.
            RPCError: The backend refuses.
        """
        kept = self._checked(session, uri)
        if uri not in kept.watched and len(kept.watched) >= MAX_SUBSCRIBED:
            raise InvalidParamsError(f"a session may subscribe to at most {MAX_SUBSCRIBED} resources")
        known = uri in kept.watched
        await kept.watch(uri, True)
        try:
            await self._subscribe(uri, caller)
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
        """End the subscriptions of a session that has ended."""
        watched, session.watched = session.watched, set()
        self._release(watched)

    def _checked(self, session: KeptSession | None, uri: Any) -> KeptSession:
        if not self._offers("resources", "subscribe"):
            raise MethodNotFoundError("this server has no subscriptions to resources")
        if session is None:
            raise InvalidRequestError("a subscription needs a session, to which to send the notifications")
        if not isinstance(uri, str):
            raise InvalidParamsError("uri is missing or not a string")
        return session

    # ---- both ----------------------------------------------------------------------------------

    def _offers(self, capability: str, member: str) -> bool:
        offered: Mapping[str, Any] = self._backend.capabilities.get(capability) or {}
        return bool(offered.get(member))

    async def _subscribe(self, uri: str, caller: Caller) -> None:
        known = uri in self._subscribed
        if not known:
            self._check_room(caller.owner)
        # Added first: a client that leaves meanwhile may have subscribed the backend all the same.
        self._subscribed.add(uri, caller.owner)
        try:
            await self._backend.subscribe(uri, caller)
        except RPCError:
            if not known:
                self._subscribed.discard(uri)
            raise

    def _check_room(self, owner: bytes) -> None:
        now = asyncio.get_running_loop().time()
        if not self._subscribed.has_room(owner) and now >= self._full_until:
            self._full_until = now + FULL_SECONDS
            self._release(self._subscribed.all())
        if not self._subscribed.has_room(owner):
            raise RPCError("too many resources have subscriptions", code=INTERNAL_ERROR)

    def _release(self, uris: Iterable[str]) -> None:
        """Unsubscribe the backend from resources that no client is subscribed to any more."""
        known = self._subscribed.among(uris)
        known -= watched_among(known, (listener.uris for listener in self._listeners))
        known -= self._in_session(known)
        for uri in known:
            self._subscribed.discard(uri)
            task = asyncio.create_task(self._backend.unsubscribe(uri))
            self._unsubscribing.add(task)
            task.add_done_callback(self._unsubscribed)

    def _unsubscribed(self, task: asyncio.Task[None]) -> None:
        self._unsubscribing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("a resource could not be unsubscribed from: %s", error)

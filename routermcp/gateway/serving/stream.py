"""A backend served to one client over a stream of messages: stdio, or memory."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from routermcp_proto.error_codes import INTERNAL_ERROR
from routermcp_proto.events import MessageReady, RequestReceived
from routermcp_proto.exceptions import LocalProtocolError
from routermcp_proto.jsonrpc import ErrorObject
from routermcp_proto.server_session import ServerSession
from routermcp_proto.states import SessionState

from ..backend import Backend
from ..dispatch.context import RequestContext, Sender
from ..dispatch.dispatcher import dispatch
from ..dispatch.subscriptions import Subscriptions
from ..sessions.base import MAX_ANNOUNCEMENTS, SESSION_ID_BYTES, KeptSession, RunningRequest, watched_among


class StreamServer:
    """Serves one client, under asyncio. Each request runs in a task of its own.

    Args:
        backend: The backend to serve.
        send: Sends a message to the client; called from several tasks.
        user_id: The user of its requests, None for no user.
    """

    def __init__(
        self, backend: Backend, send: Callable[[bytes], Awaitable[None]], user_id: str | None = None
    ) -> None:
        self._backend = backend
        self._send = send
        self._sender = Sender(user_id)
        self._machine = ServerSession(
            server_info=backend.server_info,
            capabilities=backend.capabilities,
            instructions=backend.instructions,
        )
        # A backend may serve several streams, and keeps them apart by their sessions.
        self._session = KeptSession(secrets.token_urlsafe(SESSION_ID_BYTES), self._machine, 0.0)
        self._announcements = Subscriptions(
            backend, [self._session], lambda uris: watched_among(uris, [self._session.watched])
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._requests: set[asyncio.Task[None]] = set()

    async def receive(self, payload: bytes) -> None:
        """Handle a message of the client. Raises nothing, whatever the message is."""
        events = self._machine.receive_message(payload)
        self._session.settle(events)
        if self._session.announcements is None and self._machine.state is SessionState.READY:
            self._session.announcements = asyncio.Queue(MAX_ANNOUNCEMENTS)
            self._spawn(self._pump(self._session.announcements))
        for event in events:
            if isinstance(event, MessageReady):
                await self._send(event.outgoing.payload)
            elif isinstance(event, RequestReceived):
                request = self._spawn(self._work_on(event))
                self._requests.add(request)
                request.add_done_callback(self._requests.discard)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _pump(self, queue: asyncio.Queue[bytes | None]) -> None:
        while (payload := await queue.get()) is not None:
            await self._send(payload)

    async def _work_on(self, asked: RequestReceived) -> None:
        session = self._session if asked.revision.peer_requests else None
        running = self._session.running
        work = running[asked.request_id] = RunningRequest()
        try:
            caller = RequestContext(asked, self._machine, session, self._send, self._sender)
            payload, _ = await dispatch(
                self._backend, self._announcements, self._machine, session, asked, caller
            )
            await self._send(payload)
        except asyncio.CancelledError:
            if not work.uncancel():
                raise
        finally:
            if running.get(asked.request_id) is work:
                del running[asked.request_id]
                with contextlib.suppress(LocalProtocolError):  # it was answered
                    self._machine.refuse(asked.request_id, ErrorObject(INTERNAL_ERROR, "cancelled"))

    def announce(
        self, method: str, params: Mapping[str, Any], session_id: str | None = None, server: str | None = None
    ) -> None:
        """Send a notification that the client is subscribed to.

        Raises:
            LocalProtocolError: JSON cannot hold the parameters.
        """
        self._announcements.announce(method, params, session_id, server)

    async def drain(self, seconds: float) -> None:
        """Let the requests under way end, for some seconds at most."""
        if self._requests:
            await asyncio.wait(self._requests, timeout=seconds)

    async def close(self) -> None:
        """Cancel the requests under way."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._announcements.forget(self._session)
        await self._backend.end_session(self._session.id)

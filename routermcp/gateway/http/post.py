"""One POST: runs the requests in it and sends what they produce.

The response is one JSON document when a single request is answered before there was anything
else to send. It becomes an event stream with the first progress report, log message or
question to the client, with several answers (a batch), or when the work takes so long that a
proxy could take the connection for dead.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from routermcp_proto import jsonrpc
from routermcp_proto.error_codes import INTERNAL_ERROR
from routermcp_proto.events import Event, MessageReady, RequestReceived
from routermcp_proto.exceptions import InvalidRequestError, LocalProtocolError
from routermcp_proto.jsonrpc import ErrorObject
from routermcp_proto.server_session import ServerSession

from ..backend import Backend
from ..dispatch.context import RequestContext, Sender
from ..dispatch.dispatcher import STATUSES, dispatch
from ..dispatch.subscriptions import Subscriptions
from ..sessions.base import KeptSession, RunningRequest
from .asgi import Receive, ResponseWriter, disconnected

#: Seconds after which a silent stream gets a comment. Proxies commonly cut after 60 (nginx,
#: ``proxy_read_timeout``) or 30 (Heroku).
KEEP_ALIVE_SECONDS = 15.0

#: Seconds after which the connection is watched for a disconnect. Nearly all requests are answered
#: before that, with hundreds under way at once too, and watching takes a task.
WATCH_AFTER_SECONDS = 0.25


class Post:
    """Runs the requests of one POST.

    ``session`` is None in the stateless era; a silent stream gets a comment after
    ``keep_alive_seconds``. A client that takes no event stream gets the answer of its one request alone,
    however long that takes.
    """

    def __init__(
        self,
        backend: Backend,
        subscriptions: Subscriptions,
        machine: ServerSession,
        session: KeptSession | None,
        response: ResponseWriter,
        sender: Sender,
        keep_alive_seconds: float,
        *,
        takes_events: bool = True,
    ) -> None:
        self._backend = backend
        self._subscriptions = subscriptions
        self._machine = machine
        self._session = session
        self._response = response
        self._sender = sender
        self._keep_alive = keep_alive_seconds if takes_events else None
        self._send_before = response.event if takes_events else _send_nothing
        self._alone = True
        self._disconnected = False
        self._refusal: ErrorObject | None = None
        self._running: list[RunningRequest] = []
        self._watcher: asyncio.Task[None] | None = None

    async def run(self, events: Sequence[Event], receive: Receive) -> None:
        """Answer, and return when everything is answered or the client has disconnected.

        Args:
            events: Events of the machine: its own answers, and requests for the backend.
            receive: The ASGI receive function; a disconnect cancels the requests.
        """
        ready: list[MessageReady] = []
        asked: list[RequestReceived] = []
        for event in events:
            if isinstance(event, RequestReceived):
                asked.append(event)
            elif isinstance(event, MessageReady):
                ready.append(event)
        self._alone = len(ready) + len(asked) == 1
        for message in ready:
            payload = message.outgoing.payload
            if self._alone:
                await self._response.document(payload, status_of(payload))
            else:
                await self._response.event(payload)
        if asked:
            await self._run_all(asked, receive)
        elif not ready:
            await self._response.empty(202)
        if not self._response.complete and not self._disconnected:
            await self._response.end()

    async def _run_all(self, asked: Sequence[RequestReceived], receive: Receive) -> None:
        loop = asyncio.get_running_loop()
        watching = loop.call_later(WATCH_AFTER_SECONDS, self._begin_to_watch, receive)
        try:
            if len(asked) == 1:
                await self._run_one(asked[0])
            else:
                async with asyncio.TaskGroup() as group:
                    for request in asked:
                        group.create_task(self._run_one(request))
        finally:
            watching.cancel()
            if self._watcher is not None:
                self._watcher.cancel()
                self._watcher = None  # it refers to this object: the collector would have to find both

    async def _run_one(self, asked: RequestReceived) -> None:
        """Answer one request, unless the client cancels it or disconnects."""
        session, machine = self._session, self._machine
        running = session.running if session is not None else {}
        request = running[asked.request_id] = RunningRequest()
        self._running.append(request)
        answered, refusal = False, None
        try:
            caller = RequestContext(asked, machine, session, self._send_before, self._sender)
            payload, status = await dispatch(
                self._backend, self._subscriptions, machine, session, asked, caller
            )
            await self._send(payload, status)
            answered = True
        except asyncio.CancelledError:
            if not request.uncancel():
                raise
        finally:
            if running.get(asked.request_id) is request:  # else its id may be in use again
                del running[asked.request_id]
                if not answered:
                    with contextlib.suppress(LocalProtocolError):  # it was answered
                        error = self._refusal or ErrorObject(INTERNAL_ERROR, "cancelled")
                        refusal = machine.refuse(asked.request_id, error)
        if self._refusal is not None and refusal is not None:
            await self._send(refusal, 200)

    async def _send(self, payload: bytes, status: int) -> None:
        if self._alone and not self._response.streaming:
            await self._response.document(payload, status)
        else:
            await self._response.event(payload)

    def refuse(self, error: ErrorObject) -> None:
        """Cancel the requests under way, and answer them with an error."""
        self._refusal = error
        for request in self._running:
            request.cancel()

    def _begin_to_watch(self, receive: Receive) -> None:
        self._watcher = asyncio.create_task(self._watch(receive))

    async def _watch(self, receive: Receive) -> None:
        """Cancel the requests when the client disconnects; keep a silent stream alive until then."""
        disconnect = asyncio.create_task(disconnected(receive))
        try:
            while not disconnect.done():
                await asyncio.wait([disconnect], timeout=self._keep_alive)
                if not disconnect.done() and not self._response.complete:
                    await self._response.keep_alive()
        finally:
            disconnect.cancel()
        self._disconnected = True
        for request in self._running:
            request.cancel()


async def _send_nothing(payload: bytes) -> None:
    """Drop a message that comes before the answer, of which the client takes nothing else.

    Raises:
        InvalidRequestError: The message asks the client something.
    """
    if isinstance(jsonrpc.decode(payload)[0], jsonrpc.Request):
        raise InvalidRequestError("the client can be asked nothing: its Accept lists no text/event-stream")


def status_of(payload: bytes) -> int:
    """Return the HTTP status for an answer of the machine itself."""
    (message,) = jsonrpc.decode(payload)
    if not isinstance(message, jsonrpc.ErrorResponse):
        return 200
    return STATUSES.get(message.error.code, 400)

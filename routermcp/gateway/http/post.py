"""One POST: the requests in it are worked on, and what they have to say goes out.

The answer is one JSON document when a single request is answered before there was anything
else to say. It becomes an event stream with the first progress report, log message or
question to the client, with several answers (a batch), or when the work takes so long that
somebody on the way might take the connection for dead.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from routermcp_proto import jsonrpc
from routermcp_proto.error_codes import INTERNAL_ERROR
from routermcp_proto.events import MessageReady, RequestReceived
from routermcp_proto.exceptions import LocalProtocolError
from routermcp_proto.jsonrpc import ErrorObject
from routermcp_proto.server_session import ServerSession

from ..backend import Backend
from ..dispatch.context import RequestContext
from ..dispatch.dispatcher import STATUSES, answer
from ..dispatch.subscriptions import Subscriptions
from ..sessions.base import KeptSession, Work
from .asgi import Receive, Reply, disconnected

#: Seconds after which a silent stream gets a comment. Proxies commonly cut after 60 (nginx,
#: ``proxy_read_timeout``) or 30 (Heroku).
KEEP_ALIVE_SECONDS = 15.0

#: Seconds after which it is watched whether the client is still there. Most requests are
#: answered before that, and watching takes a task.
WATCH_AFTER_SECONDS = 0.05


class Exchange:
    """Works on the requests of one POST.

    Args:
        backend: Who answers.
        announcements: Who is told of changes.
        machine: The session machine that took the message.
        session: The session that is kept of it, None in the stateless era.
        reply: Where the answers go.
        user_id: Whom the requests are for.
    """

    def __init__(
        self,
        backend: Backend,
        announcements: Subscriptions,
        machine: ServerSession,
        session: KeptSession | None,
        reply: Reply,
        user_id: str | None = None,
    ) -> None:
        self._backend = backend
        self._announcements = announcements
        self._machine = machine
        self._session = session
        self._reply = reply
        self._user_id = user_id
        self._alone = True
        self._gone = False
        self._works: list[Work] = []
        self._watcher: asyncio.Task[None] | None = None

    async def run(
        self, ready: Sequence[MessageReady], asked: Sequence[RequestReceived], receive: Receive
    ) -> None:
        """Answer, and return when all was answered or the client is gone.

        Args:
            ready: Answers that the machine gave by itself.
            asked: Requests for the backend.
            receive: Tells when the client is gone, upon which the work is cancelled.
        """
        self._alone = len(ready) + len(asked) == 1
        for message in ready:
            payload = message.outgoing.payload
            if self._alone:
                await self._reply.json(payload, status_of(payload))
            else:
                await self._reply.event(payload)
        if not asked:
            await self._finish(bool(ready))
            return
        watching = asyncio.get_running_loop().call_later(WATCH_AFTER_SECONDS, self._begin_to_watch, receive)
        try:
            if len(asked) == 1:
                await self._work_on(asked[0])
            else:
                async with asyncio.TaskGroup() as group:
                    for request in asked:
                        group.create_task(self._work_on(request))
        finally:
            watching.cancel()
            if self._watcher is not None:
                self._watcher.cancel()
        if not self._gone:
            await self._finish(True)

    async def _work_on(self, asked: RequestReceived) -> None:
        """Answer one request, unless the client withdraws it or goes."""
        running = self._session.running if self._session is not None else {}
        work = running[asked.request_id] = Work()
        self._works.append(work)
        served = False
        try:
            await self._serve(asked)
            served = True
        except asyncio.CancelledError:
            if not work.withdrawn():
                raise
        finally:
            if running.get(asked.request_id) is work:  # else its id may be in use again
                del running[asked.request_id]
                if not served:
                    self._forget(asked)

    def _forget(self, asked: RequestReceived) -> None:
        with contextlib.suppress(LocalProtocolError):  # it was answered
            self._machine.refuse(asked.request_id, ErrorObject(INTERNAL_ERROR, "cancelled"))

    def _begin_to_watch(self, receive: Receive) -> None:
        self._watcher = asyncio.create_task(self._watch(receive))

    async def _watch(self, receive: Receive) -> None:
        """Give the work up when the client is gone, and keep a silent stream alive until then."""
        departure = asyncio.create_task(disconnected(receive))
        try:
            while not departure.done():
                await asyncio.wait([departure], timeout=KEEP_ALIVE_SECONDS)
                if not departure.done() and not self._reply.complete:
                    await self._reply.keep_alive()
        finally:
            departure.cancel()
        self._gone = True
        for work in self._works:
            work.cancel()

    async def _finish(self, answered: bool) -> None:
        if not answered:
            await self._reply.empty(202)
        elif not self._reply.complete:
            await self._reply.end()

    async def _serve(self, asked: RequestReceived) -> None:
        caller = RequestContext(asked, self._machine, self._session, self._reply.event, self._user_id)
        payload, status = await answer(
            self._backend, self._announcements, self._machine, self._session, asked, caller
        )
        if self._alone and not self._reply.streaming:
            await self._reply.json(payload, status)
        else:
            await self._reply.event(payload)


def status_of(payload: bytes) -> int:
    """Return the HTTP status for an answer that the machine gave by itself."""
    (message,) = jsonrpc.decode(payload)
    if not isinstance(message, jsonrpc.ErrorResponse):
        return 200
    return STATUSES.get(message.error.code, 400)

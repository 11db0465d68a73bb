"""What happens while a call waits for its answer, besides the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Protocol

from routermcp_proto.client_session import ClientSession
from routermcp_proto.error_codes import INTERNAL_ERROR
from routermcp_proto.events import (
    Event,
    MessageDropped,
    MessageReady,
    NotificationReceived,
    Outgoing,
    ProgressReceived,
    RequestReceived,
)
from routermcp_proto.exceptions import AuthorizationRequiredError
from routermcp_proto.jsonrpc import ErrorObject
from routermcp_proto.types import Progress

from ..wire_log import log
from .deadline import CallDeadline

#: Seconds for the last word to the server of a call that was cancelled.
CANCEL_SECONDS = 0.1

#: Called with each progress report.
OnProgress = Callable[[Progress], Awaitable[None]]

#: Sends a message that has no answer.
Post = Callable[[Outgoing], Awaitable[None]]


#: Sends the answer to a request of the server: a result, or an error object.
Reply = Callable[["Mapping[str, Any] | ErrorObject"], Awaitable[None]]


class Responder(Protocol):
    """Whoever answers the server and hears its notifications: the user's callbacks."""

    def take_over(self, asked: RequestReceived, reply: Reply) -> bool:
        """Say whether the answer is given aside, by calling ``reply``; else :meth:`answer` gives it."""
        ...

    async def answer(self, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer a request of the server."""
        ...

    async def hear(self, method: str, params: Mapping[str, Any]) -> None:
        """Take a notification of the server."""
        ...

    async def authorize(self, required: AuthorizationRequiredError) -> bool:
        """Have a user sign in that a call waits for; say whether that was done."""
        ...


class IncomingHandler:
    """Treats the events of one call.

    Args:
        session: Whose events they are.
        responder: Answers the server.
        clock: The deadline of the call, which stands still while a person is asked.
        on_progress: Called with each progress report, where the caller wants them.
        post: Sends what has to be said to the server.
        place: Where the server is, for the log.
    """

    __slots__ = ("_clock", "_on_progress", "_place", "_post", "_responder", "_session")

    def __init__(
        self,
        session: ClientSession,
        responder: Responder,
        clock: CallDeadline,
        on_progress: OnProgress | None,
        post: Post,
        place: object,
    ) -> None:
        self._session = session
        self._responder = responder
        self._clock = clock
        self._on_progress = on_progress
        self._post = post
        self._place = place

    async def treat(self, event: Event) -> None:
        """Do what an event asks for.

        Raises:
            Exception: That of a callback of the user.
        """
        if isinstance(event, ProgressReceived):
            if self._on_progress is not None:
                await self._on_progress(event.progress)
        elif isinstance(event, NotificationReceived):
            await self._responder.hear(event.method, event.params)
        elif isinstance(event, RequestReceived):
            await self._answer(event)
        elif isinstance(event, MessageReady):
            await self._post(event.outgoing)
        elif isinstance(event, MessageDropped):
            log.warning("a message of %s was dropped: %s", self._place, event.problem)

    async def _answer(self, asked: RequestReceived) -> None:
        """Let the user's callback answer; its own error reaches the caller, and the server hears of it."""
        session = self._session
        if self._responder.take_over(asked, partial(self._reply, asked)):
            return

        async def ask() -> Mapping[str, Any]:
            return await self._responder.answer(asked.method, asked.params)

        try:
            payload = session.answer(asked.request_id, await self._clock.interact(ask))
        except Exception:
            failed = ErrorObject(INTERNAL_ERROR, "the client could not answer")
            async with self._clock.runtime.shield(CANCEL_SECONDS):
                await self._post(Outgoing(session.refuse(asked.request_id, failed)))
            raise
        await self._post(Outgoing(payload))

    async def _reply(self, asked: RequestReceived, answer: Mapping[str, Any] | ErrorObject) -> None:
        session, request_id = self._session, asked.request_id
        refused = isinstance(answer, ErrorObject)
        payload = session.refuse(request_id, answer) if refused else session.answer(request_id, answer)
        await self._post(Outgoing(payload))

"""What happens while a call waits for its answer, besides the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from routermcp_proto import types
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
from routermcp_proto.exceptions import AuthorizationRequiredError, MCPError, TransportError
from routermcp_proto.jsonrpc import ErrorObject

from ..logs import DropLog
from .deadline import CallDeadline

T = TypeVar("T")

#: Seconds for the last word to the server of a call that was cancelled.
CANCEL_SECONDS = 0.1

#: Called with each progress report.
ProgressSink = Callable[["types.Progress"], Awaitable[None]]

#: Handles an event that is not the outcome of an exchange.
OnEvent = Callable[[Event], Awaitable[None]]

#: Sends a message that has no answer.
PostMessage = Callable[[Outgoing], Awaitable[None]]

#: Sends the answer to a request of the server: a result, or an error object.
Reply = Callable[["Mapping[str, Any] | ErrorObject"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class SessionRenewal:
    """A session that was opened in the place of one that had ended, and with it what the server kept in it.

    Attributes:
        server: The URL of the server, or the command that it runs.
        reason: The end of the old session, in words.
        user_id: The user of the session.
    """

    server: str
    reason: str
    user_id: str | None


class Responder(Protocol):
    """Answers the server's requests and receives its notifications: the user's callbacks."""

    def take_over(self, asked: RequestReceived, reply: Reply) -> bool:
        """Say whether the answer is given aside, by calling ``reply``; else :meth:`answer` gives it."""
        ...

    async def answer(self, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer a request of the server."""
        ...

    async def hear(self, method: str, params: Mapping[str, Any]) -> None:
        """Receive a notification of the server."""
        ...

    async def renewed(self, renewal: SessionRenewal) -> None:
        """Restore what the server kept in the session before."""
        ...

    async def authorize(self, required: AuthorizationRequiredError) -> bool:
        """Let the user sign in, for a call that waits for it; say whether they did."""
        ...


class IncomingHandler:
    """Handles what the server of one session sends besides the answers to calls.

    Args:
        session: The session's machine.
        responder: Answers the server.
        place: The server, for the log.
    """

    __slots__ = ("__weakref__", "_dropped", "_responder", "_session")

    def __init__(self, session: ClientSession, responder: Responder, place: object) -> None:
        self._session = session
        self._responder = responder
        self._dropped = DropLog(place)

    async def handle(
        self, deadline: CallDeadline, post: PostMessage, on_progress: ProgressSink | None, event: Event
    ) -> None:
        """Do what an event asks for.

        Args:
            deadline: The deadline of the call that reads the event; it stands still while a
                person is asked.
            post: Sends an answer to the server, with the headers of that call.
            on_progress: Called with a progress report, None where the caller wants none.
            event: Last, so that a call binds the others with :func:`functools.partial`.

        Raises:
            MCPError: An answer could not be sent (``interrupted``), or a callback has failed at a server.
            Exception: That of a callback of the user.
        """
        post = partial(_post_or_raise, post)
        if isinstance(event, ProgressReceived):
            if on_progress is not None:
                await _run_callback(on_progress(event.progress))
        elif isinstance(event, NotificationReceived):
            await _run_callback(self._responder.hear(event.method, event.params))
        elif isinstance(event, RequestReceived):
            await self._answer(event, deadline, post)
        elif isinstance(event, MessageReady):
            await post(event.outgoing)
        elif isinstance(event, MessageDropped):
            self._dropped.note(event.problem)

    async def _answer(self, asked: RequestReceived, deadline: CallDeadline, post: PostMessage) -> None:
        """Let the user's callback answer; its own error reaches the caller, and the server hears of it."""
        session = self._session
        if self._responder.take_over(asked, partial(self._reply, asked, post)):
            return

        async def ask() -> Mapping[str, Any]:
            return await _run_callback(self._responder.answer(asked.method, asked.params))

        try:
            payload = session.answer(asked.request_id, await deadline.interact(ask))
        except Exception:
            failed = ErrorObject(INTERNAL_ERROR, "the client could not answer")
            async with deadline.runtime.shield(CANCEL_SECONDS):
                await post(Outgoing(session.refuse(asked.request_id, failed)))
            raise
        except BaseException:
            session.forget(asked.request_id)
            raise
        await post(Outgoing(payload))

    async def _reply(
        self, asked: RequestReceived, post: PostMessage, answer: Mapping[str, Any] | ErrorObject
    ) -> None:
        session, request_id = self._session, asked.request_id
        refused = isinstance(answer, ErrorObject)
        payload = session.refuse(request_id, answer) if refused else session.answer(request_id, answer)
        await post(Outgoing(payload))


# The server has the call whose answer is waited for here. A failure meanwhile may say of some other request
# that it did not run, or that a user has to sign in first: as errors of this call, both would have it made
# again.


async def _run_callback(working: Awaitable[T]) -> T:
    """Let a callback of the user do its work, and return its result.

    Raises:
        MCPError: It failed at a server, this one or another.
    """
    try:
        return await working
    except (TransportError, AuthorizationRequiredError) as error:
        raise MCPError(f"a callback has failed: {error}") from error


async def _post_or_raise(post: PostMessage, outgoing: Outgoing) -> None:
    """Send a message to the server.

    Raises:
        TransportError: It cannot be sent (``interrupted``): the call that it is about may have run.
    """
    try:
        await post(outgoing)
    except TransportError as error:
        if error.code == "interrupted":
            raise
        message = f"the answer that the server waits for cannot be sent: {error}"
        raise TransportError(message, code="interrupted") from error

"""The sessions of the handshake era that a server keeps between requests."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from routermcp_proto import jsonrpc
from routermcp_proto.events import ErrorReceived, Event, RequestWithdrawn, ResponseReceived, ResponseRejected
from routermcp_proto.exceptions import RPCError
from routermcp_proto.jsonrpc import ErrorObject, RequestId
from routermcp_proto.server_session import ServerSession

from .asgi import Rejected

#: Sessions at once. Each is a few kilobytes, so that a thousand are no burden; a client
#: that opens sessions in a loop is stopped before it becomes one.
MAX_SESSIONS = 1_000

#: Seconds after which a session that nobody uses is forgotten: what RouterMCP's own gateway
#: has as default (``session.timeout``).
SESSION_IDLE_SECONDS = 300.0

#: Notifications that wait for a client that reads its shared stream slowly. What is
#: announced says "look again", so the surplus may be dropped.
MAX_ANNOUNCEMENTS = 64

#: Bytes of randomness in a session id: twice what is needed against guessing.
ID_BYTES = 32

#: Level from which a client gets log messages that has not set one.
DEFAULT_LOG_LEVEL = "info"


class Work:
    """The work on one request, in the task that makes it."""

    __slots__ = ("_cancelled", "_task")

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - made in one
        self._task = task
        self._cancelled = False

    def cancel(self) -> None:
        """Give it up; the task itself may go on."""
        if not self._cancelled:
            self._cancelled = True
            self._task.cancel()

    def withdrawn(self) -> bool:
        """Say whether it was given up, when the task finds itself cancelled; then the task goes on."""
        if self._cancelled:
            self._task.uncancel()
        return self._cancelled


@dataclass(eq=False, slots=True)
class KeptSession:
    """A session and what is under way in it."""

    id: str
    machine: ServerSession
    last_used: float
    log_level: str = DEFAULT_LOG_LEVEL
    running: dict[RequestId, Work] = field(default_factory=dict[RequestId, "Work"])
    """The client's requests that are being worked on."""
    answers: dict[RequestId, asyncio.Future[Mapping[str, Any]]] = field(
        default_factory=dict[RequestId, "asyncio.Future[Mapping[str, Any]]"]
    )
    """Our requests to the client that wait for an answer."""
    announcements: asyncio.Queue[bytes | None] | None = None
    """What is to go out on the shared stream, None where the client has not opened it."""
    watched: set[str] = field(default_factory=set[str])
    """URIs of the resources whose changes the client wants to hear of."""

    @property
    def busy(self) -> bool:
        """Whether the client is waiting for something."""
        return bool(self.running) or self.announcements is not None

    def announce(self, payload: bytes | None) -> None:
        """Put a message on the shared stream; None ends the stream."""
        queue = self.announcements
        if queue is None:
            return
        if queue.full() and payload is None:
            queue.get_nowait()
        if not queue.full():
            queue.put_nowait(payload)

    def close(self) -> None:
        """Stop all that is under way."""
        self.machine.close()
        for work in self.running.values():
            work.cancel()
        self.announce(None)

    def settle(self, events: list[Event]) -> None:
        """Bring what a client said to those who wait for it."""
        for event in events:
            if isinstance(event, RequestWithdrawn):
                work = self.running.pop(event.request_id, None)
                if work is not None:
                    work.cancel()
            elif isinstance(event, ResponseReceived):
                answer = self.answers.get(event.request_id)
                if answer is not None and not answer.done():
                    answer.set_result(event.value.to_wire())
            elif isinstance(event, ErrorReceived | ResponseRejected):
                answer = self.answers.get(event.request_id)
                if answer is not None and not answer.done():
                    answer.set_exception(_as_error(event))


def _as_error(event: ErrorReceived | ResponseRejected) -> RPCError:
    if isinstance(event, ResponseRejected):
        return RPCError(f"the client's answer is malformed: {event.error}", code=-32603)
    return RPCError(event.error.message, code=event.error.code, data=event.error.data)


class SessionTable:
    """The sessions by id: bounded, and forgotten when idle.

    Args:
        max_sessions: Sessions at once.
        idle_seconds: After which a session that nobody uses is forgotten.
        clock: Tells the time, in seconds.
    """

    def __init__(self, max_sessions: int, idle_seconds: float, clock: Callable[[], float]) -> None:
        self._max = max_sessions
        self._idle = idle_seconds
        self._clock = clock
        self._sessions: dict[str, KeptSession] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Any:
        return iter(tuple(self._sessions.values()))

    def admit(self, machine: ServerSession) -> KeptSession:
        """Keep a session that was just initialized.

        Raises:
            Rejected: There are too many, and all are in use (503).
        """
        for session in tuple(self._sessions.values()):
            if self._expired(session):
                self.remove(session)
        if len(self._sessions) >= self._max:
            self._make_room()
        session = KeptSession(secrets.token_urlsafe(ID_BYTES), machine, self._clock())
        self._sessions[session.id] = session
        return session

    def _make_room(self) -> None:
        idle = [session for session in self._sessions.values() if not session.busy]
        if not idle:
            problem = ErrorObject(jsonrpc.INVALID_REQUEST, "too many sessions are open")
            raise Rejected(503, problem, headers=[(b"retry-after", b"5")])
        self.remove(min(idle, key=lambda session: session.last_used))

    def find(self, session_id: str) -> KeptSession:
        """Return a session that is in use again.

        Raises:
            Rejected: There is no such session, or no longer (404, upon which the client
                starts a new one).
        """
        session = self._sessions.get(session_id)
        if session is not None and self._expired(session):
            self.remove(session)
            session = None
        if session is None:
            raise Rejected(404, ErrorObject(jsonrpc.INVALID_REQUEST, "there is no such session"))
        session.last_used = self._clock()
        return session

    def used(self, session: KeptSession) -> None:
        """Note that a session was in use until now."""
        session.last_used = self._clock()

    def remove(self, session: KeptSession) -> None:
        """Forget a session and stop what is under way in it."""
        if self._sessions.pop(session.id, None) is not None:
            session.close()

    def _expired(self, session: KeptSession) -> bool:
        return not session.busy and self._clock() - session.last_used > self._idle

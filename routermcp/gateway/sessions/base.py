"""The sessions of the handshake era that a server keeps between requests.

Where they are kept is a :class:`SessionStore`: a :class:`SessionTable` in one process, or
:mod:`.redis` for several that serve the same clients.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from routermcp_proto.error_codes import INTERNAL_ERROR, INVALID_REQUEST
from routermcp_proto.events import ErrorReceived, Event, RequestWithdrawn, ResponseReceived, ResponseRejected
from routermcp_proto.exceptions import RPCError
from routermcp_proto.jsonrpc import ErrorObject, RequestId
from routermcp_proto.names import LOG_LEVELS, RESOURCE_UPDATED
from routermcp_proto.server_session import ServerSession

from ..errors import Rejected

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


#: The fact of a session by which its log level is kept.
LOG_LEVEL = "log_level"

#: The facts that the client wants to hear of changes of a resource, each with its URI behind.
WATCHED = "watched:"
WANTED = "yes"

Keep = Callable[["KeptSession", str, str | None], Awaitable[None]]
"""Writes a fact of a session to where other processes see it; None forgets it."""

OnAnnounced = Callable[[str, Mapping[str, Any]], None]
"""Told of an announcement: method and parameters."""


class RunningRequest:
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

    def uncancel(self) -> bool:
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
    running: dict[RequestId, RunningRequest] = field(default_factory=dict[RequestId, "RunningRequest"])
    """The client's requests that are being worked on."""
    answers: dict[RequestId, asyncio.Future[Mapping[str, Any]]] = field(
        default_factory=dict[RequestId, "asyncio.Future[Mapping[str, Any]]"]
    )
    """Our requests to the client that wait for an answer."""
    announcements: asyncio.Queue[bytes | None] | None = None
    """What is to go out on the shared stream, None where the client has not opened it."""
    watched: set[str] = field(default_factory=set[str])
    """URIs of the resources whose changes the client wants to hear of."""
    keep: Keep | None = None
    """Keeps what the client sets, None where only this process has to know."""

    async def set_log_level(self, level: str) -> None:
        """Note from which level on the client wants log messages.

        Raises:
            RPCError: It cannot be kept for the other processes.
        """
        if self.keep is not None:
            await self.keep(self, LOG_LEVEL, level)
        self.log_level = level

    async def watch(self, uri: str, wanted: bool) -> None:
        """Note that the client wants to hear of changes of a resource, or no more.

        Raises:
            RPCError: It cannot be kept for the other processes.
        """
        if self.keep is not None:
            await self.keep(self, WATCHED + uri, WANTED if wanted else None)
        self._note_watched(uri, wanted)

    def _note_watched(self, uri: str, wanted: bool) -> None:
        if wanted:
            self.watched.add(uri)
        else:
            self.watched.discard(uri)

    def learn(self, fact: str, value: str | None) -> None:
        """Take a fact from another process; one that is none is left aside."""
        if fact == LOG_LEVEL and value in LOG_LEVELS:
            self.log_level = value
        elif fact.startswith(WATCHED) and value in (WANTED, None):
            self._note_watched(fact.removeprefix(WATCHED), value is not None)

    def wants(self, method: str, params: Mapping[str, Any]) -> bool:
        """Whether the client wants to hear of a change."""
        return method != RESOURCE_UPDATED or concerns(params.get("uri"), self.watched)

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

    def settle(self, events: Sequence[Event]) -> None:
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
        return RPCError(f"the client's answer is malformed: {event.error}", code=INTERNAL_ERROR)
    return RPCError(event.error.message, code=event.error.code, data=event.error.data)


def concerns(uri: Any, watched: set[str]) -> bool:
    """Whether a change of a resource is one of those watched, or of a part of one.

    "This might be a sub-resource of the one that the client actually subscribed to"
    (MCP, schema, ``ResourceUpdatedNotification``).
    """
    if not isinstance(uri, str):
        return False
    return uri in watched or any(uri.startswith(f"{each.rstrip('/')}/") for each in watched)


def unknown_session() -> Rejected:
    """Return the refusal upon which a client starts a new session."""
    return Rejected(404, ErrorObject(INVALID_REQUEST, "there is no such session"))


def too_many_sessions() -> Rejected:
    """Return the refusal of one session more."""
    problem = ErrorObject(INVALID_REQUEST, "too many sessions are open")
    return Rejected(503, problem, headers=[(b"retry-after", b"5")])


def stream_is_open() -> Rejected:
    """Return the refusal of a second shared stream."""
    return Rejected(409, ErrorObject(INVALID_REQUEST, "the stream of this session is open"))


def nobody_cares(method: str, params: Mapping[str, Any]) -> None:
    """Announce to nobody, until somebody serves the sessions."""


class SessionStore(Protocol):
    """Where sessions are kept. One event loop uses it.

    Attributes:
        on_announced: Told of what another process announces, method and parameters. Set by
            whoever serves the sessions.

    Every method that waits may raise :class:`~routermcp.gateway.errors.Rejected` with status
    503 where the store is elsewhere and does not answer.
    """

    on_announced: OnAnnounced

    def __len__(self) -> int:
        """How many sessions are kept, as far as this process knows."""
        ...

    def __iter__(self) -> Iterator[KeptSession]:
        """The sessions that this process has to do with just now."""
        ...

    def request_prefix(self) -> str:
        """Return what the ids of a new machine's own requests begin with, "" for numbers."""
        ...

    async def admit(self, machine: ServerSession) -> KeptSession:
        """Keep a session that was just initialized; pair it with :meth:`used`.

        Raises:
            Rejected: There are too many, and all are in use (503).
        """
        ...

    async def find(self, session_id: str, new_machine: Callable[[], ServerSession]) -> KeptSession:
        """Return a session that is in use again; pair it with :meth:`used`.

        Args:
            session_id: As a client gave it.
            new_machine: Makes the machine, where another process has the session's own.

        Raises:
            Rejected: There is no such session, or no longer (404, upon which the client
                starts a new one).
        """
        ...

    async def used(self, session: KeptSession) -> None:
        """Note that a session was in use until now. Raises nothing: the answer has gone out."""
        ...

    async def open_stream(self, session: KeptSession) -> asyncio.Queue[bytes | None]:
        """Return what is to go out on the shared stream of a session; None ends it.

        Raises:
            Rejected: It is open already (409).
        """
        ...

    async def close_stream(self, session: KeptSession) -> None:
        """Note that nobody reads the shared stream any more. Raises nothing."""
        ...

    async def settle(self, session: KeptSession, body: bytes, events: Sequence[Event]) -> None:
        """Bring what a client said to those who wait for it.

        Args:
            session: Whose client.
            body: What it sent.
            events: What the machine here made of it.
        """
        ...

    def may_watch(self, uri: str) -> bool:
        """Whether a session, in whichever process, may want to hear of changes of a resource."""
        ...

    def spread(self, method: str, params: Mapping[str, Any]) -> None:
        """Let the other processes announce what is announced here.

        Raises:
            LocalProtocolError: JSON cannot hold the parameters.
        """
        ...

    async def remove(self, session: KeptSession) -> None:
        """Forget a session and stop what is under way in it."""
        ...

    async def close(self) -> None:
        """Stop what is under way here."""
        ...

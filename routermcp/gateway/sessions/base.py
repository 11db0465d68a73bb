"""The sessions of the handshake era that a server keeps between requests.

A :class:`SessionStore` keeps them: :mod:`.memory` in one process, or :mod:`.redis` for several
processes that serve the same clients.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from routermcp_proto.error_codes import INTERNAL_ERROR, INVALID_REQUEST
from routermcp_proto.events import ErrorReceived, Event, RequestWithdrawn, ResponseReceived, ResponseRejected
from routermcp_proto.exceptions import RPCError
from routermcp_proto.jsonrpc import ErrorObject, RequestId
from routermcp_proto.names import LOG_LEVELS, RESOURCE_UPDATED
from routermcp_proto.server_session import ServerSession

from ..backend import Announce, View
from ..errors import Rejected

#: Sessions at once. Each is a few kilobytes, so that a thousand are no burden; a client
#: that opens sessions in a loop is stopped before it becomes one.
MAX_SESSIONS = 1_000

#: Seconds after which an unused session is forgotten: the default of RouterMCP's own gateway
#: (``session.timeout``).
SESSION_IDLE_SECONDS = 300.0

#: Notifications queued for a client that reads its shared stream slowly. They say "look again",
#: so the surplus may be dropped.
MAX_ANNOUNCEMENTS = 64

#: Levels of a resource, and characters of its URI, at which one above it may end that is watched. Servers
#: choose the URIs that they announce, and each session is asked.
MAX_PARENT_LEVELS = 64
MAX_PARENT_CHARACTERS = 2_048

#: Bytes of randomness in a session id: twice what is needed against guessing.
SESSION_ID_BYTES = 32

#: The lowest level of log messages for a client that has set none.
DEFAULT_LOG_LEVEL = "info"

#: The fact of a session that holds its log level.
LOG_LEVEL = "log_level"

#: The facts that the client watches a resource, each followed by its URI.
WATCHED = "watched:"
WANTED = "yes"


class SessionEnd(StrEnum):
    """Why a session ended."""

    CLIENT = "client"
    """Its client ended it."""
    EXPIRED = "expired"
    EVICTED = "evicted"
    """It was idle, and another needed its place."""
    SHUTDOWN = "shutdown"


OnEnded = Callable[["KeptSession", SessionEnd], None]
"""Called with a session that did not end by its client's wish, and why it did."""

#: Seconds after which a client may retry that was refused because too many sessions are open.
SESSIONS_RETRY_AFTER_SECONDS = 5


class RunningRequest:
    """A request under way in the current task, which can be cancelled while the task goes on."""

    __slots__ = ("_cancelled", "_task")

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - constructed in one
        self._task = task
        self._cancelled = False

    def cancel(self) -> None:
        """Cancel the request; the task itself may go on."""
        if not self._cancelled:
            self._cancelled = True
            self._task.cancel()

    def uncancel(self) -> bool:
        """In a cancelled task, say whether only the request was cancelled; then let the task go on."""
        if self._cancelled:
            self._task.uncancel()
        return self._cancelled


@dataclass(eq=False, slots=True)
class KeptSession:
    """A session, and the requests under way in it."""

    id: str
    machine: ServerSession
    last_used: float
    owner: bytes = b""
    """Names the client by its key and user."""
    log_level: str = DEFAULT_LOG_LEVEL
    running: dict[RequestId, RunningRequest] = field(default_factory=dict[RequestId, "RunningRequest"])
    """The client's requests under way."""
    answers: dict[RequestId, asyncio.Future[Mapping[str, Any]]] = field(
        default_factory=dict[RequestId, "asyncio.Future[Mapping[str, Any]]"]
    )
    """Requests to the client that wait for a response."""
    announcements: asyncio.Queue[bytes | None] | None = None
    """The queue of the shared stream, None while the client has not opened it."""
    view: View | None = None
    """The part of the backend that the client sees who has opened that stream, None for the whole."""
    watched: set[str] = field(default_factory=set[str])
    """URIs of the resources that the client watches."""
    save: Callable[[KeptSession, str, str | None], Awaitable[None]] | None = None
    """Saves a fact for other processes, and forgets one for None; itself None in one process."""

    async def set_log_level(self, level: str) -> None:
        """Set the lowest level of log messages for the client.

        Raises:
            RPCError: The level cannot be saved for the other processes.
        """
        if self.save is not None:
            await self.save(self, LOG_LEVEL, level)
        self.log_level = level

    async def watch(self, uri: str, wanted: bool) -> None:
        """Begin or cease to watch a resource for the client.

        Raises:
            RPCError: The change cannot be saved for the other processes.
        """
        if self.save is not None:
            await self.save(self, WATCHED + uri, WANTED if wanted else None)
        self._note_watched(uri, wanted)

    def _note_watched(self, uri: str, wanted: bool) -> None:
        if wanted:
            self.watched.add(uri)
        else:
            self.watched.discard(uri)

    def learn(self, fact: str, value: str | None) -> None:
        """Take over a fact from another process; an unknown fact is ignored."""
        if fact == LOG_LEVEL and value in LOG_LEVELS:
            self.log_level = value
        elif fact.startswith(WATCHED) and value in (WANTED, None):
            self._note_watched(fact.removeprefix(WATCHED), value is not None)

    def wants(self, method: str, params: Mapping[str, Any], server: str | None = None) -> bool:
        """Return whether a notification, of a server where that is given, goes to the client."""
        if not sees(self.view, server):
            return False
        return method != RESOURCE_UPDATED or concerns(params.get("uri"), self.watched)

    @property
    def busy(self) -> bool:
        """Whether a request is under way or the shared stream is open."""
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
        """Cancel the requests under way and end the shared stream."""
        self.machine.close()
        for request in self.running.values():
            request.cancel()
        self.announce(None)

    def settle(self, events: Sequence[Event]) -> None:
        """Cancel the requests that the client cancelled, and hand its responses to their waiters."""
        for event in events:
            if isinstance(event, RequestWithdrawn):
                request = self.running.pop(event.request_id, None)
                if request is not None:
                    request.cancel()
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


def sees(view: View | None, server: str | None) -> bool:
    """Return whether clients with a view, None for the whole, hear what is about a server, None for all."""
    return view is None or server is None or view.shows_server(server)


def concerns(uri: Any, watched: set[str]) -> bool:
    """Return whether a change of a resource concerns a watched one, or a part of one.

    "This might be a sub-resource of the one that the client actually subscribed to"
    (MCP, schema, ``ResourceUpdatedNotification``). The resources above are looked up: it takes as long where
    a thousand are watched as where one is.
    """
    if not watched or not isinstance(uri, str):
        return False
    if uri in watched:
        return True
    end = -1
    for _ in range(MAX_PARENT_LEVELS):
        end = uri.find("/", end + 1, MAX_PARENT_CHARACTERS)
        if end < 0:
            break
        if uri[:end] in watched or uri[: end + 1] in watched:
            return True
    return False


def watched_among(uris: Collection[str], watched: Iterable[set[str]]) -> set[str]:
    """Return those of some resources whose change concerns one of the sets of watched ones."""
    if len(uris) > 1:  # each would be looked up in each set
        watched = [set[str]().union(*watched)]
    among = [*watched]
    return {uri for uri in uris if any(concerns(uri, each) for each in among)}


def unknown_session() -> Rejected:
    """Return the refusal of an unknown session, upon which a client starts a new one."""
    return Rejected(404, ErrorObject(INVALID_REQUEST, "there is no such session"))


def too_many_sessions() -> Rejected:
    """Return the refusal of one session more."""
    problem = ErrorObject(INVALID_REQUEST, "too many sessions are open")
    return Rejected(503, problem, headers=[(b"retry-after", b"%d" % SESSIONS_RETRY_AFTER_SECONDS)])


def stream_is_open() -> Rejected:
    """Return the refusal of a second shared stream."""
    return Rejected(409, ErrorObject(INVALID_REQUEST, "the stream of this session is open"))


class SessionStore(Protocol):
    """A store of sessions, used by one event loop.

    Attributes:
        on_announced: Called with an announcement of another process; set by the application that
            serves the sessions.
        on_ended: Called with a session that this process forgets by itself; set likewise.

    Every method that waits may raise :class:`~routermcp.gateway.errors.Rejected` with status
    503 where the store is another process and does not answer.
    """

    on_announced: Announce | None
    on_ended: OnEnded | None

    def __len__(self) -> int:
        """Return the number of sessions, as far as this process knows."""
        ...

    def __iter__(self) -> Iterator[KeptSession]:
        """Iterate over the sessions that this process uses."""
        ...

    def request_prefix(self) -> str:
        """Return the prefix of the ids of a new machine's own requests, "" for plain numbers."""
        ...

    async def admit(self, machine: ServerSession, owner: bytes = b"") -> KeptSession:
        """Store a session that was just initialized; pair it with :meth:`used`.

        Args:
            machine: The machine of the session.
            owner: Names the client by its key and user, for the bounds.

        Raises:
            Rejected: Too many sessions are open, and all are in use (503).
        """
        ...

    async def find(self, session_id: str, new_machine: Callable[[], ServerSession]) -> KeptSession:
        """Return a session and mark it as used; pair it with :meth:`used`.

        Args:
            session_id: The id that a client sent.
            new_machine: Returns a machine, where the session's own is in another process.

        Raises:
            Rejected: The session is unknown or expired (404, upon which the client starts a new
                one).
        """
        ...

    async def used(self, session: KeptSession) -> None:
        """Mark a session as used until now. Raises nothing: the response has gone out."""
        ...

    async def open_stream(self, session: KeptSession) -> asyncio.Queue[bytes | None]:
        """Open the shared stream of a session and return its queue, in which None ends it.

        Raises:
            Rejected: The stream is open already (409).
        """
        ...

    async def close_stream(self, session: KeptSession) -> None:
        """Close the shared stream of a session. Raises nothing."""
        ...

    async def settle(self, session: KeptSession, body: bytes, events: Sequence[Event]) -> None:
        """Settle a client's responses and cancellations, here or in the process that waits for them.

        Args:
            session: The session of the client.
            body: The body that it sent.
            events: The events that the machine here made of the body.
        """
        ...

    def may_watch(self, uris: Collection[str]) -> set[str]:
        """Return those of some resources that a session, in any process, may watch."""
        ...

    def spread(
        self, method: str, params: Mapping[str, Any], session_id: str | None = None, server: str | None = None
    ) -> None:
        """Have the other processes announce a notification too, as :class:`Announce` does.

        Raises:
            LocalProtocolError: JSON cannot hold the parameters.
        """
        ...

    async def remove(self, session: KeptSession) -> None:
        """Forget a session and cancel its requests."""
        ...

    async def close(self) -> None:
        """Cancel the requests of this process, and close the store."""
        ...

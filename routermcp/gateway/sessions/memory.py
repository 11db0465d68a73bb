"""The sessions of one process, in memory."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from routermcp_proto.events import Event
from routermcp_proto.server_session import ServerSession

from ..backend import Announce
from .base import (
    MAX_ANNOUNCEMENTS,
    SESSION_ID_BYTES,
    KeptSession,
    OnEnded,
    SessionEnd,
    stream_is_open,
    too_many_sessions,
    unknown_session,
    watched_among,
)


class MemorySessions:
    """The sessions of one process by id: bounded, and forgotten when idle."""

    def __init__(self, max_sessions: int, idle_seconds: float, clock: Callable[[], float]) -> None:
        self._max = max_sessions
        self._idle = idle_seconds
        self._clock = clock
        self._sessions: dict[str, KeptSession] = {}
        self.on_announced: Announce | None = None
        self.on_ended: OnEnded | None = None

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[KeptSession]:
        return iter(tuple(self._sessions.values()))

    def request_prefix(self) -> str:
        """Return "": a session has one machine here."""
        return ""

    async def admit(self, machine: ServerSession, owner: bytes = b"") -> KeptSession:
        """Store a session that was just initialized."""
        for session in tuple(self._sessions.values()):
            if self._expired(session):
                self._forget(session, SessionEnd.EXPIRED)
        if len(self._sessions) >= self._max:
            self._make_room(owner)
        session_id = secrets.token_urlsafe(SESSION_ID_BYTES)
        session = KeptSession(session_id, machine, self._clock(), owner)
        self._sessions[session.id] = session
        return session

    def _make_room(self, owner: bytes) -> None:
        """Forget an idle session of the owner with the most, its own before those of an equal one.

        Raises:
            Rejected: Only sessions of owners with no more than this one are idle (503).
        """
        held = Counter(session.owner for session in self._sessions.values())
        idle = [
            session
            for session in self._sessions.values()
            if not session.busy and (session.owner == owner or held[session.owner] > held[owner])
        ]
        if not idle:
            raise too_many_sessions()
        longest = min(idle, key=lambda each: (-held[each.owner], each.owner != owner, each.last_used))
        self._forget(longest, SessionEnd.EVICTED)

    async def find(self, session_id: str, new_machine: Callable[[], ServerSession]) -> KeptSession:
        """Return a session and mark it as used."""
        del new_machine
        session = self._sessions.get(session_id)
        if session is not None and self._expired(session):
            self._forget(session, SessionEnd.EXPIRED)
            session = None
        if session is None:
            raise unknown_session()
        session.last_used = self._clock()
        return session

    async def used(self, session: KeptSession) -> None:
        """Mark a session as used until now."""
        session.last_used = self._clock()

    async def open_stream(self, session: KeptSession) -> asyncio.Queue[bytes | None]:
        """Open the shared stream of a session and return its queue."""
        if session.announcements is not None:
            raise stream_is_open()
        session.announcements = asyncio.Queue(MAX_ANNOUNCEMENTS)
        return session.announcements

    async def close_stream(self, session: KeptSession) -> None:
        """Close the shared stream of a session."""
        session.announcements = None

    async def settle(self, session: KeptSession, body: bytes, events: Sequence[Event]) -> None:
        """Settle a client's responses and cancellations."""
        del body
        session.settle(events)

    def may_watch(self, uris: Collection[str]) -> set[str]:
        """Return those of some resources that a session watches."""
        return watched_among(uris, (session.watched for session in self))

    def spread(
        self, method: str, params: Mapping[str, Any], session_id: str | None = None, server: str | None = None
    ) -> None:
        """Do nothing: no other process shares the sessions."""

    async def remove(self, session: KeptSession) -> None:
        """Forget a session and cancel its requests."""
        self._forget(session)

    async def close(self) -> None:
        """Forget all sessions and cancel their requests."""
        for session in self:
            self._forget(session, SessionEnd.SHUTDOWN)

    def _forget(self, session: KeptSession, reason: SessionEnd | None = None) -> None:
        if self._sessions.pop(session.id, None) is not None:
            session.close()
            if reason is not None and self.on_ended is not None:
                self.on_ended(session, reason)

    def _expired(self, session: KeptSession) -> bool:
        return not session.busy and self._clock() - session.last_used > self._idle

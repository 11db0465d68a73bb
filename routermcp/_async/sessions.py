"""Sessions of many users: made at their first use, ended when they have been idle for long."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from routermcp_proto.exceptions import ConfigError, MCPError

from .._settings import checked_timeout
from .session import RouterMCPSession

log = logging.getLogger("routermcp")

#: Sessions that are open at most, unless told otherwise: four megabytes of them.
MAX_OPEN_SESSIONS = 1_000

#: Milliseconds after which an idle session is ended, unless told otherwise.
IDLE_TIMEOUT_MS = 300_000


@dataclass(slots=True)
class _Kept:
    session: RouterMCPSession
    borrowers: int = 0
    used_at: float = 0.0


class Sessions:
    """The sessions of a client's users; made by :meth:`RouterMCPClient.sessions`.

    Example::

        async with client.sessions(max_open=500) as sessions:
            async with sessions.get("user-1") as session:
                await session.call_tool("gmail_send", {"to": "a@example.com"})

    A session is given back at the end of the block; several blocks may borrow that of one user
    at once. Whenever one is borrowed or given back, sessions that are idle for too long or too
    many are ended, the least recently used first; nothing runs in between. A session in use is
    never ended: while more are borrowed than may be open, more are open.

    Args:
        make: Makes the session of a user.
        max_open: Sessions that may be open.
        idle_timeout: Milliseconds, 0 for no limit.
        clock: Tells the time, in seconds.

    Raises:
        ConfigError: A number is wrong.
    """

    def __init__(
        self,
        make: Callable[[str], RouterMCPSession],
        max_open: int = MAX_OPEN_SESSIONS,
        idle_timeout: int = IDLE_TIMEOUT_MS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if isinstance(max_open, bool) or not isinstance(max_open, int) or max_open < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"max_open is a number from 1 up, not {max_open!r}")
        self._make = make
        self._max_open = max_open
        self._idle = checked_timeout(idle_timeout, "idle_timeout") / 1000
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._gate = threading.Lock()
        self._closed = False

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        return f"<Sessions {len(self._kept)} of {self._max_open}>"

    def get(self, user_id: str) -> Borrowed:
        """Borrow the session of a user, connected, in a ``with`` block.

        The block raises what :meth:`RouterMCPSession.connect` raises.

        Args:
            user_id: Whose session it is.

        Raises:
            ConfigError: The user id is empty or cannot travel in a header.
        """
        return Borrowed(self, user_id)

    async def close(self) -> None:
        """End all sessions, those in use too; then none can be borrowed any more."""
        self._closed = True
        while self._kept:
            with self._gate:
                _, kept = self._kept.popitem()
            await _end(kept.session)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # ---- borrowing ----------------------------------------------------------------------------------

    def take(self, user_id: str) -> RouterMCPSession:
        """Return the session of a user, which is in use from now on; see :meth:`get`."""
        with self._gate:
            if self._closed:
                raise ConfigError("these sessions are closed")
            kept = self._kept.get(user_id)
            if kept is None:
                kept = self._kept[user_id] = _Kept(self._make(user_id))
            self._kept.move_to_end(user_id)  # out of the way of the search for idle ones
            kept.borrowers += 1
            return kept.session

    def give_back(self, user_id: str, session: RouterMCPSession) -> None:
        """Take a session back; see :meth:`get`."""
        with self._gate:
            kept = self._kept.get(user_id)
            if kept is not None and kept.session is session:
                kept.borrowers -= 1
                if not kept.borrowers:
                    kept.used_at = self._clock()
                    self._kept.move_to_end(user_id)

    async def tidy(self) -> None:
        """End the sessions that are too many or too old, as borrowing one does."""
        while (session := self._next_old()) is not None:
            await _end(session)

    def _next_old(self) -> RouterMCPSession | None:
        with self._gate:
            now, too_many = self._clock(), len(self._kept) > self._max_open
            for user_id, kept in self._kept.items():
                if kept.borrowers:
                    continue
                if too_many or (self._idle and now - kept.used_at >= self._idle):
                    return self._kept.pop(user_id).session
                return None  # the idle ones after it were given back later
            return None


class Borrowed:
    """The session of a user for as long as a ``with`` block."""

    def __init__(self, sessions: Sessions, user_id: str) -> None:
        self._sessions = sessions
        self._user_id = user_id
        self._session: RouterMCPSession | None = None

    async def __aenter__(self) -> RouterMCPSession:
        session = self._sessions.take(self._user_id)
        try:
            await self._sessions.tidy()
            await session.connect()
        except BaseException:
            self._sessions.give_back(self._user_id, session)
            raise
        self._session = session
        return session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            self._sessions.give_back(self._user_id, session)
            await self._sessions.tidy()


async def _end(session: RouterMCPSession) -> None:
    """End a session; a failure of its server is logged."""
    try:
        await session.disconnect()
    except MCPError as error:
        log.debug("the session of %r could not be ended in an orderly way: %s", session.user_id, error)

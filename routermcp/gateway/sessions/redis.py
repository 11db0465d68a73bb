"""Sessions in Redis, so that several workers serve the same clients.

Any worker takes any request: it reads the session, makes a machine of its own that takes it
up, and lets go of it with the answer. What is under way stays with the worker that does it,
and the others pass on what belongs to it: the client's answer to a question, that it cancels
a request, that it ends the session, what it sets.

When Redis does not answer, requests of sessions are refused with 503 after a bounded wait;
what was begun goes on. Redis holds whatever others may write there, so what comes out of it
is checked: what is none of ours is no session.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from routermcp_proto import jsonrpc
from routermcp_proto.error_codes import INTERNAL_ERROR
from routermcp_proto.events import Event, MessageDropped
from routermcp_proto.exceptions import ConfigError, RPCError
from routermcp_proto.jsonrpc import ErrorObject
from routermcp_proto.server_session import ServerSession
from routermcp_proto.versions import Revision

from ..errors import Rejected
from .base import (
    ID_BYTES,
    MAX_ANNOUNCEMENTS,
    MAX_SESSIONS,
    SESSION_IDLE_SECONDS,
    KeptSession,
    OnAnnounced,
    nobody_cares,
    stream_is_open,
    too_many_sessions,
    unknown_session,
)
from .redis_pubsub import LOST, News, WorkerPubSub, stop
from .redis_records import LEASE_SECONDS, Records

log = logging.getLogger("routermcp.gateway")

#: Seconds that a request waits for Redis, which answers within a millisecond when it is
#: well. A client's own time limit is usually ten times that.
STORE_SECONDS = 3.0

#: Seconds to connect, and for an answer: less than the above, so that the connection is
#: given up rather than the request.
SOCKET_SECONDS = 2.0

#: Seconds after which a client may try again.
RETRY_AFTER_SECONDS = 1

#: Seconds between two times that what is in use is said to be so, at least: sessions that are
#: forgotten sooner than that are not worth the work.
MIN_RENEW_SECONDS = 0.05

#: Connections to Redis. Commands take a fraction of a millisecond each; one connection is
#: kept for the news.
MAX_CONNECTIONS = 16

#: Bytes of randomness in the names of workers and machines, which have to differ and are no
#: secret.
NAME_BYTES = 8


_ID = re.compile(r"[A-Za-z0-9_-]{43}")

_POOL: Any = BlockingConnectionPool  # its types leave the options unknown

T = TypeVar("T")


def redis_store(
    url: str, *, max_sessions: int = MAX_SESSIONS, session_idle: float = SESSION_IDLE_SECONDS
) -> RedisSessions:
    """Return the store at a URL; nothing is reached before it is used.

    Args:
        url: ``redis://`` or ``rediss://``, with a password perhaps.
        max_sessions: Sessions at once, of all workers.
        session_idle: Seconds after which one that nobody uses is forgotten.

    Raises:
        ConfigError: It is no such URL.
    """
    try:
        pool: BlockingConnectionPool = _POOL.from_url(
            url,
            max_connections=MAX_CONNECTIONS,
            timeout=SOCKET_SECONDS,
            socket_timeout=SOCKET_SECONDS,
            socket_connect_timeout=SOCKET_SECONDS,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
    except ValueError:
        # Not chained: the text of the cause may hold a part of the URL.
        raise ConfigError("the session store needs a URL such as redis://127.0.0.1:6379/0") from None
    return RedisSessions(Redis.from_pool(pool), max_sessions=max_sessions, session_idle=session_idle)


@dataclass(eq=False, slots=True)
class _Local:
    """A session that this worker has to do with."""

    session: KeptSession
    uses: int = 0


class RedisSessions:
    """A :class:`~routermcp.gateway.sessions.base.SessionStore` in Redis; see :func:`redis_store`.

    Args:
        redis: A connection pool to it, which :meth:`close` closes.
        max_sessions: Sessions at once, of all workers.
        session_idle: Seconds after which one that nobody uses is forgotten.
    """

    def __init__(self, redis: Redis, *, max_sessions: int, session_idle: float) -> None:
        worker = secrets.token_hex(NAME_BYTES)
        database = redis.connection_pool.connection_kwargs.get("db") or 0
        self._redis = redis
        self._records = Records(redis, worker, max_sessions, session_idle)
        # Channels, unlike keys, are common to all databases of a server.
        self._news = WorkerPubSub(redis, f"routermcp:{database}:news", worker, self._hear)
        self._renew_after = max(min(session_idle, LEASE_SECONDS) / 3, MIN_RENEW_SECONDS)
        self.on_announced: OnAnnounced = nobody_cares
        self._local: dict[str, _Local] = {}
        self._count = 0
        self._away = False
        self._renewing: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[KeptSession]:
        return iter([local.session for local in self._local.values()])

    def request_prefix(self) -> str:
        """Return what no other machine's requests begin with."""
        return f"{secrets.token_hex(NAME_BYTES)}-"

    # ---- reaching Redis ------------------------------------------------------------------

    async def _ask(self, question: Awaitable[T]) -> T:
        """Wait for Redis, for a while.

        Raises:
            Rejected: It does not answer (503).
        """
        try:
            async with asyncio.timeout(STORE_SECONDS):
                answer = await question
        except LOST as error:
            # Only the kind: Redis quotes commands in its errors, and one of them has the password.
            if not self._away:
                log.warning("the session store does not answer: %s", type(error).__name__)
            self._away = True
            problem = ErrorObject(INTERNAL_ERROR, "the session store does not answer; try again soon")
            retry_after = (b"retry-after", b"%d" % RETRY_AFTER_SECONDS)
            raise Rejected(503, problem, headers=[retry_after]) from None
        if self._away:
            log.warning("the session store answers again")
        self._away = False
        return answer

    async def _try(self, question: Awaitable[object]) -> None:
        """Tell Redis something that it finds out by itself after a while."""
        try:
            await self._ask(question)
        except Rejected as rejected:
            log.debug("left undone: %s", rejected)

    async def _attend(self) -> None:
        """Be there for what other workers say, before anything is begun that it may be about."""
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._renew())
        if not self._news.heard:
            await self._records.count()  # which tells at once when Redis is away
        await self._news.listening()

    async def _renew(self) -> None:
        """Say again and again what is in use here."""
        while True:
            await asyncio.sleep(self._renew_after)
            for local in tuple(self._local.values()):
                await self._try(self._renew_one(local.session))
            await self._try(self._recount())

    async def _renew_one(self, session: KeptSession) -> None:
        record = await self._records.take_up(session.id, streams=session.announcements is not None)
        if record is None:
            # Ended while nothing was heard, or lost with Redis. What was begun may end; a
            # client that only listens shall notice, and start a new session.
            session.announce(None)

    async def _recount(self) -> None:
        self._count = await self._records.count()

    # ---- sessions ------------------------------------------------------------------------

    async def admit(self, machine: ServerSession) -> KeptSession:
        """Keep a session that was just initialized."""
        session = self._new(secrets.token_urlsafe(ID_BYTES), machine)
        revision = cast("Revision", machine.revision)

        async def admitted() -> int:
            await self._attend()
            return await self._records.admit(session.id, machine.client, revision)

        count = await self._ask(admitted())
        if not count:
            raise too_many_sessions()
        self._count = count
        self._local[session.id] = _Local(session, 1)
        return session

    async def find(self, session_id: str, new_machine: Callable[[], ServerSession]) -> KeptSession:
        """Return a session that is in use again."""
        if not _ID.fullmatch(session_id):
            raise unknown_session()

        async def taken_up() -> KeptSession | None:
            await self._attend()
            record = await self._records.take_up(session_id)
            if record is None:
                return None
            local = self._local.get(session_id)
            if local is None:
                machine = new_machine()
                machine.resume(record.client, record.revision)
                local = self._local[session_id] = _Local(self._new(session_id, machine))
            for fact, value in record.facts.items():
                local.session.learn(fact, value)
            local.uses += 1
            return local.session

        session = await self._ask(taken_up())
        if session is None:
            raise unknown_session()
        return session

    def _new(self, session_id: str, machine: ServerSession) -> KeptSession:
        return KeptSession(session_id, machine, 0.0, keep=self._keep)

    async def used(self, session: KeptSession) -> None:
        """Note that a session was in use until now."""
        local = self._local.get(session.id)
        if local is None or local.session is not session:
            return
        local.uses -= 1
        if not local.uses:
            del self._local[session.id]
            await self._try(self._records.lay_down(session.id))

    async def open_stream(self, session: KeptSession) -> asyncio.Queue[bytes | None]:
        """Return what is to go out on the shared stream of a session."""
        if session.announcements is not None:
            raise stream_is_open()
        queue = session.announcements = asyncio.Queue[bytes | None](MAX_ANNOUNCEMENTS)
        opened = False
        try:
            opened = await self._ask(self._records.open_stream(session.id))
        finally:
            if not opened:
                session.announcements = None
        if not opened:
            raise stream_is_open()
        return queue

    async def close_stream(self, session: KeptSession) -> None:
        """Note that nobody reads the shared stream any more."""
        session.announcements = None
        await self._try(self._records.close_stream(session.id))

    async def remove(self, session: KeptSession) -> None:
        """Forget a session and stop what is under way in it, everywhere."""
        await self._ask(self._records.remove(session.id))
        self._end(session.id)
        await self._ask(self._news.tell(News("ended", session.id)))

    def _end(self, session_id: str) -> None:
        local = self._local.pop(session_id, None)
        if local is not None:
            local.session.close()

    async def close(self) -> None:
        """Stop what is under way here, and let go of Redis."""
        if self._renewing is not None:
            await stop([self._renewing])
        await self._news.close()
        ended = tuple(self._local)
        for session_id in ended:
            self._end(session_id)
        await self._try(asyncio.gather(*map(self._records.lay_down, ended)))
        await self._redis.aclose(close_connection_pool=True)

    # ---- news ------------------------------------------------------------------------------

    async def settle(self, session: KeptSession, body: bytes, events: Sequence[Event]) -> None:
        """Bring what a client said to those who wait for it, here or elsewhere."""
        session.settle(events)
        if any(isinstance(event, MessageDropped) for event in events):
            text = body.decode(errors="replace")
            await self._ask(self._news.tell(News("said", session.id, content=text)))

    def spread(self, method: str, params: Mapping[str, Any]) -> None:
        """Let the other workers announce what is announced here."""
        payload = jsonrpc.encode_notification(method, params)
        self._news.tell_soon(News("announced", content=payload.decode()))

    def may_watch(self, uri: str) -> bool:
        """Whether a session may want it: those of other workers are not known here, so yes."""
        del uri
        return True

    async def _keep(self, session: KeptSession, fact: str, value: str | None) -> None:
        """Write a fact down, and tell those who have to do with the session.

        Raises:
            RPCError: Redis does not answer.
        """
        try:
            await self._ask(self._records.keep(session.id, fact, value))
            await self._ask(self._news.tell(News("set", session.id, fact, value)))
        except Rejected as rejected:
            raise RPCError(rejected.error.message, code=rejected.error.code) from None

    def _hear(self, news: News) -> None:
        """Take news of another worker; what is none is left aside."""
        if news.kind == "announced":
            self._hear_announcement(news.content or "")
            return
        local = self._local.get(news.session)
        if local is None:
            return
        if news.kind == "said":
            _hear_client(local.session, news.content or "")
        elif news.kind == "set":
            local.session.learn(news.name, news.content)
        elif news.kind == "ended":
            self._end(news.session)

    def _hear_announcement(self, text: str) -> None:
        (message,) = jsonrpc.decode(text)
        if isinstance(message, jsonrpc.Notification):
            self.on_announced(message.method, message.params)


def _hear_client(session: KeptSession, text: str) -> None:
    """Take what a client said to another worker; its requests were answered there."""
    messages = jsonrpc.decode(text, batches=True)
    heard = [message for message in messages if not isinstance(message, jsonrpc.Request)]
    session.settle(session.machine.receive_decoded(heard))

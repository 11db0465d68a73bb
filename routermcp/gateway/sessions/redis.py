"""Sessions in Redis, so that several workers serve the same clients.

Any worker takes any request: it leases the session, resumes it on a machine of its own, and
releases it with the response. A request stays with the worker that runs it, and the others
publish the messages that concern it: the client's response to a question, the cancellation of a
request, the end of the session, a setting.

When Redis does not answer, requests of sessions are refused with 503 after a bounded wait;
requests under way go on. Other programs may write to Redis, so every record is validated:
a malformed one is no session.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
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

from ..backend import Announce
from ..errors import Rejected
from .base import (
    MAX_ANNOUNCEMENTS,
    MAX_SESSIONS,
    SESSION_ID_BYTES,
    SESSION_IDLE_SECONDS,
    KeptSession,
    OnEnded,
    stream_is_open,
    too_many_sessions,
    unknown_session,
)
from .redis_pubsub import LOST, QUIET_SECONDS, WorkerMessage, WorkerPubSub, cancel_all
from .redis_records import WORKER_LEASE_SECONDS, SessionRecords

log = logging.getLogger("routermcp.gateway")

#: Seconds that a request waits for Redis, which usually answers within a millisecond. A client's
#: own timeout is usually ten times that.
STORE_SECONDS = 3.0

#: Seconds to connect, and for a reply: less than ``STORE_SECONDS``, so that the connection is given
#: up rather than the request.
SOCKET_SECONDS = 2.0

#: Seconds after which a client may retry that was refused because Redis does not answer.
STORE_RETRY_AFTER_SECONDS = 1

#: The shortest time between two renewals of the leases, in seconds: sessions that expire sooner are
#: not worth the work.
MIN_RENEW_SECONDS = 0.05

#: Connections to Redis. Commands take a fraction of a millisecond each; one connection is
#: reserved for the pub/sub.
MAX_REDIS_CONNECTIONS = 16

#: Bytes of randomness in the names of workers and machines, which have to differ and are no
#: secret.
NAME_BYTES = 8


_ID = re.compile(r"[A-Za-z0-9_-]{43}")

_POOL: Any = BlockingConnectionPool  # its types leave the options unknown

T = TypeVar("T")


def redis_store(
    url: str,
    *,
    max_sessions: int = MAX_SESSIONS,
    session_idle: float = SESSION_IDLE_SECONDS,
    lease_seconds: float = WORKER_LEASE_SECONDS,
    quiet_seconds: float = QUIET_SECONDS,
) -> RedisSessions:
    """Return the store at a URL; it connects with its first use.

    Args:
        url: ``redis://`` or ``rediss://``, with a password perhaps.
        max_sessions: Sessions at once, of all workers.
        session_idle: Seconds after which an unused session is forgotten.
        lease_seconds: Seconds that a worker's lease on a session lasts without a renewal.
        quiet_seconds: Seconds of silence after which the connection of the pub/sub is pinged.

    Raises:
        ConfigError: The URL is no URL of Redis.
    """
    return RedisSessions(
        redis_at(url),
        max_sessions=max_sessions,
        session_idle=session_idle,
        lease_seconds=lease_seconds,
        quiet_seconds=quiet_seconds,
    )


def redis_at(url: str) -> Redis:
    """Return a client of the Redis at a URL; it connects with its first use.

    Raises:
        ConfigError: The URL is no URL of Redis.
    """
    try:
        pool: BlockingConnectionPool = _POOL.from_url(
            url,
            max_connections=MAX_REDIS_CONNECTIONS,
            timeout=SOCKET_SECONDS,
            socket_timeout=SOCKET_SECONDS,
            socket_connect_timeout=SOCKET_SECONDS,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
    except ValueError:
        # Not chained: the text of the cause may hold a part of the URL.
        raise ConfigError("the session store needs a URL such as redis://127.0.0.1:6379/0") from None
    return Redis.from_pool(pool)


@dataclass(eq=False, slots=True)
class _Local:
    """A session that this worker uses."""

    session: KeptSession
    uses: int = 0


class RedisSessions:
    """A :class:`~routermcp.gateway.sessions.base.SessionStore` in Redis; see :func:`redis_store`."""

    def __init__(
        self,
        redis: Redis,
        *,
        max_sessions: int,
        session_idle: float,
        lease_seconds: float,
        quiet_seconds: float,
    ) -> None:
        worker = secrets.token_hex(NAME_BYTES)
        database = redis.connection_pool.connection_kwargs.get("db") or 0
        self._redis = redis
        self._records = SessionRecords(redis, worker, max_sessions, session_idle, lease_seconds)
        # Channels, unlike keys, are common to all databases of a server.
        channel = f"routermcp:{database}:news"
        self._pubsub = WorkerPubSub(redis, channel, worker, self._on_message, quiet_seconds)
        self._renew_after = max(min(session_idle, lease_seconds) / 3, MIN_RENEW_SECONDS)
        self.on_announced: Announce | None = None
        self.on_ended: OnEnded | None = None
        self._local: dict[str, _Local] = {}
        self._count = 0
        self._is_down = False
        self._renewing: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[KeptSession]:
        return iter([local.session for local in self._local.values()])

    def request_prefix(self) -> str:
        """Return a prefix that no other machine has."""
        return f"{secrets.token_hex(NAME_BYTES)}-"

    # ---- reaching Redis ------------------------------------------------------------------

    async def _run(self, command: Awaitable[T]) -> T:
        """Run a command of Redis within ``STORE_SECONDS``.

        Raises:
            Rejected: Redis does not answer (503).
        """
        try:
            async with asyncio.timeout(STORE_SECONDS):
                reply = await command
        except LOST as error:
            # Only its class: Redis quotes commands in its errors, and one of them has the password.
            if not self._is_down:
                log.warning("the session store does not answer: %s", type(error).__name__)
            self._is_down = True
            problem = ErrorObject(INTERNAL_ERROR, "the session store does not answer; try again soon")
            retry_after = (b"retry-after", b"%d" % STORE_RETRY_AFTER_SECONDS)
            raise Rejected(503, problem, headers=[retry_after]) from None
        if self._is_down:
            log.warning("the session store answers again")
        self._is_down = False
        return reply

    async def _try(self, command: Awaitable[object]) -> None:
        """Run a command whose effect comes by itself after a while, when a lease expires."""
        try:
            await self._run(command)
        except Rejected as rejected:
            log.debug("a command of Redis was left out: %s", rejected)

    async def _subscribe(self) -> None:
        """Receive the messages of other workers, before a request begins that they may concern."""
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._renew())
        if not self._pubsub.subscribed:
            await self._records.count()  # which fails at once when Redis is down
        await self._pubsub.wait_subscribed()

    async def _renew(self) -> None:
        """Renew the leases of this worker's sessions."""
        while True:
            await asyncio.sleep(self._renew_after)
            for local in tuple(self._local.values()):
                await self._try(self._renew_one(local.session))
            await self._try(self._recount())

    async def _renew_one(self, session: KeptSession) -> None:
        record = await self._records.lease(session.id, streams=session.announcements is not None)
        if record is None:
            # Ended while no message arrived, or lost with Redis. Requests under way may end; a
            # client that only listens has to notice, and start a new session.
            session.announce(None)

    async def _recount(self) -> None:
        self._count = await self._records.count()

    # ---- sessions ------------------------------------------------------------------------

    async def admit(self, machine: ServerSession, owner: bytes = b"") -> KeptSession:
        """Store a session that was just initialized."""
        session = self._new(secrets.token_urlsafe(SESSION_ID_BYTES), machine)
        revision = cast("Revision", machine.revision)

        async def admitted() -> int:
            await self._subscribe()
            return await self._records.admit(session.id, machine.client, revision, owner)

        count = await self._run(admitted())
        if not count:
            raise too_many_sessions()
        self._count = count
        self._local[session.id] = _Local(session, 1)
        return session

    async def find(self, session_id: str, new_machine: Callable[[], ServerSession]) -> KeptSession:
        """Return a session and mark it as used."""
        if not _ID.fullmatch(session_id):
            raise unknown_session()

        async def leased() -> KeptSession | None:
            await self._subscribe()
            record = await self._records.lease(session_id)
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

        session = await self._run(leased())
        if session is None:
            raise unknown_session()
        return session

    def _new(self, session_id: str, machine: ServerSession) -> KeptSession:
        return KeptSession(session_id, machine, 0.0, save=self._save)

    async def used(self, session: KeptSession) -> None:
        """Mark a session as used until now."""
        local = self._local.get(session.id)
        if local is None or local.session is not session:
            return
        local.uses -= 1
        if not local.uses:
            del self._local[session.id]
            await self._try(self._records.release(session.id))

    async def open_stream(self, session: KeptSession) -> asyncio.Queue[bytes | None]:
        """Open the shared stream of a session and return its queue."""
        if session.announcements is not None:
            raise stream_is_open()
        queue = session.announcements = asyncio.Queue[bytes | None](MAX_ANNOUNCEMENTS)
        opened = False
        try:
            opened = await self._run(self._records.open_stream(session.id))
        finally:
            if not opened:
                session.announcements = None
        if not opened:
            raise stream_is_open()
        return queue

    async def close_stream(self, session: KeptSession) -> None:
        """Close the shared stream of a session."""
        session.announcements = None
        await self._try(self._records.close_stream(session.id))

    async def remove(self, session: KeptSession) -> None:
        """Forget a session and cancel its requests, in every worker."""
        await self._run(self._records.remove(session.id))
        self._end(session.id)
        await self._run(self._pubsub.publish(WorkerMessage("ended", session.id)))

    def _end(self, session_id: str) -> None:
        local = self._local.pop(session_id, None)
        if local is not None:
            local.session.close()

    async def close(self) -> None:
        """Cancel the requests of this worker, and disconnect from Redis."""
        if self._renewing is not None:
            await cancel_all([self._renewing])
        await self._pubsub.close()
        ended = tuple(self._local)
        for session_id in ended:
            self._end(session_id)
        await self._try(asyncio.gather(*map(self._records.release, ended)))
        await self._redis.aclose(close_connection_pool=True)

    # ---- messages between workers ------------------------------------------------------------

    async def settle(self, session: KeptSession, body: bytes, events: Sequence[Event]) -> None:
        """Settle a client's responses and cancellations, here or in the worker that waits for them."""
        session.settle(events)
        if any(isinstance(event, MessageDropped) for event in events):
            text = body.decode(errors="replace")
            await self._run(self._pubsub.publish(WorkerMessage("said", session.id, content=text)))

    def spread(
        self, method: str, params: Mapping[str, Any], session_id: str | None = None, server: str | None = None
    ) -> None:
        """Have the other workers announce a notification too."""
        payload = jsonrpc.encode_notification(method, params).decode()
        kind = "announced" if session_id is None else "told"
        self._pubsub.publish_soon(WorkerMessage(kind, session_id or "", server or "", payload))

    def may_watch(self, uris: Collection[str]) -> set[str]:
        """Return all: the sessions of other workers are unknown here."""
        return set(uris)

    async def _save(self, session: KeptSession, fact: str, value: str | None) -> None:
        """Store a fact of a session, and publish it to the workers that use the session.

        Raises:
            RPCError: Redis does not answer.
        """
        try:
            await self._run(self._records.save(session.id, fact, value))
            await self._run(self._pubsub.publish(WorkerMessage("set", session.id, fact, value)))
        except Rejected as rejected:
            raise RPCError(rejected.error.message, code=rejected.error.code) from None

    def _on_message(self, message: WorkerMessage) -> None:
        """Handle a message of another worker; an unknown kind is ignored."""
        if message.kind in ("announced", "told"):
            (announced,) = jsonrpc.decode(message.content or "")
            if isinstance(announced, jsonrpc.Notification) and self.on_announced is not None:
                session_id = message.session if message.kind == "told" else None
                self.on_announced(announced.method, announced.params, session_id, message.name or None)
            return
        local = self._local.get(message.session)
        if local is None:
            return
        if message.kind == "said":
            _settle_elsewhere(local.session, message.content or "")
        elif message.kind == "set":
            local.session.learn(message.name, message.content)
        elif message.kind == "ended":
            self._end(message.session)


def _settle_elsewhere(session: KeptSession, text: str) -> None:
    """Settle messages that a client sent to another worker, which answers the requests among them."""
    messages = jsonrpc.decode(text, batches=True)
    others = [message for message in messages if not isinstance(message, jsonrpc.Request)]
    session.settle(session.machine.receive_decoded(others))

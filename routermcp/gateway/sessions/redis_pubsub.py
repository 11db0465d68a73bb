"""Messages between the workers that share sessions in Redis, by its pub/sub.

One channel serves all sessions: a worker publishes only what it cannot settle by itself, such as
a response to a request of another worker, so there are few messages. A channel for each session
would cost two more commands with each request.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, cast

from pydantic_core import from_json
from redis.asyncio import Redis
from redis.exceptions import RedisError

from routermcp_proto import jsonrpc

log = logging.getLogger("routermcp.gateway")

#: Seconds of silence after which the connection is pinged, and again until it is given up.
QUIET_SECONDS = 5.0

#: Seconds before a new attempt to subscribe: the longest delay that a client does not notice.
RESUBSCRIBE_SECONDS = 0.25

#: Announcements queued for publication. They say "look again", so the surplus may be dropped.
MAX_QUEUED_ANNOUNCEMENTS = 64

#: Seconds to publish one.
PUBLISH_SECONDS = 3.0

#: Times that a task is cancelled, and seconds between two.
CANCEL_ATTEMPTS = 20
CANCEL_PAUSE_SECONDS = 0.1

LOST = (RedisError, OSError, TimeoutError)
"""The exceptions of a Redis that does not answer, or answers wrongly."""


async def cancel_all(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks that use Redis, and wait for their end.

    Cancels more than once: ``redis`` swallows a cancellation that comes while it checks a
    connection.
    """
    waiting = set(tasks)
    for _ in range(CANCEL_ATTEMPTS):
        for task in waiting:
            task.cancel()
        if not waiting:
            return
        _, waiting = await asyncio.wait(waiting, timeout=CANCEL_PAUSE_SECONDS)


@dataclass(frozen=True, slots=True)
class WorkerMessage:
    """A message of one worker to the others."""

    kind: str
    session: str = ""
    name: str = ""
    content: str | None = None

    def encode(self, worker: str) -> bytes:
        """Return the bytes for the channel."""
        return jsonrpc.dumps([worker, self.kind, self.session, self.name, self.content])

    @classmethod
    def decode(cls, payload: Any, own: str) -> WorkerMessage | None:
        """Read a message, None where it is the worker's own or malformed."""
        try:
            value: Any = from_json(payload)
        except (TypeError, ValueError):
            return None
        if not isinstance(value, list):
            return None
        parts = cast("list[Any]", value)
        if len(parts) != 5 or not all(isinstance(part, str) for part in parts[:4]) or parts[0] == own:
            return None
        if parts[4] is not None and not isinstance(parts[4], str):
            return None
        return cls(*parts[1:])


class WorkerPubSub:
    """Publishes and receives messages; subscribes again when Redis was down.

    Each worker has a unique name. The connection is pinged after ``quiet_seconds`` of silence.
    """

    def __init__(
        self,
        redis: Redis,
        channel: str,
        worker: str,
        on_message: Callable[[WorkerMessage], None],
        quiet_seconds: float,
    ) -> None:
        self._redis: Any = redis  # its types leave much unknown
        self._channel = channel
        self._worker = worker
        self._on_message = on_message
        self._quiet = quiet_seconds
        self._is_subscribed = asyncio.Event()
        self._queue: asyncio.Queue[WorkerMessage] = asyncio.Queue(MAX_QUEUED_ANNOUNCEMENTS)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to subscribe and to publish, unless that has begun."""
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._publish_queued())]

    @property
    def subscribed(self) -> bool:
        """Whether messages are received."""
        return self._is_subscribed.is_set()

    async def wait_subscribed(self) -> None:
        """Wait until messages are received."""
        self.start()
        await self._is_subscribed.wait()

    async def publish(self, message: WorkerMessage) -> None:
        """Send a message to the other workers. Raises the exceptions of ``redis``."""
        await self._redis.publish(self._channel, message.encode(self._worker))

    def publish_soon(self, message: WorkerMessage) -> None:
        """Queue a message for the other workers; drop it where the queue is full."""
        self.start()
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait(message)

    async def close(self) -> None:
        """End the subscription and the publication."""
        await cancel_all(self._tasks)
        self._tasks = []

    async def _publish_queued(self) -> None:
        while True:
            message = await self._queue.get()
            try:
                async with asyncio.timeout(PUBLISH_SECONDS):
                    await self.publish(message)
            except LOST as error:
                log.warning("an announcement did not reach other processes: %s", type(error).__name__)

    async def _listen(self) -> None:
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    await pubsub.subscribe(self._channel)
                    await self._read(pubsub)
            except LOST as error:
                log.debug("the messages of other processes are not received: %s", type(error).__name__)
            except Exception:
                log.exception("a message of another process could not be handled")
            finally:
                self._is_subscribed.clear()
            await asyncio.sleep(RESUBSCRIBE_SECONDS)

    async def _read(self, pubsub: Any) -> None:
        asked = False
        while True:
            received: dict[str, Any] | None = await pubsub.get_message(timeout=self._quiet)
            if received is None and asked:
                raise TimeoutError("Redis does not answer a ping")
            asked = received is None
            if received is None:
                await pubsub.ping()
            elif received["type"] == "subscribe":
                self._is_subscribed.set()
            elif received["type"] == "message":
                message = WorkerMessage.decode(received["data"], self._worker)
                if message is not None:
                    self._on_message(message)

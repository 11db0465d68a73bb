"""What the workers that share sessions in Redis tell each other, by its pub/sub.

One channel serves for all: a worker speaks only of what it cannot settle by itself, such as
an answer to a question that another one has asked, so that there is little to hear. A
channel for each session would cost two more commands with each request.
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

#: Seconds of silence after which it is asked whether the connection still lives, and again
#: until it is given up.
QUIET_SECONDS = 5.0

#: Seconds before a new attempt to listen: as long as a client notices at most.
RETRY_SECONDS = 0.25

#: Announcements that wait to be passed on. They say "look again", so that the surplus may
#: be dropped.
MAX_WAITING = 64

#: Seconds to pass one on.
PASS_ON_SECONDS = 3.0

#: Times that a task is cancelled, and seconds between them.
STOP_ATTEMPTS = 20
STOP_SECONDS = 0.1

LOST = (RedisError, OSError, TimeoutError)
"""What it looks like when Redis does not answer, or does not do what it should."""


async def stop(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks that use Redis, and wait for their end.

    More than once: ``redis`` swallows a cancellation that comes while it sees whether a
    connection still lives.
    """
    waiting = set(tasks)
    for _ in range(STOP_ATTEMPTS):
        for task in waiting:
            task.cancel()
        if not waiting:
            return
        _, waiting = await asyncio.wait(waiting, timeout=STOP_SECONDS)


@dataclass(frozen=True, slots=True)
class News:
    """What one worker tells the others."""

    kind: str
    session: str = ""
    name: str = ""
    content: str | None = None

    def encode(self, worker: str) -> bytes:
        """Return it as it goes on the wire."""
        return jsonrpc.dumps([worker, self.kind, self.session, self.name, self.content])

    @classmethod
    def decode(cls, payload: Any, own: str) -> News | None:
        """Read it; None where it is from the worker itself, or no news at all."""
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
    """Tells and hears news; it goes on by itself when Redis was away.

    Args:
        redis: Where the channel is.
        name: Its name.
        worker: A name that no other worker has.
        on_news: Told of what other workers say.
    """

    def __init__(self, redis: Redis, name: str, worker: str, on_news: Callable[[News], None]) -> None:
        self._redis: Any = redis  # its types leave much unknown
        self._name = name
        self._worker = worker
        self._on_news = on_news
        self._hears = asyncio.Event()
        self._waiting: asyncio.Queue[News] = asyncio.Queue(MAX_WAITING)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to listen, if that was not done yet."""
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._pass_on())]

    @property
    def heard(self) -> bool:
        """Whether news are heard just now."""
        return self._hears.is_set()

    async def listening(self) -> None:
        """Wait until news are heard."""
        self.start()
        await self._hears.wait()

    async def tell(self, news: News) -> None:
        """Tell the other workers. Raises what ``redis`` raises."""
        await self._redis.publish(self._name, news.encode(self._worker))

    def tell_soon(self, news: News) -> None:
        """Tell them without waiting for it, or not at all where too much is waiting."""
        self.start()
        with contextlib.suppress(asyncio.QueueFull):
            self._waiting.put_nowait(news)

    async def close(self) -> None:
        """Stop."""
        await stop(self._tasks)
        self._tasks = []

    async def _pass_on(self) -> None:
        while True:
            news = await self._waiting.get()
            try:
                async with asyncio.timeout(PASS_ON_SECONDS):
                    await self.tell(news)
            except LOST as error:
                log.warning("an announcement did not reach other processes: %s", type(error).__name__)

    async def _listen(self) -> None:
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    await pubsub.subscribe(self._name)
                    await self._read(pubsub)
            except LOST as error:
                log.debug("no news of other processes are heard: %s", type(error).__name__)
            except Exception:
                log.exception("news of other processes could not be taken")
            finally:
                self._hears.clear()
            await asyncio.sleep(RETRY_SECONDS)

    async def _read(self, pubsub: Any) -> None:
        asked = False
        while True:
            message: dict[str, Any] | None = await pubsub.get_message(timeout=QUIET_SECONDS)
            if message is None and asked:
                raise TimeoutError("Redis says nothing")
            asked = message is None
            if message is None:
                await pubsub.ping()
            elif message["type"] == "subscribe":
                self._hears.set()
            elif message["type"] == "message":
                news = News.decode(message["data"], self._worker)
                if news is not None:
                    self._on_news(news)

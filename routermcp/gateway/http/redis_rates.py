"""The rate limit over all processes that share their sessions in Redis.

Each owner has one key, ``routermcp:rate:{digest}``: the time at which its bucket is full, in microseconds,
on the clock of Redis. It expires at that time. One script reads and writes it.

While Redis does not answer, each process counts by itself, so that an owner gets at most the limit times
the number of processes; a warning says so.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import time
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis

from routermcp_proto.http.numbers import whole_number

from ..config.types import MAX_SECONDS
from ..sessions.redis_pubsub import LOST
from .rate_limit import MemoryRates, RateLimit

log = logging.getLogger("routermcp.gateway")

RATE_PREFIX = "routermcp:rate:"

#: Seconds that a request waits for Redis, which usually answers within a millisecond.
COUNT_SECONDS = 0.5

#: Seconds after a failure in which Redis is not asked again, so that requests do not all wait for it.
DOWN_SECONDS = 1.0

#: Microseconds of the longest wait, that for one request of the longest period.
MAX_WAIT = MAX_SECONDS * 1_000_000

#: KEYS: the owner's. ARGV: requests, those of a period, the period in microseconds. Returns the
#: microseconds to wait, 0 for none. Numbers are written out, as Lua's texts have 14 digits. A bucket is full
#: within a period: a later time is of a clock that was set back, and would lock the owner out as long.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full_at = tonumber(redis.call('GET', KEYS[1]) or 0) or 0
if not (full_at > now and full_at <= now + ARGV[3]) then full_at = now end
full_at = full_at + ARGV[1] * ARGV[3] / ARGV[2]
local wait = full_at - now - ARGV[3]
if wait > 0 then return string.format('%.0f', math.ceil(wait)) end
redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX',
  string.format('%.0f', math.max(math.ceil((full_at - now) / 1000), 1)))
return '0'
"""


class RedisRates:
    """A :class:`~.rate_limit.RateCounter` in Redis.

    Args:
        redis: The Redis, which is closed with this.
        limit: The size of each bucket and the speed of its refill.
        clock: Returns the time, in seconds.
    """

    def __init__(self, redis: Redis, limit: RateLimit, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._script: Any = redis.register_script(_TAKE)
        self._limit = limit
        self._clock = clock
        self._alone = MemoryRates(limit, clock)
        self._is_down = False
        self._ask_after = -math.inf

    async def take(self, owner: bytes, requests: int) -> float | None:
        """Take requests from an owner's bucket, all or none of them."""
        if self._clock() < self._ask_after:
            return await self._alone.take(owner, requests)
        key = RATE_PREFIX + hashlib.sha256(owner).hexdigest()
        try:
            async with asyncio.timeout(COUNT_SECONDS):
                period = math.ceil(self._limit.seconds * 1_000_000)
                wait = await self._script(keys=[key], args=[requests, self._limit.requests, period])
        except LOST as error:
            # Only its class: Redis quotes commands in its errors, and one of them has the password.
            if not self._is_down:
                log.warning(
                    "the rate limit holds for each process alone, as Redis does not answer: %s",
                    type(error).__name__,
                )
            self._is_down, self._ask_after = True, self._clock() + DOWN_SECONDS
            return await self._alone.take(owner, requests)
        if self._is_down:
            log.warning("the rate limit holds over all processes again")
        self._is_down = False
        microseconds = whole_number(wait, MAX_WAIT)
        return microseconds / 1_000_000 if microseconds else None

    async def close(self) -> None:
        """Disconnect from Redis."""
        await self._redis.aclose(close_connection_pool=True)

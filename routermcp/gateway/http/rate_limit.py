"""How many requests one owner, a key and its user, may make in a period.

The limit is a bucket of as many requests, which fills again evenly over the period. What is kept of an
owner is one number: the time at which its bucket is full (the generic cell rate algorithm of ATM). So an
owner without a number has a full one, and numbers of the past need not be kept.

:class:`MemoryRates` counts in one process; :mod:`.redis_rates` for several that serve the same clients.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from routermcp_proto import jsonrpc
from routermcp_proto.exceptions import ConfigError

from .asgi import ResponseWriter, Send

#: Owners whose requests are counted at once: a key that acts for users names as many as it likes. Of more,
#: the half is forgotten whose buckets are the fullest.
MAX_OWNERS = 10_000


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A number of requests for each period; they may come all at once.

    Raises:
        ConfigError: The number or the period is not positive.
    """

    requests: int
    """Requests in one period."""
    seconds: float
    """Length of the period, in seconds."""

    def __post_init__(self) -> None:
        if self.requests < 1 or not (0 < self.seconds < math.inf):
            raise ConfigError("a rate limit has at least one request, and a period of more than 0 seconds")


class RateCounter(Protocol):
    """Counts the requests of each owner against a limit."""

    async def take(self, owner: bytes, requests: int) -> float | None:
        """Take requests from an owner's bucket, all or none of them.

        Returns:
            None where they may be made, else the seconds until they may.
        """
        ...

    async def close(self) -> None:
        """Release what the counter holds."""
        ...


class MemoryRates:
    """A :class:`RateCounter` in the memory of this process.

    Args:
        limit: The size of each bucket and the speed of its refill.
        clock: Returns the time, in seconds.
    """

    def __init__(self, limit: RateLimit, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._clock = clock
        self._full_at: dict[bytes, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    async def take(self, owner: bytes, requests: int) -> float | None:
        """Take requests from an owner's bucket, all or none of them."""
        now, period = self._clock(), self._limit.seconds
        full_at = max(self._full_at.get(owner, now), now) + requests * period / self._limit.requests
        wait = full_at - now - period
        if wait > 0:
            return wait
        self._full_at[owner] = full_at
        if len(self._full_at) > MAX_OWNERS:
            fullest = sorted(self._full_at, key=self._full_at.__getitem__)
            for each in fullest[: len(fullest) // 2]:
                del self._full_at[each]
        return None

    async def close(self) -> None:
        """Do nothing: memory needs no end."""


async def refuse_rate_limited(limit: RateLimit, wait: float, send: Send) -> None:
    """Refuse a request beyond the limit as the hosted gateway does, which is not JSON-RPC."""
    seconds = max(1, math.ceil(wait))
    document = {
        "error": "rate_limit_exceeded",
        "message": f"more than {limit.requests} requests in {limit.seconds:g} s; try again in {seconds} s",
        "retryAfter": seconds,
    }
    retry_after = (b"retry-after", b"%d" % seconds)
    await ResponseWriter(send).document(jsonrpc.dumps(document), 429, [retry_after])

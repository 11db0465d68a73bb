"""How many requests a project may make, as a bucket of tokens."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from routermcp_proto import jsonrpc
from routermcp_proto.exceptions import ConfigError

from .asgi import Reply, Send


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many requests in so much time; they may come all at once.

    Raises:
        ConfigError: One of them is not positive.
    """

    requests: int
    """Requests in one period."""
    seconds: float
    """The period."""

    def __post_init__(self) -> None:
        if self.requests < 1 or not (0 < self.seconds < math.inf):
            raise ConfigError("a rate limit has at least one request in a time that is longer than nothing")


class TokenBucket:
    """The requests that may be made now; they come back with time.

    Args:
        limit: How many there are when nobody made any, and how fast they come back.
        clock: Tells the time, in seconds.
    """

    def __init__(self, limit: RateLimit, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._clock = clock
        self._tokens = float(limit.requests)
        self._counted_at = clock()

    def take(self, requests: int) -> float | None:
        """Count requests, all or none of them.

        Returns:
            None where they may be made, else the seconds until they may.
        """
        now = self._clock()
        rate = self._limit.requests / self._limit.seconds
        self._tokens = min(self._tokens + (now - self._counted_at) * rate, self._limit.requests)
        self._counted_at = now
        if self._tokens >= requests:
            self._tokens -= requests
            return None
        return (requests - self._tokens) / rate


async def refuse(limit: RateLimit, wait: float, send: Send) -> None:
    """Answer a request that comes too soon as the hosted gateway does, which is not JSON-RPC."""
    seconds = max(1, math.ceil(wait))
    document = {
        "error": "rate_limit_exceeded",
        "message": f"more than {limit.requests} requests in {limit.seconds:g} s; try again in {seconds} s",
        "retryAfter": seconds,
    }
    retry_after = (b"retry-after", b"%d" % seconds)
    await Reply(send).json(jsonrpc.dumps(document), 429, [retry_after])

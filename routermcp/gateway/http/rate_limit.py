"""The rate limit of a project, as a token bucket."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from routermcp_proto import jsonrpc
from routermcp_proto.exceptions import ConfigError

from .asgi import ResponseWriter, Send


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


class TokenBucket:
    """The requests that may be made now, refilled with time.

    Args:
        limit: The size of the bucket and the speed of its refill.
        clock: Returns the time, in seconds.
    """

    def __init__(self, limit: RateLimit, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._clock = clock
        self._tokens: float = limit.requests
        self._counted_at = clock()

    def take(self, requests: int) -> float | None:
        """Take requests from the bucket, all or none of them.

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

"""Deadlines, backoff and the decision to try again, as data.

Times and random numbers are arguments: the driver has the clock and the random source.
"""

from __future__ import annotations

from dataclasses import dataclass

from .exceptions import LocalProtocolError, TransportError

#: HTTP statuses that say "not now": a gateway or proxy in front of the server is
#: overloaded or restarting (RFC 9110, section 15.6), or the caller is too fast (RFC 6585).
#: 520 to 527 and 530 are what Cloudflare says of the server behind it, 529 is "overloaded".
RETRYABLE_STATUSES = frozenset({429, 502, 503, 504, *range(520, 528), 529, 530})

#: Failures of the connection itself, which the next try may avoid.
RETRYABLE_CODES = frozenset({"connect", "closed", "dns"})

#: Doublings after which the backoff stops growing, even below ``max_backoff``: 200 ms doubled 30 times is
#: years, and one doubling more than 1023 would overflow a float.
_MAX_DOUBLINGS = 30


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The rules by which a failed call is tried again, and the wait before it.

    Reads are repeated after a lost connection and after 429, 502, 503 and 504. A tool is
    repeated only where it provably did not run, or where its caller allows it.
    """

    attempts: int = 3
    """Tries in all; 1 turns retries off."""

    backoff: float = 200.0
    """Milliseconds before the second try; doubled for each one after it."""

    max_backoff: float = 5_000.0
    """Milliseconds that the backoff never exceeds."""

    jitter: float = 0.5
    """The part of a wait that is random, 0 to 1, so that many clients do not come back at once."""

    statuses: frozenset[int] = RETRYABLE_STATUSES
    """HTTP statuses after which a call may be repeated."""

    trust_annotations: bool = False
    """Repeat a tool that says it may be repeated (``idempotentHint``, ``readOnlyHint``)."""

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise LocalProtocolError("RetryPolicy.attempts counts the first try too: it is 1 or more")
        if self.backoff < 0 or self.max_backoff < 0 or not 0 <= self.jitter <= 1:
            raise LocalProtocolError("RetryPolicy takes waits of 0 or more and a jitter from 0 to 1")

    def allows(self, error: TransportError, *, repeatable: bool, gateway: bool) -> bool:
        """Return whether a call may be sent again after an error.

        Args:
            error: The error of the last try.
            repeatable: Running it twice does no harm: a read, or the caller said so.
            gateway: The peer is a RouterMCP gateway, whose 503 with ``Retry-After`` comes
                before anything has run.
        """
        if error.status_code is not None:
            if error.status_code not in self.statuses:
                return False
            unavailable = gateway and error.status_code == 503 and error.retry_after is not None
            return repeatable or error.status_code == 429 or unavailable
        return (repeatable or error.not_run) and error.code in RETRYABLE_CODES

    def wait(self, attempt: int, *, retry_after: float | None, random: float) -> float:
        """Return the seconds to wait before the next try.

        Args:
            attempt: The number of tries so far.
            retry_after: Seconds that the server asked for, used unchanged.
            random: A number from 0 to 1.
        """
        if retry_after is not None:
            return retry_after
        longest = min(self.backoff * 2.0 ** min(attempt - 1, _MAX_DOUBLINGS), self.max_backoff)
        return longest * (1 - self.jitter * random) / 1000


#: The waits between repeats of a request whose answer only asks for the request again: soon enough for
#: work of a moment, and no load where it takes minutes (MCP 2026-07-28, Multi Round-Trip Requests).
POLL = RetryPolicy(backoff=100.0, max_backoff=5_000.0)


def deadline_after(now: float, timeout: int) -> float | None:
    """Turn a timeout in milliseconds into a point in time in seconds; 0 means no limit."""
    return now + timeout / 1000 if timeout else None

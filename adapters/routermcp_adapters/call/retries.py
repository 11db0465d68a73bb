"""Repeating a step that opens a session."""

from __future__ import annotations

from routermcp_proto.exceptions import TransportError
from routermcp_proto.retry import RetryPolicy

from .deadline import CallDeadline


def seconds_to_retry(
    error: TransportError, attempt: int, policy: RetryPolicy, deadline: CallDeadline
) -> float | None:
    """Return how long to wait before a step is tried again, which runs no tool; None for never.

    Args:
        error: The failure of the step, which learns of the attempt.
        attempt: How often the step was tried.
        policy: How often it may be.
        deadline: Has to leave room for the wait.
    """
    error.attempts = attempt
    if attempt >= policy.attempts or not policy.allows(error, repeatable=True, gateway=False):
        return None
    wait = policy.wait(attempt, retry_after=error.retry_after, random=deadline.runtime.random())
    return wait if deadline.has(wait) else None

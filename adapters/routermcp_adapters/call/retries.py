"""Repeating a step that opens a session, and what to say where a call is not repeated."""

from __future__ import annotations

from collections.abc import Awaitable

from routermcp_proto.exceptions import MCPError, TransportError
from routermcp_proto.retry import RetryPolicy

from ..logs import log
from .deadline import CallDeadline

#: How to have a call repeated whose outcome is not known.
_ADVICE = "it was not repeated: pass retry=True if running it twice does no harm"


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


def explained_loss(error: TransportError, about: str, repeatable: bool) -> TransportError:
    """Say of a lost answer that the tool may have run, and how to have it repeated."""
    if repeatable or error.not_run or error.code != "closed":
        return error
    lost = TransportError(
        f"{about}: the answer was lost, and the call may have run: {error.args[0]}; {_ADVICE}",
        code="interrupted",
    )
    lost.attempts = error.attempts
    return lost


async def lost_with_session(error: MCPError, renewing: Awaitable[None]) -> TransportError:
    """Renew the session for the calls to come, and return the error of one that may have run in it.

    Args:
        error: The server's answer to the call.
        renewing: Renews the session; that it fails is for the next call to say.
    """
    try:
        await renewing
    except MCPError as failed:
        log.info("the session could not be renewed: %s", failed)
    lost = TransportError(
        f"{error}: the server has lost the session, and the call may have run; {_ADVICE}", code="interrupted"
    )
    lost.__cause__ = error
    return lost

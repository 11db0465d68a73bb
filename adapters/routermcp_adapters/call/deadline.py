"""The deadline of one call, which counts machine time only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from routermcp_proto.retry import deadline_after

from ..runtime import DeadlineScope, Runtime

#: The part of what is left of a call that a probe of the server's era may take, so that enough is
#: left for ``initialize``.
PROBE_SHARE = 1 / 3

T = TypeVar("T")


class CallDeadline:
    """One deadline over everything that a call does.

    While a person is asked something the deadline stands still, and another limit applies.
    Where progress extends it, each report begins the timeout anew, up to the end of the longest.

    Args:
        runtime: Where the call runs.
        timeout: Milliseconds for the call, 0 for no limit.
        interaction_timeout: Milliseconds for each time a person is asked, 0 for no limit.
        max_timeout: Milliseconds for the call where progress extends the timeout, 0 for no
            limit; None where it does not.
    """

    __slots__ = (
        "_interaction_timeout",
        "_latest",
        "_max_timeout",
        "_timeout",
        "_whole",
        "at",
        "interacting",
        "runtime",
        "scope",
    )

    def __init__(
        self, runtime: Runtime, timeout: int, interaction_timeout: int, max_timeout: int | None = None
    ) -> None:
        self.runtime = runtime
        now = runtime.now()
        self._timeout = timeout
        self._max_timeout = max_timeout
        self._latest = deadline_after(now, max_timeout) if max_timeout is not None else None
        at = now + timeout / 1000 if timeout else None
        self.at = at if self._latest is None else self._after(now)
        """The end of the call by the runtime's clock, None for no limit."""
        self.scope: DeadlineScope = runtime.deadline(self.at)
        """The limit that is in force."""
        self.interacting = False
        self._interaction_timeout = interaction_timeout
        self._whole: CallDeadline | None = None

    def part(self, longest: float, share: float) -> CallDeadline:
        """Return a deadline for one step of the call, which stands still whenever the whole does.

        Args:
            longest: The most seconds that the step may take.
            share: The most that it may take of what is left of the call, 0 to 1.
        """
        left = longest if self.at is None else (self.at - self.runtime.now()) * share
        part = CallDeadline(self.runtime, max(1, int(min(longest, left) * 1000)), self._interaction_timeout)
        part._whole = self
        return part

    def unlimited(self) -> CallDeadline:
        """Return a deadline of its own with the same limit for a person, for work that no call waits for."""
        return CallDeadline(self.runtime, 0, self._interaction_timeout)

    def has(self, seconds: float) -> bool:
        """Say whether so much time is left."""
        return self.at is None or self.runtime.now() + seconds < self.at

    def extend(self) -> None:
        """Begin the timeout anew, because the server has reported progress."""
        if self.at is None or self.scope.expired:
            return
        self.at = self._after(self.runtime.now())
        if not self.interacting:
            self.scope.move(self.at)

    def _after(self, now: float) -> float | None:
        """Return the end of a timeout that begins now."""
        at = deadline_after(now, self._timeout)
        return min((each for each in (at, self._latest) if each is not None), default=None)

    def describe(self) -> str:
        """Say which limit a call that took too long has passed."""
        if self._max_timeout is None:
            return f"took longer than timeout={self._timeout} ms"
        if self.at == self._latest:
            return f"took longer than max_timeout={self._max_timeout} ms"
        return f"reported no progress for timeout={self._timeout} ms"

    async def interact(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Let a person take their time."""
        began, whole = self.runtime.now(), self._whole
        self.scope.move(deadline_after(began, self._interaction_timeout) if whole is None else None)
        self.interacting = True
        try:
            result = await (ask() if whole is None else whole.interact(ask))
        except Exception:
            if not self.scope.expired:
                self._go_on(began)
            raise
        self._go_on(began)
        return result

    def _go_on(self, began: float) -> None:
        """Let the deadline count again, as much later as the person has taken."""
        self.interacting = False
        taken = self.runtime.now() - began
        if self.at is not None:
            self.at += taken
        if self._latest is not None:
            self._latest += taken
        self.scope.move(self.at)

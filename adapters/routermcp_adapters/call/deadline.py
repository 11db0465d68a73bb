"""The deadline of one call, which counts machine time only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from routermcp_proto.retry import deadline_after

from ..runtime import DeadlineScope, Runtime

T = TypeVar("T")


class CallDeadline:
    """One deadline over everything that a call does.

    While a person is asked something the deadline stands still, and another limit applies.

    Args:
        runtime: Where the call runs.
        timeout: Milliseconds for the call, 0 for no limit.
        interaction_timeout: Milliseconds for each time a person is asked, 0 for no limit.
    """

    __slots__ = ("_interaction_timeout", "_whole", "at", "interacting", "runtime", "scope")

    def __init__(self, runtime: Runtime, timeout: int, interaction_timeout: int) -> None:
        self.runtime = runtime
        self.at = runtime.now() + timeout / 1000 if timeout else None
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

    def has(self, seconds: float) -> bool:
        """Say whether so much time is left."""
        return self.at is None or self.runtime.now() + seconds < self.at

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
        if self.at is not None:
            self.at += self.runtime.now() - began
        self.scope.move(self.at)

"""Whether a server behind the gateway can be used: the attempts to reach it, and its last failure.

The server is reached when something of it is first wanted, and again when what is known of it has
grown old. One that cannot be reached is tried again with growing pauses, by a task of its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from enum import Enum

from routermcp_proto.error_codes import UPSTREAM_ERROR
from routermcp_proto.exceptions import AuthorizationRequiredError, MCPError, RPCError

from ..wording import as_keys, kind_of_failure
from .times import UpstreamTimes

log = logging.getLogger("routermcp.gateway")

#: Characters of the reason of a failure.
MAX_REASON = 500


class UpstreamState(Enum):
    """Whether a server can be used."""

    IDLE = "idle"
    CONNECTING = "connecting"
    READY = "ready"
    FAILED = "failed"


class Availability:
    """Reaches one server, and knows whether it can be used.

    Args:
        alias: The server's name here.
        reach: Reaches the server and reads its lists, and calls :meth:`succeed` in between.
        on_sign_in_needed: Called with the error when a user has to sign in at the server.
        of_one_user: Whether the server is one user's alone, who may have signed in since it failed.
        tells_reason: Whether clients are told why it cannot be used.
        times: How long to wait for it.

    Attributes:
        state: Whether it can be used.
        problem: The kind of its last failure, None where there was none.
        reason: That failure in words, for operators.
    """

    def __init__(
        self,
        alias: str,
        reach: Callable[[], Awaitable[None]],
        on_sign_in_needed: Callable[[AuthorizationRequiredError], None],
        *,
        of_one_user: bool,
        tells_reason: bool,
        times: UpstreamTimes,
    ) -> None:
        self.state = UpstreamState.IDLE
        self.problem: str | None = None
        self.reason: str | None = None
        self._alias = alias
        self._reach = reach
        self._on_sign_in_needed = on_sign_in_needed
        self._of_one_user = of_one_user
        self._tells_reason = tells_reason
        self._times = times
        self._attempts: asyncio.Task[None] | None = None
        self._began = 0.0
        self._fresh_until = 0.0
        self._tried = asyncio.Event()

    def start(self) -> None:
        """Begin to reach the server and to read its lists, unless that was done just now."""
        if self._attempts is not None and not self._attempts.done():
            return
        if time.monotonic() >= self._fresh_until:
            failed_for_user = self.state is UpstreamState.FAILED and self._of_one_user
            if self.state is UpstreamState.IDLE or failed_for_user:
                self.state = UpstreamState.CONNECTING
            self._began = time.monotonic()
            self._tried.clear()
            self._attempts = asyncio.create_task(self._keep_trying())

    def refresh(self) -> None:
        """Begin to read the lists again, however new they are."""
        self._fresh_until = 0.0
        self.start()

    async def settled(self, seconds: float) -> None:
        """Wait until it is known whether the server can be used.

        Args:
            seconds: Time to wait at most, counted from the first attempt to reach it.
        """
        self.start()
        left = self._began + seconds - time.monotonic()
        if self.state in (UpstreamState.IDLE, UpstreamState.CONNECTING) and left > 0:
            await asyncio.wait([asyncio.ensure_future(self.tried())], timeout=left)

    async def tried(self) -> None:
        """Wait for the end of the attempt that is under way."""
        await self._tried.wait()

    async def _keep_trying(self) -> None:
        pause = self._times.first_pause_seconds
        while True:
            try:
                await self._reach()
            except AuthorizationRequiredError as error:
                self._on_sign_in_needed(error)
                self.fail(error)
                self._fresh_until = time.monotonic() + self._times.sign_in_pause_seconds
                self._tried.set()
                return  # the next attempt comes with the user, who has to sign in
            except MCPError as error:
                self.fail(error)
            except Exception:
                log.exception("%s: its lists could not be read", self._alias)
                self.state, self.problem = UpstreamState.FAILED, "internal error"
                self.reason = "internal error; the log has it"
            self._tried.set()
            if self.state is UpstreamState.READY:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, self._times.longest_pause_seconds)

    def succeed(self) -> None:
        """Note that the server was reached and its lists were read."""
        self.state, self.problem, self.reason = UpstreamState.READY, None, None
        self._fresh_until = time.monotonic() + self._times.list_seconds

    def fail(self, error: MCPError) -> None:
        """Note that the server cannot be used."""
        if self.state is not UpstreamState.FAILED and not isinstance(error, AuthorizationRequiredError):
            log.warning("%s failed: %s", self._alias, as_keys(str(error)))
        self.state, self.problem = UpstreamState.FAILED, kind_of_failure(error)
        self.reason = as_keys(str(error))[:MAX_REASON]
        self._fresh_until = 0.0

    def unavailable(self) -> RPCError:
        """Return the error for a request while the server cannot be used."""
        state = self.state.value if self.problem is None else self.problem
        reason = self.reason if self._tells_reason else None
        data = {"server": self._alias, "state": self.state.value, **({"reason": reason} if reason else {})}
        message = f"server {self._alias!r} is unavailable ({state}); see /health or the gateway's log"
        if reason:
            message = f"server {self._alias!r} is unavailable: {reason}"
        return RPCError(message, code=UPSTREAM_ERROR, data=data)

    def reset(self) -> asyncio.Task[None] | None:
        """Forget what is known of the server, and return the attempts that were cancelled."""
        attempts, self._attempts = self._attempts, None
        if attempts is not None:
            attempts.cancel()
        self.state, self._fresh_until = UpstreamState.IDLE, 0.0
        return attempts

    async def stop(self) -> None:
        """Cancel the attempts, and wait for their end."""
        if self._attempts is not None:
            self._attempts.cancel()
            await asyncio.wait([self._attempts])

"""One session of the gateway at an upstream server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from routermcp_adapters.call.driver import CallOptions
from routermcp_adapters.http.base import SharedTransport
from routermcp_adapters.runtimes.auto import running
from routermcp_proto import calls
from routermcp_proto.calls import Call
from routermcp_proto.events import InputRequired
from routermcp_proto.exceptions import RPCError
from routermcp_proto.names import (
    ACKNOWLEDGED,
    LOG_LEVEL_KEY,
    LOG_LEVELS,
    SERVER_INFO_KEY,
    SUBSCRIPTION_ID_KEY,
)
from routermcp_proto.types import InitializeResult, WireModel
from routermcp_proto.versions import Revision

from ..._internal import ClientSettings, driver_of
from ..backend import Caller, InputNeeded
from .callbacks import OnNews, UpstreamCallbacks
from .forwarding import ForwardedRequest, Result
from .request_state import passed_on
from .sanitize import questions, without_meta

log = logging.getLogger("routermcp.gateway")

#: For a call that lasts as long as both sides want.
NO_LIMIT = 0

#: Milliseconds for the server to take note of a log level.
SET_LEVEL_TIMEOUT = 10_000


class UpstreamSession:
    """A session at a server, over which requests of the gateway's clients are passed on.

    Results are passed on as they come, unread.

    Args:
        settings: How to reach the server.
        exchanges: The connections that its sessions share, None where each has its own.
        capabilities: What the clients can do, as far as is known.
        on_news: Told of what belongs to no request.
    """

    def __init__(
        self,
        settings: ClientSettings,
        exchanges: SharedTransport | None,
        capabilities: Mapping[str, Any],
        on_news: OnNews,
    ) -> None:
        self._on_news = on_news
        self._acknowledged: list[asyncio.Future[Mapping[str, Any]]] = []
        self._relay = UpstreamCallbacks(capabilities, self._hear, shared_stream=exchanges is None)
        self._driver = driver_of(settings, self._relay, exchanges)
        self._level = len(LOG_LEVELS)
        self.idle_timer: asyncio.TimerHandle | None = None
        """Ends the session when nobody uses it; whoever made it sets that."""

    def __str__(self) -> str:
        return str(self._driver.place)

    @property
    def revision(self) -> Revision:
        """The revision of MCP that is spoken there."""
        return self._driver.revision

    @property
    def server(self) -> InitializeResult | None:
        """What the server said about itself, None before it was reached."""
        return self._driver.server

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return self._relay.serves

    async def connect(self, timeout: int) -> None:
        """Reach the server, if that was not done yet.

        Raises:
            MCPError: It cannot be reached.
        """
        if not self._driver.connected:
            await self._driver.connect(running(), timeout)

    async def each_page(self, call: Call[Any], timeout: int, take: Callable[[list[Any]], object]) -> None:
        """Read all pages of a list.

        Raises:
            MCPError: That failed.
        """
        await self._driver.each_page(call, CallOptions(timeout), take)

    async def call(self, call: Call[WireModel], passing: ForwardedRequest, timeout: int) -> Result:
        """Pass a request on, and back and forth whatever is asked meanwhile.

        Raises:
            MCPError: It failed.
        """
        with self._relay.serving(passing):
            await self._see_to_log_level(passing.caller)
            value = await self._driver.call(call, self._options(passing, timeout))
            return _unstamped(value)

    async def round(self, call: Call[WireModel], passing: ForwardedRequest, timeout: int) -> Result:
        """Pass a request on to a server that asks in results, and its question back in one.

        Raises:
            InputNeeded: It asks something.
            MCPError: It failed.
        """
        caller = passing.caller
        responses, state = caller.input_responses, caller.request_state
        if responses is not None or state is not None:
            call = call.with_params(inputResponses=responses, requestState=state)
        with self._relay.serving(passing):
            outcome = await self._driver.ask(call, self._options(passing, timeout))
        if isinstance(outcome, InputRequired):
            raise passed_on(InputNeeded(questions(outcome.requests), outcome.state))
        return _unstamped(outcome.value)

    def _options(self, passing: ForwardedRequest, timeout: int) -> CallOptions:
        caller = passing.caller
        meta = dict(caller.meta)
        if self.revision.stamps_requests and caller.log_level is not None:
            meta[LOG_LEVEL_KEY] = caller.log_level
        on_progress = passing.report_progress if caller.wants_progress else None
        return CallOptions(timeout, meta=meta, on_progress=on_progress, capabilities=caller.capabilities)

    async def _see_to_log_level(self, caller: Caller) -> None:
        """Have the server send what this client wants to see; each gets only what it wants."""
        server, level = self.server, caller.log_level
        if self.revision.stamps_requests or level is None or server is None:
            return
        if server.capabilities.logging is not None and LOG_LEVELS.index(level) < self._level:
            self._level = LOG_LEVELS.index(level)
            try:
                await self._driver.call(calls.set_log_level(level), CallOptions(SET_LEVEL_TIMEOUT))
            except RPCError as error:
                log.debug("%s takes no log level: %s", self, error)

    # ---- changes -------------------------------------------------------------------------------

    def _hear(self, method: str, params: Mapping[str, Any]) -> None:
        if method == ACKNOWLEDGED:
            waiting, self._acknowledged = self._acknowledged, []
            for each in waiting:
                if not each.done():
                    each.set_result(params)
        else:
            self._on_news(method, without_meta(params, SUBSCRIPTION_ID_KEY))

    def next_acknowledgement(self) -> asyncio.Future[Mapping[str, Any]]:
        """Return what the server will next acknowledge to tell of: the notification's parameters."""
        future: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._acknowledged = [*(each for each in self._acknowledged if not each.done()), future]
        return future

    async def listen(self, wanted: Mapping[str, Any]) -> None:
        """Hear of changes from a server of the stateless era, until it says no more.

        Raises:
            MCPError: It does not tell of changes, or is no longer there.
        """
        await self._driver.call(calls.listen(wanted), CallOptions(NO_LIMIT))

    async def attend(self) -> None:
        """Hear what a server of the handshake era says while no request is under way.

        Returns when it has no stream for that.

        Raises:
            MCPError: It is no longer there.
        """
        await self._driver.attend()

    async def note(self, call: Call[Any], timeout: int) -> None:
        """Have the server take note of something.

        Raises:
            MCPError: It refuses, or is not there.
        """
        await self._driver.call(call, CallOptions(timeout))

    async def close(self) -> None:
        """End the session."""
        if self.idle_timer is not None:
            self.idle_timer.cancel()
        await self._relay.close()
        await self._driver.disconnect()


def _unstamped(value: WireModel) -> Result:
    """Return a result without what its server's revision adds; that of the client adds its own."""
    result: dict[str, Any] = value.model_extra or {}
    result.pop("resultType", None)
    return without_meta(result, SERVER_INFO_KEY)

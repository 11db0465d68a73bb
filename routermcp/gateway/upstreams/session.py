"""One session of the gateway at an upstream server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from routermcp_adapters.call.driver import CallOptions
from routermcp_adapters.http.base import SharedTransport
from routermcp_adapters.runtimes.auto import running
from routermcp_proto import calls
from routermcp_proto.calls import Call
from routermcp_proto.events import ResponseReceived
from routermcp_proto.exceptions import RPCError, TransportError
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
from ..backend import Caller, Result
from .callbacks import ForwardedRequest, OnUpstreamNotification, UpstreamCallbacks, current
from .capabilities import of_client
from .input_required import servers_question
from .sanitize import questions, without_meta
from .times import DEFAULT_TIMES, UpstreamTimes

log = logging.getLogger("routermcp.gateway")

#: Members of ``_meta`` that are a header of the same name too (W3C Trace Context), so that servers which
#: trace their HTTP requests alone see to whose trace they belong. Their grammar was checked.
_TRACE_CONTEXT = ("traceparent", "tracestate")

#: For a call that lasts as long as both sides want.
NO_LIMIT = 0


class UpstreamSession:
    """A session at a server, over which requests of the gateway's clients are forwarded.

    Results are forwarded as they come, unread.

    Args:
        settings: How to reach the server.
        transport: The connections that its sessions share, None where each has its own.
        capabilities: The capabilities of the clients, as far as they are known.
        on_notification: Called with notifications that belong to no request.
        times: How long to wait for the server.
        passed_headers: Headers of clients' requests that go on to the server.

    Attributes:
        idle_timer: Ends the session when it is not used; set by the owner of the session.
    """

    def __init__(
        self,
        settings: ClientSettings,
        transport: SharedTransport | None,
        capabilities: Mapping[str, Any],
        on_notification: OnUpstreamNotification,
        times: UpstreamTimes = DEFAULT_TIMES,
        passed_headers: Sequence[str] = (),
    ) -> None:
        self.times = times
        self._passed_headers = passed_headers
        self.idle_timer: asyncio.TimerHandle | None = None
        self._on_notification = on_notification
        self._acknowledged: list[asyncio.Future[Mapping[str, Any]]] = []
        self._callbacks = UpstreamCallbacks(
            of_client(capabilities), self._hear, shared_stream=transport is None
        )
        self._over_http = transport is not None  # the connections that sessions share
        self._driver = driver_of(settings, self._callbacks, transport)
        self._level = len(LOG_LEVELS)
        self._connecting = 0

    def __str__(self) -> str:
        return str(self._driver.place)

    @property
    def revision(self) -> Revision:
        """The revision of MCP that is spoken there."""
        return self._driver.revision

    @property
    def server(self) -> InitializeResult | None:
        """The server's description of itself, None before it was reached."""
        return self._driver.server

    @property
    def connected(self) -> bool:
        """Whether the server was reached."""
        return self._driver.connected

    @property
    def announces_lists(self) -> bool:
        """Whether the server says when one of its lists has changed."""
        server = self.server
        return server is not None and bool(calls.list_filter(server.capabilities))

    @property
    def busy(self) -> bool:
        """Whether a request is under way, or the server is being reached for one."""
        return bool(self._callbacks.requests) or self._connecting > 0

    async def connect(self) -> None:
        """Reach the server, if that was not done yet.

        Raises:
            MCPError: It cannot be reached.
        """
        if self._driver.connected:
            return
        self._connecting += 1
        try:
            await self._driver.connect(running(), self.times.connect_ms)
        finally:
            self._connecting -= 1

    async def each_page(self, call: Call[Any], take: Callable[[list[Any]], object]) -> None:
        """Read all pages of a list.

        Raises:
            MCPError: That failed.
        """
        await self._driver.each_page(call, CallOptions(self.times.list_ms), take)

    async def forward(self, call: Call[WireModel], request: ForwardedRequest, timeout_ms: int) -> Result:
        """Forward a request and return its result; messages of the server go to the client meanwhile.

        Raises:
            InputRequired: The result is a question of the server.
            MCPError: It failed.
        """
        caller = request.caller
        meta, level = dict(caller.meta), caller.log_level
        on_progress = request.report_progress if caller.wants_progress else None
        requests = self._callbacks.requests
        token = current.set(request)
        requests.append(request)
        try:
            if level is not None:
                await self._set_log_level(level, meta)
            declared = caller.capabilities and of_client(caller.capabilities)
            headers = trace_headers(meta) if meta and self._over_http else None
            if self._passed_headers:
                headers = {**_passed_on(caller, self._passed_headers), **(headers or {})}
            options = CallOptions(
                timeout_ms, headers, meta=meta, on_progress=on_progress, capabilities=declared
            )
            outcome = await self._driver.ask(call, options)
        except (asyncio.CancelledError, TransportError):
            self._callbacks.give_up(request)
            raise
        finally:
            requests.remove(request)
            current.reset(token)
        if not isinstance(outcome, ResponseReceived):
            raise servers_question(questions(outcome.requests), outcome.state)
        # Members that the server's revision adds are left out; the client's revision adds its own.
        result: dict[str, Any] = outcome.value.model_extra or {}
        result.pop("resultType", None)
        return without_meta(result, SERVER_INFO_KEY) if "_meta" in result else result

    async def _set_log_level(self, level: str, meta: dict[str, Any]) -> None:
        """Have the server send the log messages that this client wants; each client gets only its own.

        In the stateless era the request says so itself, in its ``_meta``.
        """
        if self.revision.stamps_requests:
            meta[LOG_LEVEL_KEY] = level
            return
        server, index = self.server, LOG_LEVELS.index(level)
        if server is not None and server.capabilities.logging is not None and index < self._level:
            self._level = index
            try:
                await self.note(calls.set_log_level(level))
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
            self._on_notification(method, without_meta(params, SUBSCRIPTION_ID_KEY))

    def next_acknowledgement(self) -> asyncio.Future[Mapping[str, Any]]:
        """Return the parameters of the next notification that acknowledges a subscription."""
        future: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._acknowledged = [*(each for each in self._acknowledged if not each.done()), future]
        return future

    async def listen(self, wanted: Mapping[str, Any]) -> None:
        """Receive changes from a server of the stateless era, until it ends the stream.

        Raises:
            MCPError: It has no such stream, or is no longer there.
        """
        await self._driver.call(calls.listen(wanted), CallOptions(NO_LIMIT))

    async def attend(self) -> None:
        """Receive messages of a server of the handshake era while no request is under way.

        Returns when the server has no stream for that.

        Raises:
            MCPError: It is no longer there.
        """
        await self._driver.attend()

    async def note(self, call: Call[Any]) -> None:
        """Make a call whose result says nothing, such as a subscription.

        Raises:
            MCPError: The server refuses, or is not there.
        """
        await self._driver.call(call, CallOptions(self.times.note_ms))

    async def close(self) -> None:
        """End the session."""
        if self.idle_timer is not None:
            self.idle_timer.cancel()
        await self._callbacks.close()
        await self._driver.disconnect()


def trace_headers(meta: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the headers of a request that belongs to a trace, None for one that does not."""
    return {name: meta[name] for name in _TRACE_CONTEXT if name in meta} or None


def _passed_on(caller: Caller, names: Sequence[str]) -> dict[str, str]:
    """Return the headers of a client's request that its server is to get."""
    found = ((name, caller.header(name)) for name in names)
    return {name.lower(): value for name, value in found if value is not None}

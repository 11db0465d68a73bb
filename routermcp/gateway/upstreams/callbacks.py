"""The requests under way on one connection to an upstream server, and the server's messages during them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from routermcp_adapters.call.incoming import Reply
from routermcp_proto.error_codes import MISSING_CAPABILITY
from routermcp_proto.events import RequestReceived
from routermcp_proto.exceptions import (
    AuthorizationRequiredError,
    InternalError,
    InvalidParamsError,
    MCPError,
    RPCError,
)
from routermcp_proto.jsonrpc import ErrorObject
from routermcp_proto.names import LOG_LEVELS
from routermcp_proto.types import Progress

from ..._internal import Callbacks
from ..backend import Caller
from .sanitize import question

log = logging.getLogger("routermcp.gateway")

#: Called with a server's notifications that belong to no request: method and parameters.
OnUpstreamNotification = Callable[[str, Mapping[str, Any]], None]


#: Seconds for which a server may go on with a request that was given up, and write about it: as long as a
#: call lasts. Servers need not say that they have stopped.
GIVEN_UP_SECONDS = 600.0

#: Owners of requests that were given up, of which a stream knows the last ones: any other owner differs from
#: one of two.
MAX_GIVEN_UP = 2


@dataclass(eq=False)
class ForwardedRequest:
    """One request that is being forwarded to a server."""

    caller: Caller
    """The client that made it."""

    def is_of_client(self, caller: Caller) -> bool:
        """Whether a caller is of the same user and session."""
        return (self.caller.user_id, self.caller.session_id) == (caller.user_id, caller.session_id)

    async def ask(self, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask the client while the server waits, and return its answer.

        Raises:
            RPCError: The client cannot be asked that, or answered with an error.
        """
        return await self.caller.ask("question", method, params)

    async def report_progress(self, progress: Progress) -> None:
        """Forward a progress report to the client."""
        await self.caller.report_progress(progress.progress, total=progress.total, message=progress.message)

    async def log(self, level: str, content: Any, logger: str | None) -> None:
        """Forward a log message to the client."""
        if level in LOG_LEVELS:
            await self.caller.log(level, content, logger=logger)


current: ContextVar[ForwardedRequest | None] = ContextVar("routermcp_gateway_request", default=None)
"""The request that the running task forwards."""


class UpstreamCallbacks(Callbacks):
    """The callbacks of one connection to an upstream server.

    Over HTTP a question of the server comes on the exchange of the request that it is about,
    hence in the task of that request. On a stream that all requests share it can come to any
    of them; then it is forwarded only if there is no doubt which client it is for, and in a task
    of its own, so that no other client waits for the answer.

    Args:
        capabilities: The capabilities of the clients on this connection, as far as they are known.
        on_notification: Called with notifications that belong to no request.
        shared_stream: Whether all requests travel on one stream.

    Attributes:
        requests: The requests under way, in the order in which they began.
    """

    def __init__(
        self, capabilities: Mapping[str, Any], on_notification: OnUpstreamNotification, *, shared_stream: bool
    ) -> None:
        super().__init__()
        # Over HTTP the gateway reads between calls where it subscribes to changes, and says when; the pipes
        # of a child are always read, since it may write at any time.
        self.attends, self.hears_changes = shared_stream, True
        self.requests: list[ForwardedRequest] = []
        self._declared = dict(capabilities)
        self._on_notification = on_notification
        self._shared_stream = shared_stream
        self._asking: set[asyncio.Task[None]] = set()
        self._given_up: dict[bytes, float] = {}

    def give_up(self, request: ForwardedRequest) -> None:
        """Note that a request ended without an answer: its server may go on with it, and write about it."""
        if self._shared_stream:
            owner = request.caller.owner
            self._given_up.pop(owner, None)
            while len(self._given_up) >= MAX_GIVEN_UP:
                del self._given_up[next(iter(self._given_up))]
            self._given_up[owner] = time.monotonic() + GIVEN_UP_SECONDS

    def capabilities(self) -> dict[str, Any]:
        """Return the capabilities to declare to the server."""
        return self._declared

    def _request(self) -> ForwardedRequest | None:
        """Find the request that a message of the server belongs to, None where that is in doubt."""
        requests = self.requests
        if not self._shared_stream:
            own = current.get()
            return own if own in requests else None
        if not requests:
            return None
        last = requests[-1]
        in_session = last.caller.session_id is not None
        same = len(requests) == 1 or (in_session and all(last.is_of_client(each.caller) for each in requests))
        return last if same and not self._may_be_of_another(last.caller.owner) else None

    def _may_be_of_another(self, owner: bytes) -> bool:
        """Whether what comes may belong to a request of another owner that was given up."""
        now = time.monotonic()
        return any(other != owner and now < until for other, until in self._given_up.items())

    def take_over(self, asked: RequestReceived, reply: Reply) -> bool:
        """Answer in another task, where the reading task may be that of another client, or of none."""
        if not self._shared_stream and current.get() is not None:
            return False
        task = asyncio.create_task(self._answer_in_task(asked, reply, self._request()))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return True

    async def _answer_in_task(
        self, asked: RequestReceived, reply: Reply, request: ForwardedRequest | None
    ) -> None:
        answer: Mapping[str, Any] | ErrorObject
        try:
            answer = await _ask_client(request, asked.method, asked.params)
        except RPCError as error:
            answer = ErrorObject(error.code, error.message, error.data)
        try:
            await reply(answer)
        except MCPError as error:
            log.debug("an answer came too late for its server: %s", error)

    async def answer(self, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Forward a question to the client whose request this is."""
        return await _ask_client(self._request(), method, params)

    async def hear(self, method: str, params: Mapping[str, Any]) -> None:
        """Forward a log message to the client whose request it belongs to, and the rest to the gateway."""
        if method != "notifications/message":
            self._on_notification(method, params)
            return
        request, level = self._request(), params.get("level")
        if request is not None and isinstance(level, str):
            logger = params.get("logger")
            await request.log(level, params.get("data"), logger if isinstance(logger, str) else None)

    async def authorize(self, required: AuthorizationRequiredError) -> bool:
        """Return False: the client of the gateway is told to have its user sign in."""
        del required
        return False

    async def close(self) -> None:
        """Cancel the questions that wait for an answer."""
        for task in tuple(self._asking):
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)


async def _ask_client(
    request: ForwardedRequest | None, method: str, params: Mapping[str, Any]
) -> Mapping[str, Any]:
    if request is None:
        raise InternalError("the gateway serves several clients, and cannot tell which one is meant")
    try:
        return await request.ask(method, question(params))
    except RPCError as error:
        if error.code != MISSING_CAPABILITY:
            raise
        # A server of the handshake era does not know that code (MCP 2025-11-25, Elicitation, Error Handling).
        raise InvalidParamsError(error.message) from error

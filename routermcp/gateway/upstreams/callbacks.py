"""Answers an upstream server in the name of the client whose request it is working on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from routermcp_adapters.call.incoming import Reply
from routermcp_proto.error_codes import INTERNAL_ERROR
from routermcp_proto.events import RequestReceived
from routermcp_proto.exceptions import AuthorizationRequiredError, MCPError, RPCError
from routermcp_proto.jsonrpc import ErrorObject

from ..._internal import Callbacks
from .forwarding import ForwardedRequest, current

log = logging.getLogger("routermcp.gateway")

#: What the gateway can do for a server when it speaks for clients that it does not know yet.
EVERYTHING: Mapping[str, Any] = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}}

#: Told of a server's notifications that belong to no request: method and parameters.
OnNews = Callable[[str, Mapping[str, Any]], None]

NOBODY = ErrorObject(
    INTERNAL_ERROR, "several clients are being served, and it cannot be told which one is meant"
)


class _Serving:
    """One request among those that are under way."""

    __slots__ = ("_passing", "_served", "_token")

    def __init__(self, served: list[ForwardedRequest], passing: ForwardedRequest) -> None:
        self._served = served
        self._passing = passing

    def __enter__(self) -> None:
        self._token = current.set(self._passing)
        self._served.append(self._passing)

    def __exit__(self, *_: object) -> None:
        self._served.remove(self._passing)
        current.reset(self._token)


class UpstreamCallbacks(Callbacks):
    """The callbacks of one connection to an upstream server.

    Over HTTP a question of the server comes on the exchange of the request that it is about,
    hence in the task of that request. On a stream that all requests share it can come to any
    of them; then it is passed on only if there is no doubt whom it is for, and in a task of
    its own, so that nobody else waits for the answer.

    Args:
        capabilities: What the clients on this connection can do, as far as is known.
        on_news: Told of what belongs to no request.
        shared_stream: Whether all requests travel on one stream.
    """

    hears_changes = True

    def __init__(self, capabilities: Mapping[str, Any], on_news: OnNews, *, shared_stream: bool) -> None:
        super().__init__()
        self._declared = dict(capabilities)
        self._on_news = on_news
        self._shared_stream = shared_stream
        self._served: list[ForwardedRequest] = []
        self._asking: set[asyncio.Task[None]] = set()

    def capabilities(self) -> dict[str, Any]:
        """Return what to declare to the server."""
        return self._declared

    @property
    def serves(self) -> bool:
        """Whether a request is under way."""
        return bool(self._served)

    def serving(self, passing: ForwardedRequest) -> _Serving:
        """Pass questions and log messages on to a client while its request is under way, in a with block."""
        return _Serving(self._served, passing)

    def _concerned(self) -> ForwardedRequest | None:
        """Find the request that something from the server belongs to, None where that is in doubt."""
        if not self._shared_stream:
            own = current.get()
            return own if own in self._served else None
        if not self._served:
            return None
        last = self._served[-1]
        alone = len(self._served) == 1 or all(last.is_of_session(other) for other in self._served)
        return last if alone else None

    def take_over(self, asked: RequestReceived, reply: Reply) -> bool:
        """Answer aside, where the task that reads may be that of another client, or of none."""
        if not self._shared_stream and current.get() is not None:
            return False
        task = asyncio.create_task(self._answer_aside(asked, reply, self._concerned()))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return True

    async def _answer_aside(
        self, asked: RequestReceived, reply: Reply, passing: ForwardedRequest | None
    ) -> None:
        answer: Mapping[str, Any] | ErrorObject = NOBODY
        try:
            if passing is not None:
                answer = await passing.ask(asked.method, asked.params)
        except RPCError as error:
            answer = ErrorObject(error.code, error.message, error.data)
        try:
            await reply(answer)
        except MCPError as error:
            log.debug("an answer came too late for its server: %s", error)

    async def answer(self, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Pass a question on to the client whose request this is."""
        passing = self._concerned()
        if passing is None:
            raise RPCError(NOBODY.message, code=NOBODY.code)
        return await passing.ask(method, params)

    async def hear(self, method: str, params: Mapping[str, Any]) -> None:
        """Pass a log message on to whom it belongs, and news to the gateway."""
        if method != "notifications/message":
            self._on_news(method, params)
            return
        passing = self._concerned()
        level = params.get("level")
        if passing is not None and isinstance(level, str):
            logger = params.get("logger")
            await passing.log(level, params.get("data"), logger if isinstance(logger, str) else None)

    async def authorize(self, required: AuthorizationRequiredError) -> bool:
        """Leave it to the client of the gateway, which is told."""
        del required
        return False

    async def close(self) -> None:
        """Give up the questions that wait for an answer."""
        for task in tuple(self._asking):
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

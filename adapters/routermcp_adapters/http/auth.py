"""Connections on which every request of a session is let in by somebody who sees to that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from routermcp_proto.events import HTTPRefused
from routermcp_proto.exceptions import MCPError
from routermcp_proto.http.exchange import MCPExchange
from routermcp_proto.http.fetching import HTTPExchange
from routermcp_proto.http.headers import HeaderBlock, HTTPRequest
from routermcp_proto.http.outcomes import Outcome

from ..call.deadline import CallDeadline
from ..call.incoming import OnEvent
from ..limits import PoolStats
from ..runtime import Runtime
from ..wire_log import log
from .base import Elsewhere, HTTPTransport, SharedTransport
from .pool import ConnectionPool
from .server_stream import Reader

#: Refusals of one request that are answered by trying to be let in: three sign-ins, a renewal,
#: and a nonce. A server that wants still more wants something that it does not say.
MAX_ROUNDS = 6


class Attempt(Protocol):
    """What is done to have one request let in."""

    async def challenged(self, refused: HTTPRefused, deadline: CallDeadline, /) -> bool:
        """Do what a refusal asks for; say whether the request may be made again.

        Raises:
            OAuthError: It cannot be done.
            TransportError: The authorization server cannot be reached.
        """
        ...


class Authorization(Protocol):
    """Sees to it that the requests of one session are let in."""

    async def headers(self, method: str, url: str, transport: SharedTransport, /) -> Mapping[str, str]:
        """Return what goes with one request, fresh each time.

        Args:
            method: Its method.
            url: Where it goes, on the origin of the MCP server.
            transport: For requests of one's own.
        """
        ...

    def note_nonce(self, nonce: str) -> None:
        """Note what the next proofs have to carry (RFC 9449, section 8.2)."""
        ...

    def attempt(self, sent: Mapping[str, str], transport: SharedTransport, /) -> Attempt:
        """Begin to have a request let in that was refused.

        Args:
            sent: What went with it.
            transport: For requests of one's own.
        """
        ...


_NOTHING: Mapping[str, str] = {}


class AuthTransport(HTTPTransport):
    """The connections that sessions share, as one session uses them.

    An ``Authorization`` header that the caller gave wins: then nothing is added, and a refusal
    stands.

    Args:
        shared: The connections.
        authorization: Sees to this session's requests.
    """

    def __init__(self, shared: SharedTransport, authorization: Authorization) -> None:
        super().__init__(shared.endpoint, shared.memory)
        self._shared = shared
        self._authorization = authorization

    def open(self, runtime: Runtime, user: object) -> Runtime:
        """Take the connections into use; see :meth:`HTTPTransport.open`."""
        return self._shared.open(runtime, user)

    def close(self, user: object) -> None:
        """Give the connections back."""
        self._shared.close(user)

    def close_all(self) -> None:
        """Close the connections, whoever uses them."""
        self._shared.close_all()

    async def finish(self, user: object, everything: bool) -> None:
        """Do what has to be awaited before the connections close."""
        await self._shared.finish(user, everything)

    def pool(self) -> ConnectionPool | None:
        """Return our own connections, None where they are somebody else's."""
        return self._shared.pool()

    def stats(self) -> PoolStats:
        """Return what the connections are doing."""
        return self._shared.stats()

    def note_retry(self) -> None:
        """Count that a request is sent again."""
        self._shared.note_retry()

    async def credentials(self, method: str, url: str) -> Mapping[str, str]:
        """Return the headers by which a request is let in."""
        return await self._authorization.headers(method, url, self._shared)

    async def run(
        self,
        request: HTTPRequest,
        exchange: HTTPExchange,
        on_event: OnEvent,
        *,
        control: bool = False,
        turn: Reader | None = None,
        deadline: CallDeadline | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> Outcome | None:
        """Carry one exchange, as often as it takes to be let in; see :meth:`HTTPTransport.run`."""
        url = self._url(request)
        seen_to = request.headers.get(b"authorization") is None
        attempt: Attempt | None = None
        rounds = 0
        while True:
            sent = await self.credentials(request.method.decode("ascii"), url) if seen_to else _NOTHING
            outcome = await self._shared.run(
                _with(request, sent), exchange, on_event, control=control, turn=turn, elsewhere=elsewhere
            )
            rounds += 1
            if "DPoP" in sent and isinstance(exchange, MCPExchange) and exchange.dpop_nonce is not None:
                self._authorization.note_nonce(exchange.dpop_nonce)
            if not isinstance(outcome, HTTPRefused) or outcome.status not in (401, 403):
                return outcome
            if (
                not seen_to
                or rounds > MAX_ROUNDS
                or deadline is None
                or not isinstance(exchange, MCPExchange)
            ):
                return outcome
            attempt = attempt or self._authorization.attempt(sent, self._shared)
            if not await attempt.challenged(outcome, deadline):
                return outcome
            exchange.restart()

    async def mention(self, request: HTTPRequest) -> None:
        """Send a message whose answer nobody waits for, if that takes no time."""
        try:
            if request.headers.get(b"authorization") is None:
                request = _with(request, await self.credentials("POST", self._url(request)))
        except MCPError as error:
            # The caller has an outcome already, which this must not replace.
            log.debug("a cancelled call was not mentioned to %s: %s", self.endpoint, error)
        else:
            await self._shared.mention(request)

    def _url(self, request: HTTPRequest) -> str:
        return replace(self.endpoint, target=request.target.decode("ascii")).url


def _with(request: HTTPRequest, headers: Mapping[str, str]) -> HTTPRequest:
    return replace(request, headers=request.headers + HeaderBlock(headers.items())) if headers else request

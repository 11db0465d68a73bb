"""A transport that authorizes the requests of one session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Protocol, TypeVar

from routermcp_proto.events import HTTPRefused
from routermcp_proto.http.exchange import MCPExchange
from routermcp_proto.http.fetching import HTTPExchange
from routermcp_proto.http.headers import HeaderBlock, HTTPRequest
from routermcp_proto.http.outcomes import Outcome, is_about_api_key

from ..call.deadline import CallDeadline
from .base import HTTPTransport, ResponseStream, SharedTransport
from .context import ExchangeContext

#: Refusals of one request that are answered by authorizing it anew: three sign-ins, a renewal,
#: and a nonce. A server that wants still more wants something that it does not say.
MAX_ROUNDS = 6


T = TypeVar("T")
ExchangeT = TypeVar("ExchangeT", bound=HTTPExchange)


class Attempt(Protocol):
    """An attempt to authorize one request that was refused."""

    async def challenged(self, refused: HTTPRefused, deadline: CallDeadline, /) -> bool:
        """Do what a refusal asks for; say whether the request may be made again.

        Raises:
            OAuthError: It cannot be done.
            TransportError: The authorization server cannot be reached.
        """
        ...


class Authorization(Protocol):
    """Authorizes the requests of one session."""

    async def headers(self, method: str, url: str, transport: SharedTransport, /) -> Mapping[str, str]:
        """Return the headers of one request, fresh each time.

        Args:
            method: Its method.
            url: Its URL, on the origin of the MCP server.
            transport: For requests to an authorization server.
        """
        ...

    def note_nonce(self, nonce: str) -> None:
        """Note the nonce for the next proofs (RFC 9449, section 8.2)."""
        ...

    def attempt(self, sent: Mapping[str, str], transport: SharedTransport, /) -> Attempt:
        """Begin to authorize a request that was refused.

        Args:
            sent: The headers that it had from :meth:`headers`.
            transport: For requests to an authorization server.
        """
        ...


class AuthTransport(HTTPTransport):
    """A transport that adds credentials to each request, and answers 401 and 403 by refreshing or signing in.

    An ``Authorization`` header that the caller gave wins: then nothing is added, and a refusal
    stands.

    Args:
        shared: The connections.
        authorization: Authorizes the requests of this session.
    """

    def __init__(self, shared: SharedTransport, authorization: Authorization) -> None:
        super().__init__(shared.endpoint)
        self._shared = shared
        self._authorization = authorization

    async def credentials(self, method: str, url: str) -> Mapping[str, str]:
        """Return the headers that authorize a request."""
        return await self._authorization.headers(method, url, self._shared)

    async def run(
        self, request: HTTPRequest, exchange: HTTPExchange, context: ExchangeContext
    ) -> Outcome | None:
        """Carry one exchange, as often as its authorization takes; see :meth:`HTTPTransport.run`."""
        return await self._authorized(self._shared.run, request, exchange, context)

    async def open_stream(
        self, request: HTTPRequest, exchange: MCPExchange, context: ExchangeContext
    ) -> ResponseStream | Outcome:
        """Open a stream, as often as its authorization takes; see :meth:`HTTPTransport.open_stream`."""
        return await self._authorized(self._shared.open_stream, request, exchange, context)

    async def _authorized(
        self,
        send: Callable[[HTTPRequest, ExchangeT, ExchangeContext], Awaitable[T]],
        request: HTTPRequest,
        exchange: ExchangeT,
        context: ExchangeContext,
    ) -> T:
        if request.headers.get(b"authorization") is not None:
            return await send(request, exchange, context)
        url, deadline = self._url(request), context.deadline
        attempt: Attempt | None = None
        rounds = 0
        while True:
            sent = await self.credentials(request.method.decode("ascii"), url)
            outcome = await send(_with_credentials(request, sent), exchange, context)
            rounds += 1
            if not isinstance(exchange, MCPExchange):
                return outcome
            if "DPoP" in sent and exchange.dpop_nonce is not None:
                self._authorization.note_nonce(exchange.dpop_nonce)
            if not isinstance(outcome, HTTPRefused) or not _may_be_let_in(outcome):
                return outcome
            if rounds > MAX_ROUNDS or deadline is None:
                return outcome
            attempt = attempt or self._authorization.attempt(sent, self._shared)
            if not await attempt.challenged(outcome, deadline):
                return outcome
            exchange.restart()

    def _url(self, request: HTTPRequest) -> str:
        return replace(self.endpoint, target=request.target.decode("ascii")).url


def _may_be_let_in(refused: HTTPRefused) -> bool:
    """Return whether a refusal may be about tokens; one with 400 has to say so (RFC 6750)."""
    if is_about_api_key(refused):
        return False
    return refused.status in (401, 403) or (refused.status == 400 and bool(refused.challenges))


def _with_credentials(request: HTTPRequest, headers: Mapping[str, str]) -> HTTPRequest:
    return replace(request, headers=request.headers + HeaderBlock(headers.items())) if headers else request

"""Carrying exchanges with a client of httpx or httpx2: one that the user brought, or one made for a proxy.

It has what our own sockets leave out: HTTP/2, proxies, event hooks, mocks. Two promises are
weaker over it: in blocking code the deadline holds for each read rather than for the whole,
and only a connection that could not be opened counts as "nothing was sent". The stream on
which a server of the handshake era asks outside a call is not opened.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    import httpx
else:
    try:
        import httpx
    except ImportError:  # its successor has the same names
        import httpx2 as httpx

from routermcp_proto.events import Event
from routermcp_proto.exceptions import ConfigError, RemoteProtocolError, TransportError, causes
from routermcp_proto.http.exchange import MCPExchange
from routermcp_proto.http.fetching import HTTPExchange
from routermcp_proto.http.headers import HeaderBlock, HTTPRequest
from routermcp_proto.http.outcomes import OUTCOMES, Outcome
from routermcp_proto.http.reader import BodyData, EndOfBody, ResponseHead
from routermcp_proto.http.url import EndpointURL, without_query
from routermcp_proto.redaction import hide_in

from .. import wire_log
from ..call.incoming import OnEvent
from ..limits import PoolLimits, PoolStats
from ..runtime import Runtime
from .base import ResponseStream, SharedTransport
from .connect import admitted
from .context import ExchangeContext
from .httpx_stream import CLOSE_RESPONSE_SECONDS, HttpxStream

#: Seconds for the end of an event stream whose answer is known; then its connection closes.
DRAIN_SECONDS = 0.1

HTTPClient = httpx.AsyncClient | httpx.Client


def library_of(client: object) -> Any:
    """Return the module that a client is of: httpx, or httpx2, which has the same names."""
    for each in type(client).__mro__:
        module = sys.modules.get(each.__module__.partition(".")[0])
        if hasattr(module, "HTTPError") and hasattr(module, "USE_CLIENT_DEFAULT"):
            return module
    return httpx


class _Face(Protocol):
    """An httpx client, of either kind, as the driver's text awaits it."""

    async def send(self, request: httpx.Request, own: bool) -> httpx.Response: ...

    def pieces(self, response: httpx.Response) -> Any: ...

    async def next_piece(self, pieces: Any) -> bytes | None: ...

    async def drain(self, pieces: Any) -> None: ...

    async def close_response(self, response: httpx.Response) -> None: ...

    def interrupt(self, response: httpx.Response) -> None: ...

    async def aclose(self) -> None: ...


class _AsyncFace:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._library = library_of(client)

    async def send(self, request: httpx.Request, own: bool) -> httpx.Response:
        auth = self._library.USE_CLIENT_DEFAULT if own else None
        return await self._client.send(request, stream=True, follow_redirects=False, auth=auth)

    def pieces(self, response: httpx.Response) -> AsyncIterator[bytes]:
        return response.aiter_bytes()

    async def next_piece(self, pieces: AsyncIterator[bytes]) -> bytes | None:
        return await anext(pieces, None)

    async def drain(self, pieces: AsyncIterator[bytes]) -> None:
        # httpx has generators in generators, which trio wants to see ended, each by its own.
        with contextlib.suppress(self._library.HTTPError, self._library.StreamError):
            while await anext(pieces, None) is not None:
                pass

    async def close_response(self, response: httpx.Response) -> None:
        await response.aclose()

    def interrupt(self, response: httpx.Response) -> None:
        del response  # whoever reads it is cancelled

    async def aclose(self) -> None:
        await self._client.aclose()


class _BlockingFace:
    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._library = library_of(client)

    async def send(self, request: httpx.Request, own: bool) -> httpx.Response:
        auth = self._library.USE_CLIENT_DEFAULT if own else None
        return self._client.send(request, stream=True, follow_redirects=False, auth=auth)

    def pieces(self, response: httpx.Response) -> Iterator[bytes]:
        return response.iter_bytes()

    async def next_piece(self, pieces: Iterator[bytes]) -> bytes | None:
        return next(pieces, None)

    async def drain(self, pieces: Iterator[bytes]) -> None:
        # Nothing limits how long that would take here.
        del pieces

    async def close_response(self, response: httpx.Response) -> None:
        response.close()

    def interrupt(self, response: httpx.Response) -> None:
        network = response.extensions.get("network_stream")
        sock = network.get_extra_info("socket") if network is not None else None
        if isinstance(sock, socket.socket):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    async def aclose(self) -> None:
        self._client.close()


def client_maker(
    proxy: str, tls: Callable[[], ssl.SSLContext], limits: PoolLimits
) -> Callable[[bool], HTTPClient]:
    """Return what makes a client that goes through a proxy.

    Args:
        proxy: URL of the proxy.
        tls: Makes the TLS context.
        limits: How many connections.

    Raises:
        ConfigError: It is no URL of a proxy, or one that needs an extra of httpx.
    """

    def make(blocking: bool) -> HTTPClient:
        options: dict[str, Any] = {
            "proxy": proxy,
            "verify": tls(),
            "trust_env": False,
            "timeout": None,
            "limits": httpx.Limits(
                max_connections=limits.max_connections,
                max_keepalive_connections=limits.max_idle,
                keepalive_expiry=limits.idle_expiry / 1000,
            ),
        }
        try:
            return httpx.Client(**options) if blocking else httpx.AsyncClient(**options)
        except (ValueError, ImportError, httpx.InvalidURL) as error:
            if "@" not in proxy or not isinstance(error, httpx.InvalidURL):
                raise ConfigError(f"proxy={_without_password(proxy)!r} cannot be used: {error}") from error
        # What httpx found wrong may be part of a password.
        problem = "in a user name and password, / ? # and @ are written %2F %3F %23 and %40"
        raise ConfigError(f"proxy={_without_password(proxy)!r} cannot be used: {problem}")

    return make


def _without_password(url: str) -> str:
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


class _PrivateURL(httpx.URL):
    """A URL that is logged, as httpx does for each request, without its query, which may hold a key."""

    def __str__(self) -> str:
        return without_query(super().__str__())

    def __repr__(self) -> str:
        return f"URL({str(self)!r})"


class HttpxTransport(SharedTransport):
    """The exchanges of a client and its sessions over one httpx client.

    Args:
        endpoint: Where the MCP server is.
        client: The client; its owner closes it.
        make: Makes one for blocking code (True) or not, where none was brought; it is
            closed with its last user.
    """

    def __init__(
        self,
        endpoint: EndpointURL,
        client: HTTPClient | None = None,
        make: Callable[[bool], HTTPClient] | None = None,
    ) -> None:
        super().__init__(endpoint)
        self._brought = client
        self._make = make
        self._client: HTTPClient | None = None
        self._face: _Face | None = None
        self._library: Any = httpx
        self._in_use = 0

    def open(self, runtime: Runtime, user: object) -> Runtime:
        """Take the client into use for one more session."""
        bound = super().open(runtime, user)
        if self._client is None:
            client = self._brought
            if client is None and self._make is not None:
                client = self._make(bound.name not in ("asyncio", "trio"))
            if client is None or client.is_closed:
                self._users.discard(user)
                raise ConfigError("http_client is closed: make it live as long as this client")
            self._client = client
            self._library = library_of(client)
            awaited = hasattr(client, "aclose")
            self._face = _AsyncFace(cast("Any", client)) if awaited else _BlockingFace(cast("Any", client))
        return bound

    async def finish(self, user: object, everything: bool) -> None:
        """Close a client that was made here, with its last user or for all of them."""
        await super().finish(user, everything)
        last = everything or self._users - self._background_tasks <= {user}
        if self._brought is None and self._face is not None and last:
            await self._face.aclose()

    def close_all(self) -> None:
        """Let go of the client."""
        self._users.clear()
        self._client = self._face = None

    def stats(self) -> PoolStats:
        """Return what is known: an httpx client does not tell of its connections."""
        with self._lock:
            return PoolStats(self._in_use, 0, self._in_use, 0, 0, 0, self._retries)

    async def run(
        self, request: HTTPRequest, exchange: HTTPExchange, context: ExchangeContext
    ) -> Outcome | None:
        """Carry one exchange; see :meth:`HTTPTransport.run`."""
        endpoint, destination = self.endpoint, context.destination
        if destination is not None:
            endpoint = destination.endpoint
            if self._brought is not None:
                # Looked up twice, as httpx does it again; a proxy does it by itself.
                found = await self.resolver.addresses(self.runtime, endpoint.host, endpoint.port)
                admitted(endpoint, found, destination.admit)
        with self._lock:
            self._in_use += 1
        try:
            with self._errors(request):
                return await self._carry(request, exchange, context.on_event, endpoint)
        finally:
            with self._lock:
                self._in_use -= 1

    @contextlib.contextmanager
    def _errors(self, request: HTTPRequest) -> Generator[None]:
        """Raise the errors of httpx as errors of this transport."""
        try:
            yield
        except self._library.TimeoutException as error:
            # In blocking code this is the deadline, which has an error of its own.
            self.runtime.time_left()
            self._clean(error, request)
            raise self._translated(error) from error
        except (self._library.HTTPError, self._library.InvalidURL, self._library.StreamError) as error:
            self._clean(error, request)
            raise self._translated(error) from error

    async def open_stream(
        self, request: HTTPRequest, exchange: MCPExchange, context: ExchangeContext
    ) -> ResponseStream | Outcome:
        """Open a stream, over one of the client's connections; see :meth:`HTTPTransport.open_stream`."""
        del context
        face, runtime = self._open_face(), self.runtime
        with self._errors(request):
            response = await self._ask(request, exchange, self.endpoint)
        pieces = face.pieces(response)

        async def read() -> list[Event] | None:
            if exchange.finished:
                return None
            with self._errors(request):
                data = await face.next_piece(pieces)
            return self._events(exchange, EndOfBody() if data is None else BodyData(data))

        async def close() -> None:
            async with runtime.shield(0.0):
                await face.drain(pieces)
            await face.close_response(response)

        try:
            events = self._events(exchange, _head_of(response))
            while not events and not exchange.streams:
                events = await read() or []
            if exchange.streams:
                # The time-out of the request was the deadline of its head.
                response.request.extensions.get("timeout", {})["read"] = None
                stream = HttpxStream(runtime, read, close, partial(face.interrupt, response))
                stream.start()
                return stream
        except BaseException:
            async with runtime.shield(CLOSE_RESPONSE_SECONDS):
                await close()
            raise
        await close()
        return next(event for event in events if isinstance(event, OUTCOMES))

    async def _carry(
        self, request: HTTPRequest, exchange: HTTPExchange, on_event: OnEvent, endpoint: EndpointURL
    ) -> Outcome | None:
        face, runtime = self._open_face(), self.runtime
        response = await self._ask(request, exchange, endpoint)
        pieces, patience = face.pieces(response), 0.0
        try:
            item: Any = _head_of(response)
            outcome: Outcome | None = None
            while outcome is None and not exchange.finished:
                for event in self._events(exchange, item):
                    if isinstance(event, OUTCOMES):
                        outcome = event
                    else:
                        await on_event(event)
                if outcome is None and not exchange.finished:
                    runtime.time_left()
                    data = await face.next_piece(pieces)
                    item = EndOfBody() if data is None else BodyData(data)
            patience = DRAIN_SECONDS
            return outcome
        finally:
            async with runtime.shield(patience):
                await face.drain(pieces)
            async with runtime.shield(CLOSE_RESPONSE_SECONDS):
                await face.close_response(response)

    async def _ask(
        self, request: HTTPRequest, exchange: HTTPExchange, endpoint: EndpointURL
    ) -> httpx.Response:
        """Send a request and wait for the head of its response."""
        exchange.secrets, exchange.sent = request.secrets, True
        if wire_log.enabled():
            wire_log.log_request(request)
        sent = self._request(request, endpoint)
        response = await self._open_face().send(sent, endpoint is self.endpoint)
        exchange.secrets = lambda: _as_sent(request, response.request).secrets()
        return response

    def _events(self, exchange: HTTPExchange, item: Any) -> list[Event]:
        logging_wire = wire_log.enabled() and not exchange.private
        if logging_wire:
            wire_log.log_item(item, exchange)
        try:
            events = exchange.receive(item)
        except RemoteProtocolError as error:
            hide_in(error, exchange.secrets())
            message = f"{self.endpoint} did not answer in MCP's way: {error}"
            raise TransportError(message, code="protocol") from error
        if logging_wire:
            wire_log.log_refusals(events)
        return events

    def _request(self, request: HTTPRequest, endpoint: EndpointURL) -> httpx.Request:
        client = self._client
        if client is None:
            raise TransportError("the client is disconnected", code="closed", not_run=True)
        method, seconds = request.method.decode(), self.runtime.time_left()
        url = f"{endpoint.scheme}://{endpoint.authority}{request.target.decode()}"
        headers, content = request.headers.pairs, request.body or None
        if endpoint is self.endpoint:
            built = client.build_request(method, url, headers=headers, content=content, timeout=seconds)
        else:
            # Headers, cookies and parameters that the client was given are for the MCP server alone.
            extensions = {"timeout": self._library.Timeout(seconds).as_dict()}
            built = self._library.Request(
                method, url, headers=headers, content=content, extensions=extensions
            )
        if self._brought is None:
            built.url = _PrivateURL(built.url)
        return built

    def _open_face(self) -> _Face:
        if self._face is None:
            raise TransportError("the client is disconnected", code="closed", not_run=True)
        return self._face

    def _clean(self, error: Any, request: HTTPRequest) -> None:
        """Take out of an error of httpx what was sent, which it may repeat, and holds."""
        made: Any = getattr(error, "_request", None)
        library = self._library
        sent = _as_sent(request, made) if isinstance(made, library.Request) else request
        hide_in(error, sent.secrets())
        if (
            isinstance(error, library.RequestError)
            and isinstance(made, library.Request)
            and self._brought is None
        ):
            error.request = library.Request(made.method, str(made.url))

    def _translated(self, error: Exception) -> TransportError:
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        library = self._library
        not_sent = (library.ConnectError, library.ConnectTimeout, library.PoolTimeout, library.ProxyError)
        if isinstance(error, not_sent):
            code = "tls" if _is_tls(error) else "connect"
            return TransportError(f"cannot connect to {self.endpoint}: {what}", code=code, not_run=True)
        if isinstance(error, library.TimeoutException):
            return TransportError(f"{self.endpoint} took too long: {what}", code="timeout")
        if isinstance(error, (library.RemoteProtocolError, library.NetworkError)):
            return TransportError(f"the connection to {self.endpoint} broke: {what}", code="closed")
        return TransportError(f"{self.endpoint}: {what}", code="protocol")


def _head_of(response: httpx.Response) -> ResponseHead:
    # httpx undoes a compression by itself.
    raw = ((name.lower(), value) for name, value in response.headers.raw)
    headers = tuple(pair for pair in raw if pair[0] != b"content-encoding")
    return ResponseHead(response.status_code, headers, response.reason_phrase.encode("latin-1"))


def _as_sent(request: HTTPRequest, made: httpx.Request) -> HTTPRequest:
    """Return a request with what the client that was brought has added to it."""
    raw = b"".join(b"%b: %b\r\n" % pair for pair in made.headers.raw)
    return replace(request, headers=HeaderBlock.of_checked(raw), target=made.url.raw_path)


def _is_tls(error: BaseException) -> bool:
    found = any(isinstance(cause, ssl.SSLError) for cause in causes(error))
    return found or "certificate" in str(error).lower()

"""The binding of one session to one endpoint: its messages as HTTP requests.

The head of a request is written by hand: the headers that all requests of a session share
are validated and joined once, the others are appended. Only values from the caller are
checked each time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from ..calls import Call
from ..client_session import ClientSession
from ..events import HTTPRedirected, Outgoing
from ..exceptions import LocalProtocolError, RemoteProtocolError, TransportError
from ..versions import Era
from .compression import ENCODINGS
from .exchange import MCPExchange
from .header_values import encode_header_value, parameter_headers
from .headers import HeaderBlock, HTTPRequest
from .url import EndpointURL, without_query

#: Headers that the binding writes itself; a user's value for one of them is refused.
OWN_HEADERS = frozenset(
    {
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"connection",
        b"mcp-session-id",
        b"mcp-protocol-version",
        b"mcp-method",
        b"mcp-name",
        b"last-event-id",
    }
)

#: Redirects that one request follows. Each costs a round trip; an endpoint that needs more
#: than a missing slash and a moved path is misconfigured.
MAX_REDIRECTS = 3

#: Prepared heads of one session: one for each method it uses. A session that is renewed
#: again and again leaves old ones behind, so the table is bounded.
MAX_TEMPLATES = 64

_TYPES = "application/json, text/event-stream"

_JSON = HeaderBlock(
    [
        ("Content-Type", "application/json"),
        ("Accept", _TYPES),
        ("Accept-Encoding", "identity"),
    ]
)
_EVENTS = HeaderBlock([("Accept", "text/event-stream"), ("Accept-Encoding", "identity")])


class HTTPBinding:
    """The Streamable HTTP side of one client session.

    Args:
        session: The machine whose messages are sent.
        endpoint: The endpoint that they are sent to.
        headers: Headers of every request, such as ``Authorization`` and ``User-Agent``.
        hears_changes: Whether to open the stream for the server's notifications even where
            the client has no capability that the server could use.
    """

    # An application may have a session for each of ten thousand users.
    __slots__ = (
        "_hears_changes",
        "_templates",
        "_templates_for",
        "_user",
        "endpoint",
        "session",
        "session_id",
    )

    exchange_class: ClassVar[type[MCPExchange]] = MCPExchange
    """Reads the answers."""

    def __init__(
        self,
        session: ClientSession,
        endpoint: EndpointURL,
        headers: Mapping[str, str] | None = None,
        *,
        hears_changes: bool = False,
    ) -> None:
        self._hears_changes = hears_changes
        self.session = session
        self.endpoint = endpoint
        self.session_id: str | None = None
        """The ``Mcp-Session-Id`` that the server assigned, if any."""
        self._user = user_headers(headers or {})
        self._templates: dict[tuple[str, str, str | None], HeaderBlock] = {}
        self._templates_for = endpoint

    def follow_or_raise(self, redirected: HTTPRedirected, *, get: bool = False) -> None:
        """Follow a redirect of the server.

        Args:
            redirected: The redirect.
            get: It is the answer to a GET, whose method every redirect keeps.

        Raises:
            TransportError: It does not keep the method (307, 308), its location is no valid URL,
                or it leads to another origin, for which the headers are not meant (``redirect``).
        """
        target = redirected.location
        shown = without_query(redirected.shown or target)
        if redirected.status not in (307, 308) and not get:
            raise TransportError(
                f"{self.endpoint} answered HTTP {redirected.status}, a redirect that turns POST into GET, "
                f"to {shown[:200]!r}: use that URL if it is the MCP endpoint",
                code="redirect",
                status_code=redirected.status,
                not_run=True,
            )
        try:
            endpoint = self.endpoint.resolve(target)
        except RemoteProtocolError as error:
            raise TransportError(
                f"{self.endpoint}: {error}", code="redirect", status_code=redirected.status, not_run=True
            ) from error
        if not self.endpoint.same_origin(endpoint):
            raise TransportError(
                f"{self.endpoint} redirects to another origin, {shown[:200]}: "
                "credentials are not sent there; use that URL if you trust it",
                code="redirect",
                status_code=redirected.status,
                not_run=True,
            )
        self.endpoint = endpoint

    def post_to_or_raise(self, url: str) -> None:
        """Send messages to the URL that the event stream of an HTTP+SSE server has named.

        Args:
            url: The URL, which may be relative to that of the stream.

        Raises:
            TransportError: It is no valid URL, or of another origin, for which neither the messages
                nor the headers are meant (``redirect``).
        """
        shown = without_query(url)[:200]
        try:
            endpoint = self.endpoint.resolve(url)
        except RemoteProtocolError as error:
            message = f"{self.endpoint} names {shown!r} as its endpoint, which is no valid URL"
            raise TransportError(message, code="protocol", not_run=True) from error
        if not self.endpoint.same_origin(endpoint):
            raise TransportError(
                f"{self.endpoint} names an endpoint of another origin, {shown}: "
                "messages and credentials are not sent there",
                code="redirect",
                not_run=True,
            )
        self.endpoint = endpoint

    # ---- requests ----------------------------------------------------------------------

    def post(self, outgoing: Outgoing, extra: HeaderBlock | None = None) -> HTTPRequest:
        """Write the request that carries a message.

        Args:
            outgoing: The message.
            extra: Headers of this call; they replace those of the session.

        Raises:
            LocalProtocolError: A parameter that has to be sent as a header cannot be.
        """
        revision = self.session.revision
        if self._templates_for is not self.endpoint:
            self._templates_for = self.endpoint
            self._templates.clear()
        key = (outgoing.method, revision.name if revision is not None else "", self.session_id)
        template = self._templates.get(key) if extra is None else None
        if template is None:
            template = self._template(outgoing.method, extra)
            # A handshake is made once.
            repeated = outgoing.call is not None and self.session.server is not None
            if repeated and extra is None and len(self._templates) < MAX_TEMPLATES:
                self._templates[key] = template
        raw, call = template.raw, outgoing.call
        if (
            revision is not None
            and revision.routing_headers
            and call is not None
            and call.named_by is not None
        ):
            raw += self._route(call, call.named_by)
        raw += b"Content-Length: %d\r\n" % len(outgoing.payload)
        target = self.endpoint.target.encode("ascii")
        private = call is not None and call.private
        return HTTPRequest(b"POST", target, HeaderBlock.of_checked(raw), outgoing.payload, private)

    def _template(self, method: str, extra: HeaderBlock | None) -> HeaderBlock:
        """Join the headers that all requests of a method have in common."""
        revision = self.session.revision
        varying: list[tuple[str, str]] = []
        if method != "initialize":
            if revision is not None and revision.version_header:
                varying.append(("MCP-Protocol-Version", revision.name))
            if self.session_id is not None:
                varying.append(("Mcp-Session-Id", self.session_id))
        if revision is not None and revision.routing_headers and method:
            varying.append(("Mcp-Method", method))
        user = self._user if extra is None else replaced(self._user, extra)
        return HeaderBlock([("Host", self.endpoint.authority)]) + replaced(_JSON, user) + HeaderBlock(varying)

    def _route(self, call: Call[Any], named_by: str) -> bytes:
        """Write the headers that mirror a call's parameters; encoded values are well-formed."""
        name = str(call.params[named_by])
        raw = b"Mcp-Name: %b\r\n" % encode_header_value(name).encode("ascii")
        facts = self.session.tool_facts(name) if call.method == "tools/call" else None
        if facts is not None and facts.headers:
            arguments = cast("Mapping[str, Any]", call.params.get("arguments") or {})
            raw += HeaderBlock(parameter_headers(facts.headers, arguments)).raw
        return raw

    def resume(self, last_event_id: str, extra: HeaderBlock | None = None) -> HTTPRequest:
        """Write the request that opens the session's shared stream or resumes a cut one (handshake era)."""
        more = [("Last-Event-ID", last_event_id)] if last_event_id else []
        return self._bodiless(b"GET", extra, *more)

    def delete(self, extra: HeaderBlock | None = None) -> HTTPRequest | None:
        """Write the request that ends the session, None if there is no session."""
        return self._bodiless(b"DELETE", extra) if self.session_id is not None else None

    def _bodiless(self, method: bytes, extra: HeaderBlock | None, *more: tuple[str, str]) -> HTTPRequest:
        revision = self.session.revision
        varying: list[tuple[str, str]] = [("Host", self.endpoint.authority), *more]
        if revision is not None and revision.version_header:
            varying.append(("MCP-Protocol-Version", revision.name))
        if self.session_id is not None:
            varying.append(("Mcp-Session-Id", self.session_id))
        user = self._user if extra is None else replaced(self._user, extra)
        return HTTPRequest(
            method, self.endpoint.target.encode("ascii"), HeaderBlock(varying) + replaced(_EVENTS, user)
        )

    # ---- answers -------------------------------------------------------------------------

    def exchange(self, outgoing: Outgoing) -> MCPExchange:
        """Return a reader for the answer to a message."""
        exchange = self.exchange_class(
            self.session,
            outgoing.request_id,
            on_session_id=self._assign if outgoing.method == "initialize" else None,
            listens=not outgoing.payload,
        )
        if outgoing.call is not None and outgoing.call.private:
            exchange.private = True
        return exchange

    def _assign(self, session_id: str | None) -> None:
        # It comes with the head, before the answer makes the session ready: no other thread
        # finds one without the other.
        self.session_id = session_id

    def expire(self) -> None:
        """Forget a session that has expired at the server.

        State:
            The session is NEW again.
        """
        self.session.expire()
        self.session_id = None

    def restart(self) -> None:
        """Forget everything that is under way: it belongs to a copy of this session in a parent process.

        State:
            As :meth:`ClientSession.restart`.
        """
        self.session_id = None
        self.session.restart()

    @property
    def listens(self) -> bool:
        """Whether to open a stream for the server's own requests and notifications."""
        revision = self.session.revision
        streams = revision is not None and revision.peer_requests and revision.http_sessions
        return streams and (self._hears_changes or bool(self.session.capabilities))

    @property
    def sessionful(self) -> bool:
        """Whether the server holds a session that a DELETE would end."""
        revision = self.session.revision
        return self.session_id is not None and revision is not None and revision.era is Era.HANDSHAKE


def user_headers(headers: Mapping[str, str] | Sequence[tuple[str, str]]) -> HeaderBlock:
    """Check headers that a user gave.

    ``Content-Type`` and ``Accept`` have to contain what MCP needs, and are sent as MCP has them;
    of ``Accept-Encoding`` the codings that can be decoded are sent.

    Raises:
        LocalProtocolError: A name or value is not valid in HTTP, or the header is one that
            the protocol sets itself.
    """
    pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
    kept: list[tuple[str, str]] = []
    for name, value in pairs:
        lower = name.lower() if isinstance(name, str) else ""  # pyright: ignore[reportUnnecessaryIsInstance]
        if not lower or lower.encode("utf-8", "replace") in OWN_HEADERS:
            raise LocalProtocolError(f"the header {name!r} is set by the client itself and cannot be given")
        if lower in ("content-type", "accept"):
            _check_media_types(name, value, lower)
        elif lower == "accept-encoding":
            kept.append((name, _decodable_encodings(value)))
        else:
            kept.append((name, value))
    return HeaderBlock(kept)


def _check_media_types(name: str, value: str, lower: str) -> None:
    given = {part.partition(";")[0].strip().lower() for part in str(value).split(",")}
    if lower == "content-type":
        needed, good = "application/json", given == {"application/json"}
    else:
        needed, good = _TYPES, "*/*" in given or given >= set(_TYPES.split(", "))
    if not good:
        raise LocalProtocolError(f"the header {name!r} must be {needed!r} for MCP; leave it out")


def _decodable_encodings(value: str) -> str:
    """Return the content codings of a list that :class:`~.compression.Decompressor` decodes."""
    parts = [part.strip() for part in str(value).split(",")]
    good = [part for part in parts if part.partition(";")[0].strip().lower() in (*ENCODINGS, "identity")]
    return ", ".join(good) or "identity"


def replaced(block: HeaderBlock, extra: HeaderBlock) -> HeaderBlock:
    """Add headers to a block, replacing those of the same name."""
    names = {name.lower() for name, _ in extra.pairs}
    return HeaderBlock([pair for pair in block.pairs if pair[0].lower() not in names]) + extra

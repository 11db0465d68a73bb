"""Checks of an HTTP request before its message reaches the session machine.

Source: https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http,
sections "Security & Endpoint" and "Server Validation".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any, cast
from urllib.parse import urlsplit

from routermcp_proto.error_codes import HEADER_MISMATCH, INVALID_PARAMS, INVALID_REQUEST
from routermcp_proto.exceptions import LocalProtocolError, RemoteProtocolError
from routermcp_proto.http.header_values import decode_header_value, parameter_headers
from routermcp_proto.http.numbers import finite_number
from routermcp_proto.jsonrpc import ErrorObject, Message, Request
from routermcp_proto.names import NAMED_BY, PROTOCOL_VERSION_KEY
from routermcp_proto.types.parameter_headers import declared_headers
from routermcp_proto.versions import REVISIONS, Era

from ..errors import Rejected
from .asgi import RequestHead

#: Hosts by which clients reach a server on this machine. A page that rebinds its own name to
#: 127.0.0.1 still sends its own name.
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})

#: Values of ``Host``, ``Origin``, ``Accept`` and ``Content-Type`` that are cached parsed: clients send
#: the same few all the time, and one that sends others gains nothing by it.
MAX_CACHED_VALUES = 256

_JSON, _EVENT_STREAM = "application/json", "text/event-stream"


def check_origin(head: RequestHead, allowed_hosts: Collection[str]) -> None:
    """Check that no web page of another site sent a request (DNS rebinding).

    Raises:
        Rejected: ``Host`` or ``Origin`` names a host that is not allowed (403).
    """
    host, origin = head.get("host"), head.get("origin")
    if host is None or _name_in(host) not in allowed_hosts:
        raise _forbidden_header("Host")
    if origin is not None and not _is_allowed(origin, allowed_hosts):
        raise _forbidden_header("Origin")


def _is_allowed(origin: str, allowed_hosts: Collection[str]) -> bool:
    """Return whether an origin is a page of an allowed host, or allowed as a whole.

    ``tauri://localhost`` and the like are the names that applications have for themselves, not this machine.
    """
    host = _host_of(origin)
    if host in LOOPBACK_HOSTS and not origin.lower().startswith(("http://", "https://")):
        return origin.lower() in allowed_hosts
    return host in allowed_hosts


def _forbidden_header(header: str) -> Rejected:
    return Rejected(403, ErrorObject(INVALID_REQUEST, f"the {header} is not allowed here"))


@lru_cache(maxsize=MAX_CACHED_VALUES)
def _name_in(host: str) -> str | None:
    return _host_of(f"//{host}")


@lru_cache(maxsize=MAX_CACHED_VALUES)
def _host_of(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        behind = parts.netloc.rpartition("]")[
            2
        ]  # of an IPv6 address: a port, which Python 3.11 does not check
        if parts.port == 0 or ("]" in parts.netloc and behind and not behind.startswith(":")):
            return None
        if "@" in parts.netloc:  # other parsers end the host before it: at a backslash, for example
            return None
        return parts.hostname
    except ValueError:  # what is no port
        return None


def check_get(head: RequestHead) -> None:
    """Check that a request only reads; HEAD, which monitors send, is GET without its body.

    Raises:
        Rejected: It is neither a GET nor a HEAD (405).
    """
    if head.method not in ("GET", "HEAD"):
        error = ErrorObject(INVALID_REQUEST, f"{head.path} takes GET")
        raise Rejected(405, error, headers=[(b"allow", b"GET, HEAD")])


def check_content_type(head: RequestHead) -> None:
    """Check that a POST brings JSON.

    Raises:
        Rejected: It brings another media type (415).
    """
    if not _is_json(head.get("content-type") or ""):
        raise Rejected(415, ErrorObject(INVALID_REQUEST, "the Content-Type must be application/json"))


@lru_cache(maxsize=MAX_CACHED_VALUES)
def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == _JSON


def check_accept(head: RequestHead, *media_types: str) -> None:
    """Check that the client takes media types; without ``Accept`` it takes all.

    Raises:
        Rejected: It does not take one of them (406).
    """
    accept = head.joined("Accept")
    if accept is not None and not _accept_lists(accept, media_types):
        problem = f"Accept must list {' and '.join(media_types)}"
        raise Rejected(406, ErrorObject(INVALID_REQUEST, problem))


def check_post_accept(head: RequestHead) -> bool:
    """Check that the client of a POST takes JSON, and say whether it takes an event stream too.

    MCP has clients list both; hosts whose HTTP client writes the header list JSON alone, and nearly all
    answers are JSON.

    Raises:
        Rejected: It does not take JSON (406).
    """
    accept = head.joined("Accept")
    if accept is None or _accept_lists(accept, (_JSON, _EVENT_STREAM)):
        return True
    check_accept(head, _JSON)
    return False


@lru_cache(maxsize=MAX_CACHED_VALUES)
def _accept_lists(accept: str, media_types: tuple[str, ...]) -> bool:
    ranges = {item.partition(";")[0].strip().lower() for item in accept.split(",")}
    return all(ranges & {each, f"{each.partition('/')[0]}/*", "*/*"} for each in media_types)


def check_session_version(head: RequestHead) -> None:
    """Check that the version of a request in the handshake era is one of that era.

    Raises:
        Rejected: It is one of the stateless era, or unknown (400).
    """
    version = head.get("mcp-protocol-version")
    revision = REVISIONS.get(version) if version is not None else None
    if version is not None and (revision is None or revision.era is not Era.HANDSHAKE):
        problem = f"there are no sessions of MCP {version[:40]!r} here"
        raise Rejected(400, ErrorObject(INVALID_REQUEST, problem))


def is_stateless(
    head: RequestHead, message: Message, input_schema: Callable[[str], Mapping[str, Any] | None]
) -> bool:
    """Say whether a message is a request of the stateless era, and check that its headers repeat its body.

    Args:
        head: The headers.
        message: The body.
        input_schema: Returns the schema of a tool, whose parameters may be mirrored too.

    Raises:
        Rejected: A header is missing or contradicts the body (400 with -32020), or the header
            names a stateless version and ``_meta`` none (400).
    """
    if not isinstance(message, Request):
        return False
    meta = message.params.get("_meta")
    version = cast("dict[str, Any]", meta).get(PROTOCOL_VERSION_KEY) if isinstance(meta, dict) else None
    if version is not None:
        _check_mirrored_headers(head, message, version, input_schema)
        return True
    named = head.get("mcp-protocol-version")
    revision = REVISIONS.get(named) if named is not None else None
    if revision is not None and revision.era is Era.STATELESS:
        raise Rejected(400, ErrorObject(INVALID_PARAMS, f"_meta lacks {PROTOCOL_VERSION_KEY}"), message.id)
    return False


def _check_mirrored_headers(
    head: RequestHead,
    request: Request,
    version: Any,
    input_schema: Callable[[str], Mapping[str, Any] | None],
) -> None:
    try:
        given = head.get("mcp-protocol-version")
        if given != version:
            _refuse_mismatch("MCP-Protocol-Version", given, version)
        if version not in REVISIONS:
            return  # refused by the session, which names the versions that it knows
        method, params = request.method, request.params
        given = head.get("mcp-method")
        if given != method:
            _refuse_mismatch("Mcp-Method", given, method)
        if method in NAMED_BY:
            name, value = params.get(NAMED_BY[method]), _decoded_header(head.get("mcp-name"))
            if value != name:
                _refuse_mismatch("Mcp-Name", value, name)
            schema = input_schema(name) if method == "tools/call" and isinstance(name, str) else None
            if schema is not None:
                _compare_parameters(head, params.get("arguments"), schema)
    except (_MismatchError, RemoteProtocolError) as error:
        raise Rejected(400, ErrorObject(HEADER_MISMATCH, f"Header mismatch: {error}"), request.id) from error


class _MismatchError(Exception):
    """A header that contradicts the body."""


def _decoded_header(value: str | None) -> str | None:
    return None if value is None else decode_header_value(value)


def _refuse_mismatch(header: str, value: str | None, expected: Any) -> None:
    if value is None and isinstance(expected, str):
        raise _MismatchError(f"the header {header} is missing")
    if isinstance(expected, str):  # the session refuses a member of another type
        raise _MismatchError(f"{header} is {value!r:.100}, the body says {expected!r:.100}")


def _compare_parameters(head: RequestHead, arguments: Any, schema: Mapping[str, Any]) -> None:
    declared = declared_headers(schema) if isinstance(arguments, dict) else ()
    if not declared:
        return
    values = cast("dict[str, Any]", arguments)
    try:
        expected = dict(parameter_headers(declared, values))
    except LocalProtocolError as error:
        raise _MismatchError(str(error)) from error
    for parameter in declared:
        wanted = expected.get(parameter.header)
        given = head.get(parameter.header.lower())
        number = type(_value_at(values, parameter.path)) in (int, float)
        if not _equal_header_values(_decoded_header(wanted), _decoded_header(given), number=number):
            problem = "is missing" if given is None else "does not match the body"
            raise _MismatchError(f"the header {parameter.header} {problem}")


def _value_at(arguments: dict[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = arguments
    for name in path:
        value = cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None
    return value


def _equal_header_values(wanted: str | None, given: str | None, *, number: bool) -> bool:
    """Compare texts, and numbers by value: ``42.0`` equals ``42`` (section "Server Validation", note)."""
    if wanted == given or wanted is None or given is None or not number:
        return wanted == given
    expected = finite_number(wanted)
    return expected is not None and expected == finite_number(given)

"""What a request over HTTP has to satisfy before its message counts.

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
from routermcp_proto.http.parameter_headers import declared_headers, decode_header_value, parameter_headers
from routermcp_proto.jsonrpc import ErrorObject, Request
from routermcp_proto.names import PROTOCOL_VERSION_KEY
from routermcp_proto.versions import REVISIONS, Era

from ..errors import Rejected
from .asgi import RequestHead

#: Hosts by which a server on this machine is reached. A page that rebinds its own name to
#: 127.0.0.1 still sends its own name.
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})

#: Values of ``Host``, ``Origin``, ``Accept`` and ``Content-Type`` whose meaning is kept: the same few
#: come all the time, and a client that sends others gains nothing by it.
MAX_KEPT = 256

#: Methods whose subject is mirrored in ``Mcp-Name``, and the member that holds it.
NAMED_BY = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


def check_origin(head: RequestHead, allowed_hosts: Collection[str]) -> None:
    """See that no web page of another site is behind a request (DNS rebinding).

    Raises:
        Rejected: ``Host`` or ``Origin`` names a host that is not allowed (403).
    """
    host, origin = head.get("Host"), head.get("Origin")
    if host is None or _name_in(host) not in allowed_hosts:
        raise _not_allowed("Host")
    if origin is not None and _host_of(origin) not in allowed_hosts:
        raise _not_allowed("Origin")


def _not_allowed(header: str) -> Rejected:
    return Rejected(403, ErrorObject(INVALID_REQUEST, f"the {header} is not allowed here"))


@lru_cache(maxsize=MAX_KEPT)
def _name_in(host: str) -> str | None:
    return _host_of(f"//{host}")


@lru_cache(maxsize=MAX_KEPT)
def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def check_media_types(head: RequestHead) -> None:
    """See that a POST brings JSON and takes both kinds of answers.

    Raises:
        Rejected: It does not (415, 406).
    """
    if not _is_json(head.get("Content-Type") or ""):
        raise Rejected(415, ErrorObject(INVALID_REQUEST, "the Content-Type must be application/json"))
    if not (accepts(head, "application/json") and accepts(head, "text/event-stream")):
        problem = "Accept must list application/json and text/event-stream"
        raise Rejected(406, ErrorObject(INVALID_REQUEST, problem))


@lru_cache(maxsize=MAX_KEPT)
def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"


def accepts(head: RequestHead, media_type: str) -> bool:
    """Say whether the client takes a media type; without ``Accept`` it takes all."""
    accept = head.joined("Accept")
    return accept is None or _lists(accept, media_type)


@lru_cache(maxsize=MAX_KEPT)
def _lists(accept: str, media_type: str) -> bool:
    ranges = {item.partition(";")[0].strip().lower() for item in accept.split(",")}
    return bool(ranges & {media_type, f"{media_type.partition('/')[0]}/*", "*/*"})


def check_session_version(head: RequestHead) -> None:
    """See that the version of a request in the handshake era is one of that era.

    Raises:
        Rejected: It is not (400).
    """
    version = head.get("MCP-Protocol-Version")
    revision = REVISIONS.get(version) if version is not None else None
    if version is not None and (revision is None or revision.era is not Era.HANDSHAKE):
        problem = f"there are no sessions of MCP {version[:40]!r} here"
        raise Rejected(400, ErrorObject(INVALID_REQUEST, problem))


def is_stateless(head: RequestHead, request: Request) -> bool:
    """Say whether a request is one of the stateless era.

    Raises:
        Rejected: Its header says so and its ``_meta`` does not (400).
    """
    if _body_version(request) is not None:
        return True
    version = head.get("MCP-Protocol-Version")
    revision = REVISIONS.get(version) if version is not None else None
    if revision is not None and revision.era is Era.STATELESS:
        raise Rejected(400, ErrorObject(INVALID_PARAMS, f"_meta lacks {PROTOCOL_VERSION_KEY}"), request.id)
    return False


def _body_version(request: Request) -> Any:
    meta = request.params.get("_meta")
    return cast("dict[str, Any]", meta).get(PROTOCOL_VERSION_KEY) if isinstance(meta, dict) else None


def check_mirrored_headers(
    head: RequestHead, request: Request, input_schema: Callable[[str], Mapping[str, Any] | None]
) -> None:
    """See that the headers of a stateless request say what its body says.

    Args:
        head: The headers.
        request: The body; its ``_meta`` holds a version.
        input_schema: Finds the schema of a tool, whose parameters may be mirrored too.

    Raises:
        Rejected: They do not (400 with -32020).
    """
    try:
        version = _body_version(request)
        _compare("MCP-Protocol-Version", head.get("MCP-Protocol-Version"), version)
        if version not in REVISIONS:
            return  # refused by the session, which names the versions that are known
        _compare("Mcp-Method", head.get("Mcp-Method"), request.method)
        if request.method in NAMED_BY:
            name = request.params.get(NAMED_BY[request.method])
            _compare("Mcp-Name", _decoded(head.get("Mcp-Name")), name)
            if request.method == "tools/call" and isinstance(name, str):
                _compare_parameters(head, request, input_schema(name))
    except (_MismatchError, RemoteProtocolError) as error:
        raise Rejected(400, ErrorObject(HEADER_MISMATCH, f"Header mismatch: {error}"), request.id) from error


class _MismatchError(Exception):
    """A header that does not say what the body says."""


def _decoded(value: str | None) -> str | None:
    return None if value is None else decode_header_value(value)


def _compare(header: str, value: str | None, expected: Any) -> None:
    if value is None and isinstance(expected, str):
        raise _MismatchError(f"the header {header} is missing")
    if isinstance(expected, str) and value != expected:
        raise _MismatchError(f"{header} is {value!r:.100}, the body says {expected!r:.100}")


def _compare_parameters(head: RequestHead, request: Request, schema: Mapping[str, Any] | None) -> None:
    arguments = request.params.get("arguments")
    if schema is None or not isinstance(arguments, dict):
        return
    declared = declared_headers(schema)
    if not declared:
        return
    try:
        expected = dict(parameter_headers(declared, cast("dict[str, Any]", arguments)))
    except LocalProtocolError as error:
        raise _MismatchError(str(error)) from error
    for parameter in declared:
        wanted = expected.get(parameter.header)
        given = head.get(parameter.header)
        number = type(_value_at(cast("dict[str, Any]", arguments), parameter.path)) in (int, float)
        if not _alike(_decoded(wanted), _decoded(given), number=number):
            problem = "is missing" if given is None else "does not match the body"
            raise _MismatchError(f"the header {parameter.header} {problem}")


def _value_at(arguments: dict[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = arguments
    for name in path:
        value = cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None
    return value


def _alike(wanted: str | None, given: str | None, *, number: bool) -> bool:
    """Compare texts, and numbers as numbers: ``42.0`` and ``42`` are the same (Server Validation, note)."""
    if wanted == given or wanted is None or given is None or not number:
        return wanted == given
    try:
        return float(wanted) == float(given)
    except ValueError:
        return False

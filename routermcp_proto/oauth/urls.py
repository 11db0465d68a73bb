"""Which URLs and which addresses the documents of others may lead to."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from enum import IntEnum
from urllib.parse import urlsplit

from ..exceptions import LocalProtocolError, OAuthError
from ..http.url import EndpointURL

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_SHARED = ipaddress.ip_network("100.64.0.0/10")  # carrier-grade NAT, RFC 6598
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


def checked(url: object, what: str, plain_hosts: Collection[str] = ()) -> str:
    """Return a URL that a document gives, as it stands there.

    Args:
        url: The URL in the document.
        what: The name of the URL, for the error.
        plain_hosts: Hosts to which plain http may be spoken, as the application says.

    Raises:
        OAuthError: It is none that secrets may be sent to: not https, unless on this machine, or
            with user info or a fragment.
    """
    if not isinstance(url, str):
        raise OAuthError(f"{what} is missing or no text")
    try:
        parsed = EndpointURL.parse(url)
    except LocalProtocolError as error:
        raise OAuthError(f"{what} is no URL that can be used: {error}") from error
    if urlsplit(url).fragment or "#" in url:
        raise OAuthError(f"{what} has a fragment: {parsed}")
    if parsed.unix or not (parsed.tls or parsed.host in LOOPBACK_NAMES or parsed.host in plain_hosts):
        raise OAuthError(
            f"{what} is not https: {parsed} (for development, "
            "OAuthConfig(issuer=AuthorizationServer(..., plain_http=True)) allows that at one server)"
        )
    return url


def host_of(url: str) -> str:
    """Return the host of a URL, in lower case."""
    return EndpointURL.parse(url).host


def is_plain(url: str | None) -> bool:
    """Return whether requests to a URL leave this machine without TLS."""
    parsed = EndpointURL.parse(url) if url is not None else None
    return parsed is not None and not parsed.tls and parsed.host not in LOOPBACK_NAMES


def shown(url: str) -> str:
    """Return a URL as it may be shown: without its query, which may hold a key."""
    return str(EndpointURL.parse(url))


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL as a URL without a path."""
    parsed = EndpointURL.parse(url)
    return f"{parsed.scheme}://{parsed.authority}"


def path_of(url: str) -> str:
    """Return the path of a URL, without a slash at its end, so that it is empty at the root."""
    return EndpointURL.parse(url).target.partition("?")[0].rstrip("/")


def target_of(url: str) -> str:
    """Return path and query of a URL as they are, without the slash at the root."""
    path, mark, query = EndpointURL.parse(url).target.partition("?")
    return f"{'' if path == '/' else path}{mark}{query}"


def same_origin(url: str, other: str) -> bool:
    """Return whether two URLs have scheme, host and port in common."""
    try:
        return EndpointURL.parse(url).same_origin(EndpointURL.parse(other))
    except LocalProtocolError:
        return False


def same_issuer(one: str, other: str) -> bool:
    """Return whether two issuers are one: letter by letter, but for the slash of an empty path.

    ``https://host`` and ``https://host/`` are one URL (RFC 3986, section 6.2.3), and servers write
    theirs now so, now so. Everything else is another issuer.
    """
    if one == other:
        return True
    shorter, longer = sorted((one, other), key=len)
    if longer != f"{shorter}/":
        return False
    scheme, mark, host = shorter.partition("://")
    return bool(scheme and mark and host) and not any(character in host for character in "/?#")


def covers(resource: str, endpoint: str) -> bool:
    """Return whether a resource identifier stands for an endpoint: it is the same or lies above it."""
    try:
        wide, narrow = EndpointURL.parse(resource), EndpointURL.parse(endpoint)
    except LocalProtocolError:
        return False
    above, below = path_of(resource), path_of(endpoint)
    return wide.same_origin(narrow) and (below == above or below.startswith(f"{above}/"))


def is_public(address: IPAddress) -> bool:
    """Return whether an address is one of the open Internet."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is not None:
            return is_public(inner)
        if address in ipaddress.ip_network("64:ff9b::/96"):  # NAT64, RFC 6052
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    elif address in _SHARED:
        return False
    return address.is_global and not address.is_multicast


class Reach(IntEnum):
    """From how near an address can be reached: the larger, the fewer may connect to it."""

    PUBLIC = 0
    """From everywhere."""

    PRIVATE = 1
    """From the same network."""

    LINK_LOCAL = 2
    """From the same link, where clouds serve the secrets of a machine."""

    LOOPBACK = 3
    """From this machine."""


def reach_of(address: str) -> Reach:
    """Return the reach of an IP address, given as text."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    inner = getattr(parsed, "ipv4_mapped", None) or parsed
    if inner.is_loopback or inner.is_unspecified:
        return Reach.LOOPBACK
    if inner.is_link_local:
        return Reach.LINK_LOCAL
    return Reach.PUBLIC if is_public(parsed) else Reach.PRIVATE


def admits(peer: Reach, address: str) -> bool:
    """Return whether a request may go to an address that a peer named.

    A server could otherwise have its client look around in the client's own network
    (server-side request forgery; MCP "Security Best Practices").

    Args:
        peer: The reach of the server whose answer named the address, or a name for it.
        address: The address, as text.
    """
    return reach_of(address) <= peer

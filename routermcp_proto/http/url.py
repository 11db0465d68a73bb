"""The URL of an endpoint, parsed once and validated."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field, replace
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from ..exceptions import LocalProtocolError, RemoteProtocolError

#: Characters of the longest URL: the least that RFC 9110, section 4.1, asks servers to take.
MAX_URL_LENGTH = 8000

#: Characters of an invalid URL that an error shows.
MAX_URL_SHOWN = 200

_PORTS = {"http": 80, "https": 443}

#: The scheme of a server behind a Unix socket: ``http+unix://%2Frun%2Fmcp.sock/mcp``, with
#: the socket's path, percent-encoded, in the place of the host.
UNIX = "http+unix"
# Spaces and control characters, a backslash, and halves of surrogate pairs.
_NOT_IN_A_URL = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\\\ud800-\udfff]")
_AFTER_AUTHORITY = re.compile(r"[/?#]")
_AFTER_PATH = re.compile(r"[?#]")
_SCHEME_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_HOST_NAME = re.compile(r"[A-Za-z0-9._-]+")
_KEPT_IN_TARGET = "/?#[]@!$&'()*+,;=:%-._~"


_EXAMPLE = "https://example.com/mcp"
_NAMES_A_USER = "the URL contains a user name or password: give api_key= or headers= instead"
_NO_USER = "it must not contain a user name or password: give api_key= or headers= instead"


@dataclass(frozen=True, slots=True)
class EndpointURL:
    """An http or https URL without user info and fragment."""

    scheme: str
    host: str
    """A name or an address; IPv6 without brackets. Of a Unix socket its path."""
    port: int
    """0 for a Unix socket."""
    target: str
    """Path and query, as they go on the request line."""
    origin: tuple[str, str, int] = field(init=False, compare=False)
    """Scheme, host and port (RFC 6454): credentials are sent only to the same origin."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "origin", (self.scheme, self.host, self.port))

    @classmethod
    def parse(cls, url: str) -> EndpointURL:
        """Parse a URL.

        Raises:
            LocalProtocolError: The URL cannot be used; the message says what to change.
        """
        if not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise LocalProtocolError(f"a URL is text such as {_EXAMPLE!r}, not {type(url).__name__}")
        _check_text(url)
        split = _split_url(url)
        if split is None:
            raise LocalProtocolError(f"the URL is malformed; {_NO_USER}")
        parts, host, port = split
        if "@" in parts.fragment:
            raise LocalProtocolError(_NAMES_A_USER)
        scheme = parts.scheme
        target = quote(parts.path or "/", safe=_KEPT_IN_TARGET)
        if parts.query:
            target += "?" + quote(parts.query, safe=_KEPT_IN_TARGET)
        if scheme == UNIX:
            return cls(scheme, _socket_path(parts.netloc), 0, target)
        if scheme not in _PORTS:
            raise LocalProtocolError(
                f"the URL {_without_secrets(url)!r} has the scheme {scheme!r}: MCP servers have http:// or https://"
            )
        if not host:
            raise LocalProtocolError(f"the URL {_without_secrets(url)!r} has no host")
        if port == 0:
            raise LocalProtocolError(f"the URL {_without_secrets(url)!r} has the port 0")
        return cls(scheme, _ascii_host(host), port or _PORTS[scheme], target)

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme == "https"

    @property
    def unix(self) -> bool:
        """Whether the server is behind a Unix socket."""
        return self.scheme == UNIX

    @property
    def authority(self) -> str:
        """Host and port as they stand in ``Host``; the default port is left out."""
        if self.unix:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole URL, with its query."""
        return f"{self._root()}{self.target}"

    def _root(self) -> str:
        authority = quote(self.host, safe="") if self.unix else self.authority
        return f"{self.scheme}://{authority}"

    def same_origin(self, other: EndpointURL) -> bool:
        """Return whether credentials for one may be sent to the other."""
        return self.origin == other.origin

    def resolve(self, location: str) -> EndpointURL:
        """Resolve a ``Location`` against this URL (RFC 3986, section 5).

        Raises:
            RemoteProtocolError: The location is not a valid URL.
        """
        try:
            _check_length(location)
            if not self.unix:
                return EndpointURL.parse(urljoin(self.url, location))
            # The standard library joins only schemes that it knows; "Host" names the socket "localhost".
            found = EndpointURL.parse(urljoin(f"http://{self.authority}{self.target}", location))
            return replace(self, target=found.target) if found.authority == self.authority else found
        except (LocalProtocolError, ValueError) as error:
            raise RemoteProtocolError(f"the server redirects to an invalid URL: {error}") from error

    def __str__(self) -> str:
        """Return the URL without its query, which may hold a key."""
        return f"{self._root()}{self.target.partition('?')[0]}"

    __repr__ = __str__


def without_query(url: str) -> str:
    """Return a URL without its query and fragment, which may hold a key."""
    return _AFTER_PATH.split(url, maxsplit=1)[0]


def _check_text(url: str) -> None:
    """Check a URL before it is parsed."""
    if not url:
        raise LocalProtocolError(f"the URL is empty: write it as {_EXAMPLE!r}")
    _check_length(url)
    if _NOT_IN_A_URL.search(url):
        raise LocalProtocolError("the URL contains a space, a backslash or a control character")
    _, separator, rest = url.partition("://")
    if not separator:
        plain = _without_secrets(url)
        raise LocalProtocolError(
            f"the URL {plain!r} has no scheme: write it as 'http://{plain}' or with https://"
        )
    # Before any other check: the errors of the standard library would quote them.
    if "@" in _AFTER_AUTHORITY.split(rest, maxsplit=1)[0]:
        raise LocalProtocolError(_NAMES_A_USER)


def _check_length(url: str) -> None:
    if len(url) > MAX_URL_LENGTH:
        raise LocalProtocolError(f"the URL is longer than {MAX_URL_LENGTH} characters")


def _split_url(url: str) -> tuple[SplitResult, str | None, int | None] | None:
    """Split a URL; return None where the malformed part may belong to a password."""
    try:
        parts = urlsplit(url)
        return parts, parts.hostname, parts.port
    except ValueError as error:
        if "@" not in url:
            raise LocalProtocolError(f"the URL {_without_secrets(url)!r} is malformed: {error}") from error
    return None


def _without_secrets(url: str) -> str:
    """Remove possible secrets from a URL that could not be parsed."""
    scheme = _SCHEME_PREFIX.match(url)
    begin = scheme[0] if scheme is not None else ""
    rest = url.removeprefix(begin).rpartition("@")[2]
    return (begin + without_query(rest))[:MAX_URL_SHOWN]


def _socket_path(host: str) -> str:
    path = unquote(host)
    if not path.startswith("/"):
        raise LocalProtocolError(
            f"the URL has no path of a socket: write it as {UNIX}://%2Frun%2Fmcp.sock/mcp, "
            "with the path percent-encoded"
        )
    if "\0" in path:
        raise LocalProtocolError("the path of the socket contains a NUL")
    return path


def _ascii_host(host: str) -> str:
    if ":" in host:
        if "%" in host:
            raise LocalProtocolError(f"{host!r} has a zone, which cannot be used in a URL")
        try:
            return str(ipaddress.IPv6Address(host))
        except ValueError as error:
            raise LocalProtocolError(f"{host!r} is not an IPv6 address") from error
    try:
        name = host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise LocalProtocolError(f"{host!r} is not a host name: {error}") from error
    if not _HOST_NAME.fullmatch(name):
        raise LocalProtocolError(f"{host!r} is not a host name")
    return name.lower()

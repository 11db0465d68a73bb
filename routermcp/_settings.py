"""The settings of a client: arguments first, then the environment, then defaults."""

from __future__ import annotations

import inspect
import ipaddress
import logging
import os
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from routermcp_adapters.streams.base import Transport
from routermcp_proto.exceptions import ConfigError, LocalProtocolError
from routermcp_proto.http.binding import user_headers
from routermcp_proto.http.url import EndpointURL
from routermcp_proto.retry import RetryPolicy
from routermcp_proto.versions import REVISIONS

from ._tls import ClientCertificate, Verify, context_source
from ._version import __version__
from .oauth.flows.users import OAuthUsers, users_of

#: Milliseconds that a call may take.
DEFAULT_TIMEOUT = 30_000

#: Milliseconds that a person may take to answer.
DEFAULT_INTERACTION_TIMEOUT = 300_000

#: Milliseconds beyond which a timeout is a mistake: a hundred days.
MAX_TIMEOUT = 100 * 24 * 3600 * 1000

#: The port of the local gateway.
LOCAL_GATEWAY_PORT = 5151

if TYPE_CHECKING:
    from routermcp_adapters.http.httpx import HTTPClient

_PROJECT = re.compile(r"/v1/mcp/[^/?#]+")
_PROJECT_REQUEST = re.compile(r"/v1/mcp/[^/?#]+/request")

Secret = str | Callable[[], "str | Awaitable[str]"]
Headers = Mapping[str, str] | Callable[[], "Mapping[str, str] | Awaitable[Mapping[str, str]]"]


@dataclass(frozen=True, slots=True, repr=False)
class ClientSettings:
    """What a client was told, checked."""

    endpoint: EndpointURL | None
    """Where the server is, None where a transport leads there."""
    stream: Transport | None
    """Leads to the server, None for HTTP."""
    http_client: HTTPClient | None
    """Carries the exchanges instead of our own sockets."""
    proxy: str | None
    gateway: bool
    api_key: Secret | None
    user_id: str | None
    timeout: int
    headers: Headers | None
    debug: bool
    protocol: str
    retry: RetryPolicy
    interaction_timeout: int
    send_user_id: bool
    trust_annotations: bool
    tls: Callable[[], ssl.SSLContext]
    client_info: Mapping[str, Any]
    oauth: OAuthUsers | None

    @property
    def place(self) -> str:
        """Where the server is, for people."""
        return str(self.endpoint or self.stream)

    def for_user(self, user_id: str) -> ClientSettings:
        """Return the settings of a session of that user.

        Raises:
            ConfigError: The user id is empty or cannot travel in a header.
        """
        if not isinstance(user_id, str) or not user_id.strip():  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError("create_session needs the user_id of whoever the session is for")
        _checked_headers({"X-RouterMCP-User-Id": user_id})
        return replace(self, user_id=user_id)

    def fixed_headers(self) -> dict[str, str]:
        """Return the headers that are the same for all requests."""
        headers = {"User-Agent": f"routermcp/{__version__}"}
        if isinstance(self.api_key, str):
            headers["Authorization"] = f"Bearer {self.api_key}"
        if self.user_id is not None and self._tells_user():
            headers["X-RouterMCP-User-Id"] = self.user_id
        if self.headers is not None and not callable(self.headers):
            given = {name.lower() for name in self.headers}
            headers = {name: value for name, value in headers.items() if name.lower() not in given}
            headers.update(self.headers)
        return headers

    def _tells_user(self) -> bool:
        """Whether the server is one that knows what to do with a user id."""
        return self.send_user_id or self.gateway or _is_local_gateway(self.endpoint)

    def credentials(self) -> Callable[[], Awaitable[Mapping[str, str]]] | None:
        """Return what is asked for the headers that may change, None where all are fixed."""
        api_key, headers = self.api_key, self.headers
        if not callable(api_key) and not callable(headers):
            return None
        fixed = (
            {name.lower() for name in self.headers}
            if self.headers and not callable(self.headers)
            else set[str]()
        )

        async def ask() -> Mapping[str, str]:
            current: dict[str, str] = {}
            if callable(api_key) and "authorization" not in fixed:
                current["Authorization"] = f"Bearer {await _settled(api_key())}"
            if callable(headers):
                given = await _settled(headers())
                names = {name.lower() for name in given}
                current = {name: value for name, value in current.items() if name.lower() not in names}
                current.update(given)
            return current

        return ask


async def _settled(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def _is_local_gateway(endpoint: EndpointURL | None) -> bool:
    if endpoint is None or endpoint.port != LOCAL_GATEWAY_PORT:
        return False
    try:
        return ipaddress.ip_address(endpoint.host).is_loopback
    except ValueError:
        return endpoint.host == "localhost"


def resolve(  # noqa: PLR0913 - what a client can be told
    *,
    url: str | None,
    api_key: Secret | None,
    user_id: str | None,
    timeout: int | None,
    headers: Headers | None,
    oauth: object,
    debug: bool | None,
    protocol: str,
    retry: RetryPolicy | None,
    interaction_timeout: int,
    send_user_id: bool,
    trust_annotations: bool,
    verify: Verify,
    cert: ClientCertificate | None,
    client_info: Mapping[str, Any] | None,
    transport: Transport | None,
    http_client: HTTPClient | None,
    proxy: str | None,
    single_user: bool,
    environment: Mapping[str, str] = os.environ,
) -> ClientSettings:
    """Check what a client was told, and fill in what it was not told.

    Raises:
        ConfigError: Something is missing or wrong; the message says what to do.
    """
    if protocol != "auto" and protocol not in REVISIONS:
        raise ConfigError(f"protocol={protocol!r} is not 'auto' or one of {', '.join(REVISIONS)}")
    if transport is not None:
        over_http = {"url": url, "api_key": api_key, "headers": headers}
        _check_transport(transport, **over_http, http_client=http_client, proxy=proxy)
        endpoint, gateway = None, False
    else:
        endpoint, gateway = _endpoint(url or _given(environment, "ROUTERMCP_URL"))
    user_id = user_id if user_id is not None else _given(environment, "ROUTERMCP_USER_ID")
    settings = ClientSettings(
        endpoint=endpoint,
        stream=transport,
        http_client=http_client,
        proxy=_checked_proxy(proxy, http_client),
        gateway=gateway,
        api_key=api_key if api_key is not None else _given(environment, "ROUTERMCP_API_KEY"),
        user_id=user_id,
        timeout=_timeout(timeout, environment),
        headers=headers,
        debug=_debug(debug, environment),
        protocol=protocol,
        retry=retry or RetryPolicy(),
        interaction_timeout=checked_timeout(interaction_timeout, "interaction_timeout"),
        send_user_id=send_user_id,
        trust_annotations=trust_annotations,
        tls=context_source(verify, cert),
        client_info=dict(client_info) if client_info else {"name": "routermcp", "version": __version__},
        oauth=users_of(endpoint, oauth, user_id, single_user) if oauth is not None else None,
    )
    _check_headers_argument(headers)
    _checked_headers(settings.fixed_headers())
    return settings


def _given(environment: Mapping[str, str], name: str) -> str | None:
    """Return a variable, None where it is not set or empty, as a blank line of an env file leaves it."""
    return environment.get(name) or None


def _check_transport(transport: object, **over_http: object) -> None:
    """Refuse what is no transport, and what would not travel by one."""
    if not callable(getattr(transport, "open", None)):
        raise ConfigError(
            f"transport has a coroutine function open(runtime), as stdio([...]) does, "
            f"not {type(transport).__name__}"
        )
    for name, value in over_http.items():
        if value is not None:
            raise ConfigError(f"give either transport= or {name}=, which is for servers over HTTP")


def _checked_proxy(proxy: object, http_client: object) -> str | None:
    if proxy is None:
        return None
    if not isinstance(proxy, str):
        raise ConfigError(f"proxy is a URL, or '' for none, not {type(proxy).__name__}")
    if http_client is not None:
        raise ConfigError("give the proxy to http_client, not to this client")
    return proxy


def check_http_client(http_client: object, kind: str) -> None:
    """See that a client that was brought is of the right kind.

    Args:
        http_client: What was given, None for nothing.
        kind: ``AsyncClient`` or ``Client``, the name of the class in httpx.

    Raises:
        ConfigError: It is something else.
    """
    if http_client is None:
        return
    import httpx  # noqa: PLC0415 - who brings a client has imported it

    if not isinstance(http_client, getattr(httpx, kind)):
        raise ConfigError(f"http_client is an httpx.{kind} here, not {type(http_client).__name__}")


def _endpoint(url: str | None) -> tuple[EndpointURL, bool]:
    if not url:
        raise ConfigError(
            "no server URL: give url= or set ROUTERMCP_URL, for example to "
            "https://gateway.routermcp.com/v1/mcp/my-project or to your own MCP server; "
            "'routermcp demo' shows a local one"
        )
    try:
        endpoint = EndpointURL.parse(url)
    except LocalProtocolError as error:
        raise ConfigError(str(error)) from error
    path, _, query = endpoint.target.partition("?")
    if _PROJECT.fullmatch(path.rstrip("/")):
        target = f"{path.rstrip('/')}/request" + (f"?{query}" if query else "")
        return replace(endpoint, target=target), True
    return endpoint, _PROJECT_REQUEST.fullmatch(path) is not None


def _check_headers_argument(headers: object) -> None:
    if headers is not None and not callable(headers) and not isinstance(headers, Mapping):
        raise ConfigError(
            f"headers is a dict of strings or a callable that returns one, not {type(headers).__name__}"
        )


def _checked_headers(headers: Mapping[str, str]) -> None:
    try:
        user_headers(headers)
    except LocalProtocolError as error:
        raise ConfigError(str(error)) from error


def _timeout(timeout: int | None, environment: Mapping[str, str]) -> int:
    if timeout is not None:
        return checked_timeout(timeout)
    text = _given(environment, "ROUTERMCP_TIMEOUT")
    if text is None:
        return DEFAULT_TIMEOUT
    if not text.strip().isdecimal():
        raise ConfigError(f"ROUTERMCP_TIMEOUT={text!r} is not a whole number of milliseconds")
    return checked_timeout(int(text), "ROUTERMCP_TIMEOUT")


def checked_timeout(timeout: int, name: str = "timeout") -> int:
    """Return a timeout in milliseconds as it is.

    Raises:
        ConfigError: It is not one.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, int):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(f"{name} is a whole number of milliseconds, not {timeout!r}")
    if not 0 <= timeout <= MAX_TIMEOUT:
        raise ConfigError(f"{name}={timeout}: give milliseconds, at most {MAX_TIMEOUT}, or 0 for no limit")
    return timeout


def _debug(debug: bool | None, environment: Mapping[str, str]) -> bool:
    if debug is not None:
        return debug
    return environment.get("ROUTERMCP_DEBUG", "").strip().lower() in ("1", "true", "yes", "on")


def enable_debug_log() -> None:
    """Show the wire on standard error, unless the application has set logging up itself."""
    logger = logging.getLogger("routermcp")
    logger.setLevel(logging.DEBUG)
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(message)s"))
        logger.addHandler(handler)

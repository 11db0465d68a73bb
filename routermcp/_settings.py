"""The settings of a client: arguments first, then the environment, then defaults."""

from __future__ import annotations

import inspect
import ipaddress
import logging
import os
import re
import ssl
import warnings
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from routermcp_adapters.limits import check_size
from routermcp_adapters.streams.base import Transport
from routermcp_proto.exceptions import ConfigError, LocalProtocolError
from routermcp_proto.http.binding import user_headers
from routermcp_proto.http.compression import ENCODINGS
from routermcp_proto.http.numbers import whole_number
from routermcp_proto.http.url import EndpointURL
from routermcp_proto.retry import RetryPolicy
from routermcp_proto.versions import REVISIONS, Era

from ._options import DEFAULT_TIMEOUT_MS, APIKeyOrProvider, HTTPOptions, Options
from ._tls import context_source
from ._version import USER_AGENT, __version__

if TYPE_CHECKING:
    from .oauth.config import OAuthConfig
    from .oauth.flows.users import OAuthUsers

#: Milliseconds beyond which a timeout is a mistake: a hundred days.
MAX_TIMEOUT_MS = 100 * 24 * 3600 * 1000

#: The port of the local gateway.
LOCAL_GATEWAY_PORT = 5151

_PROJECT = re.compile(r"/v1/mcp/[^/?#]+")
_PROJECT_REQUEST = re.compile(r"/v1/mcp/[^/?#]+/request")


@dataclass(frozen=True, slots=True, repr=False)
class ClientSettings:
    """The options of a client, checked, and what follows from them."""

    options: Options
    """What was given, for what needs no more than that."""
    endpoint: EndpointURL | None
    """The URL of the server, None where a stream leads to it."""
    http: HTTPOptions
    """How to reach the server over HTTP."""
    stream: Transport | None
    """Opens a stream to the server, None for HTTP."""
    tls: Callable[[], ssl.SSLContext]
    gateway: bool
    """Whether the URL is that of a project of a RouterMCP gateway."""
    api_key: APIKeyOrProvider | None
    user_id: str | None
    timeout: int
    debug: bool
    retry: RetryPolicy
    client_info: Mapping[str, Any]
    oauth: OAuthUsers | None

    @property
    def place(self) -> str:
        """The name of the server in messages."""
        return str(self.endpoint or self.stream)

    @property
    def may_be_legacy(self) -> bool:
        """Whether the server may turn out to speak HTTP+SSE, which only the handshake era has."""
        revision = REVISIONS.get(self.options.protocol)
        return revision is None or revision.era is Era.HANDSHAKE

    def for_user(self, user_id: str) -> ClientSettings:
        """Return the settings of a session of that user.

        Raises:
            ConfigError: The user id is empty or cannot travel in a header.
        """
        if not isinstance(user_id, str) or not user_id.strip():  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError("create_session needs a user_id that is not empty")
        _checked_headers({"X-RouterMCP-User-Id": user_id})
        return replace(self, user_id=user_id)

    def fixed_headers(self) -> dict[str, str]:
        """Return the headers that all requests have in common."""
        headers = {"User-Agent": USER_AGENT}
        if self.http.accept_encoding is not None:
            headers["Accept-Encoding"] = self.http.accept_encoding
        if isinstance(self.api_key, str):
            headers["Authorization"] = f"Bearer {self.api_key}"
        if self.user_id is not None and self._tells_user():
            headers["X-RouterMCP-User-Id"] = self.user_id
        if self.options.headers is not None and not callable(self.options.headers):
            given = {name.lower() for name in self.options.headers}
            headers = {name: value for name, value in headers.items() if name.lower() not in given}
            headers.update(self.options.headers)
        return headers

    def _tells_user(self) -> bool:
        """Whether the server is given the user id."""
        return self.options.send_user_id or self.gateway or _is_local_gateway(self.endpoint)

    def credentials(self) -> Callable[[], Awaitable[Mapping[str, str]]] | None:
        """Return the callable for the headers that may change, None where all are fixed."""
        api_key, headers = self.api_key, self.options.headers
        if not callable(api_key) and not callable(headers):
            return None
        fixed = (
            {name.lower() for name in self.options.headers}
            if self.options.headers and not callable(self.options.headers)
            else set[str]()
        )

        async def ask() -> Mapping[str, str]:
            current: dict[str, str] = {}
            if callable(api_key) and "authorization" not in fixed:
                current["Authorization"] = f"Bearer {await _setting_value(api_key())}"
            if callable(headers):
                given = await _setting_value(headers())
                names = {name.lower() for name in given}
                current = {name: value for name, value in current.items() if name.lower() not in names}
                current.update(given)
            return current

        return ask


async def _setting_value(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def _is_local_gateway(endpoint: EndpointURL | None) -> bool:
    if endpoint is None or endpoint.port != LOCAL_GATEWAY_PORT:
        return False
    try:
        return ipaddress.ip_address(endpoint.host).is_loopback
    except ValueError:
        return endpoint.host == "localhost"


def resolve(options: Options, environment: Mapping[str, str] = os.environ) -> ClientSettings:
    """Check the options of a client, and fill in those that were not given.

    Raises:
        ConfigError: An option is missing or wrong; the message says what to do.
    """
    if options.protocol != "auto" and options.protocol not in REVISIONS:
        raise ConfigError(f"protocol={options.protocol!r} is not 'auto' or one of {', '.join(REVISIONS)}")
    options = options.played()
    http = options.http()
    endpoint, gateway = (
        _endpoint_setting(http.url or _environment_value(environment, "ROUTERMCP_URL"))
        if http
        else (None, False)
    )
    http = http or HTTPOptions()
    _check_proxy(http)
    _check_encodings(http.accept_encoding)
    check_size(http.max_message_size, "max_message_size")
    check_size(options.max_list_entries, "max_list_entries")
    check_size(options.max_list_size, "max_list_size")
    checked_timeout(options.interaction_timeout, "interaction_timeout")
    checked_timeout(options.max_timeout, "max_timeout")
    _check_headers_argument(options.headers)
    user_id = (
        options.user_id
        if options.user_id is not None
        else _environment_value(environment, "ROUTERMCP_USER_ID")
    )
    retry, oauth = _with_deprecated(options)
    info = options.client_info
    settings = ClientSettings(
        options=options,
        endpoint=endpoint,
        http=http,
        stream=None if endpoint else cast("Transport", options.transport),
        tls=context_source(http.verify, http.cert),
        gateway=gateway,
        api_key=_api_key_setting(options.api_key, environment),
        user_id=user_id,
        timeout=_timeout_setting(options.timeout, environment),
        debug=_debug_setting(options.debug, environment),
        retry=retry,
        client_info=dict(info) if info else {"name": "routermcp", "version": __version__},
        oauth=_users_of(endpoint, oauth, user_id) if oauth is not None else None,
    )
    if http.sse and not settings.may_be_legacy:
        raise ConfigError(f"protocol={options.protocol!r} has no HTTP+SSE, for which sse=True asks")
    _checked_headers(settings.fixed_headers())
    return settings


def _users_of(endpoint: EndpointURL | None, oauth: OAuthConfig, user_id: str | None) -> OAuthUsers | None:
    from .oauth.flows.users import users_of  # noqa: PLC0415 - few need it

    return users_of(endpoint, oauth, user_id)


def _with_deprecated(options: Options) -> tuple[RetryPolicy, OAuthConfig | None]:
    """Return ``retry`` and ``oauth`` with the two options that have moved there."""
    retry, oauth = options.retry or RetryPolicy(), options.oauth
    if options.trust_annotations is not None:
        _warn_of_move("trust_annotations", "retry=RetryPolicy")
        retry = replace(retry, trust_annotations=options.trust_annotations)
    if options.single_user is not None:
        from .oauth.config import OAuthConfig  # noqa: PLC0415 - few need it

        _warn_of_move("single_user", "oauth=OAuthConfig")
        if isinstance(oauth, OAuthConfig):
            oauth = replace(oauth, single_user=options.single_user)
    return retry, oauth


def _warn_of_move(name: str, home: str) -> None:
    """Warn at the line that makes the client, which is four calls up."""
    message = f"{name}= is deprecated and will be removed in the next release: give {home}(..., {name}=...)"
    warnings.warn(message, DeprecationWarning, stacklevel=5)


def _environment_value(environment: Mapping[str, str], name: str) -> str | None:
    """Return a variable, None where it is not set or empty, as a blank line of an env file leaves it."""
    return environment.get(name) or None


def _api_key_setting(
    given: APIKeyOrProvider | None, environment: Mapping[str, str]
) -> APIKeyOrProvider | None:
    """Return the key; "" is none, whatever the environment says."""
    return (given if given is not None else _environment_value(environment, "ROUTERMCP_API_KEY")) or None


def _check_proxy(http: HTTPOptions) -> None:
    proxy = http.proxy
    if proxy is not None and not isinstance(proxy, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(f"proxy is a URL, or '' for none, not {type(proxy).__name__}")
    if proxy is not None and http.http_client is not None:
        raise ConfigError("give the proxy to http_client, not to this client")


def _check_encodings(accepted: str | None) -> None:
    if accepted is None:
        return
    given = accepted if isinstance(accepted, str) else ""  # pyright: ignore[reportUnnecessaryIsInstance]
    codings = [part.partition(";")[0].strip().lower() for part in given.split(",")]
    wrong = [coding for coding in codings if coding not in (*ENCODINGS, "identity")]
    if wrong:
        raise ConfigError(
            f"accept_encoding={accepted!r}: {wrong[0]!r} cannot be decoded; give gzip, deflate or both"
        )


def check_http_client(http_client: object, kind: str) -> None:
    """Check that the HTTP client of the application can do what is needed, whatever its class.

    Args:
        http_client: The client, None for none.
        kind: ``AsyncClient`` or ``Client``, the name of the class in httpx and httpx2.

    Raises:
        ConfigError: It is something else.
    """
    if http_client is None:
        return
    can = all(callable(getattr(http_client, name, None)) for name in ("build_request", "send"))
    if not can or hasattr(http_client, "aclose") != (kind == "AsyncClient"):
        given = type(http_client)
        library = given.__module__.partition(".")[0]
        raise ConfigError(
            f"http_client is an httpx.{kind} or httpx2.{kind} here, not {library}.{given.__name__}"
        )


def _endpoint_setting(url: str | None) -> tuple[EndpointURL, bool]:
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


def _timeout_setting(timeout: int | None, environment: Mapping[str, str]) -> int:
    if timeout is not None:
        return checked_timeout(timeout)
    text = _environment_value(environment, "ROUTERMCP_TIMEOUT")
    if text is None:
        return DEFAULT_TIMEOUT_MS
    number = whole_number(text.strip(), MAX_TIMEOUT_MS + 1)
    if number is None:
        raise ConfigError(f"ROUTERMCP_TIMEOUT={text!r} is not a whole number of milliseconds")
    return checked_timeout(number, "ROUTERMCP_TIMEOUT")


def checked_timeout(timeout: int, name: str = "timeout") -> int:
    """Return a timeout in milliseconds as it is.

    Raises:
        ConfigError: It is not one.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, int):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(f"{name} is a whole number of milliseconds, not {timeout!r}")
    if not 0 <= timeout <= MAX_TIMEOUT_MS:
        raise ConfigError(f"{name}={timeout}: give milliseconds, at most {MAX_TIMEOUT_MS}, or 0 for no limit")
    return timeout


def _debug_setting(debug: bool | None, environment: Mapping[str, str]) -> bool:
    if debug is not None:
        return debug
    return environment.get("ROUTERMCP_DEBUG", "").strip().lower() in ("1", "true", "yes", "on")


def enable_debug_log() -> None:
    """Log the traffic to standard error, unless the application has configured logging itself."""
    logger = logging.getLogger("routermcp")
    logger.setLevel(logging.DEBUG)
    if all(isinstance(handler, logging.NullHandler) for handler in _debug_log_handlers(logger)):
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(message)s"))
        logger.addHandler(handler)


def _debug_log_handlers(logger: logging.Logger) -> Iterator[logging.Handler]:
    """Yield the handlers that the records of a logger reach: its own, and those of its parents."""
    each: logging.Logger | None = logger
    while each is not None:
        yield from each.handlers
        each = each.parent if each.propagate else None

"""The configuration of the gateway, as ``routermcp.jsonc`` holds it.

Attribute names are the file's own. What may be secret, values of variables and headers
above all, shows in no ``repr`` and no error; the methods that give it out say so.
:mod:`routermcp.gateway.config.file` reads files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, cast

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from routermcp_proto.exceptions import LocalProtocolError
from routermcp_proto.http.binding import user_headers
from routermcp_proto.http.url import EndpointURL

from ..names import DIGEST_DIGITS, DOTTED, GATEWAY_ALIAS, MAX_NAME, PORTABLE, Naming
from .access import AuthSettings, EntrySettings, ProjectSettings
from .errors import problem
from .listening import HTTPServerSettings, RateLimitSettings
from .oauth import OAuthSettings, ServerOAuth
from .types import (
    MAX_SECONDS,
    Alias,
    ConfigModel,
    PassedHeader,
    Seconds,
    Slug,
    Texts,
    Token,
    VariableName,
    Whole,
)

#: The least that names can be cut to: a digest, and some letters to tell them apart by.
MIN_NAME = 2 * DIGEST_DIGITS

_SEPARATOR = re.compile(r"[A-Za-z0-9._/-]{1,8}")
_PREFIX = re.compile(r"[A-Za-z0-9_-]{0,50}")
_TOOL_NAME = re.compile(r"[A-Za-z0-9._/-]{1,128}")

#: Seconds after which an unused session is forgotten.
DEFAULT_SESSION_SECONDS = 300

#: Sessions at once.
DEFAULT_MAX_SESSIONS = 25

#: The most sessions that can be asked for: at some kilobytes each, what a process holds.
MAX_MAX_SESSIONS = 100_000

_STORE = re.compile(r"rediss?://[^\s/]\S*")

_STDIO, _HTTP, _SSE = "stdio", "http-streamable", "sse"
TRANSPORT_NAMES = {
    "stdio": _STDIO,
    "http": _HTTP,
    "http-streamable": _HTTP,
    "streamable-http": _HTTP,
    "streamable_http": _HTTP,
    "sse": _SSE,
}


class SessionSettings(ConfigModel):
    """How long and where sessions are kept."""

    timeout: Seconds = DEFAULT_SESSION_SECONDS
    """Seconds without use after which a session is forgotten."""
    max_sessions: Whole = Field(default=DEFAULT_MAX_SESSIONS, ge=1, le=MAX_MAX_SESSIONS)
    """Sessions at once, of all clients."""
    store: SecretStr | None = None
    """``redis://`` or ``rediss://`` URL, which may hold a password; None for this process."""

    @field_validator("store")
    @classmethod
    def _check_store(cls, store: SecretStr | None) -> SecretStr | None:
        if store is not None and not _STORE.fullmatch(store.get_secret_value()):
            raise problem("expected a URL such as redis://127.0.0.1:6379/0")
        return store


class Names(ConfigModel):
    """The names under which clients know tools and prompts."""

    separator: str = DOTTED.separator
    """Stands between the alias and the name at the server."""
    maxLength: Whole = Field(default=DOTTED.max_length, ge=MIN_NAME, le=MAX_NAME)
    """Longer names are cut, and end with a digest."""
    portable: bool = False
    """Names that every host takes: letters, digits, ``_`` and ``-``, at most 64; in a file the text
    ``portable`` says the same. It settles the other two."""

    @property
    def naming(self) -> Naming:
        """How names are made."""
        return PORTABLE if self.portable else Naming(self.separator, self.maxLength)

    @model_validator(mode="before")
    @classmethod
    def _read_text(cls, value: object) -> object:
        if isinstance(value, str):
            if value != "portable":
                raise problem("expected 'portable', or an object with separator and maxLength")
            return {"portable": True}
        return value

    @field_validator("separator")
    @classmethod
    def _check_separator(cls, separator: str) -> str:
        if not _SEPARATOR.fullmatch(separator):
            raise problem("expected 1 to 8 letters, digits, '.', '_', '/' and '-'")
        return separator


def _checked_prefix(prefix: str) -> str:
    if not _PREFIX.fullmatch(prefix):
        raise problem("expected at most 50 letters, digits, '-' and '_'")
    if prefix.lower() == GATEWAY_ALIAS:
        raise problem("this prefix is that of the gateway's own tools: choose another")
    return prefix


def _checked_renames(renames: Mapping[str, str]) -> Mapping[str, str]:
    taken: set[str] = set()
    for own, name in renames.items():
        if not _TOOL_NAME.fullmatch(name):
            raise problem("expected 1 to 128 letters, digits, '.', '_', '/' and '-'", own)
        if name in taken:
            raise problem("another tool has this name too: choose another", own)
        taken.add(name)
    return renames


class ServerNames(ConfigModel):
    """The names and descriptions of one server's entries here, by the names that the server gives them."""

    prefix: Annotated[str, AfterValidator(_checked_prefix)] | None = None
    """Stands before the names instead of the alias; the empty text for names without one."""
    rename: Annotated[dict[str, str], AfterValidator(_checked_renames)] = Field(
        default_factory=dict[str, str]
    )
    """Other names of tools."""
    describe: dict[str, str] = Field(default_factory=dict[str, str])
    """Other descriptions of tools."""


class ServerSettings(EntrySettings, ServerNames):
    """The settings of servers of every kind; the names that filters take are those of the server."""

    enabled: bool = True
    """Whether it is served."""
    timeout: Whole | None = Field(default=None, ge=0, le=MAX_SECONDS * 1000)
    """Milliseconds for one request, 0 for no limit, None for the default of the gateway."""
    shared: bool = False
    """Whether all clients share one session there, and so one process, instead of one each."""
    startTimeout: Whole | None = Field(default=None, ge=1, le=MAX_SECONDS * 1000)
    """Milliseconds to start or to be reached, None for 30 seconds, or ``timeout`` where that is longer:
    ``npx``, ``uvx`` and ``docker run`` load a program when they run it for the first time."""

    def start_ms(self, usual: int) -> int:
        """Return the milliseconds to start.

        Args:
            usual: Where nothing is set.
        """
        return self.startTimeout if self.startTimeout is not None else max(usual, self.timeout or 0)


class StdioServer(ServerSettings):
    """A server that is a process of its own, spoken to over its standard streams."""

    transport: Literal["stdio"] = "stdio"
    command: str = Field(min_length=1)
    """The program, by its path or as found in ``PATH``."""
    args: Texts = Field(default=(), repr=False)
    """The arguments of the program. Not shown anywhere, as they may hold values of variables."""
    env: dict[VariableName, SecretStr] = Field(default_factory=dict[str, SecretStr])
    """Variables that the program gets besides the usual ones, such as ``PATH`` and ``HOME``."""
    cwd: str | None = Field(default=None, min_length=1)
    """The folder that it runs in, relative to that of the file; None for that of the gateway."""

    def environment(self) -> dict[str, str]:
        """Return the variables that the process gets besides the usual ones, in plain text."""
        return {name: value.get_secret_value() for name, value in self.env.items()}


class HTTPServer(ServerSettings):
    """A server over HTTP."""

    transport: Literal["http-streamable", "sse"] = "http-streamable"
    """``sse`` for one that speaks HTTP+SSE (2024-11-05), which is found out otherwise too."""
    url: str = Field(repr=False)
    """The endpoint. Not shown anywhere, as its query may hold values of variables."""
    headers: dict[str, SecretStr] = Field(default_factory=dict[str, SecretStr])
    """Headers of every request."""
    passthroughHeaders: tuple[PassedHeader, ...] = ()
    """Headers of a client's request that go on to the server; ``Authorization`` only if it is named."""
    authType: Literal["none", "bearer", "oauth"] = "none"
    """``bearer`` where ``authBearer`` is given and nothing else is said; ``oauth`` where ``oauth`` is."""
    authBearer: Token | None = None
    """Sent as ``Authorization: Bearer``."""
    oauth: ServerOAuth = ServerOAuth()
    """How users sign in there, with ``authType`` ``oauth``."""

    def request_headers(self) -> dict[str, str]:
        """Return the headers of every request, with ``Authorization``, in plain text."""
        headers = {name: value.get_secret_value() for name, value in self.headers.items()}
        if self.authType == "bearer" and self.authBearer is not None:
            headers["Authorization"] = f"Bearer {self.authBearer.get_secret_value()}"
        return headers

    @model_validator(mode="before")
    @classmethod
    def _choose_auth(cls, value: object) -> object:
        if isinstance(value, Mapping) and "authType" not in value:
            for key, kind in (("authBearer", "bearer"), ("oauth", "oauth")):
                if key in value:
                    return {**cast("Mapping[str, Any]", value), "authType": kind}
        return cast("object", value)

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str, info: ValidationInfo) -> str:
        # A server that is not enabled may hold a variable that is not set.
        if not info.data.get("enabled", True):
            return url
        try:
            EndpointURL.parse(url)
        except LocalProtocolError:
            # Its text shows the URL, which may hold a secret.
            text = "expected an http:// or https:// URL, without a user name and a fragment"
            raise problem(text) from None
        return url

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        seen: set[str] = set()
        for name, value in headers.items():
            try:
                user_headers({name: value.get_secret_value()})
            except LocalProtocolError as error:
                raise problem(str(error), name) from None
            if name.lower() in seen:
                raise problem("this header is there twice, as case does not count: take one away", name)
            seen.add(name.lower())
        return headers

    @model_validator(mode="after")
    def _check_auth(self) -> Self:
        given = {name.lower() for name in self.headers}
        if self.authType != "none":
            given.add("authorization")
        for index, name in enumerate(self.passthroughHeaders):
            if name.lower() in given:
                raise problem(
                    "the gateway sets this header itself: take it away", "passthroughHeaders", index
                )
        if not self.enabled or self.authType == "none":
            return self
        if self.authType == "bearer" and self.authBearer is None:
            raise problem("is missing, as authType is 'bearer'", "authBearer")
        for name in self.headers:
            if name.lower() == "authorization":
                other = "authBearer" if self.authType == "bearer" else "authType 'oauth'"
                raise problem(f"give either this header or {other}", "headers", name)
        if self.authType == "oauth":
            if self.shared:
                raise problem("each user has tokens and a session of their own there: take it away", "shared")
            self.oauth.check_server()
        return self


_BOOLEAN: TypeAdapter[bool] = TypeAdapter(bool)


def says_enabled(server: Mapping[str, Any]) -> bool:
    """Tell whether a server is enabled, by ``enabled`` or Claude's ``disabled``.

    Raises:
        PydanticCustomError: They are no booleans, or contradict each other.
    """
    said: dict[str, bool] = {}
    for key in ("enabled", "disabled"):
        if key in server:
            try:
                said[key] = _BOOLEAN.validate_python(server[key])
            except ValidationError:
                raise problem("expected true or false", key) from None
    enabled = said.get("enabled", not said.get("disabled", False))
    if "disabled" in said and said["disabled"] is enabled:
        raise problem("contradicts enabled; one of the two is enough", "disabled")
    return enabled


def _validate_transport_keys(server: Mapping[str, Any]) -> str | None:
    """Return the transport that a server's keys name, None where they name none."""
    named: set[str] = set()
    for key in ("transport", "type"):
        value = server.get(key)
        if value is None:
            continue
        if not isinstance(value, str) or value not in TRANSPORT_NAMES:
            raise problem(f"expected {', '.join(map(repr, TRANSPORT_NAMES))}", key)
        named.add(TRANSPORT_NAMES[value])
    if len(named) > 1:
        raise problem("contradicts transport; one of the two is enough", "type")
    return named.pop() if named else None


def _validate_server_kind(value: object) -> object:
    """Find out of which kind a server is and write it into ``transport``."""
    if isinstance(value, ServerSettings):
        return value
    if not isinstance(value, Mapping):
        raise problem("expected an object")
    server = dict(cast("Mapping[str, Any]", value))
    named = _validate_transport_keys(server)
    if "command" in server and "url" in server:
        raise problem("expected command, for a process, or url, for a server over HTTP, not both")
    if "command" not in server and "url" not in server:
        raise problem("expected command, for a process, or url, for a server over HTTP; found neither")
    found = _STDIO if "command" in server else _SSE if named == _SSE else _HTTP
    if named not in (None, found):
        said = "transport" if "transport" in server else "type"
        needed = "command" if named == _STDIO else "url"
        raise problem(f"{named!r} needs {needed}, which is missing", said)
    server["transport"] = found
    server["enabled"] = says_enabled(server)
    return server


Server = Annotated[
    Annotated[StdioServer | HTTPServer, Field(discriminator="transport")],
    BeforeValidator(_validate_server_kind),
]


class LogSettings(ConfigModel):
    """What is written on standard error for each call."""

    calls: bool = True
    """Whether each call has a line: the user, the tool and its server, the time, the outcome."""
    format: Literal["text", "json"] = "text"
    """How the lines are written."""
    arguments: bool = False
    """Whether the lines have the arguments of calls, which may hold secrets of users."""
    audit: bool = False
    """Whether refused requests, sessions, sign-ins, uses of the token API and reloads have lines too."""


class GatewayConfig(ConfigModel):
    """Everything that is set for a gateway."""

    httpServer: HTTPServerSettings = HTTPServerSettings()
    """Where the gateway listens."""
    session: SessionSettings = SessionSettings()
    """How long and where sessions are kept."""
    auth: AuthSettings = AuthSettings()
    """What opens the gateway."""
    project: Slug = "default"
    """The slug in the gateway's URL, ``/v1/mcp/{project}``; of several projects that of ``/mcp``."""
    projects: dict[Slug, ProjectSettings] = Field(default_factory=dict[str, ProjectSettings])
    """What is seen in each project; without ``project`` the first one has the path ``/mcp``."""
    rateLimit: RateLimitSettings | None = None
    """How much one key and user may ask for; None for no limit."""
    names: Names = Names()
    """The names under which clients know tools and prompts; the text ``portable`` is enough."""
    toolSearch: bool | None = None
    """Whether the tool that searches the others is offered; None for where more than a few have to be
    told apart: at several servers, or at one with 20 tools or more."""
    oauth: OAuthSettings = OAuthSettings()
    """Where the tokens of users are kept for the servers that they sign in at."""
    log: LogSettings = LogSettings()
    """What is written on standard error for each call."""
    metrics: bool = False
    """Whether ``/metrics`` counts the calls for Prometheus."""
    mcpServers: dict[Alias, Server] = Field(default_factory=dict[str, StdioServer | HTTPServer])
    """The servers by alias, those that are not enabled too."""

    @property
    def served_projects(self) -> dict[str, ProjectSettings]:
        """The projects that are served, by slug; the first one has the path ``/mcp`` too."""
        if self.projects and "project" not in self.model_fields_set:
            return self.projects
        return {self.project: ProjectSettings(), **self.projects}

    @property
    def enabled_servers(self) -> dict[str, StdioServer | HTTPServer]:
        """The servers that are to be used, by alias."""
        return {alias: server for alias, server in self.mcpServers.items() if server.enabled}

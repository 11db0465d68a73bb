"""The options of a client: the one list of their names, types and defaults."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias

from routermcp_adapters.call.incoming import SessionRenewal
from routermcp_adapters.limits import PoolLimits
from routermcp_adapters.streams.base import Transport
from routermcp_proto import types
from routermcp_proto.exceptions import ConfigError
from routermcp_proto.framing import MAX_MESSAGE_SIZE
from routermcp_proto.retry import RetryPolicy
from routermcp_proto.types.reading import MAX_LIST_ENTRIES, MAX_LIST_SIZE

from ._tls import ClientCertificate, Verify

if TYPE_CHECKING:
    import httpx

    from routermcp_proto.client_session import ClientSession
    from routermcp_proto.http.binding import HTTPBinding

    from .oauth.config import OAuthConfig

#: Milliseconds that a call may take.
DEFAULT_TIMEOUT_MS = 30_000

#: Milliseconds that a person may take to answer.
DEFAULT_INTERACTION_TIMEOUT_MS = 300_000

APIKeyOrProvider = str | Callable[[], "str | Awaitable[str]"]
Headers = Mapping[str, str] | Callable[[], "Mapping[str, str] | Awaitable[Mapping[str, str]]"]

#: Milliseconds that a call may take whose progress reports extend its time: the longest that
#: tools commonly run.
DEFAULT_MAX_TIMEOUT_MS = 3_600_000

ElicitReply: TypeAlias = "types.ElicitResult | Mapping[str, Any] | None"
SampleReply: TypeAlias = "types.CreateMessageResult | Mapping[str, Any]"

OnElicitation = Callable[["types.ElicitRequest"], "ElicitReply | Awaitable[ElicitReply]"]
OnSampling = Callable[["types.CreateMessageRequest"], "SampleReply | Awaitable[SampleReply]"]
OnRoots = Callable[[], "Iterable[types.Root | str] | Awaitable[Iterable[types.Root | str]]"]
OnLog = Callable[["types.LogMessage"], Any]
OnNotification = Callable[[str, Mapping[str, Any]], Any]
OnSessionRenewed = Callable[[SessionRenewal], Any]


class Recorder(Protocol):
    """Records the messages of a client, or plays them: :class:`routermcp.testing.Recording`."""

    binding_class: type[HTTPBinding]
    """Writes the requests of a session over HTTP that is recorded."""

    @property
    def player(self) -> Transport | None:
        """The transport that plays the recording, None while it is made."""
        ...

    def session(self, **settings: Any) -> ClientSession:
        """Return the machine of a session that is recorded."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class HTTPOptions:
    """A server over HTTP, and how to reach it.

    Args:
        url: URL of the server; default ``ROUTERMCP_URL``. A project URL of a RouterMCP
            gateway, ``.../v1/mcp/{slug}``, may be given without ``/request``. A server
            behind a Unix socket is ``http+unix://%2Frun%2Fmcp.sock/mcp``.
        verify: True for the usual TLS trust, a path of certificates to trust instead, an
            :class:`ssl.SSLContext`, or False to trust every server.
        cert: The client's own certificate, for servers that ask for one: the path of a PEM
            file that holds the key too, or ``(certificate, key)`` or
            ``(certificate, key, password)``.
        proxy: URL of a proxy, "" for none; default what ``HTTP_PROXY``, ``HTTPS_PROXY``,
            ``ALL_PROXY`` and ``NO_PROXY`` say, which never applies to this machine itself.
        limits: How many connections there may be, and for how long.
        max_message_size: Bytes of the longest message of the server.
        http_client: An httpx client of yours instead of our own sockets, for HTTP/2, hooks or
            mocks: ``httpx.AsyncClient``, in blocking code ``httpx.Client``. You close it.
        sse: The server speaks HTTP+SSE, the transport before Streamable HTTP, which is otherwise
            found out: by two requests more, and only where the server refuses those with 4xx.
        accept_encoding: Compression to ask for, such as ``"gzip"`` or ``"gzip, deflate"``; by default
            none is asked for, and what comes compressed nevertheless is read.
    """

    url: str | None = None
    _: KW_ONLY
    verify: Verify = True
    cert: ClientCertificate | None = None
    proxy: str | None = None
    limits: PoolLimits | None = None
    max_message_size: int = MAX_MESSAGE_SIZE
    http_client: httpx.AsyncClient | httpx.Client | None = None
    sse: bool = False
    accept_encoding: str | None = None


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class Options(HTTPOptions):
    """What a client can be given; :class:`~routermcp.RouterMCPClient` describes each option.

    The options of :class:`HTTPOptions` may be given here or in ``transport=http(...)``.
    """

    api_key: APIKeyOrProvider | None = None
    user_id: str | None = None
    timeout: int | None = None
    headers: Headers | None = None
    oauth: OAuthConfig | None = None
    debug: bool | None = None
    protocol: str = "auto"
    retry: RetryPolicy | None = None
    reset_on_progress: bool = False
    max_timeout: int = DEFAULT_MAX_TIMEOUT_MS
    interaction_timeout: int = DEFAULT_INTERACTION_TIMEOUT_MS
    on_elicitation: OnElicitation | None = None
    on_sampling: OnSampling | None = None
    on_roots: OnRoots | None = None
    on_log: OnLog | None = None
    on_notification: OnNotification | None = None
    on_session_renewed: OnSessionRenewed | None = None
    on_authorization: Callable[[Any], Any] | None = None
    attend: bool = True
    max_list_entries: int = MAX_LIST_ENTRIES
    max_list_size: int = MAX_LIST_SIZE
    strict_json: bool = False
    send_user_id: bool = False
    client_info: Mapping[str, Any] | None = None
    capabilities: Mapping[str, Any] | None = None
    transport: Transport | HTTPOptions | None = None
    recording: Recorder | None = None
    trust_annotations: bool | None = None
    single_user: bool | None = None

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Self:
        """Return the options among the arguments of a constructor that has one for each."""
        return cls(**{each.name: arguments[each.name] for each in fields(cls)})

    def played(self) -> Self:
        """Return the options of a client whose recording is played: without those of its own server.

        Raises:
            ConfigError: The recording is none.
        """
        recording = self.recording
        if recording is not None and not hasattr(recording, "player"):
            given = type(recording).__name__
            raise ConfigError(f"recording is a routermcp.testing.Recording(path), not {given}")
        player = recording.player if recording is not None else None
        if player is None:
            return self
        http: dict[str, Any] = {each.name: each.default for each in fields(HTTPOptions) if each.name != "_"}
        return replace(self, **http, transport=player, recording=None, api_key=None, headers=None, oauth=None)

    def callbacks(self) -> dict[str, object]:
        """Return the callbacks that were given, by their names."""
        named = ((each.name, getattr(self, each.name)) for each in fields(self))
        return {name: value for name, value in named if name.startswith("on_") and value is not None}

    def http(self) -> HTTPOptions | None:
        """Return how to reach a server over HTTP, None where ``transport`` opens a stream to it.

        Raises:
            ConfigError: An option was given here beside a transport, or the transport is none.
        """
        transport = self.transport
        if transport is None:
            return self
        over_http = isinstance(transport, HTTPOptions)
        if not over_http and not callable(getattr(transport, "open", None)):
            raise ConfigError(
                "transport is http(...), stdio([...]) or an object with a coroutine function "
                f"open(runtime), not {type(transport).__name__}"
            )
        for each in fields(HTTPOptions):
            if getattr(self, each.name) is not each.default:
                raise ConfigError(
                    f"give either {each.name}= or transport=http(...), which takes {each.name}= too"
                    if over_http
                    else f"give either transport= or {each.name}=, which is for servers over HTTP"
                )
        if over_http:
            return transport
        for name in ("api_key", "headers"):
            if getattr(self, name) is not None:
                raise ConfigError(f"give either transport= or {name}=, which is for servers over HTTP")
        return None

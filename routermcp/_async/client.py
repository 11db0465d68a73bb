"""The client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from routermcp_adapters.limits import PoolLimits, PoolStats
from routermcp_adapters.runtimes.run_sync import native as run
from routermcp_adapters.streams.base import Transport
from routermcp_proto.framing import MAX_MESSAGE_SIZE
from routermcp_proto.retry import RetryPolicy
from routermcp_proto.types.reading import MAX_LIST_ENTRIES, MAX_LIST_SIZE

from .._callbacks import Callbacks
from .._callbacks import accept_any as accept
from .._options import (
    DEFAULT_INTERACTION_TIMEOUT_MS,
    DEFAULT_MAX_TIMEOUT_MS,
    APIKeyOrProvider,
    Headers,
    HTTPOptions,
    OnElicitation,
    OnLog,
    OnNotification,
    OnRoots,
    OnSampling,
    OnSessionRenewed,
    Options,
    Recorder,
)
from .._settings import enable_debug_log, resolve
from .._tls import ClientCertificate, Verify
from .._wiring import transport_of
from .session import AsyncSessionBase, RouterMCPSession
from .sessions import IDLE_TIMEOUT_MS, MAX_OPEN_SESSIONS, Sessions
from .sign_in import OnAuthorization

if TYPE_CHECKING:
    import httpx

    from ..oauth import OAuthConfig


class RouterMCPClient(AsyncSessionBase):
    """A client of a RouterMCP gateway, or of any MCP server over HTTP.

    Runs under asyncio and trio; the runtime is detected when it connects. Calls may be
    made from any number of tasks at once.

    Example::

        async with RouterMCPClient(url="http://127.0.0.1:8000/mcp") as client:
            tools = await client.list_tools()
            result = await client.call_tool("add", {"a": 1, "b": 2})

    Args:
        url: URL of the server; default ``ROUTERMCP_URL``. A project URL of a RouterMCP
            gateway, ``.../v1/mcp/{slug}``, may be given without ``/request``. A server
            behind a Unix socket is ``http+unix://%2Frun%2Fmcp.sock/mcp``.
        api_key: Sent as ``Authorization: Bearer``; default ``ROUTERMCP_API_KEY``, "" for
            none. May be a callable, which is asked before each request.
        user_id: The user that the calls are for; default ``ROUTERMCP_USER_ID``.
        timeout: Milliseconds for each call, retries and waits included; default
            ``ROUTERMCP_TIMEOUT`` or 30000; 0 for no limit.
        headers: More headers for every request, or a callable that returns them.
        oauth: How users sign in at a protected server, and where their tokens are kept.
        debug: Log the redacted traffic to standard error; default ``ROUTERMCP_DEBUG``.
        protocol: ``"auto"``, or the only revision of MCP to accept, such as ``"2025-11-25"``.
        retry: When failed calls are repeated.
        reset_on_progress: Each progress report begins ``timeout`` anew, so that a call that goes
            on does not time out.
        max_timeout: Milliseconds for each call then, 0 for no limit; default an hour.
        interaction_timeout: Milliseconds that one of the callbacks below may take to
            answer; the deadline of the call is paused for that time. A plain function is not
            interrupted: its answer counts, however late.
        on_elicitation: Called when the server asks the user for something. Returns an
            :class:`~routermcp.types.ElicitResult`, a dict to accept with that content
            (the schema's defaults fill the rest), or None to decline.
        on_sampling: Called when the server asks for a completion by a language model.
        on_roots: Called for the folders that the server may work in.
        on_log: Called with each log message of the server.
        on_notification: Called with the method and parameters of each other notification.
        on_session_renewed: Called with a :class:`~routermcp.types.SessionRenewal` when the server has
            forgotten the session, or the process of a server over stdio has ended, and a new one
            was opened: what the server kept in it may be lost. The call that met this goes on
            when it has returned, and fails with its error; other calls do not wait for it.
        on_authorization: Called with an :class:`AuthorizationRequest` when a user has to sign in
            before a call can be made; the call is repeated when it has returned.
            Without it the call raises :class:`~routermcp.types.AuthorizationRequiredError`.
        attend: Read what the server says between two calls: answer its pings and questions,
            call the callbacks above, drain the pipes of a child process. This takes a task, in
            blocking code a daemon thread, while a stream is open on which the server may speak.
            With False the server is heard only while a call waits for its answer.
        verify: True for the usual TLS trust, a path of certificates to trust instead, an
            :class:`ssl.SSLContext`, or False to trust every server.
        cert: The client's own certificate, for servers that ask for one: the path of a PEM
            file that holds the key too, or ``(certificate, key)`` or
            ``(certificate, key, password)``.
        send_user_id: Send ``user_id`` to servers that are not RouterMCP gateways too.
        trust_annotations: Deprecated, give it to :class:`~routermcp.types.RetryPolicy`.
        client_info: Name and version of your application, for the server.
        capabilities: More to declare than follows from the callbacks, as ``ClientCapabilities``:
            ``{"sampling": {"tools": {}}}`` for requests with tools, ``{"elicitation": {"form":
            {}}}`` for forms alone, ``extensions`` and ``experimental``.
        limits: How many connections there may be, and for how long.
        max_message_size: Bytes of the longest message of a server over HTTP; default 64 MiB. A longer
            one costs its call. :func:`~routermcp.transports.stdio` takes it too.
        max_list_entries: Entries of one list, all pages together; default 200000. A longer list
            raises :class:`~routermcp.types.ResponseValidationError`; so does one that takes more than
            ``max_list_size``.
        max_list_size: Bytes of one list, all pages together; default 256 MiB.
        strict_json: Refuse messages of the server with ``NaN`` and ``Infinity``, which JSON does not know
            and which are read as floats otherwise: their call raises
            :class:`~routermcp.types.ResponseValidationError`.
        transport: The way to the server: ``stdio(["command", ...])`` starts it as a child
            process, ``http(url, ...)`` says the same as ``url``, ``verify``, ``cert``,
            ``limits``, ``max_message_size``, ``http_client``, ``proxy``, ``sse`` and
            ``accept_encoding`` here, which may then not be given too;
            :mod:`routermcp.transports` says how to write one.
        recording: A :class:`~routermcp.testing.Recording`, which records the messages with the server
            into a file, or plays the file in its place.
        http_client: An httpx client of yours instead of our own sockets, for HTTP/2, hooks or
            mocks: ``httpx.AsyncClient``, in blocking code ``httpx.Client``. You close it.
        sse: The server speaks HTTP+SSE, the transport before Streamable HTTP, which is otherwise
            found out: by two requests more, and only where the server refuses those with 4xx.
        accept_encoding: Compression to ask for, such as ``"gzip"`` or ``"gzip, deflate"``; by default
            none is asked for, and what comes compressed nevertheless is read.
        proxy: URL of a proxy, "" for none; default what ``HTTP_PROXY``, ``HTTPS_PROXY``,
            ``ALL_PROXY`` and ``NO_PROXY`` say, which never applies to this machine itself.
        single_user: Deprecated, give it to :class:`~routermcp.types.OAuthConfig`.

    Raises:
        ConfigError: A setting is missing or wrong.
    """

    def __init__(  # noqa: PLR0913 - the contract's arguments, and keyword-only additions
        self,
        url: str | None = None,
        api_key: APIKeyOrProvider | None = None,
        user_id: str | None = None,
        timeout: int | None = None,
        headers: Headers | None = None,
        oauth: OAuthConfig | None = None,
        debug: bool | None = None,
        *,
        protocol: str = "auto",
        retry: RetryPolicy | None = None,
        reset_on_progress: bool = False,
        max_timeout: int = DEFAULT_MAX_TIMEOUT_MS,
        interaction_timeout: int = DEFAULT_INTERACTION_TIMEOUT_MS,
        on_elicitation: OnElicitation | None = None,
        on_sampling: OnSampling | None = None,
        on_roots: OnRoots | None = None,
        on_log: OnLog | None = None,
        on_notification: OnNotification | None = None,
        on_session_renewed: OnSessionRenewed | None = None,
        on_authorization: OnAuthorization | None = None,
        attend: bool = True,
        verify: Verify = True,
        cert: ClientCertificate | None = None,
        send_user_id: bool = False,
        trust_annotations: bool | None = None,
        client_info: Mapping[str, Any] | None = None,
        capabilities: Mapping[str, Any] | None = None,
        limits: PoolLimits | None = None,
        max_message_size: int = MAX_MESSAGE_SIZE,
        max_list_entries: int = MAX_LIST_ENTRIES,
        max_list_size: int = MAX_LIST_SIZE,
        strict_json: bool = False,
        transport: Transport | HTTPOptions | None = None,
        recording: Recorder | None = None,
        http_client: httpx.AsyncClient | None = None,
        proxy: str | None = None,
        sse: bool = False,
        accept_encoding: str | None = None,
        single_user: bool | None = None,
    ) -> None:
        # The parameters are the fields of Options: a test compares them.
        settings = resolve(Options.of(locals()))
        callbacks = Callbacks(settings.options)
        accept(settings)
        if settings.debug:
            enable_debug_log()
        super().__init__(settings, callbacks, transport_of(settings))

    def create_session(self, user_id: str) -> RouterMCPSession:
        """Make a session for another user; ``connect`` it before use.

        It shares connections and settings with this client. It may be connected before or
        after the client, and ends with it at the latest. With a ``transport=`` that opens
        streams it has one of its own, and has to be disconnected itself.

        Args:
            user_id: The user of the session.

        Raises:
            ConfigError: The user id is empty or cannot travel in a header.
        """
        return RouterMCPSession(self._settings.for_user(user_id), self._callbacks, self._transport)

    def sessions(self, *, max_open: int = MAX_OPEN_SESSIONS, idle_timeout: int = IDLE_TIMEOUT_MS) -> Sessions:
        """Return a pool of sessions by user, for applications that serve many: see :class:`Sessions`.

        Close them before the client.

        Args:
            max_open: Sessions that may be open; exceeded only while more are in use.
            idle_timeout: Milliseconds after which an idle one is ended, 0 for no limit.

        Raises:
            ConfigError: A number is wrong.
        """
        return Sessions(self.create_session, max_open, idle_timeout)

    def stats(self) -> PoolStats:
        """Return counts of the connections of the client and its sessions, for a metric or a log."""
        return self._driver.stats()

    async def disconnect(self) -> None:
        """End the session at the server and close all connections, those of its sessions too."""
        await run(self._driver.disconnect(self._transport and self._transport.close_all))

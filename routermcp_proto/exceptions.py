"""Every error of routermcp, in one tree.

::

    MCPError
    ├── ConfigError                 a setting is missing or wrong
    ├── LocalProtocolError          the caller broke a rule of the protocol
    ├── RemoteProtocolError         the peer broke one (users see a TransportError)
    ├── TransportError              HTTP or the network failed
    ├── OAuthError                  an OAuth flow or a token failed
    │   ├── LockLostError
    │   ├── TokenStoreError
    │   └── AuthorizationRequiredError
    ├── RPCError                    the server answered with an error object
    │   ├── InvalidRequestError  MethodNotFoundError  InvalidParamsError  InternalError
    │   ├── HeaderMismatchError  MissingRequiredClientCapabilityError  UnsupportedProtocolVersionError
    │   ├── ResourceNotFoundError
    │   └── GatewayError            only where the peer is a RouterMCP gateway
    │       └── ProjectNotFoundError  UnauthorizedError  ToolNotFoundError
    │           ToolDisabledError  UpstreamError  RateLimitError
    ├── ToolError                   a typed call of a tool that reported ``isError``
    └── ResponseValidationError     an answer of the wrong shape

Inside the core, code raises :class:`LocalProtocolError` for the caller's mistakes and
:class:`RemoteProtocolError` for the peer's. The driver translates the latter once, at
the receive boundary. Every error can be pickled and copied, and none of them ever
holds a secret: bodies are cut to :data:`MAX_ERROR_BODY` and headers are never kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from .error_codes import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    MISSING_CAPABILITY,
    PROJECT_NOT_FOUND,
    RATE_LIMITED,
    RESOURCE_NOT_FOUND,
    TOOL_DISABLED,
    TOOL_NOT_FOUND,
    UNAUTHORIZED,
    UNSUPPORTED_VERSION,
    UPSTREAM_ERROR,
)

#: Bytes of a peer's answer that an error keeps: enough to recognise a login page or a
#: proxy's message, too little to fill a log.
MAX_ERROR_BODY = 2048


def _rebuild_error(cls: type[MCPError], args: tuple[Any, ...], state: dict[str, Any]) -> MCPError:
    """Rebuild an error from its parts without calling its constructor."""
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, each once: two errors may be each other's cause."""
    each: BaseException | None = error
    seen: set[int] = set()
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__


def printable(text: str) -> str:
    """Return a text without characters that control a terminal or reorder a line.

    Control characters but newline and tab, C1, bidirectional marks and surrogates become U+FFFD.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in text
    )


class MCPError(Exception):
    """Base of all errors that routermcp raises; as text, it is safe on a terminal."""

    def __str__(self) -> str:
        return printable(super().__str__())

    def __reduce__(self) -> Any:
        return _rebuild_error, (type(self), self.args, self.__dict__.copy())


class ConfigError(MCPError):
    """A setting is missing, malformed or contradicts another one."""


class LocalProtocolError(MCPError):
    """The caller asked for something that the protocol does not allow."""


class RemoteProtocolError(MCPError):
    """The peer sent something that the protocol does not allow."""


class TransportError(MCPError):
    """HTTP or the network failed, so there is no answer of the server.

    Attributes:
        code: The kind of failure, as a word: ``connect``, ``dns``, ``tls``, ``timeout``, ``closed``,
            ``interrupted``, ``protocol``, ``redirect`` or ``http_<status>``.
        status_code: HTTP status, if there was one.
        retry_after: Seconds to wait, if the server said so.
        body: The first :data:`MAX_ERROR_BODY` bytes of the answer as text, if there was one.
        attempts: Number of times the call was tried.
        not_run: True where the call provably did not run at the server.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status_code: int | None = None,
        retry_after: float | None = None,
        body: str | None = None,
        not_run: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status_code = status_code
        self.retry_after = retry_after
        self.body = body
        self.attempts = 1
        self.not_run = not_run

    def __str__(self) -> str:
        message = super().__str__()
        return message if self.attempts == 1 else f"{message} (after {self.attempts} attempts)"


class OAuthError(MCPError):
    """An OAuth flow or a token failed."""


class LockLostError(OAuthError):
    """A record of tokens was not written, because its lock has passed to another holder."""


class TokenStoreError(OAuthError):
    """The token store is unavailable: it cannot be reached, or it refused the operation."""


class AuthorizationRequiredError(OAuthError):
    """A user has to sign in before the call can be made.

    Attributes:
        url: The page to send the user to, if the server named one.
        server_id: The server that requires the sign-in, if known.
        user_id: The user that has to sign in, if known.
        elicitations: The parameters of the requests to open a URL that the server's error names, each
            in URL mode (MCP 2025-11-25, URL Elicitation Required Error).
    """

    def __init__(
        self,
        message: str,
        *,
        url: str | None = None,
        server_id: str | None = None,
        user_id: str | None = None,
        elicitations: tuple[Mapping[str, Any], ...] = (),
    ) -> None:
        super().__init__(message)
        self.url = url
        self.server_id = server_id
        self.user_id = user_id
        self.elicitations = elicitations


class RPCError(MCPError):
    """The server answered with an error object.

    Attributes:
        code: The error code of the server.
        message: The text of the server.
        data: The server's additional data, any JSON value.
        status_code: HTTP status that carried the answer, if any.
        retry_after: Seconds to wait, if the server said so.
    """

    #: The code of an error that is made without one.
    default_code: ClassVar[int] = INTERNAL_ERROR

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        data: Any = None,
        about: str = "",
        status_code: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.code = self.default_code if code is None else code
        said = f"{message} (code {self.code})"
        super().__init__(f"{about}: {said}" if about else said)
        self.message = message
        self.data = data
        self.status_code = status_code
        self.retry_after = retry_after


class InvalidRequestError(RPCError):
    """The server did not accept the request (-32600)."""

    default_code = INVALID_REQUEST


class MethodNotFoundError(RPCError):
    """The server does not offer the method (-32601)."""

    default_code = METHOD_NOT_FOUND


class InvalidParamsError(RPCError):
    """The server did not accept the parameters (-32602)."""

    default_code = INVALID_PARAMS


class InternalError(RPCError):
    """The server failed while it worked on the request (-32603)."""

    default_code = INTERNAL_ERROR


class HeaderMismatchError(RPCError):
    """A header of the request did not say what its body said (-32020)."""

    default_code = HEADER_MISMATCH


class MissingRequiredClientCapabilityError(RPCError):
    """The request needs a capability that the client did not declare (-32021).

    ``data["requiredCapabilities"]`` has the missing ones.
    """

    default_code = MISSING_CAPABILITY


class UnsupportedProtocolVersionError(RPCError):
    """The server does not speak the revision of the request (-32022); ``data["supported"]`` has its own."""

    default_code = UNSUPPORTED_VERSION


class ResourceNotFoundError(RPCError):
    """The server has no resource of that URI (-32002, or -32602 with ``data.uri``)."""

    default_code = RESOURCE_NOT_FOUND


class GatewayError(RPCError):
    """A RouterMCP gateway answered with one of its own error codes."""


class ProjectNotFoundError(GatewayError):
    """The gateway has no such project (-32000)."""

    default_code = PROJECT_NOT_FOUND


class UnauthorizedError(GatewayError):
    """The gateway did not accept the API key (-32001)."""

    default_code = UNAUTHORIZED


class ToolNotFoundError(GatewayError):
    """The gateway has no such tool (-32002)."""

    default_code = TOOL_NOT_FOUND


class ToolDisabledError(GatewayError):
    """The tool is switched off in the project (-32003)."""

    default_code = TOOL_DISABLED


class UpstreamError(GatewayError):
    """The server behind the gateway failed (-32004)."""

    default_code = UPSTREAM_ERROR


class RateLimitError(GatewayError):
    """The project has used up its rate limit (-32005)."""

    default_code = RATE_LIMITED


class ToolError(MCPError):
    """A tool that was called with ``call_tool_typed`` reported ``isError``.

    Attributes:
        tool: Name of the tool.
        content: The content items of the result.
        structured_content: The structured content of the result, if any.
    """

    def __init__(
        self, message: str, *, tool: str, content: list[dict[str, Any]], structured_content: Any = None
    ) -> None:
        super().__init__(message)
        self.tool = tool
        self.content = content
        self.structured_content = structured_content


class ResponseValidationError(MCPError):
    """The server's answer does not have the shape that the specification or the caller asks for.

    Attributes:
        method: The MCP method that was called.
        problems: One line for each problem, with its place.
    """

    def __init__(self, message: str, *, method: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.method = method
        self.problems = problems


_STANDARD: dict[int, type[RPCError]] = {
    error.default_code: error
    for error in (
        InvalidRequestError,
        MethodNotFoundError,
        InvalidParamsError,
        InternalError,
        HeaderMismatchError,
        MissingRequiredClientCapabilityError,
        UnsupportedProtocolVersionError,
    )
}

_GATEWAY: dict[int, type[RPCError]] = {error.default_code: error for error in GatewayError.__subclasses__()}


def rpc_error_type(code: int, *, method: str = "", data: Any = None, gateway: bool = False) -> type[RPCError]:
    """Choose the class for an error object of the server.

    Args:
        code: The error code.
        method: The MCP method that was called.
        data: The error's ``data``.
        gateway: Whether the peer is a RouterMCP gateway; only there the codes -32000 to
            -32005 have a meaning (MCP 2026-07-28, Error Codes).
    """
    if gateway and code in _GATEWAY:
        return _GATEWAY[code]
    if method == "resources/read":
        names_uri = code == INVALID_PARAMS and isinstance(data, dict) and "uri" in data
        if code == RESOURCE_NOT_FOUND or names_uri:
            return ResourceNotFoundError
    return _STANDARD.get(code, RPCError)

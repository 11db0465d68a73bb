"""The tree of errors: they can be sent elsewhere, and say what happened."""

from __future__ import annotations

import copy
import pickle

import pytest

from routermcp_proto import exceptions
from routermcp_proto.exceptions import (
    AuthorizationRequiredError,
    ConfigError,
    GatewayError,
    HeaderMismatchError,
    InternalError,
    InvalidParamsError,
    InvalidRequestError,
    LocalProtocolError,
    MCPError,
    MethodNotFoundError,
    MissingRequiredClientCapabilityError,
    OAuthError,
    ProjectNotFoundError,
    RateLimitError,
    RemoteProtocolError,
    ResourceNotFoundError,
    ResponseValidationError,
    RPCError,
    ToolDisabledError,
    ToolError,
    ToolNotFoundError,
    TransportError,
    UnauthorizedError,
    UnsupportedProtocolVersionError,
    UpstreamError,
    printable,
    rpc_error_type,
)

EXAMPLES: list[MCPError] = [
    MCPError("plain"),
    ConfigError("set this"),
    LocalProtocolError("you"),
    RemoteProtocolError("they"),
    TransportError("gone", code="closed", status_code=502, retry_after=1.5, body="<html>", not_run=True),
    OAuthError("no"),
    AuthorizationRequiredError("sign in", url="https://example.com"),
    RPCError("bad", code=-5, data={"a": [1]}, about="tools/call 'x'", status_code=400, retry_after=2),
    RateLimitError("slow", code=-32005),
    ToolError("failed", tool="t", content=[{"type": "text"}], structured_content={"a": 1}),
    ResponseValidationError("odd", method="tools/list", problems=("a", "b")),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_survives_a_journey(error: MCPError) -> None:
    if isinstance(error, TransportError):
        error.attempts = 3
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert (str(twin), twin.args, vars(twin)) == (str(error), error.args, vars(error))


def test_every_error_is_in_the_tree() -> None:
    for name, value in vars(exceptions).items():
        if isinstance(value, type) and issubclass(value, Exception):
            assert issubclass(value, MCPError), name
            assert name in (exceptions.__doc__ or ""), f"{name} is not drawn in the tree"
    assert issubclass(AuthorizationRequiredError, OAuthError)
    assert issubclass(GatewayError, RPCError)


def test_attempts_are_told() -> None:
    error = TransportError("gone", code="closed")
    assert str(error) == "gone"
    error.attempts = 3
    assert str(error) == "gone (after 3 attempts)"


def test_an_error_object_is_told_with_its_code() -> None:
    assert str(RPCError("bad", code=-5)) == "bad (code -5)"
    assert str(RPCError("bad", code=-5, about="ping")) == "ping: bad (code -5)"


@pytest.mark.parametrize(
    ("code", "method", "data", "gateway", "kind"),
    [
        (-32600, "", None, False, InvalidRequestError),
        (-32601, "", None, False, MethodNotFoundError),
        (-32602, "", None, False, InvalidParamsError),
        (-32603, "", None, False, InternalError),
        # MCP 2026-07-28, Error Codes: reserved for the specification, whoever the peer is.
        (-32020, "tools/call", None, False, HeaderMismatchError),
        (-32021, "tools/call", None, True, MissingRequiredClientCapabilityError),
        (-32022, "", None, False, UnsupportedProtocolVersionError),
        (-32002, "resources/read", None, False, ResourceNotFoundError),
        (-32602, "resources/read", {"uri": "x"}, False, ResourceNotFoundError),
        (-32602, "resources/read", {"other": "x"}, False, InvalidParamsError),
        (-32602, "resources/read", "uri", False, InvalidParamsError),
        (-32002, "tools/call", None, False, RPCError),
        (-32000, "tools/call", None, False, RPCError),
        (-32000, "tools/call", None, True, ProjectNotFoundError),
        (-32001, "tools/call", None, True, UnauthorizedError),
        (-32002, "resources/read", None, True, ToolNotFoundError),
        (-32003, "tools/call", None, True, ToolDisabledError),
        (-32004, "tools/call", None, True, UpstreamError),
        (-32005, "tools/call", None, True, RateLimitError),
        (-32602, "tools/call", None, True, InvalidParamsError),
        (7, "tools/call", None, True, RPCError),
    ],
)
def test_the_class_for_a_code(
    code: int, method: str, data: object, gateway: bool, kind: type[RPCError]
) -> None:
    assert rpc_error_type(code, method=method, data=data, gateway=gateway) is kind


def test_an_error_is_safe_on_a_terminal() -> None:
    words = "\x1b]0;owned\x07\x9b2J\u202eevil\ud800 fine\n\tend"
    shown = "\ufffd]0;owned\ufffd\ufffd2J\ufffdevil\ufffd fine\n\tend"
    for error in (MCPError(words), TransportError(words, code="protocol"), ConfigError(words)):
        assert str(error) == shown
    assert str(RPCError(words, code=1)) == f"{shown} (code 1)"
    assert RPCError(words, code=1).message == words
    assert printable("naïve 日本語") == "naïve 日本語"

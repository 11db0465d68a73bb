"""The meaning of an HTTP refusal, in words and as an error."""

from __future__ import annotations

import pytest

from routermcp_proto.events import HTTPRefused
from routermcp_proto.exceptions import (
    AuthorizationRequiredError,
    InvalidParamsError,
    RateLimitError,
    ResourceNotFoundError,
    RPCError,
)
from routermcp_proto.http.outcomes import (
    MAX_ELICITATIONS,
    is_about_api_key,
    refusal_error,
    rpc_error,
)
from routermcp_proto.http.url import EndpointURL
from routermcp_proto.jsonrpc import ErrorObject

ENDPOINT = EndpointURL.parse("https://example.com/mcp?key=secret")


def refused(
    status: int,
    body: str = "",
    error: ErrorObject | None = None,
    retry_after: float | None = None,
    challenges: tuple[str, ...] = (),
) -> HTTPRefused:
    return HTTPRefused(status, error, False, body, retry_after, challenges)


@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "api_key"), (404, "/mcp"), (405, "POST"), (429, "slow down"), (502, "gateway"), (418, "refused")],
)
def test_a_refusal_says_what_to_do(status: int, advice: str) -> None:
    error = refusal_error(refused(status, "no"), ENDPOINT)
    assert (error.code, error.status_code, error.body) == (f"http_{status}", status, "no")
    assert advice in str(error)
    assert "https://example.com/mcp answered" in str(error)
    assert "secret" not in str(error)


def test_a_refusal_quotes_the_server_but_no_markup() -> None:
    assert "it says: overloaded" in str(refusal_error(refused(503, "overloaded\nmore"), ENDPOINT))
    assert "html" not in str(refusal_error(refused(503, "<html>"), ENDPOINT))
    quoted = refusal_error(refused(403, "{}", ErrorObject(-32001, "wrong key")), ENDPOINT)
    assert "it says: wrong key" in str(quoted)


@pytest.mark.parametrize(
    ("code", "data", "about_key"),
    [
        (-32001, {"reason": "missing"}, True),
        (-32001, {"reason": "unknown"}, True),
        (-32001, {"reason": "authorization_required"}, False),
        (-32000, {"reason": "missing"}, False),
        (-32001, ["missing"], False),
    ],
)
def test_a_refusal_for_the_api_key_is_told_as_that(code: int, data: object, about_key: bool) -> None:
    refusal = refused(401, "{}", ErrorObject(code, "no", data))
    assert is_about_api_key(refusal) is about_key
    assert ("requires an API key" in str(refusal_error(refusal, ENDPOINT))) is about_key


def test_a_refusal_keeps_the_wait_that_was_asked_for() -> None:
    error = refusal_error(refused(429, retry_after=2.5), ENDPOINT)
    assert error.retry_after == 2.5
    assert "wait 2.5 s" in str(error)


def test_an_error_object_becomes_the_class_for_its_code() -> None:
    error = rpc_error(
        ErrorObject(-32602, "bad", {"x": 1}), method="tools/call", about="tools/call 'a'", gateway=False
    )
    assert type(error) is InvalidParamsError
    assert (error.code, error.message, error.data, error.status_code) == (-32602, "bad", {"x": 1}, None)
    assert str(error) == "tools/call 'a': bad (code -32602)"
    missing = rpc_error(
        ErrorObject(-32602, "no", {"uri": "a:b"}), method="resources/read", about="", gateway=False
    )
    assert type(missing) is ResourceNotFoundError


def test_a_gateways_own_codes_have_a_meaning_only_there() -> None:
    limited = refused(429, retry_after=3)
    at_gateway = rpc_error(
        ErrorObject(-32005, "slow"), method="tools/call", about="x", gateway=True, refused=limited
    )
    assert type(at_gateway) is RateLimitError
    assert (at_gateway.status_code, at_gateway.retry_after) == (429, 3)
    elsewhere = rpc_error(ErrorObject(-32005, "slow"), method="tools/call", about="x", gateway=False)
    assert type(elsewhere) is RPCError


@pytest.mark.parametrize(
    ("data", "url"),
    [
        (
            {"elicitations": [{"mode": "url"}, {"url": "https://a.example/1"}, {"url": "u"}]},
            "https://a.example/1",
        ),
        ({"url": "https://a.example/2", "elicitations": "none"}, "https://a.example/2"),
        ({"elicitations": [7, {"url": 7}]}, None),
        ("nothing", None),
    ],
)
def test_an_error_says_where_the_user_has_to_go(data: object, url: str | None) -> None:
    error = rpc_error(
        ErrorObject(-32042, "sign in", data), method="tools/call", about="mail.send", gateway=False
    )
    assert isinstance(error, AuthorizationRequiredError)
    assert isinstance(error.__cause__, RPCError)
    assert (error.url, error.server_id, error.user_id) == (url, None, None)
    assert "mail.send: sign in" in str(error)


@pytest.mark.parametrize(
    ("data", "elicitations"),
    [
        (
            {
                "elicitations": [
                    {"url": "u", "elicitationId": "1"},
                    {"mode": "form"},
                    {"url": "v", "message": "V"},
                ]
            },
            [
                {"mode": "url", "message": "sign in", "url": "u", "elicitationId": "1"},
                {"mode": "url", "message": "V", "url": "v"},
            ],
        ),
        ({"url": "u"}, [{"mode": "url", "message": "sign in", "url": "u"}]),
        ({"elicitations": [7, {"url": ""}]}, []),
    ],
)
def test_an_error_names_all_pages_that_the_user_has_to_open(data: object, elicitations: object) -> None:
    """MCP 2025-11-25, Elicitation, "URL Elicitation Required Error"."""
    said = ErrorObject(-32042, "sign in", data)
    error = rpc_error(said, method="tools/call", about="", gateway=False)
    assert isinstance(error, AuthorizationRequiredError)
    assert list(error.elicitations) == elicitations


def test_the_pages_that_one_error_has_a_user_open_are_bounded() -> None:
    said = ErrorObject(-32042, "sign in", {"elicitations": [{"url": str(n)} for n in range(1000)]})
    error = rpc_error(said, method="tools/call", about="", gateway=False)
    assert isinstance(error, AuthorizationRequiredError)
    assert len(error.elicitations) == MAX_ELICITATIONS


def test_a_gateway_says_where_its_user_has_to_go() -> None:
    data = {"reason": "authorization_required", "url": "u", "server": "mail", "user": "ada"}
    said = ErrorObject(-32001, "sign in", data)
    error = rpc_error(said, method="tools/call", about="", gateway=True)
    assert isinstance(error, AuthorizationRequiredError)
    assert (error.url, error.server_id, error.user_id) == ("u", "mail", "ada")
    other = rpc_error(said, method="tools/call", about="", gateway=False)
    assert not isinstance(other, AuthorizationRequiredError)

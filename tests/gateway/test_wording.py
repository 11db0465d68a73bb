"""Errors for an operator and for clients: nothing that only programs write."""

from __future__ import annotations

import pytest

from routermcp.gateway.wording import as_keys, kind_of_failure
from routermcp.types import (
    AuthorizationRequiredError,
    ConfigError,
    MCPError,
    OAuthError,
    ResponseValidationError,
    TokenStoreError,
    TransportError,
)
from routermcp_proto.oauth.client_auth import BY_HAND, NO_SIGN_IN


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (f"it did not register the application: no; {BY_HAND}", 'its "clientId", and its "clientSecret"'),
        (f"it does not say where users sign in. {NO_SIGN_IN}{BY_HAND}", 'give the server "authBearer"'),
        ("/mcp wants a user to sign in, and OAuthConfig has no way to ask one", "wants a user to sign in"),
        ("if the server has moved, say so with issuer=", 'say so with "issuer" in its "oauth"'),
        ("and issuer= says https://a.example: no; change issuer=", 'no; change "issuer"'),
        (
            "OAuthConfig(issuer=AuthorizationServer('https://a.example/x', authorization_endpoint=..., "
            "token_endpoint=...)) names them",
            '"authorizationEndpoint" in its "oauth" names them',
        ),
        (
            "(if it is the same, OAuthConfig(issuer=AuthorizationServer(..., plain_http=True)) allows that)",
            '"issuer" and "concessions": ["plain_http"] in its "oauth" allows that)',
        ),
        (
            "OAuthConfig(issuer=AuthorizationServer('https://a.example/t', "
            "metadata_issuer='https://a.example')) says so",
            '"concessions": ["metadata_issuer=https://a.example"] in its "oauth" says so',
        ),
        ("OAuthConfig(offline_access=False) leaves it out", '"offlineAccess" in its "oauth" leaves it out'),
        ("requires DPoP: pip install x, and leave dpop=False out of OAuthConfig", 'leave out "dpop": false'),
    ],
)
def test_no_message_names_what_only_programs_write(problem: str, said: str) -> None:
    told = as_keys(problem)
    assert said in told
    assert "OAuthConfig" not in told
    assert "AuthorizationServer" not in told
    assert "=True" not in told


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TransportError("x", code="connect"), "connect"),
        (AuthorizationRequiredError("x"), "a user has to sign in"),
        (TokenStoreError("x"), "the store of tokens failed"),
        (OAuthError("x"), "signing in failed"),
        (ConfigError("x"), "its settings are wrong"),
        (ResponseValidationError("x", method="tools/list"), "no answer that makes sense"),
    ],
)
def test_a_server_that_fails_is_told_in_words(error: MCPError, said: str) -> None:
    assert kind_of_failure(error) == said

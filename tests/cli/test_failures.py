"""Errors as one line for people."""

from __future__ import annotations

import pytest

from routermcp.cli.failures import as_options
from routermcp_proto.oauth.client_auth import BY_HAND, NO_SIGN_IN


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (f"it did not register the application: no; {BY_HAND}", "--client-id"),
        (f"it does not say where users sign in. {NO_SIGN_IN}{BY_HAND}", "say so with --issuer; if at this"),
        ("/mcp wants a user to sign in, and OAuthConfig has no way to ask one", "wants a user to sign in"),
        ("it requires credentials: give api_key= or an Authorization header", "--api-key"),
        ("it requires an API key: give api_key=", "ROUTERMCP_API_KEY"),
        ("if the server has moved, say so with issuer=", "--issuer"),
        (
            "and issuer= says https://a.example: no; if the server has moved, change issuer=",
            "--issuer or --preset says https://a.example: no; if the server has moved, change that",
        ),
        (
            "OAuthConfig(issuer=AuthorizationServer('https://a.example/x', authorization_endpoint=..., "
            "token_endpoint=...)) names them",
            "the setting authorization_endpoint of the library names them",
        ),
        (
            "(if it is the same, OAuthConfig(issuer=AuthorizationServer(..., plain_http=True)) allows that)",
            "--issuer with --concession plain_http allows that)",
        ),
        (
            "OAuthConfig(issuer=AuthorizationServer('https://a.example/t', "
            "metadata_issuer='https://a.example')) says so",
            "--issuer with --concession metadata_issuer=https://a.example says so",
        ),
        (
            "; where it takes PKCE all the same, OAuthConfig(issuer=AuthorizationServer(..., "
            "unadvertised_pkce=True)) says so",
            "--concession unadvertised_pkce says so",
        ),
        ("OAuthConfig(headers=...) cannot set host", "the setting headers of the library cannot"),
    ],
)
def test_no_message_names_what_only_programs_write(problem: str, said: str) -> None:
    told = as_options(problem)
    assert said in told
    assert "OAuthConfig" not in told
    assert "AuthorizationServer" not in told
    assert "api_key=" not in told
    assert " issuer=" not in told

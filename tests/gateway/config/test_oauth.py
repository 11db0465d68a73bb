"""How users sign in at a server of the gateway, as the configuration says it."""

from __future__ import annotations

from typing import Any

import pytest

from routermcp.gateway.config.model import HTTPServer
from routermcp.oauth import AuthorizationServer, OAuthConfig, TokenAdapter, memory_adapter, presets
from tests.gateway.config.test_config import SECRET, parse, refused

URL = "https://mail.example/mcp"
ISSUER = "https://id.example"


def mail(**oauth: Any) -> dict[str, Any]:
    return {"mcpServers": {"mail": {"url": URL, "oauth": oauth}}}


def settings(adapter: TokenAdapter, **oauth: Any) -> OAuthConfig:
    """Return the settings of the library that come of those of the file."""
    server = parse(mail(**oauth)).mcpServers["mail"]
    assert isinstance(server, HTTPServer)
    assert server.authType == "oauth"
    return OAuthConfig(adapter, **server.oauth.settings())


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({}, {}),
        ({"clientId": "mine", "clientSecret": "hush"}, {"client_id": "mine", "client_secret": "hush"}),
        ({"clientMetadataUrl": "https://a.example/c"}, {"client_metadata_url": "https://a.example/c"}),
        ({"scopes": ["read"]}, {"scopes": ("read",)}),
        ({"scopes": []}, {"scopes": ()}),
        (
            {"extraScopes": ["write"], "offlineAccess": False},
            {"extra_scopes": ("write",), "offline_access": False},
        ),
        ({"resource": False}, {"resource": False}),
        ({"resource": "urn:mail"}, {"resource": "urn:mail"}),
        ({"dpop": True}, {"dpop": True}),
        ({"tokenParams": {"audience": "api"}}, {"token_params": {"audience": "api"}}),
        ({"headers": {"X-Firewall": "hush"}}, {"headers": {"X-Firewall": "hush"}}),
        ({"issuer": ISSUER}, {"issuer": ISSUER}),
        ({"preset": "entra=contoso"}, presets.entra("contoso")),
        ({"preset": "google", "offlineAccess": True}, {**presets.google(), "offline_access": True}),
        (
            {"preset": "google", "authorizeParams": {"prompt": "login"}},
            {**presets.google(), "authorize_params": {"access_type": "offline", "prompt": "login"}},
        ),
        (
            {"issuer": ISSUER, "tokenEndpoint": f"{ISSUER}/t", "authorizationEndpoint": f"{ISSUER}/a"},
            {
                "issuer": AuthorizationServer(
                    ISSUER, token_endpoint=f"{ISSUER}/t", authorization_endpoint=f"{ISSUER}/a"
                )
            },
        ),
        (
            {"preset": "keycloak=http://id.test/realms/x", "concessions": ["plain_http", "private_address"]},
            {
                "issuer": AuthorizationServer(
                    "http://id.test/realms/x", plain_http=True, private_address=True
                ),
                "offline_access": False,
            },
        ),
        (
            {"issuer": f"{ISSUER}/t", "concessions": [f"metadata_issuer={ISSUER}", "unadvertised_pkce"]},
            {"issuer": AuthorizationServer(f"{ISSUER}/t", metadata_issuer=ISSUER, unadvertised_pkce=True)},
        ),
    ],
)
def test_settings_are_those_of_the_library(given: dict[str, Any], made: dict[str, Any]) -> None:
    adapter = memory_adapter()
    assert settings(adapter, **given) == OAuthConfig(adapter, **made)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"preset": "gogle"}, "preset: expected one of google, entra"),
        ({"preset": "entra"}, "preset: the preset entra is given as entra=TENANT"),
        ({"preset": "keycloak=http://id.example/realms/x"}, "preset: expected an https:// URL"),
        ({"issuer": "http://id.example"}, "issuer: expected an https:// URL"),
        ({"issuer": "id"}, "issuer: expected an https:// URL"),
        ({"issuer": "id", "concessions": ["plain_http"]}, "issuer: expected an https:// URL"),
        (
            {"issuer": ISSUER, "tokenEndpoint": "http://id.example/t"},
            "tokenEndpoint: expected an https:// URL",
        ),
        (
            {"tokenEndpoint": f"{ISSUER}/t"},
            "issuer: is missing: tokenEndpoint is for one authorization server",
        ),
        ({"concessions": ["plain_http"]}, "issuer: is missing: concessions is for one"),
        ({"concessions": ["pkce"]}, "concessions[0]: expected one of metadata_issuer, unadvertised_pkce"),
        (
            {"concessions": ["plain_http", "metadata_issuer"]},
            "concessions[1]: the concession metadata_issuer is",
        ),
        ({"authorizeParams": {"scope": "x"}}, "authorizeParams.scope: cannot be set: give scopes"),
        ({"tokenParams": {"state": "x"}}, "tokenParams.state: cannot be set: signing in does"),
        ({"headers": {"authorization": "x"}}, "headers.authorization: cannot be set: signing in does"),
        ({"headers": {"X": "a\nb"}}, "headers.X: the value of the header 'X'"),
        ({"resource": True}, "resource: expected a URL, or false"),
        ({"dpop": "never"}, "dpop: expected true, false or 'auto'"),
        ({"scopes": "read write"}, "scopes: expected a list"),
    ],
)
def test_errors_name_the_key(given: dict[str, Any], problem: str) -> None:
    assert refused(mail(**given)).startswith(f"mcpServers.mail.oauth.{problem}")


def test_what_may_be_secret_is_not_shown() -> None:
    given = {
        "clientSecret": SECRET,
        "headers": {"X": SECRET},
        "authorizeParams": {"key": SECRET},
        "tokenParams": {"key": SECRET},
    }
    assert SECRET not in repr(parse(mail(**given)))
    for key in ("preset", "issuer", "metadataUrl"):
        assert SECRET not in refused(mail(**{"issuer": ISSUER, key: f"{SECRET} "}))
    assert SECRET not in refused(mail(issuer=ISSUER, concessions=[SECRET]))


def test_a_server_that_is_not_enabled_may_wait_for_its_variables() -> None:
    config = mail(issuer="${env:ISSUER}", clientSecret="${env:SECRET}", concessions=["plain_http"])
    config["mcpServers"]["mail"]["enabled"] = False
    parse(config)


def test_a_key_that_is_not_known_is_named(caplog: pytest.LogCaptureFixture) -> None:
    parse(mail(extraScope=["x"]))
    assert "mail.oauth.extraScope" in caplog.text
    assert 'did you mean "extraScopes"?' in caplog.text

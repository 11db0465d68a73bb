"""The settings of access tokens: what opens the gateway, and what is said where that cannot be."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from routermcp.gateway.access import api_keys_of, bearer_tokens_of
from routermcp.gateway.config.access import ASYMMETRIC
from routermcp.gateway.config.file import parse
from routermcp.gateway.config.model import GatewayConfig
from routermcp.gateway.factory import aggregate_of, application_of
from routermcp.types import ConfigError
from tests.gateway.access_tokens.issuing import AUDIENCE, ISSUER, KEY, key_set

JWT: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE}


def read(auth: Any, **more: Any) -> GatewayConfig:
    return parse(
        json.dumps({"auth": auth, **more}), source="test.jsonc", environ={"JWKS": "https://id.example/jwks"}
    )


@pytest.mark.parametrize(
    ("auth", "keys", "tokens"),
    [
        ({"jwt": JWT}, False, True),
        ({"jwt": JWT, "apiKeys": ["k"]}, True, True),
        ({"mode": "jwt", "jwt": JWT, "apiKeys": ["k"]}, True, True),
        ({"mode": "none", "jwt": JWT, "apiKeys": ["k"]}, False, False),
        ({"apiKeys": ["k"]}, True, False),
    ],
)
def test_what_is_given_opens_the_gateway(auth: Any, keys: bool, tokens: bool) -> None:
    config = read(auth, httpServer={"host": "0.0.0.0"})
    assert (api_keys_of(config) is not None) == keys
    assert (bearer_tokens_of(config, folder=None, path="/mcp") is not None) == tokens
    if not keys and not tokens:
        with pytest.raises(ConfigError, match="every client"):
            application_of(config, aggregate_of(config))
    else:
        application_of(config, aggregate_of(config))


def test_tokens_are_asymmetric_for_one_audience_and_name_their_user() -> None:
    jwt = read({"jwt": {**JWT, "jwks": "${JWKS}"}}).auth.jwt
    assert jwt is not None
    assert (jwt.audiences, jwt.algorithms, jwt.userClaim) == ({AUDIENCE}, ASYMMETRIC, "sub")
    assert jwt.jwks_url == "https://id.example/jwks"
    assert not any(each.startswith("HS") or each == "none" for each in ASYMMETRIC)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"issuer": None}, "auth.jwt.issuer"),
        ({"issuer": "id.example"}, "auth.jwt.issuer: expected the URL"),
        ({"issuer": "http://id.example"}, "auth.jwt.issuer: expected an https:// URL"),
        ({"issuer": f"{ISSUER}?a=b"}, "auth.jwt.issuer: an issuer has"),
        ({"issuer": f"{ISSUER}#b"}, "auth.jwt.issuer"),
        ({"audience": ""}, "auth.jwt.audience: expected a text"),
        ({"audience": []}, "auth.jwt.audience: expected a text"),
        ({"audience": [1]}, "auth.jwt.audience: expected a text"),
        ({"jwks": 7}, "auth.jwt.jwks: expected a URL"),
        ({"jwks": "http://id.example/jwks"}, "auth.jwt.jwks: expected an https:// URL"),
        ({"algorithms": []}, "auth.jwt.algorithms: expected at least one"),
        ({"algorithms": ["none"]}, r"auth.jwt.algorithms\[0\]: expected 'RS256'"),
        ({"algorithms": ["HS256"]}, "auth.jwt.algorithms: HS256 and the like"),
        ({"requiredScopes": ["a b"]}, r"auth.jwt.requiredScopes\[0\]: expected one scope"),
        ({"scopesSupported": ["a", 'b"']}, r"auth.jwt.scopesSupported\[1\]: expected one scope"),
        ({"userClaim": ""}, "auth.jwt.userClaim: is empty"),
    ],
)
def test_what_cannot_be_is_told_with_its_key(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read({"jwt": {**JWT, **changed}})


def test_a_mode_without_its_settings_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"auth\.jwt: is missing"):
        read({"mode": "jwt"})


@pytest.mark.parametrize(
    "url",
    ["a.example", "https://a.example?a", "ftp://a.example", "https://\u00e4.example", 'https://a.example/"b'],
)
def test_a_public_url_is_one(url: str) -> None:
    with pytest.raises(ConfigError, match="publicUrl"):
        read({}, httpServer={"publicUrl": url})
    assert (
        read({}, httpServer={"publicUrl": "https://a.example/b/"}).httpServer.publicUrl
        == "https://a.example/b"
    )


def test_names_that_mean_nothing_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    read({"jwt": {**JWT, "issur": "", "servers": ["gone"], "projects": ["gone"]}})
    warned = [message.partition(": ")[2].partition(":")[0] for message in caplog.messages]
    assert warned == ["auth.jwt.issur", "auth.jwt.servers[0]", "auth.jwt.projects[0]"]


def test_a_key_set_lies_beside_the_configuration(tmp_path: Path) -> None:
    config = read({"jwt": {**JWT, "jwks": "keys/jwks.json"}})
    with pytest.raises(ConfigError, match=r"jwks\.json cannot be read"):
        application_of(config, aggregate_of(config), folder=tmp_path)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "jwks.json").write_text(json.dumps(key_set(KEY)))
    application_of(config, aggregate_of(config), folder=tmp_path)


def test_a_secret_in_the_configuration_does_not_show() -> None:
    secret = "c2VjcmV0" * 8
    jwt = {**JWT, "jwks": {"keys": [{"kty": "oct", "k": secret}]}, "algorithms": ["HS256"]}
    config = read({"jwt": jwt})
    application_of(config, aggregate_of(config))
    assert secret not in repr(config)
    with pytest.raises(ConfigError) as caught:
        read({"jwt": {**jwt, "algorithms": ["none"]}})
    assert secret not in str(caught.value)


def test_a_missing_library_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.startswith("routermcp.gateway.access_tokens.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "joserfc.errors", None)
    with pytest.raises(ConfigError, match=r"pip install 'routermcp\[oauth\]'"):
        bearer_tokens_of(read({"jwt": JWT}), folder=None, path="/mcp")

"""The guides: their configurations are ones, their example runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from routermcp.gateway.config.access import JWTSettings, ViewSettings
from routermcp.gateway.config.file import parse
from routermcp.gateway.config.oauth import ServerOAuth
from tests.gateway.servers import Shop, serving

DOCS = Path(__file__).resolve().parents[2] / "docs"
GUIDE = (DOCS / "gateway.md").read_text()
VARIABLES = {
    "GATEWAY_KEY": "rmc_key",
    "CI_KEY": "rmc_ci",
    "GITHUB_TOKEN": "token",
    "MAIL_SECRET": "secret",
    "FERNET_KEY": "yX2u6yQ0yqWbq0q3V1J9yJ0b6o3o6Qm1tq0m0S8d8Zk=",
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def test_configurations(caplog: pytest.LogCaptureFixture) -> None:
    guide, views, tokens, users = (
        parse(text, source="gateway.md", environ=VARIABLES) for text in blocks("jsonc")
    )
    assert set(guide.enabled_servers) == {"time", "github", "mail"}
    assert list(views.served_projects) == ["main", "research"]
    assert tokens.auth.jwt is not None
    assert users.oauth.tokenApi
    assert users.oauth.redirectUri == "https://app.example/oauth/back"
    text = (DOCS / "deployment" / "routermcp.jsonc").read_text()
    deployed = parse(text, source="routermcp.jsonc", environ=VARIABLES)
    assert deployed.session.store is not None
    assert deployed.auth.mode == "api_key"
    assert not caplog.records, "no key is unknown"


def test_every_setting_of_signing_in_is_there() -> None:
    tokens = set(JWTSettings.model_fields) - set(ViewSettings.model_fields) - {"projects"}
    assert [key for key in (*ServerOAuth.model_fields, *tokens) if f"`{key}`" not in GUIDE] == []


def test_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = blocks("python")
    with serving(Shop()) as url:
        source = example.replace("http://127.0.0.1:8000/mcp", url)
        exec(compile(source, "gateway.md", "exec"), {"__name__": "__main__"})
    tools, total = capsys.readouterr().out.splitlines()
    assert "'demo.add'" in tools
    assert total == "3"

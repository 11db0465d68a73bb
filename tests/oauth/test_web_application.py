"""The web application of the guide, run with browsers of several users."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.testclient import TestClient

from tests.oauth.servers.protected_server import ProtectedServer, callback

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "web_application.py"
SITE = "http://app.example"


@pytest.fixture(params=["2025-11-25", "2026-07-28"])
def server(request: pytest.FixtureRequest) -> Iterator[ProtectedServer]:
    with ProtectedServer(era=request.param) as server:
        yield server


@pytest.fixture
def site(server: ProtectedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[TestClient]:
    for name, value in (("MCP_URL", server.url), ("PUBLIC_URL", SITE), ("TOKENS", str(tmp_path / "tokens"))):
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("web_application", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with TestClient(module.make_app(), base_url=SITE, follow_redirects=False) as site:
        yield site


def get(site: TestClient, user: str, url: str = "/") -> httpx.Response:
    """Be the browser of a user that is logged in."""
    return site.get(url, headers={"Cookie": f"user={user}"})


def test_users_sign_in_and_come_back(server: ProtectedServer, site: TestClient) -> None:
    for user in ("ada", "bob"):
        sent = get(site, user)
        assert sent.status_code == 303
        back = callback(server, user, sent.headers["location"])
        assert back.startswith(f"{SITE}/oauth/callback?")
        assert get(site, user, back).headers["location"] == "/"
        assert get(site, user).text == "1 + 2 = 3"
    assert [user for user, _ in server.calls] == ["ada", "bob"]
    assert server.sign_ins == {"ada": 1, "bob": 1}


def test_nobody_comes_back_in_place_of_another(server: ProtectedServer, site: TestClient) -> None:
    page = get(site, "ada").headers["location"]
    back = callback(server, "mallory", page)
    assert get(site, "bob", back).status_code == 400
    assert get(site, "bob").status_code == 303
    assert urlsplit(get(site, "ada").headers["location"]).path == urlsplit(page).path
    assert server.calls == []


def test_a_consent_that_was_withdrawn_is_asked_for_again(server: ProtectedServer, site: TestClient) -> None:
    for _ in range(2):
        back = callback(server, "ada", get(site, "ada").headers["location"])
        get(site, "ada", back)
        assert get(site, "ada").status_code == 200
        server.withdraw()

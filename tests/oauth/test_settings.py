"""The settings of ``OAuthConfig``, each at a server that shows whether it was heeded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from routermcp import SyncRouterMCPClient, __version__
from routermcp.oauth import AuthorizationServer, OAuthConfig, memory_adapter
from routermcp.types import ConfigError, OAuthError, TransportError
from routermcp_proto.oauth.steps import HTTPStep
from tests import loopback
from tests.oauth.networks import InnerServer, part_networks
from tests.oauth.servers.protected_server import ProtectedServer

STATELESS = "2026-07-28"


@pytest.fixture
def server() -> Iterator[ProtectedServer]:
    with ProtectedServer(era=STATELESS) as server:
        yield server


def visit(url: str) -> str:
    """Be a user's browser, at a page that asks nothing."""
    with loopback.Client() as browser:
        return browser.get(url).headers["location"]


def config(**options: Any) -> OAuthConfig:
    return OAuthConfig(memory_adapter(), **{"authorize": visit, "single_user": True, **options})


def sign_in(server: ProtectedServer, **options: Any) -> None:
    """Sign in, renew the tokens and revoke them."""
    with SyncRouterMCPClient(url=server.url, oauth=config(**options)) as client:
        client.list_tools()
        server.expire()
        client.list_tools()
        client.revoke()


def seen_by_authorization_server(server: ProtectedServer) -> list[dict[str, str]]:
    """Return the headers of the requests that are not the browser's, nor for the MCP server."""
    mine = ("/.well-known/oauth-authorization-server", "/oauth/register", "/oauth/token", "/oauth/revoke")
    return [dict(seen.headers) for seen in server.seen if seen.target in mine]


def test_every_request_says_whose_it_is(server: ProtectedServer) -> None:
    sign_in(server)
    ours = [seen for seen in server.seen if not seen.target.startswith("/oauth/authorize")]
    assert {seen.headers.get("user-agent") for seen in ours} == {f"routermcp/{__version__}"}


def test_headers_for_the_authorization_server_go_to_no_other(server: ProtectedServer) -> None:
    sign_in(server, headers={"X-Firewall": "let me in", "user-agent": "mine/1"})
    theirs = seen_by_authorization_server(server)
    assert len(theirs) == 7  # metadata and token twice each, one registration, two revocations
    assert {(seen["x-firewall"], seen["user-agent"]) for seen in theirs} == {("let me in", "mine/1")}
    others = [seen for seen in server.seen if "let me in" not in str(seen.headers)]
    assert any("oauth-protected-resource" in seen.target for seen in others)
    assert len(others) + len(theirs) == len(server.seen)


@pytest.mark.parametrize(
    "headers", [{"Authorization": "Basic x"}, {"content-TYPE": "text/plain"}, {"X": "a\nb"}, {"a b": "c"}]
)
def test_headers_that_cannot_be_given(headers: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="headers="):
        OAuthConfig(memory_adapter(), headers=headers)


def test_headers_are_not_shown() -> None:
    assert "hush" not in repr(OAuthConfig(memory_adapter(), headers={"X-Firewall": "hush"}))


def test_further_parameters_go_where_they_belong(server: ProtectedServer) -> None:
    sign_in(server, authorize_params={"access_type": "offline"}, token_params={"audience": "the api"})
    (page,) = [seen for seen in server.seen if seen.target.startswith("/oauth/authorize")]
    assert "access_type=offline" in page.target
    assert "audience" not in page.target
    forms = [seen.body.decode() for seen in server.seen if seen.target == "/oauth/token"]
    assert ["audience=the+api" in form for form in forms] == [True, True]


@pytest.mark.parametrize("setting", ["authorize_params", "token_params"])
@pytest.mark.parametrize(("name", "instead"), [("scope", "give scopes="), ("state", "signing in does")])
def test_parameters_of_the_grant_cannot_be_replaced(setting: str, name: str, instead: str) -> None:
    with pytest.raises(ConfigError, match=rf"{setting}=...\) cannot set {name}: {instead}"):
        config(**{setting: {name: "mine"}})


def test_scopes_are_asked_for_ahead_of_a_call(server: ProtectedServer) -> None:
    oauth = config(authorize=None, redirect_uri="http://127.0.0.1:1/callback")
    client = SyncRouterMCPClient(url=server.url, oauth=oauth)
    request = client.authorize(scopes=["write"])
    assert "scope=write" in request.url
    client.complete_authorization(visit(request.url))
    with client:
        client.list_tools()


def test_an_authorization_server_by_hand(server: ProtectedServer) -> None:
    server.odd_metadata = {"issuer": "https://of.another.example"}
    known = AuthorizationServer(
        server.origin,
        authorization_endpoint=f"{server.origin}/oauth/authorize",
        token_endpoint=f"{server.origin}/oauth/token",
    )
    sign_in(server, issuer=known, client_id="mine")
    assert "/.well-known/oauth-authorization-server" not in [seen.target for seen in server.seen]


def test_a_concession_is_told_in_the_log(server: ProtectedServer, caplog: pytest.LogCaptureFixture) -> None:
    server.odd_metadata = {"code_challenge_methods_supported": None}
    with pytest.raises(OAuthError, match=r"unadvertised_pkce=True"):
        sign_in(server)
    assert caplog.text == ""
    sign_in(server, issuer=AuthorizationServer(server.origin, unadvertised_pkce=True))
    assert f"conceded by unadvertised_pkce: {server.origin} does not say" in caplog.text


@pytest.fixture
def far_away(server: ProtectedServer, monkeypatch: pytest.MonkeyPatch) -> ProtectedServer:
    """The MCP server as one of the open Internet; every other one is in a private network."""
    part_networks(monkeypatch)
    return server


def test_an_authorization_server_may_be_private_where_the_application_says_so(
    far_away: ProtectedServer, caplog: pytest.LogCaptureFixture
) -> None:
    with InnerServer(era=STATELESS) as inner:
        far_away.issuer = inner.origin
        with pytest.raises(TransportError, match="private_address=True"):
            sign_in(far_away, issuer=AuthorizationServer(inner.origin))
        assert inner.seen == []
        with pytest.raises((TransportError, OAuthError)):  # its tokens open nothing at the other
            sign_in(far_away, issuer=AuthorizationServer(inner.origin, private_address=True))
        assert "/oauth/token" in [seen.target for seen in inner.seen]
    assert "conceded by private_address" in caplog.text


def test_a_private_address_is_conceded_to_no_other_server(far_away: ProtectedServer) -> None:
    known = AuthorizationServer("https://auth.example", private_address=True)
    with InnerServer(era=STATELESS) as inner:
        far_away.issuer = inner.origin
        with pytest.raises(OAuthError, match="nothing was sent there"):
            sign_in(far_away, issuer=known)
        assert inner.seen == []


def test_the_mcp_server_cannot_point_its_own_metadata_at_a_private_address() -> None:
    server = AuthorizationServer("https://auth.example", private_address=True)
    settings = config(issuer=server)
    assert settings.may_be_private(HTTPStep("POST", "https://auth.example/token"))
    assert not settings.may_be_private(HTTPStep("GET", "https://auth.example/x", to_server=False))
    assert not settings.may_be_private(HTTPStep("POST", "https://other.example/token"))
    assert not config(issuer="https://auth.example").may_be_private(HTTPStep("GET", "https://auth.example/"))

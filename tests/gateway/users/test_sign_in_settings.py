"""What the configuration of a gateway says of signing in at a server is heeded, at that server alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from routermcp import RouterMCPClient
from routermcp.gateway import LocalGateway
from routermcp.oauth import memory_adapter
from routermcp.types import OAuthError
from tests.oauth.servers.protected_server import ProtectedServer, callback

SUM = {"a": 1, "b": 2}


def with_gateway(
    servers: dict[str, tuple[ProtectedServer, dict[str, Any]]],
    use: Callable[[RouterMCPClient], Awaitable[None]],
) -> None:
    """Use a gateway in this process, in front of servers with these settings."""
    config = {
        "mcpServers": {alias: {"url": each.url, "oauth": oauth} for alias, (each, oauth) in servers.items()}
    }

    async def body() -> None:
        async with (
            LocalGateway(config, tokens=memory_adapter(), listen=False) as gateway,
            RouterMCPClient(transport=gateway.transport, user_id="ada") as client,
        ):
            await use(client)

    asyncio.run(body())


async def sign_in(client: RouterMCPClient, alias: str, server: ProtectedServer) -> None:
    request = await client.authorize(alias)
    await client.complete_authorization(await asyncio.to_thread(callback, server, "ada", request.url))
    assert (await client.call_tool(f"{alias}.add", SUM)).text == "3"


def test_every_setting_reaches_the_authorization_server() -> None:
    async def use(client: RouterMCPClient) -> None:
        await sign_in(client, "mail", server)

    with ProtectedServer() as server:
        oauth = {
            "clientId": "mine",
            "issuer": server.origin,
            "tokenEndpoint": f"{server.origin}/oauth/token",
            "authorizationEndpoint": f"{server.origin}/oauth/authorize",
            "scopes": ["read"],
            "resource": False,
            "authorizeParams": {"prompt": "consent"},
            "tokenParams": {"audience": "api"},
            "headers": {"X-Firewall": "let me in"},
        }
        with_gateway({"mail": (server, oauth)}, use)
        targets = [seen.target.partition("?")[0] for seen in server.seen]
        (page,) = [seen.target for seen in server.seen if seen.target.startswith("/oauth/authorize")]
        (token,) = [seen for seen in server.seen if seen.target == "/oauth/token"]
        others = [seen.headers for seen in server.seen if seen.target != "/oauth/token"]
    assert "/.well-known/oauth-authorization-server" not in targets
    asked = {name: values[0] for name, values in parse_qs(urlsplit(page).query).items()}
    assert (asked["scope"], asked["prompt"], asked["client_id"]) == ("read", "consent", "mine")
    assert "resource" not in asked
    form = parse_qs(token.body.decode())
    assert form["audience"] == ["api"]
    assert "resource" not in form
    assert token.headers["x-firewall"] == "let me in"
    assert not any("x-firewall" in headers for headers in others)


def test_a_concession_reaches_no_other_server() -> None:
    async def use(client: RouterMCPClient) -> None:
        await sign_in(client, "old", old)
        with pytest.raises(OAuthError, match="unadvertised_pkce"):
            await client.authorize("new")

    with ProtectedServer() as old, ProtectedServer() as new:
        for each in (old, new):
            each.odd_metadata = {"code_challenge_methods_supported": None}
        conceded = {"issuer": old.origin, "concessions": ["unadvertised_pkce"]}
        with_gateway({"old": (old, conceded), "new": (new, {})}, use)
        assert not [seen for seen in new.seen if seen.target.startswith("/oauth/")]


def test_a_server_cannot_send_users_to_another_authorization_server() -> None:
    async def use(client: RouterMCPClient) -> None:
        for alias in ("by_issuer", "by_preset"):
            with pytest.raises(OAuthError, match="nothing was sent there"):
                await client.authorize(alias)

    with ProtectedServer() as hostile, ProtectedServer() as evil:
        hostile.issuer = evil.origin
        honest = {"clientId": "mine", "clientSecret": "planted-secret"}
        with_gateway(
            {
                "by_issuer": (hostile, {**honest, "issuer": "https://id.example"}),
                "by_preset": (hostile, {**honest, "preset": "google"}),
            },
            use,
        )
        assert evil.seen == []
        assert not [seen for seen in hostile.seen if b"planted-secret" in seen.body]

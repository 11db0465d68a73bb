"""Servers behind the gateway that each user signs in at."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from routermcp import RouterMCPClient, SyncRouterMCPClient
from routermcp._callbacks import settled
from routermcp.gateway import LocalGateway
from routermcp.gateway.config.model import GatewayConfig
from routermcp.gateway.factory import aggregate_of, application_of
from routermcp.gateway.upstreams.times import UpstreamTimes
from routermcp.oauth import TokenAdapter, cloud_adapter, file_adapter, memory_adapter
from routermcp.types import (
    AuthorizationRequiredError,
    ConfigError,
    ElicitResult,
    InvalidParamsError,
    OAuthConfig,
    OAuthError,
    RPCError,
    ToolNotFoundError,
    TransportError,
)
from tests import loopback
from tests.gateway.gateways import PATIENCE
from tests.gateway.servers import ERAS, Shop, serving, serving_config
from tests.oauth.servers.protected_server import ProtectedServer, callback, consent
from tests.routermcp.server import Exchange
from tests.three_runtimes import RUNTIMES, make_client, run

#: What lists of the stateless era have beside.
CACHING = {"ttlMs": 0, "cacheScope": "private"}


def sent(exchange: Exchange, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": f"sent to {arguments['to']}"}]}


@pytest.fixture(params=ERAS, ids=lambda era: f"server {era}")
def gmail(request: pytest.FixtureRequest) -> Iterator[ProtectedServer]:
    with ProtectedServer(era=request.param) as server:
        server.tools["gmail_send"] = sent
        tool = {"name": "gmail_send", "description": "Send mail", "inputSchema": {"type": "object"}}
        server.results["tools/list"] = {"tools": [tool], **CACHING}
        yield server


def gateway_for(gmail: ProtectedServer, tokens: TokenAdapter | None = None, **more: Any) -> LocalGateway:
    servers = {"gmail": {"url": gmail.url, "authType": "oauth"}, **more.pop("servers", {})}
    return LocalGateway(
        {"project": "my-project", "mcpServers": servers, **more}, tokens=tokens or memory_adapter()
    )


def project(gateway: LocalGateway) -> str:
    return gateway.url.removesuffix("/mcp") + "/v1/mcp/my-project"


def test_the_session_example_of_the_contract(
    gmail: ProtectedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the page of the Client API has it, but for the host."""

    async def body(url: str) -> None:
        client = RouterMCPClient(
            url=url,
            user_id="admin",
            oauth=OAuthConfig(adapter=cloud_adapter(api_key="key")),
        )

        await client.connect()

        user1_session = client.create_session(user_id="user-1")
        user2_session = client.create_session(user_id="user-2")

        await user1_session.connect()
        await user2_session.connect()

        await user1_session.call_tool("gmail_send", {"to": "a@example.com", "body": "Hi"})
        await user2_session.call_tool("gmail_send", {"to": "b@example.com", "body": "Hello"})

        await user1_session.disconnect()
        await user2_session.disconnect()
        await client.disconnect()

    with gateway_for(gmail, file_adapter(tmp_path)) as gateway:
        monkeypatch.setenv("ROUTERMCP_CLOUD_URL", gateway.url.removesuffix("/mcp"))
        for user in ("user-1", "user-2"):
            with SyncRouterMCPClient(project(gateway), user_id=user) as client:
                assert consent(gmail, user, client.authorize("gmail").url).status_code == 200
        asyncio.run(body(project(gateway)))
    assert [user for user, _ in gmail.calls] == ["user-1", "user-2"]
    assert sorted(path.name for path in tmp_path.glob("user-*/*.json")) == ["gmail.json", "gmail.json"]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("era", ERAS)
def test_a_call_before_signing_in_says_where(gmail: ProtectedServer, runtime: str, era: str) -> None:
    async def body(gateway: LocalGateway) -> None:
        client = make_client(runtime, url=project(gateway), user_id="ada", protocol=era)
        async with client:
            assert await client.list_tools() == []
            for name in ("gmail.gmail_send", "gmail_send"):
                with pytest.raises(AuthorizationRequiredError, match="sign in at gmail first") as caught:
                    await client.call_tool(name, {"to": "bob"})
                assert (caught.value.server_id, caught.value.user_id) == ("gmail", "ada")
            assert caught.value.url is not None
            assert caught.value.url.startswith(f"{gmail.origin}/oauth/authorize?")
            with pytest.raises(ToolNotFoundError):
                await client.call_tool("mail.send")
            assert consent(gmail, "ada", caught.value.url).status_code == 200
            assert (await client.call_tool("gmail_send", {"to": "bob"})).text == "sent to bob"
            names = [tool.name for tool in await client.list_tools()]
            assert "gmail.gmail_send" in names

    with gateway_for(gmail) as gateway:
        run(runtime, lambda: body(gateway))
    assert [user for user, _ in gmail.calls] == ["ada"]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("asks_too", [False, True])
def test_a_call_waits_for_its_user_and_is_then_made(
    gmail: ProtectedServer, runtime: str, era: str, asks_too: bool
) -> None:
    """The callback sees to it, whichever way the gateway says so."""
    requests: list[Any] = []

    def on_authorization(request: Any) -> Any:
        requests.append(request)
        visitor = threading.Thread(target=consent, args=(gmail, "ada", request.url))
        visitor.start()
        return request.wait(timeout=20_000)

    async def body(gateway: LocalGateway) -> None:
        more = {"on_elicitation": lambda _: pytest.fail("not a question")} if asks_too else {}
        client = make_client(
            runtime,
            url=project(gateway),
            user_id="ada",
            protocol=era,
            on_authorization=on_authorization,
            **more,
        )
        async with client:
            assert (await client.call_tool("gmail.gmail_send", {"to": "bob"})).text == "sent to bob"

    with gateway_for(gmail) as gateway:
        run(runtime, lambda: body(gateway))
    (request,) = requests
    assert (request.server_id, request.user_id) == ("gmail", "ada")
    assert [user for user, _ in gmail.calls] == ["ada"]


def test_a_client_that_opens_urls_is_asked(gmail: ProtectedServer) -> None:
    """In the stateless era, where the question travels as a result."""
    pages: list[httpx.Response] = []

    def on_elicitation(request: Any) -> ElicitResult:
        assert request.mode == "url"
        pages.append(consent(gmail, "ada", request.url))
        return ElicitResult(action="accept")

    with (
        gateway_for(gmail) as gateway,
        SyncRouterMCPClient(project(gateway), user_id="ada", on_elicitation=on_elicitation) as client,
    ):
        assert client.call_tool("gmail.gmail_send", {"to": "bob"}).text == "sent to bob"
    (page,) = pages
    assert (page.status_code, "gmail" in page.text) == (200, True)


def test_a_user_who_does_not_want_to_is_not_asked_for_ever(gmail: ProtectedServer) -> None:
    with (
        gateway_for(gmail) as gateway,
        SyncRouterMCPClient(
            project(gateway), user_id="ada", on_elicitation=lambda _: ElicitResult(action="decline")
        ) as client,
        pytest.raises(RPCError, match="sign in at gmail first") as caught,
    ):
        client.call_tool("gmail.gmail_send", {"to": "bob"})
    assert caught.value.data["reason"] == "authorization_declined"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_user_looks_after_what_is_behind_the_gateway(gmail: ProtectedServer, runtime: str) -> None:
    async def body(gateway: LocalGateway) -> None:
        client = make_client(runtime, url=project(gateway), user_id="ada")
        async with client:
            assert [(each.server_id, each.state.value) for each in await client.connections()] == [
                ("gmail", "needs_authorization")
            ]
            request = await client.authorize("gmail", next_url=f"{gmail.origin}/mcp", scopes=["send"])
            assert "scope=send" in request.url
            assert (request.server_id, request.user_id) == ("gmail", "ada")
            assert request.expires_at is not None
            consent(gmail, "ada", request.url)
            await settled(request.wait(timeout=10_000))
            (connection,) = await client.connections()
            assert (connection.state.value, connection.expires_at is not None) == ("connected", True)
            await client.revoke("gmail")
            assert [each.state.value for each in await client.connections()] == ["revoked"]
            with pytest.raises(AuthorizationRequiredError):
                await client.call_tool("gmail.gmail_send", {"to": "bob"})
            with pytest.raises(InvalidParamsError, match="sign in at gmail here"):
                await client.authorize("mail")
            with pytest.raises(InvalidParamsError, match="scopes is no list of strings"):
                await client.authorize("gmail", scopes=[7])  # type: ignore[list-item]
            with pytest.raises(ConfigError, match="server_id="):
                await client.authorize()
            with pytest.raises(TransportError, match="nobody signed in at gmail") as caught:
                await settled((await client.authorize("gmail")).wait(timeout=100))
            assert caught.value.code == "timeout"

    with gateway_for(gmail) as gateway:
        run(runtime, lambda: body(gateway))
    assert [token.split("-")[1] for token in gmail.revoked] == ["ada", "ada"]


def test_an_application_takes_its_users_back_itself(gmail: ProtectedServer) -> None:
    oauth = {"redirectUri": "https://app.example/back", "store": "memory:"}
    with (
        gateway_for(gmail, oauth=oauth) as gateway,
        SyncRouterMCPClient(project(gateway), user_id="app") as client,
    ):
        ada, eve = client.create_session("ada"), client.create_session("eve")
        with ada, eve:
            request = ada.authorize("gmail", next_url="/inbox")
            back = callback(gmail, "ada", request.url)
            assert back.startswith("https://app.example/back?")
            with pytest.raises(OAuthError, match="no sign-in of this user"):
                eve.complete_authorization(back)
            assert ada.complete_authorization(back) == "/inbox"
            with pytest.raises(OAuthError, match="no sign-in of this user"):
                ada.complete_authorization(back)
            with pytest.raises(OAuthError, match="no sign-in waits"):
                ada.complete_authorization("https://app.example/back?code=x&state=y")
            assert ada.call_tool("gmail_send", {"to": "bob"}).text == "sent to bob"
            with pytest.raises(AuthorizationRequiredError):
                eve.call_tool("gmail_send", {"to": "bob"})


def test_a_page_that_nobody_waits_for(gmail: ProtectedServer) -> None:
    with gateway_for(gmail) as gateway:
        origin = gateway.url.removesuffix("/mcp")
        page = loopback.get(f"{origin}/v1/oauth/callback?code=x&state=%3Cscript%3E")
        assert page.status_code == 400
        assert "no sign-in waits" in page.text
        assert "<script>" not in page.text
        with SyncRouterMCPClient(project(gateway), user_id="ada") as client:
            url = client.authorize("gmail").url
            assert consent(gmail, "ada", url).status_code == 200
            again = loopback.get(callback(gmail, "ada", url))
            assert again.status_code == 400  # each counts once


def test_everybodys_servers_stay_everybodys(gmail: ProtectedServer) -> None:
    with (
        serving(Shop(["saw"])) as shop,
        gateway_for(gmail, servers={"shop": {"url": shop}}) as gateway,
        SyncRouterMCPClient(project(gateway), user_id="app") as client,
    ):
        ada, eve = client.create_session("ada"), client.create_session("eve")
        with ada, eve:
            consent(gmail, "ada", ada.authorize("gmail").url)
            theirs = {tool.name for tool in ada.list_tools()} - {tool.name for tool in eve.list_tools()}
            assert "gmail.gmail_send" in theirs
            assert all(name.startswith("gmail.") for name in theirs)
            assert eve.call_tool("shop.saw").text == ada.call_tool("saw").text == "sawn"
            search = "routermcp.searchMcpForTask"
            found = [session.call_tool(search, {"task": "gmail send"}) for session in (ada, eve)]
            assert ["gmail.gmail_send" in each.text for each in found] == [True, False]
        assert gateway.states()["gmail"] == "each user's own"


def test_a_name_that_several_servers_have_is_nobodys(gmail: ProtectedServer) -> None:
    with (
        serving(Shop(["saw"])) as one,
        serving(Shop(["saw"])) as other,
        gateway_for(gmail, servers={"one": {"url": one}, "other": {"url": other}}) as gateway,
        SyncRouterMCPClient(project(gateway)) as client,
    ):
        client.list_tools()
        with pytest.raises(InvalidParamsError, match=r"say which, one\.saw, other\.saw"):
            client.call_tool("saw")


def test_what_a_user_has_given_back_shows_no_more(gmail: ProtectedServer) -> None:
    with gateway_for(gmail) as gateway, SyncRouterMCPClient(project(gateway), user_id="ada") as client:

        def names() -> set[str]:
            return {tool.name for tool in client.list_tools()}

        for _ in range(2):
            consent(gmail, "ada", client.authorize("gmail").url)
            assert "gmail.gmail_send" in names()
            client.revoke("gmail")
            assert names() == set()
            with pytest.raises(AuthorizationRequiredError):
                client.call_tool("gmail.gmail_send", {"to": "bob"})


@pytest.mark.parametrize("notices", ["a list", "a call"])
def test_what_a_server_shows_no_more_is_shown_no_more(gmail: ProtectedServer, notices: str) -> None:
    """Where the server, or another process, has ended what the user had."""
    times = UpstreamTimes(list_seconds=0.0) if notices == "a list" else UpstreamTimes()
    servers = {"gmail": {"url": gmail.url, "authType": "oauth"}}
    with (
        serving_config({"mcpServers": servers}, memory_adapter(), times) as url,
        SyncRouterMCPClient(url, user_id="ada") as client,
    ):
        consent(gmail, "ada", client.authorize("gmail").url)
        assert "gmail.gmail_send" in {tool.name for tool in client.list_tools()}
        gmail.withdraw()
        if notices == "a call":
            with pytest.raises(AuthorizationRequiredError):
                client.call_tool("gmail.gmail_send", {"to": "bob"})
        until = time.monotonic() + PATIENCE
        while "gmail.gmail_send" in {tool.name for tool in client.list_tools()}:
            assert time.monotonic() < until
        consent(gmail, "ada", client.authorize("gmail").url)
        assert "gmail.gmail_send" in {tool.name for tool in client.list_tools()}


@pytest.mark.parametrize(
    ("host", "page"),
    [("127.0.0.1", "http://127.0.0.1:7/"), ("localhost", "http://localhost:7/"), ("::1", "http://[::1]:7/")],
)
def test_browsers_are_sent_back_to_where_the_gateway_listens(host: str, page: str) -> None:
    servers = {"gmail": {"url": "https://gmail.example/mcp", "authType": "oauth"}}
    config = GatewayConfig.model_validate({"httpServer": {"host": host, "port": 7}, "mcpServers": servers})
    backend = aggregate_of(config, tokens=memory_adapter())
    application_of(config, backend)
    assert backend.personal["gmail"].redirect_uri == f"{page}v1/oauth/callback"

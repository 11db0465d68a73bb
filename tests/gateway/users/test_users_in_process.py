"""Users of a gateway in the same process are as far apart as those who come over HTTP."""

from __future__ import annotations

import asyncio

import pytest

from routermcp import RouterMCPClient
from routermcp.gateway import LocalGateway
from routermcp.oauth import memory_adapter
from routermcp.types import AuthorizationRequiredError, OAuthError
from tests.gateway.servers import ERAS, HANDSHAKE
from tests.oauth.servers.protected_server import ProtectedServer, callback
from tests.routermcp.server import ScriptedServer


@pytest.mark.parametrize("era", ERAS)
def test_each_signs_in_for_themselves(era: str) -> None:
    async def body(mail: ProtectedServer) -> None:
        config = {"mcpServers": {"mail": {"url": mail.url, "authType": "oauth"}}}
        async with (
            LocalGateway(config, tokens=memory_adapter(), listen=False) as gateway,
            RouterMCPClient(transport=gateway.transport, user_id="app", protocol=era) as client,
            client.create_session("ada") as ada,
            client.create_session("eve") as eve,
        ):
            request = await ada.authorize("mail")
            back = await asyncio.to_thread(callback, mail, "ada", request.url)
            with pytest.raises(OAuthError, match="no sign-in of this user"):
                await eve.complete_authorization(back)
            await ada.complete_authorization(back)
            assert (await ada.call_tool("mail.add", {"a": 1, "b": 2})).text == "3"
            for other in (eve, client):
                assert [each.state.value for each in await other.connections()] == ["needs_authorization"]
                assert not any(tool.name.startswith("mail.") for tool in await other.list_tools())
                with pytest.raises(AuthorizationRequiredError):
                    await other.call_tool("mail.add", {"a": 1, "b": 2})

    with ProtectedServer() as mail:
        asyncio.run(body(mail))
    assert [user for user, _ in mail.calls] == ["ada"]


def test_each_client_has_a_session_of_its_own() -> None:
    """At the servers, too: one that leaves ends no other's."""

    async def body(url: str) -> None:
        async with LocalGateway({"mcpServers": {"shop": {"url": url}}}, listen=False) as gateway:
            one, two = (RouterMCPClient(transport=gateway.transport, protocol=HANDSHAKE) for _ in range(2))
            await one.connect()
            await two.connect()
            await two.call_tool("shop.echo", {})
            await one.call_tool("shop.echo", {})
            await one.disconnect()
            await two.call_tool("shop.echo", {})
            await two.disconnect()

    with ScriptedServer(era=HANDSHAKE) as shop:
        asyncio.run(body(shop.url))
    first, other, again = (seen.headers["mcp-session-id"] for seen in shop.requests("tools/call"))
    assert first == again != other

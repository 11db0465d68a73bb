"""The users of an authorization server have tokens of their own at the servers behind the gateway."""

from __future__ import annotations

import asyncio

import pytest

from routermcp import RouterMCPClient
from routermcp.oauth import memory_adapter
from routermcp.types import AuthorizationRequiredError
from tests.gateway.access_tokens.issuing_server import IssuingServer
from tests.gateway.servers import serving_config
from tests.oauth.servers.protected_server import ProtectedServer, consent

TWO_AND_TWO = {"a": 2, "b": 2}


def test_what_one_user_signed_in_at_is_not_open_to_another() -> None:
    store = memory_adapter()
    with IssuingServer() as issuer, ProtectedServer() as mail:
        jwt = {"issuer": issuer.origin, "audience": issuer.audience}
        servers = {"mail": {"url": mail.url, "authType": "oauth"}}

        async def body(url: str) -> None:
            def client(user: str) -> RouterMCPClient:
                return RouterMCPClient(url, headers={"Authorization": f"Bearer {issuer.token(user)}"})

            async with client("alice") as alice, client("bob") as bob:
                with pytest.raises(AuthorizationRequiredError) as asked:
                    await alice.call_tool("mail.add", TWO_AND_TWO)
                assert await asyncio.to_thread(consent, mail, "alice@mail", asked.value.url)
                assert (await alice.call_tool("mail.add", TWO_AND_TWO)).text == "4"
                with pytest.raises(AuthorizationRequiredError):
                    await bob.call_tool("mail.add", TWO_AND_TWO)
            async with client("alice") as later:
                assert (await later.call_tool("mail.add", TWO_AND_TWO)).text == "4", "with another token"

        with serving_config({"auth": {"jwt": jwt}, "mcpServers": servers}, store) as url:
            asyncio.run(body(url))
        assert store.list(f"{issuer.origin}#alice") == ["mail"]
        assert {user for user, _ in mail.calls} == {"alice@mail"}

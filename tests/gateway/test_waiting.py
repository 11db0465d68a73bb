"""Waiting for users who sign in at servers behind the gateway, some of them not for the first time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from routermcp import SyncRouterMCPClient
from routermcp._responder import settled
from routermcp.gateway import LocalGateway
from routermcp.oauth import TokenAdapter, memory_adapter
from routermcp.types import TransportError
from tests.oauth.protected_server import ProtectedServer, consent
from tests.three_runtimes import RUNTIMES, make_client, run


@pytest.fixture
def mail() -> Iterator[ProtectedServer]:
    with ProtectedServer() as server:
        yield server


def gateway_for(mail: ProtectedServer, tokens: TokenAdapter) -> LocalGateway:
    return LocalGateway({"mcpServers": {"mail": {"url": mail.url, "authType": "oauth"}}}, tokens=tokens)


def project(gateway: LocalGateway) -> str:
    return gateway.url.removesuffix("/mcp") + "/v1/mcp/default"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_tokens_that_the_gateway_had_before_are_not_those_waited_for(
    mail: ProtectedServer, runtime: str
) -> None:
    tokens = memory_adapter()
    tokens.set("ada", "mail", mail.grant("ada"))

    async def body(gateway: LocalGateway) -> None:
        async with make_client(runtime, url=project(gateway), user_id="ada") as client:
            request = await client.authorize("mail")
            with pytest.raises(TransportError, match="nobody signed in at mail"):
                await settled(request.wait(timeout=100))
            consent(mail, "ada", request.url)
            await settled(request.wait(timeout=10_000))

    with gateway_for(mail, tokens) as gateway:
        run(runtime, lambda: body(gateway))


@pytest.mark.parametrize("protocol", ["auto", "2025-11-25"])
def test_a_call_whose_tokens_are_dead_at_the_gateway_waits_for_new_ones(
    mail: ProtectedServer, protocol: str
) -> None:
    tokens, record = memory_adapter(), mail.grant("ada")
    del record["tokens"]["refresh_token"]
    tokens.set("ada", "mail", record)
    mail.expire()
    later: list[threading.Timer] = []

    def on_authorization(request: Any) -> None:
        later.append(threading.Timer(0.3, consent, (mail, "ada", request.url)))
        later[-1].start()
        request.wait(timeout=20_000)

    with gateway_for(mail, tokens) as gateway:
        client = SyncRouterMCPClient(
            project(gateway), user_id="ada", on_authorization=on_authorization, protocol=protocol
        )
        with client:
            assert client.call_tool("mail.add", {"a": 1, "b": 2}).text == "3"
    for each in later:
        each.join()


def test_tokens_without_an_end_cannot_be_told_apart(mail: ProtectedServer) -> None:
    """The gateway says nothing that would differ, so nobody is made to wait in vain."""
    tokens, record = memory_adapter(), mail.grant("ada")
    del record["tokens"]["expires_at"]
    tokens.set("ada", "mail", record)
    with gateway_for(mail, tokens) as gateway, SyncRouterMCPClient(project(gateway), user_id="ada") as client:
        client.authorize("mail").wait(timeout=5000)


def test_giving_everything_back_leaves_the_servers_alone_where_nobody_signed_in(
    mail: ProtectedServer,
) -> None:
    tokens = memory_adapter()
    tokens.set("ada", "mail", mail.grant("ada"))
    servers = {name: {"url": mail.url, "authType": "oauth"} for name in ("mail", "files")}
    with (
        LocalGateway({"mcpServers": servers}, tokens=tokens) as gateway,
        SyncRouterMCPClient(project(gateway), user_id="ada") as client,
    ):
        client.revoke_all()
        assert {each.server_id: each.state.value for each in client.connections()} == {
            "files": "needs_authorization",
            "mail": "revoked",
        }

"""Waiting for users who sign in at servers behind the gateway, some of them not for the first time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from routermcp import SyncRouterMCPClient
from routermcp._callbacks import settled
from routermcp.gateway import LocalGateway
from routermcp.oauth import Record, TokenAdapter, memory_adapter
from routermcp.types import OAuthError, TokenStoreError, TransportError
from routermcp_adapters.call.driver import CallOptions
from routermcp_adapters.runtimes.run_sync import run_sync
from routermcp_proto.gateway_calls import sign_in_status
from tests import loopback
from tests.oauth.looking import shown_by
from tests.oauth.servers.protected_server import ProtectedServer, consent, decline
from tests.oauth.test_troubled_stores import Troubled, away
from tests.three_runtimes import RUNTIMES, make_client, run


@pytest.fixture
def mail() -> Iterator[ProtectedServer]:
    with ProtectedServer() as server:
        yield server


def gateway_for(mail: ProtectedServer, tokens: TokenAdapter) -> LocalGateway:
    return LocalGateway({"mcpServers": {"mail": {"url": mail.url, "authType": "oauth"}}}, tokens=tokens)


def project(gateway: LocalGateway) -> str:
    return gateway.url.removesuffix("/mcp") + "/v1/mcp/default"


def without_end(mail: ProtectedServer) -> Record:
    """Tokens of which nothing is known that would tell them from others."""
    record = mail.grant("ada")
    del record["tokens"]["expires_at"]
    return record


@pytest.mark.parametrize("with_end", [True, False])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_tokens_that_the_gateway_had_before_are_not_those_waited_for(
    mail: ProtectedServer, runtime: str, with_end: bool
) -> None:
    tokens = memory_adapter()
    tokens.set("ada", "mail", mail.grant("ada") if with_end else without_end(mail))

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


def renewed(mail: ProtectedServer, tokens: TokenAdapter) -> None:
    """Let another process renew the tokens."""
    record = tokens.get("ada", "mail") or {}
    tokens.set("ada", "mail", {**record, "tokens": mail.grant("ada")["tokens"]})


def test_a_renewal_is_no_sign_in(mail: ProtectedServer) -> None:
    tokens = memory_adapter()
    tokens.set("ada", "mail", mail.grant("ada"))
    with gateway_for(mail, tokens) as gateway, SyncRouterMCPClient(project(gateway), user_id="ada") as client:
        request = client.authorize("mail")
        later = threading.Timer(0.2, renewed, (mail, tokens))
        later.start()
        with pytest.raises(TransportError, match="nobody signed in at mail"):
            request.wait(timeout=1500)
        later.join()


@pytest.mark.parametrize("before", ["nothing", "tokens", "tokens without an end"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_user_who_says_no_is_not_waited_for(mail: ProtectedServer, runtime: str, before: str) -> None:
    tokens = memory_adapter()
    if before != "nothing":
        tokens.set("ada", "mail", mail.grant("ada") if before == "tokens" else without_end(mail))

    async def body(gateway: LocalGateway) -> None:
        async with make_client(runtime, url=project(gateway), user_id="ada") as client:
            request = await client.authorize("mail")
            # The user has said no before anybody waits, and while somebody does.
            later = threading.Timer(0.3, decline, (mail, request.url))
            later.start()
            with pytest.raises(OAuthError, match="the sign-in at mail came to nothing; begin again"):
                await settled(request.wait(timeout=20_000))
            later.join()
            with pytest.raises(OAuthError, match="came to nothing"):
                await settled(request.wait(timeout=20_000))

    with gateway_for(mail, tokens) as gateway:
        run(runtime, lambda: body(gateway))


def test_a_sign_in_that_came_too_late_is_not_waited_for(mail: ProtectedServer) -> None:
    tokens = memory_adapter()
    with gateway_for(mail, tokens) as gateway, SyncRouterMCPClient(project(gateway), user_id="ada") as client:
        request = client.authorize("mail")
        record = tokens.get("ada", "mail") or {}
        for kept in record["pending"].values():
            kept["expires_at"] = 1
        tokens.set("ada", "mail", record)
        with pytest.raises(OAuthError, match="came to nothing"):
            request.wait(timeout=20_000)


def test_who_signs_in_before_anybody_waits_is_not_waited_for(mail: ProtectedServer) -> None:
    """Neither by who begins, nor by a callback that sends the user there and waits afterwards."""
    tokens = memory_adapter()
    record = without_end(mail)
    del record["tokens"]["refresh_token"]
    tokens.set("ada", "mail", record)
    mail.expire()

    def on_authorization(request: Any) -> None:
        consent(mail, "ada", request.url)
        request.wait(timeout=20_000)

    with gateway_for(mail, tokens) as gateway:
        client = SyncRouterMCPClient(project(gateway), user_id="ada", on_authorization=on_authorization)
        with client:
            assert client.call_tool("mail.add", {"a": 1, "b": 2}).text == "3"
            request = client.authorize("mail")
            consent(mail, "ada", request.url)
            request.wait(timeout=20_000)


def test_a_gateway_whose_store_is_started_anew(
    mail: ProtectedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Its users wait on; where the store is, only its own log says."""
    tokens = Troubled()
    with gateway_for(mail, tokens) as gateway, SyncRouterMCPClient(project(gateway), user_id="ada") as client:
        request = client.authorize("mail")
        state = urlsplit(request.url).query.partition("state=")[2].partition("&")[0]
        tokens.before = away(4)
        with pytest.raises(TokenStoreError, match="store of the tokens") as caught:
            client.connections()
        assert "10.0.0.5" not in shown_by(caught.value)
        page = loopback.get(f"{gateway.url.removesuffix('/mcp')}/v1/oauth/callback?code=c&state={state}")
        assert (page.status_code, "10.0.0.5" in page.text) == (503, False)
        tokens.inner.set("ada", "mail", mail.grant("ada"))
        request.wait(timeout=20_000)
    assert caplog.text.count("10.0.0.5") >= 2


def test_the_sign_ins_of_others_are_not_told(mail: ProtectedServer) -> None:
    with gateway_for(mail, memory_adapter()) as gateway:
        ada, bob = (SyncRouterMCPClient(project(gateway), user_id=user) for user in ("ada", "bob"))
        with ada, bob:
            call = sign_in_status("mail", ada.authorize("mail").url)
            told = [run_sync(client._driver.call(call, CallOptions(5000))).waits for client in (ada, bob)]
    assert told == [True, False]


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

"""Secrets that are planted everywhere show nowhere: not in logs, reprs, errors, tracebacks or pickles."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from routermcp import SyncRouterMCPClient
from routermcp.gateway import LocalGateway
from routermcp.oauth import (
    AuditEvent,
    OAuthConfig,
    TokenAdapter,
    client_credentials,
    cloud_adapter,
    encrypted,
    file_adapter,
    memory_adapter,
    redis_adapter,
    sql_adapter,
)
from routermcp.oauth.signing import ProofKey
from routermcp.types import MCPError, OAuthError
from routermcp_adapters.runtimes.asyncio import AsyncioRuntime
from routermcp_proto.oauth.records import GrantRecord
from tests.oauth.looking import OTHER_KEY, PLANTED, assert_clean, shown_by
from tests.oauth.servers.protected_server import ProtectedServer, callback
from tests.oauth.stores import KEY
from tests.programs import free_port
from tests.routermcp.server import Exchange


@pytest.fixture
def server() -> Iterator[ProtectedServer]:
    with ProtectedServer() as server:
        yield server


def config(server: ProtectedServer, adapter: TokenAdapter | None = None, **more: Any) -> OAuthConfig:
    options = {"authorize": lambda url: callback(server, "ada", url), **more}
    return OAuthConfig(adapter or memory_adapter(), **options)


def test_a_whole_life_of_tokens(server: ProtectedServer, caplog: pytest.LogCaptureFixture) -> None:
    """The log on the wire is on, and everything is looked at on the way."""
    caplog.set_level(logging.DEBUG, "routermcp")
    adapter, events = memory_adapter(), list[AuditEvent]()
    seen: list[object] = []
    oauth = config(server, adapter, client_secret=f"{PLANTED}-1", client_id="app", on_audit=events.append)
    with SyncRouterMCPClient(
        server.url, user_id="ada", oauth=oauth, debug=True, headers={"X-Secret-Token": f"{PLANTED}-2"}
    ) as client:
        client.list_tools()
        server.expire()
        client.list_tools()
        begun = client.authorize()
        seen += [client, oauth, adapter, begun, client.connections(), vars(client)]
        record = adapter.get("ada", adapter.list("ada")[0]) or {}
        grant = GrantRecord(record)
        key = ProofKey()
        key.sign({})
        seen += [grant, grant.tokens, grant.client, key]
        client.revoke()
    state = begun.url.partition("state=")[2].partition("&")[0]
    verifier = record["pending"][state]["verifier"]
    secrets = ((key.kept or {})["d"], verifier)
    assert_clean(caplog.text, *secrets)
    assert_clean(repr(seen), *secrets)
    assert_clean(repr(events), *secrets)
    assert {event.action for event in events} == {"obtain", "use", "refresh", "revoke"}
    assert "authorization" in caplog.text.lower()  # it is there, without what it holds


def echo(exchange: Exchange) -> None:
    """Give everything back that was sent, as a careless server does."""
    sent = exchange.seen.body.decode()
    said = {"error": "invalid_client", "error_description": f"not good: {sent}", "hint": sent}
    exchange.status(400, said)


def nonsense(exchange: Exchange) -> None:
    """Give everything back where the head of an answer should be."""
    exchange.raw(exchange.seen.body + b"\r\n\r\n")
    exchange.hang_up()


@pytest.mark.parametrize("back", [echo, nonsense])
@pytest.mark.parametrize("when", ["obtain", "renew"])
def test_an_authorization_server_that_gives_secrets_back(
    server: ProtectedServer,
    when: str,
    back: Callable[[Exchange], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "routermcp")
    oauth = config(server, client_id="app", client_secret=f"{PLANTED}-1")
    treat = server._treat

    def careless(exchange: Exchange) -> None:
        back(exchange) if exchange.seen.target == "/oauth/token" else treat(exchange)

    client = SyncRouterMCPClient(server.url, user_id="ada", oauth=oauth, debug=True)
    if when == "renew":
        with client:
            client.list_tools()
            server.expire()
            monkeypatch.setattr(server, "_treat", careless)
            with pytest.raises(MCPError) as caught:
                client.list_tools()
    else:
        monkeypatch.setattr(server, "_treat", careless)
        with pytest.raises(MCPError) as caught:
            client.connect()
    assert_clean(shown_by(caught.value))
    assert_clean(caplog.text)


def corrupt(folder: Path) -> TokenAdapter:
    adapter = file_adapter(folder)
    adapter.set("ada", "s", {"tokens": {"access_token": PLANTED}})
    (path,) = folder.rglob("*.json")
    path.write_text('{"tokens": {"access_token": "' + PLANTED)
    return adapter


def encrypted_otherwise(_: Path) -> TokenAdapter:
    inner = memory_adapter()
    encrypted(inner, KEY).set("ada", "s", {"tokens": {"access_token": PLANTED}})
    return encrypted(inner, OTHER_KEY)


def nowhere(scheme: str) -> Callable[[Path], TokenAdapter]:
    url = f"{scheme}://user:{PLANTED}@127.0.0.1:{free_port()}/0"
    return {
        "redis": lambda _: redis_adapter(url),
        "postgresql": lambda _: sql_adapter(url),
        "http": lambda _: cloud_adapter(PLANTED, base_url=url.replace(f"user:{PLANTED}@", "")),
    }[scheme]


@pytest.mark.parametrize(
    "broken",
    [corrupt, encrypted_otherwise, nowhere("redis"), nowhere("postgresql"), nowhere("http")],
    ids=["corrupt", "encrypted", "redis", "postgresql", "cloud"],
)
def test_a_store_that_does_not_work(
    server: ProtectedServer,
    broken: Callable[[Path], TokenAdapter],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "routermcp")
    adapter = broken(tmp_path)
    assert_clean(repr(adapter))
    client = SyncRouterMCPClient(
        server.url, user_id="ada", oauth=config(server, adapter, server_id="s"), debug=True
    )
    with pytest.raises(MCPError) as caught:
        client.connect()
    assert_clean(shown_by(caught.value))
    assert_clean(caplog.text)
    getattr(adapter, "close", lambda: None)()


def test_what_cannot_be_written(tmp_path: Path) -> None:
    """Databases say what was to be written; the error says why it was not."""
    adapter = sql_adapter(f"sqlite:///{tmp_path}/tokens.db")
    record = {"tokens": {"access_token": PLANTED}}
    adapter.set("ada", "s", record)
    with closing(sqlite3.connect(tmp_path / "tokens.db")) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE UPDATE OF record ON routermcp_oauth "
            "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        )
    with pytest.raises(OAuthError, match="the disk is full") as caught:
        adapter.set("ada", "s", record)
    assert_clean(shown_by(caught.value))
    adapter.close()  # pyright: ignore[reportAttributeAccessIssue]


def test_a_key_in_the_address(server: ProtectedServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "routermcp")
    oauth = OAuthConfig(memory_adapter())
    client = SyncRouterMCPClient(f"{server.url}?apiKey={PLANTED}", user_id="ada", oauth=oauth)
    with pytest.raises(MCPError, match="wants a user to sign in") as caught:
        client.connect()
    assert_clean(shown_by(caught.value))
    assert_clean(caplog.text)


def test_what_clients_sign_in_with_themselves() -> None:
    grant = client_credentials("reporting", f"{PLANTED}-3")
    assert_clean(repr([grant, OAuthConfig(memory_adapter(), grant=grant)]))


def test_a_gateway_that_keeps_tokens(
    server: ProtectedServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither its log nor what its clients get holds what its users have."""
    caplog.set_level(logging.DEBUG, "routermcp")
    config = {
        "oauth": {"store": f"file:{tmp_path}", "encryptionKeys": [KEY]},
        "mcpServers": {"mail": {"url": server.url, "oauth": {"clientId": "a", "clientSecret": PLANTED}}},
    }
    with LocalGateway(config) as gateway:
        url = gateway.url.removesuffix("/mcp") + "/v1/mcp/default"
        with SyncRouterMCPClient(url, user_id="ada", debug=True) as client:
            with pytest.raises(MCPError) as caught:
                client.call_tool("mail.add", {"a": 1, "b": 2})
            back = callback(server, "ada", client.authorize("mail").url)
            client.complete_authorization(back)
            assert client.call_tool("mail.add", {"a": 1, "b": 2}).text == "3"
            told = json.dumps([tool.to_wire() for tool in client.list_tools()]) + repr(client.connections())
            server.withdraw()
            with pytest.raises(MCPError) as again:
                client.call_tool("mail.add", {"a": 1, "b": 2})
    for error in (caught.value, again.value):
        assert_clean(shown_by(error))
    assert_clean(told)
    assert_clean(caplog.text, parse_qs(urlsplit(back).query)["state"][0])
    kept = "".join(path.read_text() for path in tmp_path.rglob("*.json"))
    assert_clean(kept)


def test_rows_that_a_database_logs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "sqlalchemy")
    adapter = sql_adapter(f"sqlite:///{tmp_path}/tokens.db")
    adapter.set("ada", "s", {"tokens": {"access_token": PLANTED}})
    assert adapter.get("ada", "s") == {"tokens": {"access_token": PLANTED}}
    adapter.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert "Row" in caplog.text
    assert_clean(caplog.text)


def test_slow_callbacks_that_a_loop_logs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In debug mode asyncio logs what a callback was given that took long."""
    caplog.set_level(logging.DEBUG, "asyncio")
    adapter = file_adapter(tmp_path)
    adapter.set("ada", "s", {"tokens": PLANTED})

    async def body() -> None:
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = 0.0
        assert await AsyncioRuntime().run_blocking(lambda: adapter.get("ada", "s")) == {"tokens": PLANTED}

    asyncio.run(body(), debug=True)
    assert "Executing" in caplog.text
    assert_clean(caplog.text)


@pytest.mark.parametrize(
    "make",
    [
        lambda: encrypted(memory_adapter(), f"{PLANTED}-ä"),
        lambda: encrypted(memory_adapter(), PLANTED),
        lambda: client_credentials("app", private_key=PLANTED),
        lambda: client_credentials("app", private_key=f"{PLANTED}-\ud800"),
        lambda: SyncRouterMCPClient(f"http://user:{PLANTED}/x@127.0.0.1/mcp"),
        lambda: SyncRouterMCPClient(f"http://user:1{PLANTED}#x@127.0.0.1/mcp"),
    ],
    ids=["key-letters", "key", "pem", "pem-letters", "url-slash", "url-hash"],
)
def test_a_setting_that_is_no_good(make: Callable[[], object]) -> None:
    with pytest.raises(MCPError) as caught:
        make()
    assert_clean(shown_by(caught.value))


def test_what_an_error_behind_a_proxy_holds() -> None:
    """httpx gives its errors the request, with all its headers."""
    url = f"http://gateway.test/mcp?apiKey={PLANTED}"
    client = SyncRouterMCPClient(url, api_key=PLANTED, proxy=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(MCPError) as caught:
        client.connect()
    cause = caught.value.__cause__
    assert isinstance(cause, httpx.ConnectError)
    assert_clean(shown_by(caught.value) + repr([cause.request, cause.request.url, cause.request.headers.raw]))


@pytest.mark.parametrize("password", [f"{PLANTED}/x", f"1{PLANTED}#x", f"{PLANTED}?x"])
def test_a_password_of_a_proxy(password: str) -> None:
    client = SyncRouterMCPClient("http://gateway.test/mcp", proxy=f"http://user:{password}@127.0.0.1:1/")
    with pytest.raises(MCPError, match="%2F") as caught:
        client.connect()
    assert_clean(shown_by(caught.value))

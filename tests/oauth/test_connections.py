"""Users and their tokens outside of calls, as web applications have them."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from routermcp import SyncRouterMCPClient
from routermcp.oauth import OAuthConfig, TokenAdapter, file_adapter, memory_adapter
from routermcp.oauth.flows.connections import ConnectionState, connection_of
from routermcp.types import AuthorizationRequiredError, ConfigError, OAuthError, TransportError
from routermcp_proto.oauth.records import GrantRecord
from tests.oauth.servers.protected_server import ProtectedServer, state_in
from tests.oauth.test_signing_in import visit
from tests.routermcp.server import Exchange, ScriptedServer
from tests.three_runtimes import RUNTIMES, make_client, run

CALLBACK = "https://app.example/callback"


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def server() -> Iterator[ProtectedServer]:
    with ProtectedServer() as server:
        yield server


async def done(result: Any) -> Any:
    """Wait for what a request gives, which in blocking code is there at once."""
    return await result if inspect.isawaitable(result) else result


def client_of(runtime: str, server: ProtectedServer, adapter: TokenAdapter, user: str = "alice") -> Any:
    oauth = OAuthConfig(adapter, redirect_uri=CALLBACK, server_id="srv")
    return make_client(runtime, url=server.url, user_id=user, oauth=oauth)


def test_a_web_application_signs_users_in(server: ProtectedServer, runtime: str, tmp_path: Any) -> None:
    async def body() -> None:
        first = client_of(runtime, server, file_adapter(tmp_path), "admin")
        request = await first.create_session("alice").authorize(next_url="/inbox")
        assert (request.server_id, request.user_id) == ("srv", "alice")
        assert request.url not in repr(request)
        assert 0 < request.expires_at - time.time() <= 600
        # The answer comes to another process, which shares nothing but the store.
        other = client_of(runtime, server, file_adapter(tmp_path), "admin")
        session = other.create_session("alice")
        assert await session.complete_authorization(visit(request.url)) == "/inbox"
        await done(request.wait(timeout=20_000))
        await session.connect()
        assert (await session.call_tool("add", {"a": 1, "b": 2})).text == "3"
        await session.disconnect()

    run(runtime, body)
    assert server.calls == [("alice", None)]


def test_an_answer_belongs_to_its_user(server: ProtectedServer, runtime: str) -> None:
    adapter = memory_adapter()

    async def body() -> None:
        client = client_of(runtime, server, adapter)
        request = await client.authorize()
        callback = visit(request.url)
        with pytest.raises(OAuthError, match="no sign-in of this user"):
            await client.create_session("mallory").complete_authorization(callback)
        assert await done(request.complete(callback)) is None
        with pytest.raises(OAuthError, match="twice"):
            await done(request.complete(callback))

    run(runtime, body)
    assert adapter.get("mallory", "srv") in (None, {"pending": {}})


def test_waiting_has_an_end(server: ProtectedServer, runtime: str) -> None:
    async def body() -> None:
        request = await client_of(runtime, server, memory_adapter()).authorize()
        with pytest.raises(TransportError, match="timeout=50 ms"):
            await done(request.wait(timeout=50))

    run(runtime, body)


def test_consent_is_withdrawn(server: ProtectedServer, runtime: str) -> None:
    adapter = memory_adapter()
    adapter.set("alice", "srv", server.grant("alice"))
    adapter.set("alice", "other", server.grant("alice"))
    adapter.set("bob", "srv", server.grant("bob"))

    async def body() -> None:
        client = client_of(runtime, server, adapter)
        async with client:
            before = {each.server_id: each.state for each in await client.connections()}
            assert before == {"srv": ConnectionState.CONNECTED, "other": ConnectionState.CONNECTED}
            await client.revoke()
            with pytest.raises(AuthorizationRequiredError):
                await client.list_tools()
            await client.revoke_all()
            after = {each.server_id: each.state for each in await client.connections()}
            assert after == {"srv": ConnectionState.REVOKED, "other": ConnectionState.REVOKED}

    run(runtime, body)
    assert len(server.revoked) == 4
    assert all("alice" in token for token in server.revoked)
    assert (adapter.get("bob", "srv") or {})["tokens"]


def test_a_registration_is_forgotten_by_hand(server: ProtectedServer, runtime: str) -> None:
    """At the session's own server and at another one of the store."""
    adapter = memory_adapter()
    for server_id in ("srv", "other"):
        adapter.set("alice", server_id, server.grant("alice"))
        adapter.set("", server_id, {"clients": {server.origin: {"client_id": "pruned"}}})

    async def body() -> None:
        client = client_of(runtime, server, adapter)
        async with client:
            await client.revoke()
            assert adapter.get("", "srv") == {"clients": {server.origin: {"client_id": "pruned"}}}
            for server_id in ("srv", "other"):
                await client.revoke(server_id, forget_client=True)
                assert adapter.get("", server_id) == {"clients": {}}

    run(runtime, body)
    assert len(server.revoked) == 4


def test_who_never_signed_in_has_nothing_to_give_back(server: ProtectedServer, runtime: str) -> None:
    """Sign-ins that wait are forgotten, here and at other servers of the store."""
    adapter = memory_adapter()
    elsewhere = OAuthConfig(adapter, redirect_uri=CALLBACK, server_id="other")

    async def begin() -> tuple[Any, Any]:
        for each in ("srv", "other"):
            adapter.delete("alice", each)
        client = client_of(runtime, server, adapter)
        other = make_client(runtime, url=server.url, user_id="alice", oauth=elsewhere)
        requests = await client.authorize(), await other.authorize()
        assert [(each.server_id, each.state) for each in await client.connections()] == [
            ("other", ConnectionState.NEEDS_AUTHORIZATION),
            ("srv", ConnectionState.NEEDS_AUTHORIZATION),
        ]
        return client, requests

    async def body() -> None:
        for ask in ("revoke_all", "revoke"):
            client, (request, _) = await begin()
            if ask == "revoke":
                await client.revoke("other")
                await client.revoke()
            else:
                await client.revoke_all()
            assert await client.connections() == []
            assert adapter.list("alice") == []
            with pytest.raises(OAuthError, match="begin again"):
                await done(request.wait(timeout=20_000))
        with pytest.raises(ConfigError, match="this session is at 'srv'"):
            await client.revoke("nowhere")

    run(runtime, body)


@pytest.mark.parametrize("kept", [True, False], ids=["signed in", "nothing kept"])
def test_withdrawn_tokens_are_not_left_in_temporary_files(
    server: ProtectedServer, tmp_path: Path, kept: bool
) -> None:
    adapter = file_adapter(tmp_path)
    adapter.set("alice", "srv", server.grant("alice"))
    (record,) = tmp_path.rglob("*.json")
    record.with_name(f".{record.name}.died.tmp").write_bytes(record.read_bytes())
    if not kept:
        record.unlink()

    async def body() -> None:
        await client_of("blocking", server, adapter).revoke()

    run("blocking", body)
    assert [path.name for path in tmp_path.rglob("*") if b"access_token" in _content(path)] == []


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def test_states_of_connections() -> None:
    tokens = {"access_token": "a", "issuer": "i", "expires_at": time.time() - 1, "scope": "x y"}
    assert connection_of("s", GrantRecord({"tokens": tokens})).state is ConnectionState.EXPIRED
    renewable = connection_of("s", GrantRecord({"tokens": {**tokens, "refresh_token": "r"}}))
    assert (renewable.state, renewable.scopes) == (ConnectionState.CONNECTED, ("x", "y"))
    assert connection_of("s", GrantRecord()).state is ConnectionState.NEEDS_AUTHORIZATION


def test_a_client_without_oauth_keeps_no_tokens(runtime: str) -> None:
    async def body() -> None:
        client: Any = make_client(runtime, url="http://127.0.0.1/mcp")
        for ask in (client.connections, client.authorize, client.revoke, client.revoke_all):
            with pytest.raises(ConfigError, match="no oauth="):
                await ask()

    run(runtime, body)


def test_a_gateway_has_to_be_connected_to(runtime: str) -> None:
    """It keeps the tokens, so that nothing is missing from the client."""

    async def body() -> None:
        client: Any = make_client(runtime, url="http://127.0.0.1/v1/mcp/default", user_id="ada")
        asks = [client.connections, client.revoke_all]
        asks += [partial(ask, "mail") for ask in (client.authorize, client.revoke)]
        asks += [partial(client.complete_authorization, f"{CALLBACK}?code=x&state=y")]
        for ask in asks:
            with pytest.raises(ConfigError, match="connect first"):
                await ask()

    run(runtime, body)


def test_another_server_cannot_be_signed_in_at(server: ProtectedServer, runtime: str) -> None:
    async def body() -> None:
        with pytest.raises(ConfigError, match="this session is at 'srv'"):
            await client_of(runtime, server, memory_adapter()).authorize("elsewhere")

    run(runtime, body)


def test_a_sign_in_elsewhere_is_noticed(server: ProtectedServer, runtime: str) -> None:
    adapter = memory_adapter()

    async def body() -> None:
        client = client_of(runtime, server, adapter)
        request = await client.authorize()
        later = threading.Timer(0.1, lambda: adapter.set("alice", "srv", server.grant("alice")))
        later.start()
        await done(request.wait(timeout=20_000))
        later.join()

    run(runtime, body)


def test_tokens_that_were_there_before_are_not_those_waited_for(
    server: ProtectedServer, runtime: str
) -> None:
    adapter = memory_adapter()
    adapter.set("alice", "srv", server.grant("alice"))

    async def body() -> None:
        request = await client_of(runtime, server, adapter).authorize()
        with pytest.raises(TransportError, match="timeout=50 ms"):
            await done(request.wait(timeout=50))
        await done(request.complete(visit(request.url)))
        await done(request.wait(timeout=20_000))

    run(runtime, body)


def test_a_renewal_is_no_sign_in(server: ProtectedServer, runtime: str) -> None:
    """Another process may renew the tokens while the user reads the page."""
    adapter = memory_adapter()
    adapter.set("alice", "srv", server.grant("alice"))

    def renew() -> None:
        record = adapter.get("alice", "srv") or {}
        adapter.set("alice", "srv", {**record, "tokens": server.grant("alice")["tokens"]})

    async def body() -> None:
        request = await client_of(runtime, server, adapter).authorize()
        renew()
        with pytest.raises(TransportError, match="timeout=50 ms"):
            await done(request.wait(timeout=50))
        other = await client_of(runtime, server, adapter).authorize()
        await done(other.complete(visit(other.url)))
        await done(request.wait(timeout=20_000))

    run(runtime, body)


def test_a_call_whose_tokens_are_dead_waits_for_new_ones(server: ProtectedServer, runtime: str) -> None:
    adapter, record = memory_adapter(), server.grant("alice")
    del record["tokens"]["refresh_token"]
    adapter.set("alice", "srv", record)
    server.expire()
    early: list[str] = []

    def sign_in(request: Any) -> Any:
        if runtime == "blocking":
            with pytest.raises(TransportError):
                request.wait(timeout=50)
            request.complete(visit(request.url))
            early.append(request.server_id)
            return request.wait(timeout=20_000)

        async def work() -> None:
            with pytest.raises(TransportError):
                await request.wait(timeout=50)
            await request.complete(visit(request.url))
            early.append(request.server_id)
            await request.wait(timeout=20_000)

        return work()

    async def body() -> None:
        oauth = OAuthConfig(adapter, redirect_uri=CALLBACK, server_id="srv")
        client = make_client(runtime, url=server.url, user_id="alice", oauth=oauth, on_authorization=sign_in)
        async with client:
            assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"

    run(runtime, body)
    assert early == ["srv"]


def test_a_user_who_says_no_is_not_waited_for(server: ProtectedServer, runtime: str) -> None:
    async def body() -> None:
        adapter = memory_adapter()
        request = await client_of(runtime, server, adapter).authorize()
        session = client_of(runtime, server, adapter).create_session("alice")
        no = f"{CALLBACK}?error=access_denied&state={state_in(request.url)}"
        with pytest.raises(OAuthError, match="access_denied"):
            await session.complete_authorization(no)
        with pytest.raises(OAuthError, match="begin again"):
            await done(request.wait(timeout=20_000))

    run(runtime, body)


def test_an_answer_that_is_being_taken_is_waited_for(server: ProtectedServer, runtime: str) -> None:
    """It is out of the record before the tokens are in it, under one lock."""
    adapter = memory_adapter()

    async def body() -> None:
        request = await client_of(runtime, server, adapter).authorize()
        lock = adapter.lock("alice", "srv")
        assert lock.acquire()
        adapter.set("alice", "srv", {"pending": {}})
        with pytest.raises(TransportError, match="timeout=50 ms"):
            await done(request.wait(timeout=50))
        adapter.set("alice", "srv", server.grant("alice"))
        lock.release()
        await done(request.wait(timeout=20_000))

    run(runtime, body)


NO_PAGES = [
    "file:///etc/passwd",
    "javascript:alert(1)",
    "https:///nowhere",
    "http://[bad",
    "https://auth.example:port/",
    "https://auth.example/\x1b]0;title\x07",
    "https://auth.example/\u202egnp",
    "https://auth.example/ page",
    "",
]


@pytest.mark.parametrize("url", NO_PAGES)
def test_nobody_is_sent_to_what_is_no_page(url: str) -> None:
    """A gateway may say anything, and what it says is opened in a browser."""

    def wants_a_user(exchange: Exchange) -> None:
        data = {"reason": "authorization_required", "server": "mail", "url": url}
        exchange.error(-32001, "sign in first", data=data)

    def sign_in(request: Any) -> None:
        pytest.fail(f"sent to {request.url!r}")

    with ScriptedServer(path="/v1/mcp/default/request") as gateway:
        gateway.results["routermcp/connections"] = {"connections": []}
        gateway.results["routermcp/authorize"] = {"serverId": "mail", "url": url, "expiresAt": 2e9}
        with SyncRouterMCPClient(gateway.url, user_id="ada", on_authorization=sign_in) as client:
            with pytest.raises(OAuthError, match="no page to sign in at") as caught:
                client.authorize("mail")
            assert str(caught.value).isprintable()
            if url:
                gateway.script("tools/call", wants_a_user)
                with pytest.raises(OAuthError, match="no page to sign in at"):
                    client.call_tool("mail.send")

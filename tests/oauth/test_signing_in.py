"""Clients at a server that wants tokens, on the three runtimes."""

from __future__ import annotations

import logging
import pickle
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from routermcp.oauth import AuditEvent, OAuthConfig, TokenAdapter, file_adapter, memory_adapter
from routermcp.types import AuthorizationRequiredError, OAuthError, TransportError
from tests import loopback
from tests.oauth.networks import InnerServer, part_networks
from tests.oauth.servers.protected_server import ProtectedServer
from tests.three_runtimes import RUNTIMES, gather, make_client, run

HANDSHAKE, STATELESS = "2025-11-25", "2026-07-28"


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=[HANDSHAKE, STATELESS])
def server(request: pytest.FixtureRequest) -> Iterator[ProtectedServer]:
    with ProtectedServer(era=request.param) as server:
        yield server


def visit(url: str) -> str:
    """Be a user's browser, at a page that asks nothing."""
    with loopback.Client() as browser:
        return browser.get(url).headers["location"]


def config(adapter: TokenAdapter | None = None, **options: Any) -> OAuthConfig:
    return OAuthConfig(adapter or memory_adapter(), **{"authorize": visit, "single_user": True, **options})


def kept(adapter: TokenAdapter, user: str) -> dict[str, Any]:
    (server_id,) = adapter.list(user)
    return adapter.get(user, server_id) or {}


def test_a_user_signs_in_once(server: ProtectedServer, runtime: str) -> None:
    adapter = memory_adapter()

    async def body() -> None:
        for _ in range(2):
            async with make_client(
                runtime, url=server.url, user_id="alice", oauth=config(adapter), send_user_id=True
            ) as client:
                assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"

    run(runtime, body)
    assert server.sign_ins == {"alice": 1}
    assert server.calls == [("alice", "alice")] * 2
    assert kept(adapter, "alice")["tokens"]["access_token"].startswith("access-alice")


def test_a_session_ends_with_a_token_too(runtime: str) -> None:
    with ProtectedServer(era=HANDSHAKE) as server:

        async def body() -> None:
            async with make_client(runtime, url=server.url, oauth=config()) as client:
                await client.list_tools()

        run(runtime, body)
        (ended,) = server.requests("DELETE")
        assert ended.headers["authorization"].startswith("Bearer access-alice")


def test_a_token_is_renewed_when_it_is_refused(server: ProtectedServer, runtime: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=server.url, oauth=config()) as client:
            await client.list_tools()
            server.expire()
            assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"
            assert client.stats().retries == 0

    run(runtime, body)
    assert (server.refreshes["alice"], server.sign_ins["alice"]) == (1, 1)
    assert server.executed["tools/call:add"] == 1


def test_a_token_is_renewed_before_it_ends(server: ProtectedServer, runtime: str) -> None:
    adapter = memory_adapter()
    server.life = 0.5  # renewed a tenth of a second before

    async def body() -> None:
        async with make_client(runtime, url=server.url, oauth=config(adapter)) as client:
            await client.list_tools()
            server.life = 3600
            until = time.time() + 30
            while not server.refreshes["alice"]:
                await client.call_tool("add", {"a": 1, "b": 2})
                assert time.time() < until

    run(runtime, body)
    assert server.refreshes["alice"] == 1
    # The server has refused the first request only, which had no token.
    assert kept(adapter, "default")["tokens"]["refresh_token"] not in server.reused
    assert server.reused == []


def test_many_callers_renew_once(server: ProtectedServer, runtime: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=server.url, oauth=config()) as client:
            await client.list_tools()
            server.expire()

            async def call() -> Any:
                return await client.call_tool("add", {"a": 1, "b": 2})

            answers = await gather(runtime, [call] * 24)
            assert {answer.text for answer in answers} == {"3"}

    run(runtime, body)
    assert (server.refreshes["alice"], server.sign_ins["alice"]) == (1, 1)
    assert server.reused == []


def test_what_another_process_has_renewed_is_taken(server: ProtectedServer, runtime: str) -> None:
    adapter = memory_adapter()

    async def body() -> None:
        async with (
            make_client(runtime, url=server.url, oauth=config(adapter)) as first,
            make_client(runtime, url=server.url, oauth=config(adapter)) as second,
        ):
            await first.list_tools()
            await second.list_tools()
            server.expire()
            await first.list_tools()
            await second.list_tools()

    run(runtime, body)
    assert (server.refreshes["alice"], server.sign_ins["alice"]) == (1, 1)
    assert server.reused == []


def test_a_withdrawn_consent_asks_the_user_once(server: ProtectedServer, runtime: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=server.url, oauth=config()) as client:
            await client.list_tools()
            server.withdraw()
            await client.list_tools()

    run(runtime, body)
    assert server.sign_ins["alice"] == 2


def test_a_user_who_cannot_be_asked_is_sent_somewhere(server: ProtectedServer, runtime: str) -> None:
    adapter = memory_adapter()
    asking = config(adapter, authorize=None, redirect_uri="https://app.example/callback", server_id="srv")

    async def body() -> None:
        client = make_client(runtime, url=server.url, user_id="bob", oauth=asking)
        with pytest.raises(AuthorizationRequiredError) as caught:
            await client.connect()
        error = pickle.loads(pickle.dumps(caught.value))
        assert (error.server_id, error.user_id) == ("srv", "bob")
        assert error.url.startswith(f"{server.origin}/oauth/authorize?")
        await client.disconnect()

    run(runtime, body)
    assert len(kept(adapter, "bob")["pending"]) == 1


def test_without_a_way_to_ask_that_is_said(server: ProtectedServer, runtime: str) -> None:
    async def body() -> None:
        client = make_client(runtime, url=server.url, user_id="bob", oauth=OAuthConfig(memory_adapter()))
        with pytest.raises(OAuthError, match="no way to ask"):
            await client.connect()
        await client.disconnect()

    run(runtime, body)


@pytest.mark.parametrize("server", [STATELESS], indirect=True)
def test_the_deadline_stands_still_while_a_user_signs_in(server: ProtectedServer, runtime: str) -> None:
    timeout_ms = 4000  # Long enough for the requests of a sign-in on a busy machine.
    never = threading.Event()

    def dawdle(url: str) -> str:
        never.wait(1.05 * timeout_ms / 1000)
        return visit(url)

    async def body() -> None:
        async with make_client(
            runtime, url=server.url, oauth=config(authorize=dawdle), timeout=timeout_ms
        ) as client:
            await client.list_tools()

    run(runtime, body)
    assert server.sign_ins["alice"] == 1


def test_a_user_has_a_time_to_sign_in_by(server: ProtectedServer, runtime: str) -> None:
    gone = threading.Event()

    async def body() -> None:
        client = make_client(
            runtime,
            url=server.url,
            oauth=config(authorize=lambda _: str(gone.wait(60))),
            interaction_timeout=200,
        )
        with pytest.raises(TransportError, match="interaction_timeout=200"):
            await client.connect()
        gone.set()
        await client.disconnect()

    run(runtime, body)


def test_a_coroutine_may_ask(server: ProtectedServer, runtime: str) -> None:
    if runtime == "blocking":
        return

    async def ask(url: str) -> str:
        return visit(url)

    async def body() -> None:
        async with make_client(runtime, url=server.url, oauth=config(authorize=ask)) as client:
            await client.list_tools()

    run(runtime, body)


def test_a_header_of_the_caller_wins(server: ProtectedServer, runtime: str) -> None:
    async def body() -> None:
        client = make_client(runtime, url=server.url, oauth=config(), api_key="mine")
        with pytest.raises(TransportError) as caught:
            await client.connect()
        assert caught.value.status_code == 401
        await client.disconnect()

    run(runtime, body)
    assert server.sign_ins == {}


def test_users_have_their_own_tokens(server: ProtectedServer, runtime: str) -> None:
    adapter = memory_adapter()
    users = [f"user-{number}" for number in range(5)]
    first = make_client(
        runtime, url=server.url, user_id="admin", oauth=config(adapter, server_id="s"), send_user_id=True
    )
    for user in [*users, "admin"]:
        adapter.set(user, "s", server.grant(user))

    async def body() -> None:
        async with first:
            sessions = [first.create_session(user) for user in users]
            for session in sessions:
                await session.connect()
            for round_ in range(3):
                await gather(
                    runtime, [lambda s=s: s.call_tool("add", {"a": 1, "b": 2}) for s in [*sessions, first]]
                )
                if round_ == 1:
                    server.expire()

    run(runtime, body)
    assert len(server.calls) == 18
    assert all(owner == named for owner, named in server.calls)
    assert set(server.refreshes.values()) == {1}


def test_a_hundred_users_come_at_once(runtime: str, tmp_path: Path) -> None:
    adapter = file_adapter(tmp_path)
    users = [f"user-{number}" for number in range(100)]

    async def body() -> None:
        client = make_client(
            runtime, url=server.url, user_id="admin", oauth=config(adapter, server_id="s"), send_user_id=True
        )
        sessions = [client.create_session(user) for user in users]

        async def call(session: Any) -> Any:
            await session.connect()
            return await session.call_tool("add", {"a": 1, "b": 2})

        await gather(runtime, [lambda session=session: call(session) for session in sessions])
        for session in sessions:
            await session.disconnect()

    with ProtectedServer(era=STATELESS) as server:
        for user in users:
            adapter.set(user, "s", server.grant(user))
        run(runtime, body)
        assert sorted(server.calls) == sorted((user, user) for user in users)


def test_a_request_elsewhere_may_fail(server: ProtectedServer, runtime: str) -> None:
    adapter = memory_adapter()
    record = server.grant("default")
    record["tokens"]["expires_at"] = time.time() - 1
    record["token_endpoint"] = "http://127.0.0.1:1/token"
    adapter.set("default", "s", record)

    async def body() -> None:
        # The token is still good there; that it could not be renewed costs nothing.
        async with make_client(runtime, url=server.url, oauth=config(adapter, server_id="s")) as client:
            await client.list_tools()

    run(runtime, body)


def test_it_is_told_what_is_done_with_tokens(server: ProtectedServer, runtime: str) -> None:
    events: list[AuditEvent] = []

    async def body() -> None:
        async with make_client(
            runtime, url=server.url, user_id="alice", oauth=config(on_audit=events.append, server_id="s")
        ) as client:
            await client.list_tools()
            server.expire()
            await client.list_tools()

    run(runtime, body)
    actions = [event.action for event in events]
    assert actions.count("obtain") == actions.count("refresh") == 1
    assert actions[0] == "obtain"
    assert "use" in actions
    assert {(event.user_id, event.server_id, event.issuer) for event in events} == {
        ("alice", "s", server.origin)
    }
    assert "access-" not in repr(events)


def test_no_secret_is_logged(server: ProtectedServer, runtime: str, caplog: pytest.LogCaptureFixture) -> None:
    adapter = memory_adapter()

    async def body() -> None:
        async with make_client(runtime, url=server.url, oauth=config(adapter)) as client:
            await client.list_tools()
            server.expire()
            await client.list_tools()
            assert "access-" not in repr(client)

    with caplog.at_level(logging.DEBUG, "routermcp"):
        run(runtime, body)
    text = caplog.text
    assert "/token" not in text or "code_verifier" not in text
    for secret in ("access-alice", "refresh-alice", "code-", "code_verifier"):
        assert secret not in text


def test_an_httpx_client_signs_in_too(server: ProtectedServer, runtime: str) -> None:
    async def body() -> None:
        kind = httpx.Client if runtime == "blocking" else httpx.AsyncClient
        http_client: Any = kind(trust_env=False)
        async with make_client(runtime, url=server.url, oauth=config(), http_client=http_client) as client:
            await client.list_tools()
            server.expire()
            await client.list_tools()
        if runtime == "blocking":
            http_client.close()
        else:
            await http_client.aclose()

    run(runtime, body)
    assert (server.sign_ins["alice"], server.refreshes["alice"]) == (1, 1)


def test_metadata_may_not_lead_into_a_private_network(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    part_networks(monkeypatch)
    with ProtectedServer(era=STATELESS) as server, InnerServer(era=STATELESS) as inner:
        server.issuer = inner.origin

        async def body() -> None:
            client = make_client(runtime, url=server.url, oauth=config())
            with pytest.raises(TransportError, match="private network"):
                await client.connect()
            await client.disconnect()

        run(runtime, body)
        assert inner.seen == []


def test_what_an_httpx_client_was_given_is_for_the_mcp_server_alone(runtime: str) -> None:
    with ProtectedServer(era=STATELESS) as server, ProtectedServer(era=STATELESS) as other:
        server.issuer = other.origin

        async def body() -> None:
            kind = httpx.Client if runtime == "blocking" else httpx.AsyncClient
            mine = {"mine": "hush"}
            http_client: Any = kind(
                trust_env=False, headers=mine, cookies=mine, params=mine, auth=lambda request: request
            )
            client = make_client(runtime, url=server.url, oauth=config(), http_client=http_client)
            # The tokens of the other server open nothing here; what matters is what went there.
            with pytest.raises((TransportError, OAuthError)):
                await client.connect()
            await client.disconnect()
            await step_or_wait(http_client.close if runtime == "blocking" else http_client.aclose)

        run(runtime, body)
        assert any(seen.target.startswith("/oauth/token") for seen in other.seen)
        for seen in other.seen:
            if not seen.target.startswith("/oauth/authorize"):
                assert "hush" not in seen.target + str(seen.headers)
        assert any("hush" in str(seen.headers) for seen in server.seen)


async def step_or_wait(close: Any) -> None:
    """Close a client of either kind."""
    done = close()
    if done is not None:
        await done


def test_an_authorization_server_that_hangs_up_does_not_leave_a_call_in_doubt(
    server: ProtectedServer, runtime: str
) -> None:
    async def body() -> None:
        async with make_client(runtime, url=server.url, oauth=config()) as client:
            await client.list_tools()
            server.expire()
            server.hangs_up = True
            with pytest.raises(TransportError) as caught:
                await client.call_tool("add", {"a": 1, "b": 2})
            assert caught.value.code != "interrupted"
            server.hangs_up = False
            assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"

    run(runtime, body)
    assert server.executed["tools/call:add"] == 1

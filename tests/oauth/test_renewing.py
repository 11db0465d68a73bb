"""Renewals whose calls give up, and calls that do not wait for a renewal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from routermcp.oauth import OAuthConfig, TokenAdapter, file_adapter, memory_adapter
from tests.oauth.servers.protected_server import ProtectedServer, callback
from tests.three_runtimes import RUNTIMES, abandon, gather, make_client, run

#: Seconds after which something that does not happen never will.
PATIENCE = 30.0

pytestmark = pytest.mark.parametrize("runtime", RUNTIMES)


@pytest.fixture
def server() -> Iterator[ProtectedServer]:
    with ProtectedServer() as server:
        yield server
        server.answers_when.set()


@pytest.fixture(params=["memory", "file"])
def adapter(request: pytest.FixtureRequest, tmp_path: Path) -> TokenAdapter:
    return memory_adapter() if request.param == "memory" else file_adapter(tmp_path)


def config(adapter: TokenAdapter, **options: Any) -> OAuthConfig:
    return OAuthConfig(adapter, redirect_uri="https://app.example/", server_id="s", dpop=False, **options)


def happens(what: Callable[[], object]) -> None:
    """Wait for what another thread does."""
    until = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < until, "it never happens"


def add(client: Any, **options: Any) -> Any:
    return client.call_tool("add", {"a": 1, "b": 2}, **options)


def access_token(adapter: TokenAdapter) -> str:
    return (adapter.get("ada", "s") or {})["tokens"]["access_token"]


async def give_up(server: ProtectedServer, runtime: str, client: Any) -> None:
    """Give a call up while the token is renewed for it."""
    while not server.refreshes["ada"]:
        assert await abandon(runtime, 0.3, lambda **options: add(client, **options))


# ---- a call gives up -----------------------------------------------------------------------------


def test_what_was_renewed_for_a_call_that_gave_up_is_kept(
    server: ProtectedServer, runtime: str, adapter: TokenAdapter
) -> None:
    actions: list[str] = []
    adapter.set("ada", "s", server.grant("ada"))

    async def body() -> None:
        oauth = config(adapter, on_audit=lambda event: actions.append(event.action))
        async with make_client(runtime, url=server.url, user_id="ada", oauth=oauth) as client:
            server.expire()
            server.answers_when.clear()
            await give_up(server, runtime, client)
            server.answers_when.set()
            assert (await add(client)).text == "3"

    before = access_token(adapter)
    run(runtime, body)
    assert access_token(adapter) != before
    assert (server.refreshes["ada"], server.sign_ins["ada"], server.reused) == (1, 0, [])
    assert actions.count("refresh") == 1


def test_the_code_of_a_sign_in_that_was_given_up_is_not_lost(
    server: ProtectedServer, runtime: str, adapter: TokenAdapter
) -> None:
    async def body() -> None:
        client = make_client(runtime, url=server.url, user_id="ada", oauth=config(adapter))
        url = callback(server, "ada", (await client.authorize()).url)
        server.answers_when.clear()
        while not server.sign_ins["ada"]:
            assert await abandon(
                runtime, 0.3, lambda **options: client.complete_authorization(url, **options)
            )
        server.answers_when.set()
        async with client:
            assert (await add(client)).text == "3"

    run(runtime, body)
    assert server.sign_ins["ada"] == 1


def test_the_end_of_a_client_waits_for_a_renewal(
    server: ProtectedServer, runtime: str, adapter: TokenAdapter
) -> None:
    adapter.set("ada", "s", server.grant("ada"))
    before = access_token(adapter)
    later = threading.Timer(0.3, server.answers_when.set)

    async def body() -> None:
        async with make_client(runtime, url=server.url, user_id="ada", oauth=config(adapter)) as client:
            server.expire()
            server.answers_when.clear()
            await give_up(server, runtime, client)
            later.start()

    run(runtime, body)
    later.join()
    assert access_token(adapter) != before
    lock = adapter.lock("ada", "s")
    assert lock.acquire()
    lock.release()


def test_an_end_does_not_wait_for_ever(server: ProtectedServer, runtime: str) -> None:
    adapter = memory_adapter()
    adapter.set("ada", "s", server.grant("ada"))

    async def body() -> None:
        client = make_client(runtime, url=server.url, user_id="ada", oauth=config(adapter))
        client._transport.background_seconds = 0.1
        await client.connect()
        server.expire()
        server.answers_when.clear()
        await give_up(server, runtime, client)
        await client.disconnect()

    began = time.monotonic()
    run(runtime, body)
    assert time.monotonic() - began < PATIENCE
    server.answers_when.set()
    happens(adapter.lock("ada", "s").acquire)


def test_an_httpx_client_renews_to_the_end_too(server: ProtectedServer, runtime: str) -> None:
    adapter = memory_adapter()
    adapter.set("ada", "s", server.grant("ada"))

    async def body() -> None:
        kind = httpx.Client if runtime == "blocking" else httpx.AsyncClient
        http_client: Any = kind(trust_env=False)
        async with make_client(
            runtime, url=server.url, user_id="ada", oauth=config(adapter), http_client=http_client
        ) as client:
            server.expire()
            server.answers_when.clear()
            await give_up(server, runtime, client)
            server.answers_when.set()
            assert (await add(client)).text == "3"
        await http_client.aclose() if runtime != "blocking" else http_client.close()

    run(runtime, body)
    assert (server.refreshes["ada"], server.sign_ins["ada"], server.reused) == (1, 0, [])


# ---- calls go on ---------------------------------------------------------------------------------


def nearly_over(server: ProtectedServer, adapter: TokenAdapter) -> str:
    """Let the store hold a token that is good, but should be renewed; return it."""
    record = server.grant("ada")
    record["tokens"].update(obtained_at=time.time() - 3570, expires_at=time.time() + 30)
    adapter.set("ada", "s", record)
    return access_token(adapter)


def test_a_token_that_is_still_good_is_used_while_it_is_renewed(
    server: ProtectedServer, runtime: str, adapter: TokenAdapter
) -> None:
    oauth = config(adapter)
    oauth.times.patience_seconds, oauth.times.try_again_seconds = 0.2, 0.0
    before = nearly_over(server, adapter)
    server.answers_when.clear()

    async def body() -> None:
        async with make_client(runtime, url=server.url, user_id="ada", oauth=oauth, timeout=20_000) as client:
            calls: list[Callable[[], Any]] = [lambda: add(client)] * 8
            answers = await gather(runtime, calls)
            assert {answer.text for answer in answers} == {"3"}
            assert {seen.headers["authorization"] for seen in server.requests("tools/call")} == {
                f"Bearer {before}"
            }
            assert server.refreshes["ada"] == 1
            server.answers_when.set()
            while server.requests("tools/call")[-1].headers["authorization"] == f"Bearer {before}":
                await add(client)

    run(runtime, body)
    assert (server.refreshes["ada"], server.reused) == (1, [])


def test_a_token_that_is_still_good_is_used_while_another_process_renews_it(
    server: ProtectedServer, runtime: str, adapter: TokenAdapter
) -> None:
    oauth = config(adapter)
    oauth.times.patience_seconds = 0.1
    nearly_over(server, adapter)
    theirs = adapter.lock("ada", "s")
    assert theirs.acquire()

    async def body() -> None:
        async with make_client(runtime, url=server.url, user_id="ada", oauth=oauth, timeout=20_000) as client:
            assert (await add(client)).text == "3"
            # Nobody looks at the lock again for a while.
            oauth.times.patience_seconds = 60.0
            assert (await add(client)).text == "3"

    run(runtime, body)
    theirs.release()
    assert server.refreshes["ada"] == 0


def test_what_another_process_has_renewed_is_used_before_its_lock_is_free(
    server: ProtectedServer, runtime: str, adapter: TokenAdapter
) -> None:
    """Of many who want to renew, one needs the lock."""
    record = server.grant("ada")
    record["tokens"].update(obtained_at=time.time() - 3600, expires_at=time.time() - 1)
    adapter.set("ada", "s", record)
    theirs = adapter.lock("ada", "s")
    assert theirs.acquire()
    later = threading.Timer(0.3, lambda: adapter.set("ada", "s", server.grant("ada")))

    async def body() -> None:
        async with make_client(
            runtime, url=server.url, user_id="ada", oauth=config(adapter), timeout=20_000
        ) as client:
            assert (await add(client)).text == "3"

    later.start()
    run(runtime, body)
    later.join()
    theirs.release()
    assert server.refreshes["ada"] == 0

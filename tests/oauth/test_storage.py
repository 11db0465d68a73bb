"""How clients use stores: awaited ones too, under a lease that is held on to, next to other processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from routermcp import RouterMCPClient, SyncRouterMCPClient
from routermcp.oauth import AdapterLock, OAuthConfig, Record, encrypted, memory_adapter
from routermcp.types import AuthorizationRequiredError, ConfigError, LockLostError, TransportError
from routermcp_adapters.runtimes.auto import running
from tests.oauth.servers.protected_server import ProtectedServer, callback
from tests.oauth.stores import KEY
from tests.three_runtimes import RUNTIMES, gather, make_client, run


@pytest.fixture
def server() -> Iterator[ProtectedServer]:
    with ProtectedServer() as server:
        yield server


class AwaitedLock:
    def __init__(self, lock: AdapterLock) -> None:
        self.seconds = lock.seconds
        self._lock = lock

    async def acquire(self) -> bool:
        return self._lock.acquire()

    async def renew(self) -> bool:
        return self._lock.renew()

    async def release(self) -> None:
        self._lock.release()


class AwaitedAdapter:
    """Keeps records in memory, and lets others run meanwhile."""

    def __init__(self, runtime: str) -> None:
        self.runtime = runtime
        self._adapter = memory_adapter()

    async def get(self, user_id: str, server_id: str) -> Record | None:
        await running().sleep(0)
        return self._adapter.get(user_id, server_id)

    async def set(self, user_id: str, server_id: str, record: Record, *, lock: Any = None) -> None:
        await running().sleep(0)
        self._adapter.set(user_id, server_id, record)

    async def delete(self, user_id: str, server_id: str) -> None:
        self._adapter.delete(user_id, server_id)

    async def list(self, user_id: str) -> list[str]:
        await running().sleep(0)
        return self._adapter.list(user_id)

    def lock(self, user_id: str, server_id: str) -> AwaitedLock:
        return AwaitedLock(self._adapter.lock(user_id, server_id))


# ---- adapters that are awaited --------------------------------------------------------------------


@pytest.mark.parametrize("runtime", ["asyncio", "trio"])
@pytest.mark.parametrize("declared", ["own", "any"])
def test_an_adapter_may_be_awaited(server: ProtectedServer, runtime: str, declared: str) -> None:
    adapter = AwaitedAdapter(runtime if declared == "own" else "any")

    async def body() -> None:
        oauth = OAuthConfig(adapter, authorize=lambda url: callback(server, "ada", url))
        async with make_client(runtime, url=server.url, user_id="ada", oauth=oauth) as client:
            calls: list[Callable[[], Any]] = [client.list_tools] * 5
            await gather(runtime, calls)
            server.expire()
            await gather(runtime, calls)
            (connection,) = await client.connections()
            assert connection.state.value == "connected"
            await client.revoke()
            (connection,) = await client.connections()
            assert connection.state.value == "revoked"

    run(runtime, body)
    assert (server.sign_ins["ada"], server.refreshes["ada"], server.reused) == (1, 1, [])


@pytest.mark.parametrize("runtime", ["asyncio", "trio"])
def test_an_adapter_of_another_runtime_is_refused(server: ProtectedServer, runtime: str) -> None:
    other = {"asyncio": "trio", "trio": "asyncio"}[runtime]

    async def body() -> None:
        oauth = OAuthConfig(AwaitedAdapter(other), redirect_uri="https://app.example/")
        client = make_client(runtime, url=server.url, user_id="ada", oauth=oauth)
        with pytest.raises(ConfigError, match=f"is an adapter for {other}, not for {runtime}"):
            await client.connect()

    run(runtime, body)


def test_blocking_code_takes_no_adapter_that_is_awaited(server: ProtectedServer) -> None:
    with pytest.raises(ConfigError, match="plain methods"):
        SyncRouterMCPClient(server.url, user_id="ada", oauth=OAuthConfig(AwaitedAdapter("any")))
    with pytest.raises(ConfigError, match="'asyncio', 'trio' or 'any'"):
        RouterMCPClient(server.url, user_id="ada", oauth=OAuthConfig(AwaitedAdapter("curio")))
    with pytest.raises(ConfigError, match="plain methods"):
        encrypted(AwaitedAdapter("any"), KEY)  # type: ignore[arg-type]


# ---- leases ------------------------------------------------------------------------------------------


class LeasedLock:
    """A lease that ends at once unless it is renewed, and notes that."""

    def __init__(self, lock: AdapterLock, seconds: float, lost: bool) -> None:
        self.seconds: float | None = seconds
        self.renewals = 0
        self._lock = lock
        self._lost = lost

    def acquire(self) -> bool:
        return self._lock.acquire()

    def renew(self) -> bool:
        self.renewals += 1
        return not self._lost

    def release(self) -> None:
        self._lock.release()


class Leasing:
    """An adapter whose locks are leases."""

    def __init__(self, seconds: float, *, lost: bool = False) -> None:
        self.locks: list[LeasedLock] = []
        self._adapter = memory_adapter()
        self._seconds = seconds
        self._lost = lost

    def lock(self, user_id: str, server_id: str) -> AdapterLock:
        self.locks.append(LeasedLock(self._adapter.lock(user_id, server_id), self._seconds, self._lost))
        return self.locks[-1]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)


def leasing(server: ProtectedServer, adapter: Any) -> OAuthConfig:
    return OAuthConfig(adapter, authorize=lambda url: callback(server, "ada", url))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_lease_is_held_on_to(server: ProtectedServer, runtime: str) -> None:
    adapter = Leasing(30.0)
    oauth = leasing(server, adapter)
    oauth.times.lease_renew_fraction = 0.0

    async def body() -> None:
        async with make_client(runtime, url=server.url, user_id="ada", oauth=oauth) as client:
            await client.list_tools()

    run(runtime, body)
    # Once before each request: two for metadata, a registration, and then the token.
    assert [lock.renewals for lock in adapter.locks] == [3, 1]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_lease_that_is_lost_ends_what_is_done_under_it(server: ProtectedServer, runtime: str) -> None:
    async def body() -> None:
        oauth = leasing(server, Leasing(30.0, lost=True))
        oauth.times.lease_renew_fraction = 0.0
        client = make_client(runtime, url=server.url, user_id="ada", oauth=oauth)
        with pytest.raises(LockLostError):
            await client.connect()

    run(runtime, body)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_request_does_not_outlast_the_lease(server: ProtectedServer, runtime: str) -> None:
    adapter = Leasing(0.5)
    server.hangs_on = True

    async def body() -> None:
        client = make_client(runtime, url=server.url, user_id="ada", oauth=leasing(server, adapter))
        began = time.monotonic()
        with pytest.raises(TransportError, match=r"/oauth/token took longer than 0\.25 s") as caught:
            await client.connect()
        assert (caught.value.code, caught.value.not_run) == ("timeout", True)
        assert time.monotonic() - began < 10

    run(runtime, body)


# ---- other processes --------------------------------------------------------------------------------


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_others_have_renewed_long_ago_is_renewed_again(server: ProtectedServer, runtime: str) -> None:
    """It is not shown: some servers take a token that comes too late for a theft."""
    adapter = memory_adapter()
    server.life = 0.5

    async def body() -> str:
        oauth = leasing(server, adapter)
        async with make_client(runtime, url=server.url, user_id="ada", oauth=oauth) as client:
            (server_id,) = adapter.list("ada")
            server.life = 3600
            other = server.grant("ada")
            other["tokens"]["expires_at"] = time.time() - 1
            adapter.set("ada", server_id, {**(adapter.get("ada", server_id) or {}), **other})
            until = time.monotonic() + 30
            while not server.refreshes["ada"]:
                await client.list_tools()
                assert time.monotonic() < until
            return other["tokens"]["access_token"]

    shown = {f"Bearer {run(runtime, body)}"}
    assert shown.isdisjoint(seen.headers.get("authorization") for seen in server.seen)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_tokens_that_another_process_gave_back_are_used_no_more(
    server: ProtectedServer, runtime: str
) -> None:
    adapter = memory_adapter()

    async def body() -> None:
        oauth = OAuthConfig(adapter, redirect_uri="https://app.example/")
        oauth.times.read_again_seconds = 0.0
        client = make_client(runtime, url=server.url, user_id="ada", oauth=oauth)
        request = await client.authorize()
        await client.complete_authorization(callback(server, "ada", request.url))
        async with client:
            await client.list_tools()
            other = make_client(runtime, url=server.url, user_id="ada", oauth=oauth)
            await other.revoke()
            with pytest.raises(AuthorizationRequiredError):
                await client.list_tools()

    run(runtime, body)

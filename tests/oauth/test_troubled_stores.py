"""What is kept of tokens, and who waits, when stores and callbacks do not do as they should."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from routermcp import RouterMCPClient, SyncRouterMCPClient
from routermcp._callbacks import settled
from routermcp.oauth import OAuthConfig, Record, TokenAdapter, memory_adapter
from routermcp.oauth.flows.polling import MAX_FAILED_POLLS
from routermcp.oauth.flows.transaction import MAX_WRITES
from routermcp.types import AuthorizationRequiredError, OAuthError, TokenStoreError
from routermcp_adapters.runtimes.auto import running
from tests.oauth.servers.protected_server import ProtectedServer, callback
from tests.three_runtimes import RUNTIMES, abandon, gather, make_client, run

EACH = pytest.mark.parametrize("runtime", RUNTIMES)


@pytest.fixture
def server() -> Iterator[ProtectedServer]:
    with ProtectedServer() as server:
        yield server
        server.answers_when.set()


class Troubled:
    """Keeps records in memory; what it is to do first is asked of a test.

    Attributes:
        before: Called with the name of a method before it is done, unless that is ``lock``.
        written: Whether the lock was held at each write of a user's record.
    """

    inline = False

    def __init__(self) -> None:
        self.inner = memory_adapter()
        self.before: Callable[[str], object] = lambda _: None
        self.written: list[bool] = []

    def get(self, user_id: str, server_id: str) -> Record | None:
        self.before("get")
        return self.inner.get(user_id, server_id)

    def set(self, user_id: str, server_id: str, record: Record, *, lock: Any = None) -> None:
        self.before("set")
        if user_id:
            self.written.append(lock is not None and lock.renew())
        self.inner.set(user_id, server_id, record)

    def delete(self, user_id: str, server_id: str) -> None:
        self.inner.delete(user_id, server_id)

    def list(self, user_id: str) -> list[str]:
        return self.inner.list(user_id)

    def lock(self, user_id: str, server_id: str) -> Any:
        return _Lock(self, self.inner.lock(user_id, server_id))


class _Lock:
    seconds: float | None = None

    def __init__(self, adapter: Troubled, inner: Any) -> None:
        self._adapter = adapter
        self._inner = inner

    def acquire(self) -> bool:
        self._adapter.before("acquire")
        return self._inner.acquire()

    def renew(self) -> bool:
        return self._inner.renew()

    def release(self) -> None:
        self._inner.release()


def config(adapter: Any, **options: Any) -> OAuthConfig:
    return OAuthConfig(
        adapter, **{"redirect_uri": "https://app.example/", "server_id": "s", "dpop": False, **options}
    )


def add(client: Any, **options: Any) -> Any:
    return client.call_tool("add", {"a": 1, "b": 2}, **options)


def shown(server: ProtectedServer) -> set[str]:
    return {seen.headers.get("authorization", "") for seen in server.requests("tools/call")}


def is_free(adapter: TokenAdapter) -> bool:
    lock = adapter.lock("ada", "s")
    taken = lock.acquire()
    lock.release()
    return taken


def fails(
    name: str, times: int, why: str = "the store is away", kind: type[OAuthError] = OAuthError
) -> Callable[[str], None]:
    """Return what lets a method fail so often."""
    left = [times]

    def before(method: str) -> None:
        if method == name and left[0]:
            left[0] -= 1
            raise kind(why)

    return before


# ---- one renewal is not another ------------------------------------------------------------------


@EACH
def test_the_answer_of_a_user_is_taken_though_another_process_was_faster(
    server: ProtectedServer, runtime: str
) -> None:
    """It holds the lock when the user comes back here, and has tokens already."""
    adapter = Troubled()
    other, attempts = adapter.inner.lock("ada", "s"), list[str]()

    def tries(method: str) -> None:
        attempts.append(method)
        if attempts.count("acquire") == 3:
            other.release()

    def visit(url: str) -> str:
        record = adapter.inner.get("ada", "s") or {}
        adapter.inner.set("ada", "s", {**record, **server.grant("ada")})
        assert other.acquire()
        adapter.before = tries
        return callback(server, "ada", url)

    async def body() -> None:
        oauth = config(adapter, authorize=visit)
        async with make_client(runtime, url=server.url, user_id="ada", oauth=oauth) as client:
            await add(client)

    run(runtime, body)
    assert server.sign_ins["ada"] == 1


@EACH
def test_a_token_that_ends_while_it_is_being_kept_is_renewed(server: ProtectedServer, runtime: str) -> None:
    """A call that is refused with it waits for the renewal under way, which was of an older one."""
    adapter = Troubled()
    for user in ("ada", "bob"):
        adapter.set(user, "s", server.grant(user))
    kept, keep = threading.Event(), threading.Event()

    def before(method: str) -> None:
        if method == "set" and not kept.is_set():
            server.expire("ada")  # what has just been renewed
            kept.set()
            assert keep.wait(30)

    async def body() -> list[Any]:
        async with make_client(runtime, url=server.url, user_id="ada", oauth=config(adapter)) as client:
            bob = client.create_session("bob")
            await bob.connect()

            async def wait(what: Callable[[], object]) -> None:
                while not what():
                    assert (await add(bob)).text == "3"  # who waits for nobody

            def refused() -> bool:
                return "Bearer access-ada-5" in shown(server)

            async def later() -> Any:
                await wait(kept.is_set)
                answer, _ = await gather(runtime, [lambda: add(client), release])
                return answer

            async def release() -> None:
                await wait(refused)
                seen = len(server.seen)
                await wait(lambda: len(server.seen) > seen + 10)  # the refusal has arrived, too
                keep.set()

            server.expire("ada")
            adapter.before = before
            return await gather(runtime, [lambda: add(client), later])

    assert [answer.text for answer in run(runtime, body)] == ["3", "3"]
    assert (server.refreshes["ada"], server.sign_ins["ada"], server.reused) == (2, 0, [])


# ---- nothing is lost -----------------------------------------------------------------------------


@EACH
def test_an_audit_that_fails_costs_no_token(
    server: ProtectedServer, runtime: str, caplog: pytest.LogCaptureFixture
) -> None:
    adapter = memory_adapter()
    adapter.set("ada", "s", server.grant("ada"))

    def audit(_: object) -> None:
        raise RuntimeError("the disk of the audit is full")

    async def body() -> None:
        oauth = config(adapter, on_audit=audit)
        async with make_client(runtime, url=server.url, user_id="ada", oauth=oauth) as client:
            for _ in range(2):
                server.expire()
                assert (await add(client)).text == "3"

    run(runtime, body)
    assert (server.refreshes["ada"], server.reused) == (2, [])
    assert "on_audit failed for refresh" in caplog.text


@EACH
@pytest.mark.parametrize("failures", [1, 3, 7])
def test_a_store_that_is_away_for_a_while_loses_no_token(
    server: ProtectedServer, runtime: str, failures: int
) -> None:
    """Seven are more than are tried at once: then memory is what has the token."""
    adapter = Troubled()
    oauth = config(adapter)
    oauth.times.write_pause_seconds = 0.001
    oauth.times.try_again_seconds = 0.0
    adapter.set("ada", "s", server.grant("ada"))

    async def body() -> None:
        async with make_client(runtime, url=server.url, user_id="ada", oauth=oauth) as client:
            server.expire()
            adapter.before = fails("set", failures)
            if failures > MAX_WRITES:
                with pytest.raises(OAuthError, match="the store is away"):
                    await add(client)
            for _ in range(3):
                assert (await add(client)).text == "3"
            # Another process finds it there, whether this one uses its token again or not.
            assert (adapter.get("ada", "s") or {})["tokens"]["refresh_token"] in server._refresh
            server.expire()
            assert (await add(client)).text == "3"

    run(runtime, body)
    assert (server.refreshes["ada"], server.reused) == (2, [])
    assert (adapter.get("ada", "s") or {})["tokens"]["refresh_token"] in server._refresh


@EACH
def test_what_others_have_written_is_not_written_over(server: ProtectedServer, runtime: str) -> None:
    """The store fails when the user has just come back."""
    adapter = Troubled()

    def ask(url: str) -> str:
        adapter.inner.set("ada", "s", {**(adapter.inner.get("ada", "s") or {}), "by": "another process"})
        adapter.before = fails("get", 1)
        return callback(server, "ada", url)

    async def body() -> None:
        client = make_client(runtime, url=server.url, user_id="ada", oauth=config(adapter, authorize=ask))
        with pytest.raises(OAuthError, match="the store is away"):
            await client.connect()

    run(runtime, body)
    assert (adapter.get("ada", "s") or {})["by"] == "another process"
    assert all(adapter.written)
    assert is_free(adapter.inner)


@EACH
def test_consent_is_withdrawn_although_nobody_waits_for_it(server: ProtectedServer, runtime: str) -> None:
    adapter = memory_adapter()
    adapter.set("ada", "s", server.grant("ada"))
    hold = threading.Event()
    treat = server._treat

    def treated(exchange: Any) -> None:
        if exchange.seen.target == "/oauth/revoke":
            hold.wait(60)
        treat(exchange)

    server._treat = treated  # type: ignore[method-assign]

    async def body() -> None:
        async with make_client(runtime, url=server.url, user_id="ada", oauth=config(adapter)) as client:
            assert await abandon(runtime, 0.5, client.revoke)
            assert [each.state.value for each in await client.connections()] == ["revoked"]
            hold.set()
            with pytest.raises(AuthorizationRequiredError):
                await add(client)

    run(runtime, body)
    assert "tokens" not in (adapter.get("ada", "s") or {})


@pytest.mark.parametrize("odd", [7, "x", ["x"], {"x": 7}])
def test_what_another_program_has_written_is_passed_over(server: ProtectedServer, odd: Any) -> None:
    """The user signs in anew, also where the key that tokens were bound to cannot be read."""
    adapter = memory_adapter()
    adapter.set("ada", "s", {"tokens": odd, "pending": odd, "dpop_key": odd, "endpoint": server.url})
    adapter.set("", "s", {"clients": odd})
    oauth = config(adapter, authorize=lambda url: callback(server, "ada", url), dpop=None)
    with SyncRouterMCPClient(server.url, user_id="ada", oauth=oauth) as client:
        with pytest.raises(OAuthError, match="too late, or twice"):
            client.complete_authorization("https://app.example/?code=1&state=x")
        assert add(client).text == "3"


# ---- nobody waits for nothing ---------------------------------------------------------------------


@EACH
def test_a_lock_that_comes_too_late_is_given_back(server: ProtectedServer, runtime: str) -> None:
    adapter = Troubled()
    adapter.set("ada", "s", server.grant("ada"))
    asked, go_on = threading.Event(), threading.Event()

    def before(method: str) -> None:
        if method == "acquire" and not asked.is_set():
            asked.set()
            go_on.wait(60)

    async def body() -> None:
        async with make_client(runtime, url=server.url, user_id="ada", oauth=config(adapter)) as client:
            server.expire()
            adapter.before = before
            while not asked.is_set():
                assert await abandon(runtime, 0.3, lambda **options: add(client, **options))
            go_on.set()
            assert (await add(client)).text == "3"

    run(runtime, body)
    assert server.refreshes["ada"] == 1
    assert is_free(adapter.inner)


@EACH
def test_a_store_that_hangs_holds_up_nobody_whose_token_is_good(
    server: ProtectedServer, runtime: str
) -> None:
    adapter = Troubled()
    adapter.set("ada", "s", server.grant("ada"))
    oauth = config(adapter)
    go_on = threading.Event()

    async def body() -> None:
        async with make_client(runtime, url=server.url, user_id="ada", oauth=oauth, timeout=20_000) as client:
            await add(client)
            oauth.times.read_again_seconds = 0.0
            adapter.before = lambda _: go_on.wait(60)
            began = time.monotonic()
            assert (await add(client)).text == "3"
            assert time.monotonic() - began < 10
            go_on.set()

    run(runtime, body)


def test_the_end_of_a_renewal_in_another_run_of_trio_is_the_next_ones_beginning(
    server: ProtectedServer,
) -> None:
    """The clock of trio begins anew with each run."""
    adapter = memory_adapter()
    record = server.grant("ada")
    record["tokens"].update(obtained_at=time.time() - 3570, expires_at=time.time() + 30)
    adapter.set("ada", "s", record)
    oauth = config(adapter)
    oauth.times.try_again_seconds = 0.0
    client = RouterMCPClient(server.url, user_id="ada", oauth=oauth)

    async def body() -> None:
        async with client:
            await add(client)

    server.hangs_up = True
    for _ in range(4):
        run("trio", body)
    server.hangs_up = False
    run("trio", body)
    assert server.refreshes["ada"] == 1


class Awaited:
    """An adapter whose locks take a while to be given up."""

    runtime = "asyncio"

    def __init__(self) -> None:
        self.inner = memory_adapter()

    async def get(self, user_id: str, server_id: str) -> Record | None:
        return self.inner.get(user_id, server_id)

    async def set(self, user_id: str, server_id: str, record: Record, *, lock: Any = None) -> None:
        self.inner.set(user_id, server_id, record)

    async def delete(self, user_id: str, server_id: str) -> None:
        self.inner.delete(user_id, server_id)

    async def list(self, user_id: str) -> list[str]:
        return self.inner.list(user_id)

    def lock(self, user_id: str, server_id: str) -> Any:
        inner = self.inner.lock(user_id, server_id)

        class Lock:
            seconds: float | None = None

            async def acquire(self) -> bool:
                return inner.acquire()

            async def renew(self) -> bool:
                return inner.renew()

            async def release(self) -> None:
                for _ in range(5):
                    await running().sleep(0)
                inner.release()

        return Lock()


def test_an_awaited_lock_is_given_up_however_often_its_holder_is_cancelled(server: ProtectedServer) -> None:
    adapter = Awaited()
    hold = threading.Event()

    async def body() -> None:
        server.issuer = server.origin
        treat = server._treat

        def treated(exchange: Any) -> None:
            if exchange.seen.target.startswith("/.well-known/oauth-authorization-server"):
                hold.wait(60)
            treat(exchange)

        server._treat = treated  # type: ignore[method-assign]
        client = RouterMCPClient(server.url, user_id="ada", oauth=config(adapter))
        call = asyncio.create_task(client.connect())
        while is_free(adapter.inner):
            await asyncio.sleep(0)
        while not call.done():  # as a cancel scope of anyio does
            call.cancel()
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert is_free(adapter.inner)
        hold.set()

    asyncio.run(body())


# ---- keys ------------------------------------------------------------------------------------------


def binds_tokens(server: ProtectedServer) -> list[Any]:
    """Let a server give tokens that are bound to a key; return the keys that calls are proved with."""
    keys: list[Any] = []
    metadata, give, treat = server._metadata, server._give, server._treat

    def treated(exchange: Any) -> None:
        headers = exchange.seen.headers
        if headers.get("authorization", "").startswith("DPoP "):
            head = headers["dpop"].partition(".")[0]
            keys.append(json.loads(base64.urlsafe_b64decode(head + "=="))["jwk"]["x"])
            headers["authorization"] = headers["authorization"].replace("DPoP", "Bearer")
        treat(exchange)

    algorithms = {"dpop_signing_alg_values_supported": ["ES256"]}
    server._metadata = lambda: {**metadata(), **algorithms}  # type: ignore[method-assign]
    server._give = lambda user: {**give(user), "token_type": "DPoP"}  # type: ignore[method-assign]
    server._treat = treated  # type: ignore[method-assign]
    return keys


@EACH
def test_tokens_are_proved_with_the_key_that_they_are_bound_to(server: ProtectedServer, runtime: str) -> None:
    """A sign-in that one process has begun and another one completes."""
    adapter, keys = memory_adapter(), binds_tokens(server)
    oauth = config(adapter, dpop=True)

    def bound_to() -> str:
        return (adapter.get("ada", "s") or {})["dpop_key"]["x"]

    async def body() -> None:
        here = make_client(runtime, url=server.url, user_id="ada", oauth=oauth)
        there = make_client(runtime, url=server.url, user_id="ada", oauth=oauth)
        request = await here.authorize()
        await there.complete_authorization(callback(server, "ada", request.url))
        first = bound_to()
        await here.authorize()
        async with here:
            await add(here)
        assert set(keys) == {first}
        # Somebody has had to begin anew.
        adapter.delete("ada", "s")
        other = make_client(runtime, url=server.url, user_id="ada", oauth=oauth)
        await other.complete_authorization(callback(server, "ada", (await other.authorize()).url))
        assert bound_to() != first
        keys.clear()
        async with here:
            server.expire()
            await add(here)
        assert keys[-1] == bound_to()

    run(runtime, body)
    assert server.reused == []


# ---- waiting while the store is away --------------------------------------------------------------


def away(times: int) -> Callable[[str], None]:
    """Return what lets a store be away for so many looks."""
    return fails("get", times, "10.0.0.5 refuses connections", TokenStoreError)


@EACH
@pytest.mark.parametrize("looks", [MAX_FAILED_POLLS - 1, MAX_FAILED_POLLS])
def test_a_user_is_waited_for_while_the_store_is_started_anew(
    server: ProtectedServer, runtime: str, looks: int
) -> None:
    """And no longer: a store that stays away is what the caller hears of."""
    adapter = Troubled()
    oauth = config(adapter)
    oauth.times.sign_in_poll_seconds = 0.01
    stays = (
        pytest.raises(TokenStoreError, match=r"10\.0\.0\.5") if looks == MAX_FAILED_POLLS else nullcontext()
    )

    async def body() -> None:
        client = make_client(runtime, url=server.url, user_id="ada", oauth=oauth)
        request = await client.authorize()
        adapter.inner.set("ada", "s", server.grant("ada"))
        adapter.before = away(looks)
        with stays:
            await settled(request.wait(timeout=20_000))

    run(runtime, body)

"""The API of tokens: who is served, and what becomes of leases whose holders are gone."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from routermcp.gateway import LocalGateway
from routermcp.gateway.http.authentication import APIKey
from routermcp.gateway.http.routes.token_api import TokenAPI
from routermcp.gateway.http.routes.token_leases import TokenLeases
from routermcp.oauth import AdapterLock, memory_adapter
from routermcp.types import LockLostError
from tests import loopback
from tests.gateway.gateways import PATIENCE, Bench, served_gateway

RECORD: dict[str, Any] = {"tokens": {"access_token": "a"}}
PATH = "/v1/oauth/users/~ada/servers/~mail"


def test_without_keys_it_is_for_this_machine_and_not_for_who_comes_by_a_proxy_on_it() -> None:
    store = memory_adapter()
    store.set("ada", "mail", RECORD)
    with served_gateway(tokens=TokenAPI(store)) as bench:
        assert bench.http.get(bench.url(PATH)).json() == RECORD
        for header in ("Forwarded", "X-Forwarded-For", "X-Real-IP"):
            refused = bench.http.get(bench.url(PATH), headers={header: "203.0.113.9"})
            reason = {"reason": "user_not_allowed"}
            assert (refused.status_code, refused.json()["error"]["data"]) == (403, reason), header
            assert bench.http.put(bench.url(PATH), json={}, headers={header: "x"}).status_code == 403
    assert store.get("ada", "mail") == RECORD


def test_with_keys_it_is_for_those_that_act_for_users_wherever_they_are() -> None:
    store = memory_adapter()
    store.set("ada", "mail", RECORD)
    keys = [
        APIKey("rmc_plain"),
        APIKey("rmc_trusted", acts_for_users=True),
        APIKey("rmc_elsewhere", acts_for_users=True, projects=["other"]),
    ]
    with served_gateway(tokens=TokenAPI(store), keys=keys) as bench:
        for key, status in (("rmc_plain", 403), ("rmc_trusted", 200), ("rmc_elsewhere", 403)):
            headers = {"Authorization": f"Bearer {key}", "X-Forwarded-For": "203.0.113.9"}
            assert bench.http.get(bench.url(PATH), headers=headers).status_code == status


# ---- leases -----------------------------------------------------------------------------------------


class Watched:
    """A lock of a store, and a word when it is given up."""

    seconds: float | None = None

    def __init__(self, store: Store, lock: AdapterLock) -> None:
        self._store = store
        self._lock = lock

    def acquire(self) -> bool:
        return self._lock.acquire()

    def renew(self) -> bool:
        return not self._store.lost and self._lock.renew()

    def release(self) -> None:
        self._lock.release()
        self._store.released.set()


class Store:
    """A store in memory whose locks can be lost, and which tells when one is given up."""

    inline = True

    def __init__(self) -> None:
        self._inner = memory_adapter()
        self.released = threading.Event()
        self.lost = False

    def get(self, user_id: str, server_id: str) -> dict[str, Any] | None:
        return self._inner.get(user_id, server_id)

    def set(
        self, user_id: str, server_id: str, record: dict[str, Any], *, lock: AdapterLock | None = None
    ) -> None:
        if self.lost and isinstance(lock, Watched):
            raise LockLostError("somebody else has it")
        self._inner.set(user_id, server_id, record)

    def delete(self, user_id: str, server_id: str) -> None:
        self._inner.delete(user_id, server_id)

    def list(self, user_id: str) -> list[str]:
        return self._inner.list(user_id)

    def lock(self, user_id: str, server_id: str) -> AdapterLock:
        return Watched(self, self._inner.lock(user_id, server_id))


class Application:
    """One that keeps its tokens behind the API, and says what it was answered."""

    def __init__(self, bench: Bench, token: str = "mine") -> None:
        self._bench = bench
        self._token = token
        self.fence = ""

    def acquire(self) -> int:
        answer = self._bench.http.post(self._bench.url(f"{PATH}/lock"), json={"token": self._token})
        self.fence = str(answer.json().get("fence", self.fence))
        return answer.status_code

    def renew(self) -> int:
        return self._bench.http.put(self._bench.url(f"{PATH}/lock"), json={"token": self._token}).status_code

    def release(self) -> int:
        return self._bench.http.delete(
            self._bench.url(f"{PATH}/lock"), params={"token": self._token}
        ).status_code

    def keep(self, **record: Any) -> int:
        return self._bench.http.put(
            self._bench.url(PATH), json=record, headers={"X-Lock-Fence": self.fence}
        ).status_code


def test_a_lease_whose_holder_is_gone_is_given_up_for_the_gateway_too() -> None:
    store = Store()
    with served_gateway(tokens=TokenAPI(store, TokenLeases(store, seconds=0.1))) as bench:
        gone = Application(bench)
        assert gone.acquire() == 200
        assert store.released.wait(PATIENCE)
        own = store.lock("ada", "mail")
        assert own.acquire()
        store.set("ada", "mail", {"by": "the gateway"}, lock=own)
        assert (gone.renew(), gone.keep(by="the late")) == (409, 409)
        own.release()
        assert gone.keep(by="the late") == 409
    assert store.get("ada", "mail") == {"by": "the gateway"}


def test_a_lease_that_is_renewed_lasts() -> None:
    store = Store()
    with served_gateway(tokens=TokenAPI(store, TokenLeases(store, seconds=2.0))) as bench:
        holder, other = Application(bench), Application(bench, "other")
        assert holder.acquire() == 200
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            assert holder.renew() == 200
            assert other.acquire() == 409
        assert not store.released.is_set()
        assert holder.acquire() == 200  # as if the first answer had been lost
        assert holder.keep(by="the holder") == 204
        assert holder.release() == 204
        assert store.released.is_set()
        assert holder.keep(by="the late") == 409
        assert other.acquire() == 200
    assert store.get("ada", "mail") == {"by": "the holder"}


@pytest.mark.parametrize("notices", ["renew", "keep", "acquire"])
def test_a_lock_that_the_store_has_given_to_somebody_else_is_lost(notices: str) -> None:
    store = Store()
    with served_gateway(tokens=TokenAPI(store)) as bench:
        holder = Application(bench)
        assert holder.acquire() == 200
        store.lost = True
        if notices == "acquire":  # once more, which is a renewal; but the store's lock is not free
            assert holder.acquire() == 409
        else:
            assert getattr(holder, notices)() == 409
        store.lost = False
        assert holder.renew() == 409
        assert holder.keep(by="the late") == 409
    assert store.get("ada", "mail") is None


def test_a_gateway_that_ends_gives_its_locks_up() -> None:
    store = Store()
    with LocalGateway({"mcpServers": {}}, tokens=store) as gateway:
        url = gateway.url.removesuffix("/mcp") + PATH
        answer = loopback.post(f"{url}/lock", json={"token": "mine"}, timeout=PATIENCE)
        assert answer.status_code == 200
        assert not store.lock("ada", "mail").acquire()
    assert store.lock("ada", "mail").acquire()


def test_there_is_an_end_to_leases() -> None:
    store = memory_adapter()
    with served_gateway(tokens=TokenAPI(store, TokenLeases(store, most=0))) as bench:
        assert Application(bench).acquire() == 409

"""The API of tokens: who is served, and what becomes of leases whose holders are gone."""

from __future__ import annotations

from typing import Any

import pytest

from routermcp.gateway.keys import APIKey
from routermcp.gateway.token_api import TokenAPI
from routermcp.oauth import memory_adapter
from tests.gateway.fronts import fronted

RECORD: dict[str, Any] = {"tokens": {"access_token": "a"}}
PATH = "/v1/oauth/users/~ada/servers/~mail"


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Real-IP"])
def test_without_keys_it_is_for_this_machine_and_not_for_who_comes_by_a_proxy_on_it(header: str) -> None:
    store = memory_adapter()
    store.set("ada", "mail", RECORD)
    with fronted(tokens=TokenAPI(store)) as bench:
        assert bench.http.get(bench.url(PATH)).json() == RECORD
        refused = bench.http.get(bench.url(PATH), headers={header: "203.0.113.9"})
        assert (refused.status_code, refused.json()["error"]["data"]) == (403, {"reason": "user_not_allowed"})
        assert bench.http.put(bench.url(PATH), json={}, headers={header: "x"}).status_code == 403
    assert store.get("ada", "mail") == RECORD


def test_with_keys_it_is_for_those_that_act_for_users_wherever_they_are() -> None:
    store = memory_adapter()
    store.set("ada", "mail", RECORD)
    keys = [APIKey("rmc_plain"), APIKey("rmc_trusted", acts_for_users=True)]
    with fronted(tokens=TokenAPI(store), keys=keys) as bench:
        for key, status in (("rmc_plain", 403), ("rmc_trusted", 200)):
            headers = {"Authorization": f"Bearer {key}", "X-Forwarded-For": "203.0.113.9"}
            assert bench.http.get(bench.url(PATH), headers=headers).status_code == status

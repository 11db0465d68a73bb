"""Servers that take their time to start."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from routermcp.gateway import Caller, Listing
from routermcp.gateway.config.model import GatewayConfig
from routermcp.gateway.factory import aggregate_of
from routermcp.types import MethodNotFoundError, ResourceNotFoundError, UpstreamError
from tests.gateway.gateways import PATIENCE
from tests.gateway.servers import HANDSHAKE, Shop, gateway
from tests.three_runtimes import make_client, run

#: Seconds in which a call that does not wait has failed.
SOON = 0.3


class LateShop(Shop):
    """A server that says nothing of its tools before it is told to."""

    def __init__(self) -> None:
        super().__init__(["saw"])
        self.ready = threading.Event()

    async def list_page(self, listing: Listing, cursor: str | None, caller: Caller) -> Mapping[str, Any]:
        await asyncio.to_thread(self.ready.wait, PATIENCE)
        return await super().list_page(listing, cursor, caller)


class ToolShop(Shop):
    """A server that has tools and nothing else."""

    async def list_page(self, listing: Listing, cursor: str | None, caller: Caller) -> Mapping[str, Any]:
        page = await super().list_page(listing, cursor, caller)
        return page if listing is Listing.TOOLS else {listing.value: []}

    async def read_resource(self, uri: str, caller: Caller) -> Mapping[str, Any]:
        raise ResourceNotFoundError("not here", data={"uri": uri})


@pytest.mark.parametrize("name", ["late.saw", "late__saw"])
def test_a_first_call_waits_for_a_server_that_is_starting(name: str) -> None:
    late = LateShop()

    async def body() -> None:
        with gateway({"late": late, "shop": Shop()}, patience=0.0) as (url, _):
            async with make_client("asyncio", url=url) as client:
                call = asyncio.create_task(client.call_tool(name, {}))
                done, _ = await asyncio.wait([call], timeout=SOON)
                assert not done
                await client.call_tool("shop.saw", {})
                late.ready.set()
                assert (await call).text == "sawn"

    run("asyncio", body)
    assert late.ran["saw"] == 1


def test_all_first_requests_wait_for_a_server_that_is_starting() -> None:
    late = LateShop()

    async def body() -> None:
        with gateway({"late": late, "shop": ToolShop()}, speaks=HANDSHAKE, patience=0.0) as (url, _):
            async with make_client("asyncio", url=url, protocol=HANDSHAKE) as client:
                template = {"type": "ref/resource", "uri": "demo://greetings/{name}"}
                waiting = [
                    asyncio.create_task(client.read_resource("demo://readme")),
                    asyncio.create_task(client.read_resource("demo://greetings/Ada")),
                    asyncio.create_task(client.get_prompt("late.greet", {"name": "Ada"})),
                    asyncio.create_task(client.complete(template, {"name": "name", "value": "A"})),
                ]
                done, _ = await asyncio.wait(waiting, timeout=SOON)
                assert not done
                late.ready.set()
                *answers, completion = await asyncio.gather(*waiting, return_exceptions=True)
                assert not [each for each in answers if isinstance(each, BaseException)]
                assert isinstance(completion, MethodNotFoundError), "the server itself says that it has none"
                with pytest.raises(ResourceNotFoundError):
                    await client.read_resource("demo://nothing")

    run("asyncio", body)


def test_a_call_waits_no_longer_than_it_may_take() -> None:
    late = LateShop()

    async def body() -> None:
        with gateway({"late": late}, patience=0.0, timeout_ms=1000) as (url, _):
            async with make_client("asyncio", url=url) as client:
                with pytest.raises(UpstreamError, match="connecting"):
                    await client.call_tool("late.saw", {})
                late.ready.set()

    run("asyncio", body)


@pytest.mark.parametrize(
    ("server", "milliseconds"),
    [
        ({}, 30_000),
        ({"startTimeout": 5_000}, 5_000),
        ({"startTimeout": 300_000}, 300_000),
        ({"timeout": 120_000}, 120_000),
        ({"timeout": 1_000}, 30_000),
        ({"timeout": 0}, 30_000),
        ({"timeout": 120_000, "startTimeout": 1_000}, 1_000),
    ],
)
def test_the_time_to_start_is_a_setting(server: dict[str, Any], milliseconds: int) -> None:
    config = GatewayConfig.model_validate({"mcpServers": {"u": {"command": "run", **server}}})
    assert config.mcpServers["u"].start_ms(30_000) == milliseconds


@pytest.mark.parametrize(("shared", "sessions"), [(True, 1), (False, 2)])
def test_clients_share_one_session_at_a_server_where_it_says_so(shared: bool, sessions: int) -> None:
    shop = Shop()

    async def body() -> None:
        with gateway({"shop": shop}, speaks=HANDSHAKE, one_session=shared) as (url, _):
            for _ in range(2):
                async with make_client("asyncio", url=url, protocol=HANDSHAKE) as client:
                    assert (await client.call_tool("shop.saw", {})).text == "sawn"

    run("asyncio", body)
    assert len(set(shop.sessions_seen)) == sessions


def test_a_server_is_shared_by_its_setting() -> None:
    servers = {"one": {"command": "it", "shared": True}, "each": {"command": "it"}}
    upstreams = aggregate_of(GatewayConfig.model_validate({"mcpServers": servers})).upstreams
    assert {alias: upstream.one_session for alias, upstream in upstreams.items()} == {
        "one": True,
        "each": False,
    }

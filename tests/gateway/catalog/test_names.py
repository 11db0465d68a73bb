"""The names under which clients know tools, and the names that they may call them by."""

from __future__ import annotations

import json
import re

import pytest

from routermcp.gateway.catalog.server_names import ServerNaming
from routermcp.gateway.config.file import parse
from routermcp.gateway.config.model import GatewayConfig
from routermcp.gateway.names import DOTTED, PORTABLE, Naming
from routermcp.gateway.serving.in_process import MemoryTransport
from routermcp.gateway.single import SingleServer
from routermcp.gateway.upstreams.targets import over_http
from routermcp.gateway.upstreams.upstream import Upstream
from routermcp.types import ConfigError
from tests.gateway.servers import Shop, gateway, serving, serving_config
from tests.three_runtimes import make_client, run

HOSTS_TAKE = re.compile(r"[a-zA-Z0-9_-]{1,64}")

#: Aliases and names at the server that have to stay apart.
ENTRIES = [
    ("gh", "list_issues"),
    ("gh", "issues.list"),
    ("gh", "issues_list"),
    ("gh", "issues/list"),
    ("gh", "töne"),
    ("gh", ""),
    ("gh", "x" * 200),
    ("gh", "x" * 201),
    ("a" * 50, "b" * 20),
    ("a", "b__c"),
    ("a__b", "c"),
    ("a_", "b"),
    ("a", "_b"),
    ("a", f"b__c_{'0' * 16}"),
]


@pytest.mark.parametrize(("alias", "own"), ENTRIES)
def test_a_portable_name_is_one_that_hosts_take(alias: str, own: str) -> None:
    assert HOSTS_TAKE.fullmatch(PORTABLE.name(alias, own))


@pytest.mark.parametrize("naming", [PORTABLE, DOTTED, Naming("-", 32), Naming("_")], ids=repr)
def test_no_two_entries_have_one_name(naming: Naming) -> None:
    names = [naming.name(alias, own) for alias, own in ENTRIES]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= naming.max_length


def test_a_server_cannot_take_the_name_that_another_ones_tool_was_given() -> None:
    given = PORTABLE.name("a__b", "c")
    assert given.startswith("a__")
    assert PORTABLE.name("a", given.removeprefix("a__")) != given


def test_ordinary_names_stay_readable() -> None:
    assert PORTABLE.name("gh", "list_issues") == "gh__list_issues"
    assert DOTTED.name("gh", "issues/list") == "gh.issues/list"
    assert PORTABLE.unprefixed("gh.list_issues") == "gh__list_issues"
    assert PORTABLE.unprefixed("gh__list_issues") == "gh__list_issues"
    assert DOTTED.unprefixed("gh.list_issues") == "gh.list_issues"


@pytest.mark.parametrize("names", ["portable", {"separator": "-", "maxLength": 40}])
@pytest.mark.parametrize("spelling", ["listed", "a.list.all", PORTABLE.name("a", "list.all"), "list.all"])
def test_a_tool_is_called_by_every_spelling_of_its_name(names: object, spelling: str) -> None:
    shop = Shop(["list.all", "saw"])

    async def body() -> None:
        with serving(shop) as at, serving_config({"names": names, "mcpServers": {"a": {"url": at}}}) as url:
            async with make_client("asyncio", url=url) as client:
                listed = [tool.name for tool in await client.list_tools()]
                assert len(set(listed)) == len(listed)
                config = GatewayConfig.model_validate({"names": names})
                name = config.names.naming.name("a", "list.all")
                assert name in listed
                await client.call_tool(name if spelling == "listed" else spelling, {})

    run("asyncio", body)
    assert shop.ran["list.all"] == 1


@pytest.mark.parametrize("name", ["routermcp__searchMcpForTask", "routermcp.searchMcpForTask"])
def test_the_search_is_listed_and_called_like_the_tools(name: str) -> None:
    search = {"toolSearch": True}

    async def body() -> None:
        with (
            serving(Shop()) as at,
            serving_config({**search, "names": "portable", "mcpServers": {"a": {"url": at}}}) as url,
        ):
            async with make_client("asyncio", url=url) as client:
                assert "routermcp__searchMcpForTask" in {tool.name for tool in await client.list_tools()}
                found = await client.call_tool(name, {"task": "saw"})
                assert "a__saw" in found.text

    run("asyncio", body)


def test_a_bridge_to_a_gateway_lists_portable_names_and_takes_both() -> None:
    shop = Shop(["saw"])

    async def body() -> None:
        with gateway({"a": shop}) as (url, _):
            bridge = SingleServer(Upstream("it", over_http(url), names=ServerNaming("it", PORTABLE)))
            await bridge.begin()
            transport = MemoryTransport(bridge)
            async with make_client("asyncio", transport=transport) as client:
                assert all(HOSTS_TAKE.fullmatch(tool.name) for tool in await client.list_tools())
                await client.call_tool("a__saw", {})
                await client.call_tool("a.saw", {})
            await bridge.close()

    run("asyncio", body)
    assert shop.ran["saw"] == 2


@pytest.mark.parametrize("names", ["dotted", 5, {"separator": " "}, {"maxLength": 8}, {"maxLength": 400}])
def test_names_that_cannot_be_are_refused(names: object) -> None:
    with pytest.raises(ConfigError, match="names"):
        parse(json.dumps({"names": names}), source="test.jsonc", environ={})

"""Several servers behind one endpoint, whatever era each side speaks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from routermcp.gateway.aggregate import Aggregate
from routermcp.gateway.config.model import GatewayConfig
from routermcp.gateway.factory import aggregate_of
from routermcp.gateway.upstreams.availability import UpstreamState
from routermcp.gateway.upstreams.targets import over_http, over_stdio
from routermcp.gateway.upstreams.times import UpstreamTimes
from routermcp.gateway.upstreams.upstream import Upstream
from routermcp.types import (
    ElicitRequest,
    InvalidParamsError,
    LogMessage,
    Progress,
    ResourceNotFoundError,
    RPCError,
    ToolDisabledError,
    ToolNotFoundError,
    UpstreamError,
)
from tests.gateway.servers import (
    ERAS,
    HANDSHAKE,
    STATELESS,
    Shop,
    gateway,
    serving,
    serving_aggregate,
)
from tests.three_runtimes import RUNTIMES, abandon_when, gather, make_client, run

RUNTIME = pytest.mark.parametrize("runtime", RUNTIMES)
CLIENT_ERA = pytest.mark.parametrize("era", ERAS, ids=lambda era: f"client {era}")


@pytest.fixture(scope="module", params=ERAS, ids=lambda era: f"server {era}")
def shop_and_url(request: pytest.FixtureRequest) -> Iterator[tuple[Shop, str]]:
    shop = Shop(["saw", "refuse", "wait", "chat"])
    with gateway({"shop": shop}, speaks=request.param) as (url, _):
        yield shop, url


@pytest.fixture
def through(shop_and_url: tuple[Shop, str]) -> str:
    return shop_and_url[1]


@pytest.fixture
def shop() -> Shop:
    return Shop()


# ---- the same through the gateway as at the server ---------------------------------------------------


@RUNTIME
@CLIENT_ERA
def test_what_a_server_offers_is_listed_with_its_alias(through: str, runtime: str, era: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=through, protocol=era) as client:
            tools = {tool.name: tool for tool in await client.list_tools()}
            own = ["add", "echo", "count", "ask_name", "saw", "refuse", "wait", "chat"]
            assert set(tools) == {f"shop.{name}" for name in own}
            assert tools["shop.add"].inputSchema.required == ["a", "b"]
            assert tools["shop.add"].outputSchema is not None
            assert [each.uri for each in await client.list_resources()] == ["demo://readme"]
            assert [each.uriTemplate for each in await client.list_resource_templates()] == [
                "demo://greetings/{name}"
            ]
            assert [each.name for each in await client.list_prompts()] == ["shop.greet"]

    run(runtime, body)


@RUNTIME
@CLIENT_ERA
def test_requests_find_their_way(through: str, runtime: str, era: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=through, protocol=era) as client:
            result = await client.call_tool("shop.add", {"a": 1, "b": 2})
            assert (result.text, result.structuredContent) == ("3", {"sum": 3})
            sawn = await client.call_tool("shop.saw")
            assert (sawn.model_extra or {})["unknown"] == {"kept": [1, None]}, "nothing is lost on the way"
            assert (await client.call_tool("shop.add", {"a": 1})).isError
            (greeting,) = (await client.read_resource("demo://greetings/Ada")).contents
            assert greeting.to_wire()["text"] == "Hello, Ada!"
            assert len((await client.get_prompt("shop.greet", {"name": "Ada"})).messages) == 1
            with pytest.raises(InvalidParamsError, match="name is missing"):
                await client.get_prompt("shop.greet")

    run(runtime, body)


@RUNTIME
@CLIENT_ERA
def test_errors_of_a_server_are_its_own(through: str, runtime: str, era: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=through, protocol=era) as client:
            with pytest.raises(RPCError, match="not today") as caught:
                await client.call_tool("shop.refuse")
            assert (caught.value.code, caught.value.data) == (-32050, {"why": "closed"})
            with pytest.raises(ToolNotFoundError, match=r"no tool shop\.hammer"):
                await client.call_tool("shop.hammer")
            with pytest.raises(ToolNotFoundError):
                await client.call_tool("hammer")
            with pytest.raises(ResourceNotFoundError):
                await client.read_resource("other://thing")

    run(runtime, body)


@RUNTIME
@CLIENT_ERA
def test_questions_progress_and_logs_come_back(through: str, runtime: str, era: str) -> None:
    """In the form that the client's era has, whatever the server's has."""
    asked: list[str] = []
    reports: list[Progress] = []
    logs: list[LogMessage] = []

    def on_elicitation(request: ElicitRequest) -> Any:
        asked.append(request.message)
        return {"answer": f"my {request.message}"}

    async def body() -> str:
        async with make_client(
            runtime, url=through, protocol=era, on_elicitation=on_elicitation, on_log=logs.append
        ) as client:
            meta = {"io.modelcontextprotocol/logLevel": "info"} if era == STATELESS else None
            result = await client.call_tool("shop.chat", on_progress=reports.append, meta=meta)
            return result.text

    assert run(runtime, body) == "one={'answer': 'my one'} two={'answer': 'my two'}"
    assert asked == ["one", "two"]
    assert reports[0].message == "half"
    assert (logs[0].data, logs[0].logger) == ("chatting", "chat")


@CLIENT_ERA
def test_what_a_client_cannot_do_is_not_asked_of_it(through: str, era: str) -> None:
    async def body() -> None:
        async with make_client("asyncio", url=through, protocol=era) as client:
            with pytest.raises(RPCError, match="does not declare the capability elicitation"):
                await client.call_tool("shop.chat")
            assert (await client.call_tool("shop.saw")).text == "sawn"

    run("asyncio", body)


@RUNTIME
@CLIENT_ERA
def test_a_call_that_is_given_up_ends_at_the_server(
    shop_and_url: tuple[Shop, str], runtime: str, era: str
) -> None:
    shop, url = shop_and_url
    shop.cancelled.clear()
    shop.ran.clear()

    async def body() -> None:
        async with make_client(runtime, url=url, protocol=era) as client:

            async def wait(**options: Any) -> Any:
                return await client.call_tool("shop.wait", **options)

            assert await abandon_when(lambda: shop.ran["wait"], runtime, wait)
            assert (await client.call_tool("shop.saw")).text == "sawn"

    run(runtime, body)
    assert shop.cancelled.wait(10)
    assert shop.ran["wait"] == 1


@CLIENT_ERA
def test_many_calls_at_once_get_their_own_answers(through: str, era: str) -> None:
    async def body() -> list[str]:
        async with make_client("asyncio", url=through, protocol=era) as client:

            def call(number: int) -> Any:
                async def add() -> str:
                    return (await client.call_tool("shop.add", {"a": number, "b": 1000})).text

                return add

            return await gather("asyncio", [call(number) for number in range(100)])

    assert run("asyncio", body) == [str(1000 + number) for number in range(100)]


def test_meta_of_a_client_travels_and_the_gateway_speaks_for_it(shop: Shop) -> None:
    with gateway({"shop": shop}, speaks=STATELESS) as (url, _):

        async def body() -> None:
            client = make_client("asyncio", url=url, on_roots=list)
            async with client:
                await client.call_tool("shop.saw", meta={"example.com/trace": "abc"})

        run("asyncio", body)
    assert shop.metas == [{"example.com/trace": "abc"}]
    assert shop.capabilities_seen == [{"roots": {}}]


def test_each_session_of_a_client_has_one_of_its_own_at_a_server_that_keeps_some(shop: Shop) -> None:
    with gateway({"shop": shop}, speaks=HANDSHAKE) as (url, _):

        async def body() -> None:
            for era in (HANDSHAKE, HANDSHAKE, STATELESS, STATELESS):
                async with make_client("asyncio", url=url, protocol=era) as client:
                    await client.call_tool("shop.saw")
                    await client.call_tool("shop.saw")

        run("asyncio", body)
    one, same_one, two, same_two, shared, *rest = shop.sessions_seen
    assert one == same_one != two == same_two != shared
    assert None not in (one, two, shared)
    assert rest == [shared] * 3


def test_a_session_at_a_server_ends_when_its_client_does_not_use_it(shop: Shop) -> None:
    """A client may go without a word, and what it had would stay, a child process for example."""
    times = UpstreamTimes(session_idle_seconds=0.3)
    with gateway({"shop": shop}, speaks=HANDSHAKE, times=times) as (url, aggregate):
        upstream = aggregate.upstreams["shop"]

        async def body() -> None:
            async with make_client("asyncio", url=url, protocol=HANDSHAKE) as client:
                await client.call_tool("shop.saw")
                while upstream._client_sessions:
                    await client.ping()
                assert (await client.call_tool("shop.saw")).text == "sawn", "it gets another one"

        run("asyncio", body)
    first, second = shop.sessions_seen
    assert first != second


def test_what_a_session_has_at_a_server_lives_as_long_as_the_session() -> None:
    servers = {"shop": {"url": "http://127.0.0.1:9/mcp"}}
    config = GatewayConfig.model_validate({"session": {"timeout": 3600}, "mcpServers": servers})
    assert aggregate_of(config).upstreams["shop"].times.session_idle_seconds == 3600


# ---- several servers --------------------------------------------------------------------------------


def listed_tools(url: str, **settings: Any) -> list[str]:
    async def body() -> list[str]:
        async with make_client("asyncio", url=url, **settings) as client:
            return [tool.name for tool in await client.list_tools()]

    return run("asyncio", body)


def test_order_does_not_depend_on_who_is_first() -> None:
    shops = {"b": Shop(["saw"]), "a": Shop(["saw", "axe"])}
    with gateway(shops) as (url, _):
        names = listed_tools(url)
    assert names[0] == "routermcp.searchMcpForTask"
    assert names[1:] == sorted(names[1:])
    assert {"a.axe", "a.saw", "b.saw"} <= set(names)


def test_filters_hide_and_refuse(shop: Shop) -> None:
    with gateway({"shop": shop}, allows=lambda listing, name: name != "saw") as (url, _):
        assert "shop.saw" not in listed_tools(url)

        async def body() -> None:
            async with make_client("asyncio", url=url) as client:
                with pytest.raises(ToolDisabledError, match=r"shop\.saw is disabled"):
                    await client.call_tool("shop.saw")

        run("asyncio", body)
    assert shop.ran["saw"] == 0


@RUNTIME
def test_the_search_finds_tools_by_what_they_are_for(runtime: str) -> None:
    with gateway({"a": Shop(["send_invoice", "createIssue"]), "b": Shop(["saw"])}) as (url, _):

        async def body() -> None:
            async with make_client(runtime, url=url) as client:

                async def found(task: str, **more: Any) -> list[str]:
                    result = await client.call_tool("routermcp.searchMcpForTask", {"task": task, **more})
                    assert result.structuredContent is not None
                    return [tool["name"] for tool in result.structuredContent["tools"]]

                assert (await found("I want to create an issue about a bug"))[0] == "a.createIssue"
                assert (await found("sending invoices"))[0] == "a.send_invoice"
                assert set(await found("add two numbers", limit=2)) == {"a.add", "b.add"}
                assert await found('"; DROP TABLE tools --') == []
                assert await found("") == []
                assert (await client.call_tool("routermcp.searchMcpForTask", {"limit": 0})).isError

        run(runtime, body)


# ---- servers that come and go ----------------------------------------------------------------------------


def test_a_server_that_is_down_costs_only_its_own_tools(shop: Shop) -> None:
    with serving(shop) as url:
        dead = Upstream("dead", over_stdio(["routermcp-no-such-program"]))
        aggregate = Aggregate([dead, Upstream("shop", over_http(url))])
        with serving_aggregate(aggregate) as gateway_url:
            names = listed_tools(gateway_url)
            assert "shop.saw" in names
            assert not [name for name in names if name.startswith("dead.")]

            async def body() -> None:
                async with make_client("asyncio", url=gateway_url) as client:
                    with pytest.raises(UpstreamError, match="dead") as caught:
                        await client.call_tool("dead.thing")
                    assert caught.value.data["server"] == "dead"

            run("asyncio", body)
            assert dead.state is UpstreamState.FAILED
            assert dead.availability.problem == "connect"
            assert "is it installed" in str(dead.availability.reason)


def test_a_changed_list_is_announced_and_read_anew(shop: Shop) -> None:
    with gateway({"shop": shop}, speaks=STATELESS) as (url, aggregate):
        assert "shop.plane" not in listed_tools(url)
        shop.wares.append("plane")
        upstream = aggregate.upstreams["shop"]
        upstream.availability._fresh_until = 0.0
        assert "shop.saw" in listed_tools(url)
        for _ in range(100):
            if "shop.plane" in listed_tools(url):
                break
        else:
            raise AssertionError("the new tool never showed")
        assert shop.listed == 2, "read once at first, and once when the list was old"

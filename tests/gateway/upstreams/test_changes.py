"""Changes reach the clients that subscribed, in the way of each client's era, wherever the server is."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from routermcp import RouterMCPClient
from routermcp.gateway import BuiltinTools
from routermcp.gateway.dispatch import subscriptions
from routermcp.gateway.serving.in_process import MemoryTransport
from routermcp.gateway.shares import OwnedValues
from routermcp.gateway.upstreams.changes import ChangeSubscription
from routermcp.gateway.upstreams.times import UpstreamTimes
from routermcp.types import InitializeResult, InvalidParamsError, MethodNotFoundError
from routermcp_proto.versions import LATEST
from tests import loopback
from tests.gateway.listening import (
    PLACES,
    Market,
    ask,
    listening,
    market,
    open_session,
    post,
    use,
)
from tests.gateway.servers import ERAS, HANDSHAKE, STATELESS, Shop, gateway, serving, serving_config

SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
TOOLS_CHANGED = "notifications/tools/list_changed"
UPDATED = "notifications/resources/updated"
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"


@pytest.mark.parametrize("place", PLACES)
def test_a_list_that_changes_and_a_resource_that_is_watched(place: str) -> None:
    with market(place) as (shop, url):
        for era in ERAS:
            # A server of the handshake era may be another process for each session.
            session = open_session(url) if era == HANDSHAKE else None
            with listening(url, era, ["shop://a"], session, toolsListChanged=True) as heard:
                tag = {"_meta": {SUBSCRIPTION: 77}} if era == STATELESS else {}
                if era == STATELESS:
                    accepted = {"toolsListChanged": True, "resourceSubscriptions": ["shop://a"]}
                    acknowledgement = next(heard)
                    assert acknowledgement["method"] == ACKNOWLEDGED
                    assert acknowledgement["params"] == {"notifications": accepted, **tag}

                before = ask(url, era, "tools/list")["result"]["tools"]
                use(url, "grow")
                change = next(heard)
                assert (change["method"], change.get("params", {})) == (TOOLS_CHANGED, tag)
                assert len(ask(url, era, "tools/list")["result"]["tools"]) == len(before) + 1

                use(url, "touch", session, uris=["shop://b", "shop://abc", "shop://a"])
                change = next(heard)
                assert (change["method"], change["params"]) == (UPDATED, {"uri": "shop://a", **tag})
                use(url, "touch", session, uris=["shop://a/part"])
                assert next(heard)["params"]["uri"] == "shop://a/part"
            if era == STATELESS and not place.startswith("stdio"):
                assert shop.comes_to_watch()  # or the client of the other era hears of it twice


@pytest.mark.parametrize("place", ["direct", "http-stateless", "http-handshake"])
@pytest.mark.parametrize("era", ERAS)
def test_what_nobody_watches_any_more_is_let_go(place: str, era: str) -> None:
    with market(place) as (shop, url):
        if era == STATELESS:
            with listening(url, era, ["shop://a"]) as heard:
                next(heard)
                assert shop.watched == {"shop://a"}
        else:
            one, two = open_session(url), open_session(url)
            for session in (one, two):
                ask(url, era, "resources/subscribe", {"uri": "shop://a"}, session)
            ask(url, era, "resources/unsubscribe", {"uri": "shop://a"}, one)
            assert "shop://a" in shop.watched
            ask(url, era, "resources/unsubscribe", {"uri": "shop://a"}, two)
        assert shop.comes_to_watch()


def test_only_what_was_asked_for_is_heard() -> None:
    with market() as (_, url), listening(url, STATELESS, ["shop://a"]) as heard:
        assert next(heard)["params"]["notifications"] == {"resourceSubscriptions": ["shop://a"]}
        use(url, "grow")
        use(url, "touch", uris=["shop://a"])
        assert next(heard)["method"] == UPDATED


@pytest.mark.parametrize("place", ["direct", "http-stateless", "http-handshake"])
def test_only_what_can_be_heard_is_acknowledged(place: str) -> None:
    """Prompts do not change there, and one of the resources is refused."""
    uris = ["shop://a", "shop://secret"]
    with market(place) as (shop, url), listening(url, STATELESS, uris, promptsListChanged=True) as heard:
        assert next(heard)["params"]["notifications"] == {"resourceSubscriptions": ["shop://a"]}
        assert shop.watched == {"shop://a"}


def test_a_server_without_changes_acknowledges_none() -> None:
    wanted = {"notifications": {"toolsListChanged": True, "resourceSubscriptions": ["demo://readme"]}}
    with serving(BuiltinTools()) as url:
        with listening(url, STATELESS, ["demo://readme"], toolsListChanged=True) as heard:
            assert next(heard)["params"]["notifications"] == {}
        assert ask(url, HANDSHAKE, "subscriptions/listen", wanted)["error"]["code"] == -32602
        session = open_session(url)
        refusal = ask(url, HANDSHAKE, "resources/subscribe", {"uri": "demo://readme"}, session)
        assert refusal["error"]["code"] == -32601


@pytest.mark.parametrize(
    "notifications",
    [None, "all", {"resourceSubscriptions": "shop://a"}, {"resourceSubscriptions": [1]}],
)
def test_a_filter_that_is_none(notifications: object) -> None:
    with market() as (_, url):
        answer = ask(url, STATELESS, "subscriptions/listen", {"notifications": notifications})
        assert answer["error"]["code"] == -32602


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "MAX_SUBSCRIBED", 1)
    monkeypatch.setattr(subscriptions, "MAX_SUBSCRIBED_TOGETHER", 2)
    monkeypatch.setattr(subscriptions, "MAX_LISTENERS", 1)
    with market() as (_, url):

        def subscribe(uri: object, session: str | None) -> int:
            answer = ask(url, HANDSHAKE, "resources/subscribe", {"uri": uri}, session)
            return answer.get("error", {}).get("code", 0)

        one, two, three = (open_session(url) for _ in range(3))
        assert subscribe("shop://a", one) == subscribe("shop://a", one) == 0
        assert subscribe("shop://b", one) == -32602, "one is the bound of a session"
        assert subscribe("shop://b", None) == -32600, "without a session nothing can be told"
        assert subscribe(None, two) == -32602
        assert subscribe("shop://secret", two) == -32050
        assert subscribe("shop://b", two) == 0
        assert subscribe("shop://c", three) == -32603, "two is the bound of all together"
        end_session(url, two)
        assert subscribe("shop://c", three) == 0
        with listening(url, STATELESS, toolsListChanged=True) as heard:
            next(heard)
            wanted = {"notifications": {"toolsListChanged": True}}
            assert ask(url, STATELESS, "subscriptions/listen", wanted)["error"]["code"] == -32603


def test_no_owner_takes_all_subscriptions() -> None:
    room = OwnedValues(100)

    def fill(owner: bytes) -> int:
        before = len(room.all())
        while room.has_room(owner):
            room.add(f"demo://{len(room.all())}/{owner.decode()}", owner)
        return len(room.all()) - before

    assert fill(b"greedy") == 80
    assert fill(b"modest") == 16
    for uri in room.all():
        if "greedy" in uri:
            room.discard(uri)
    assert fill(b"modest") == 64
    assert room.has_room(b"greedy")


def end_session(url: str, session: str) -> None:
    assert loopback.delete(url, headers={"Mcp-Session-Id": session}).status_code == 204


def test_a_session_that_ends_watches_no_more() -> None:
    with market() as (shop, url):
        session = open_session(url)
        ask(url, HANDSHAKE, "resources/subscribe", {"uri": "shop://a"}, session)
        end_session(url, session)
        assert shop.comes_to_watch()
        assert shop.ended == [session]


def test_the_server_ends_a_stream() -> None:
    """With an answer to the request that opened it (MCP 2026-07-28, Subscriptions, "Graceful Closure")."""
    with market() as (_, url), listening(url, STATELESS, toolsListChanged=True) as heard:
        next(heard)
        use(url, "close")
        last = next(heard)
        assert (last["id"], last["result"]["resultType"]) == (77, "complete")
        assert last["result"]["_meta"][SUBSCRIPTION] == 77
        assert next(heard, None) is None


def test_a_stream_behind_the_gateway_that_ended_is_opened_again() -> None:
    """And what changed meanwhile is told."""
    with (
        market("http-stateless", UpstreamTimes(first_pause_seconds=0.2)) as (shop, url),
        listening(url, STATELESS, ["shop://a"], toolsListChanged=True) as heard,
    ):
        next(heard)
        use(url, "close")
        use(url, "grow")
        assert next(heard)["method"] == TOOLS_CHANGED
        assert shop.comes_to_watch("shop://a")
        use(url, "touch", uris=["shop://a"])
        assert next(heard)["method"] == UPDATED


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("era", ERAS)
def test_lists_alone(place: str, era: str) -> None:
    """Servers are listened to although no client subscribes to a resource."""
    with market(place) as (_, url), listening(url, era, toolsListChanged=True) as heard:
        if era == STATELESS:
            next(heard)
        use(url, "grow")
        assert next(heard)["method"] == TOOLS_CHANGED


def test_resources_of_servers_that_say_nothing_of_them() -> None:
    """The gateway refuses what no server behind it can tell."""
    with gateway({"quiet": Shop(), "loud": Market()}) as (url, _):
        session = open_session(url)
        codes = {
            uri: ask(url, HANDSHAKE, "resources/subscribe", {"uri": uri}, session)
            .get("error", {})
            .get("code", 0)
            for uri in ("demo://readme", "shop://a", "shop://nowhere")
        }
        assert codes == {"demo://readme": -32601, "shop://a": 0, "shop://nowhere": -32602}


@pytest.mark.parametrize("method", ["resources/subscribe", "resources/unsubscribe"])
def test_methods_of_the_handshake_era_are_gone_from_the_other(method: str) -> None:
    with market("http-handshake") as (_, url):
        answer, _ = post(url, STATELESS, method, {"uri": "shop://a"})
        assert answer["error"]["code"] == -32601


def test_changes_reach_clients_in_the_same_loop_through_memory() -> None:
    heard: list[str] = []

    async def body() -> None:
        shop = Market()
        client = RouterMCPClient(
            transport=MemoryTransport(shop),
            protocol=HANDSHAKE,
            on_notification=lambda method, _params: heard.append(method),
        )
        async with client:
            await client.call_tool("grow")
            await client.ping()

    asyncio.run(body())
    assert heard == [TOOLS_CHANGED]


class _LateServer:
    """A session of the stateless era at a server that acknowledges each stream in order, but late."""

    revision = LATEST
    server = InitializeResult.model_validate(
        {
            "protocolVersion": LATEST.name,
            "capabilities": {"tools": {"listChanged": True}, "resources": {"subscribe": True}},
            "serverInfo": {"name": "late", "version": "1"},
        }
    )

    def __init__(self) -> None:
        self.opened: list[Mapping[str, Any]] = []
        self.acknowledged = 0
        self._waiting: list[asyncio.Future[Mapping[str, Any]]] = []

    def next_acknowledgement(self) -> asyncio.Future[Mapping[str, Any]]:
        self._waiting.append(asyncio.get_running_loop().create_future())
        return self._waiting[-1]

    def acknowledge(self) -> None:
        accepted, self.acknowledged = self.opened[self.acknowledged], self.acknowledged + 1
        for each in self._waiting:
            if not each.done():
                each.set_result({"notifications": accepted})

    async def listen(self, wanted: Mapping[str, Any]) -> None:
        self.opened.append(wanted)
        await asyncio.Event().wait()


def test_an_acknowledgement_on_its_way_is_not_taken_for_that_of_the_next_stream() -> None:
    async def body() -> None:
        session: Any = _LateServer()
        subscription = ChangeSubscription(session, lambda: None)
        subscription.begin()
        adding = asyncio.create_task(subscription.add("shop://a"))
        while not adding.done():
            await asyncio.sleep(0)
            if session.acknowledged < len(session.opened):
                session.acknowledge()
        await adding
        assert "shop://a" in subscription
        assert [list(each) for each in session.opened] == [
            ["toolsListChanged"],
            ["toolsListChanged", "resourceSubscriptions"],
        ]
        await subscription.close()

    asyncio.run(body())


def test_a_stream_that_ended_is_not_waited_for() -> None:
    """And a resource that the server does not accept is refused."""

    async def body() -> None:
        session: Any = _LateServer()
        session.listen = _end_at_once
        subscription = ChangeSubscription(session, lambda: None)
        with pytest.raises(InvalidParamsError, match="no subscriptions to that resource"):
            await subscription.add("shop://a")
        await subscription.close()

    asyncio.run(body())


async def _end_at_once(wanted: Mapping[str, Any]) -> None:
    raise MethodNotFoundError("no streams")


# ---- which clients hear --------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
def test_changes_of_a_server_are_for_clients_that_see_it(era: str) -> None:
    """One client sees everything, the other one of the two servers."""
    with serving_markets("seen", "hidden") as url:
        part = url.replace("/v1/mcp/default", "/mcp/seen")
        sessions = [open_session(each) if era == HANDSHAKE else None for each in (url, part)]
        with (
            listening(url, era, ["hidden+shop://a"], sessions[0], toolsListChanged=True) as all_heard,
            listening(part, era, ["shop://a"], sessions[1], toolsListChanged=True) as heard,
        ):
            if era == STATELESS:
                assert next(all_heard)["method"] == next(heard)["method"] == ACKNOWLEDGED
            use(url, "hidden.grow")
            assert next(all_heard)["method"] == TOOLS_CHANGED
            use(url, "hidden.touch", sessions[0], uris=["shop://a"])
            assert next(all_heard)["params"]["uri"] == "hidden+shop://a"
            use(part, "seen.touch", sessions[1], uris=["shop://a"])
            assert next(heard)["params"]["uri"] == "shop://a", "nothing came before"
            use(url, "seen.grow")
            assert next(heard)["method"] == next(all_heard)["method"] == TOOLS_CHANGED


@contextmanager
def serving_markets(*aliases: str) -> Generator[str]:
    with ExitStack() as stack:
        urls = {alias: stack.enter_context(market())[1] for alias in aliases}
        url = stack.enter_context(serving_config({"mcpServers": {a: {"url": urls[a]} for a in aliases}}))
        while len(ask(url, STATELESS, "resources/list")["result"]["resources"]) < 2 * len(aliases):
            pass
        yield url


def test_a_change_is_heard_once_however_many_clients_watch() -> None:
    """The gateway has a session of its own there for each of these clients, and each of them hears."""
    with market("http-handshake") as (_, url), ExitStack() as stack:
        heard = stack.enter_context(listening(url, STATELESS, ["shop://a"]))
        assert next(heard)["method"] == ACKNOWLEDGED
        sessions = [open_session(url) for _ in range(2)]
        streams = [
            stack.enter_context(listening(url, HANDSHAKE, ["shop://a"], session)) for session in sessions
        ]
        for uri in ("shop://a", "shop://a/1", "shop://a/2"):
            use(url, "touch", uris=[uri])
            assert [next(each)["params"]["uri"] for each in (heard, *streams)] == [uri] * 3

"""Several questions at once, states, schemas and completions: unharmed on any way, in either era."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from routermcp import RPCError
from routermcp.gateway import BuiltinTools, Caller, GatewayApp, InputRequired, serve_in_thread
from routermcp.gateway.catalog.server_names import ServerNaming
from routermcp.gateway.dispatch.dispatcher import MAX_BACKEND_ROUNDS
from routermcp.gateway.single import SingleServer
from routermcp.gateway.upstreams.targets import over_http
from routermcp.gateway.upstreams.upstream import Upstream
from tests import loopback
from tests.conformance.fixture import Everything
from tests.conformance.fixture_rounds import elicitation
from tests.conformance.fixture_tools import TOOLS
from tests.gateway.listening import PATIENCE, ask, message
from tests.gateway.servers import ERAS, HANDSHAKE, STATELESS, serving, serving_aggregate
from tests.three_runtimes import make_client, run

PLACES = ("direct", *ERAS)
THREE = "test_input_required_result_multiple_inputs"
CONFIRM = "test_input_required_result_tampered_state"
CAN_ALL = {"elicitation": {}, "sampling": {}, "roots": {}}


@contextmanager
def everything(place: str) -> Generator[str]:
    """Serve the fixture directly, or behind a gateway that speaks a revision to it."""
    with serve_in_thread(GatewayApp(Everything())) as url:
        if place == "direct":
            yield url
            return
        mirror = SingleServer(
            Upstream("it", over_http(url, protocol=place), names=ServerNaming("it")), patience=PATIENCE
        )
        with serving_aggregate(mirror) as proxied:
            ask(proxied, STATELESS, "tools/list")
            yield proxied


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("era", ERAS)
def test_three_questions_at_once(place: str, era: str) -> None:
    """A client of the handshake era is asked one after the other."""
    asked: list[str] = []

    def elicit(request: Any) -> Any:
        asked.append(request.message)
        return {"name": "Ada"}

    def sample(request: Any) -> Any:
        asked.append("sampling")
        return {"role": "assistant", "content": {"type": "text", "text": "hi"}, "model": "m"}

    def roots() -> Any:
        asked.append("roots")
        return ["file:///home"]

    async def body() -> str:
        client = make_client(
            "asyncio", url=url, protocol=era, on_elicitation=elicit, on_sampling=sample, on_roots=roots
        )
        async with client:
            return (await client.call_tool(THREE)).text

    with everything(place) as url:
        assert "Roots: 1" in run("asyncio", body)
        assert asked == ["What is your name?", "sampling", "roots"]


@pytest.mark.parametrize("place", ["direct", STATELESS])
def test_questions_and_states_as_the_server_wrote_them(place: str) -> None:
    with everything(place) as url:
        first = call(url, THREE)["result"]
        assert set(first["inputRequests"]) == {"user_name", "greeting", "client_roots"}
        asked = call(url, CONFIRM)["result"]
        answers = {"confirm": {"action": "accept", "content": {"ok": True}}}
        state = asked["requestState"]
        again = call(url, CONFIRM, inputResponses=answers, requestState=state)["result"]
        assert again["content"][0]["text"].startswith("state-ok")
        refused = call(url, CONFIRM, inputResponses=answers, requestState=f"{state}x")
        assert refused["error"]["code"] == -32602


def call(url: str, tool: str, **more: Any) -> Any:
    """Call a tool in the stateless era, as a client that can answer everything."""
    body, headers = message(STATELESS, "tools/call", {"name": tool, "arguments": {}, **more}, None)
    key = "io.modelcontextprotocol/clientCapabilities"
    body["params"]["_meta"] = {**body["params"]["_meta"], key: CAN_ALL}
    return loopback.post(url, json=body, headers=headers, timeout=PATIENCE).json()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("era", ERAS)
def test_schemas_and_completions(place: str, era: str) -> None:
    with everything(place) as url:
        tools = {tool["name"]: tool for tool in ask(url, era, "tools/list")["result"]["tools"]}
        wanted = TOOLS["json_schema_2020_12_tool"].listed["inputSchema"]
        assert tools["json_schema_2020_12_tool"]["inputSchema"] == wanted
        params = {
            "ref": {"type": "ref/prompt", "name": "test_prompt_with_arguments"},
            "argument": {"name": "arg1", "value": "par"},
        }
        completion = ask(url, era, "completion/complete", params)["result"]["completion"]
        assert completion == {"values": ["paris", "park", "party"], "total": 3, "hasMore": False}


class Insatiable(BuiltinTools):
    """Needs input again and again."""

    def __init__(self) -> None:
        self.times = 0

    async def call_tool(self, name: str, arguments: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        self.times += 1
        raise InputRequired({"more": elicitation("More?", more="string")})


def test_who_never_has_enough_is_stopped() -> None:
    shop = Insatiable()

    async def body() -> None:
        client = make_client("asyncio", url=url, protocol=HANDSHAKE, on_elicitation=lambda _: {"more": "yes"})
        async with client:
            with pytest.raises(RPCError, match="input was needed 32 times"):
                await client.call_tool("any")

    with serving(shop) as url:
        run("asyncio", body)
    assert shop.times == MAX_BACKEND_ROUNDS

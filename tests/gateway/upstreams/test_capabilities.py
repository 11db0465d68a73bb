"""The gateway declares for others what it forwards, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from routermcp import SyncRouterMCPClient
from routermcp.gateway.catalog.server_names import ServerNaming
from routermcp.gateway.single import SingleServer
from routermcp.gateway.upstreams.capabilities import of_client, of_server
from routermcp.gateway.upstreams.sanitize import question
from routermcp.gateway.upstreams.targets import over_http
from routermcp.gateway.upstreams.upstream import Upstream
from routermcp.types import CreateMessageRequest
from tests import loopback
from tests.gateway.listening import META, PATIENCE, ask, message
from tests.gateway.servers import ERAS, HANDSHAKE, STATELESS, Shop, gateway, serving_aggregate
from tests.routermcp.server import Exchange, ScriptedServer, text

UI = {"mimeTypes": ["text/html;profile=mcp-app"]}

#: What a client declares, and what the gateway declares for it.
DECLARED: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "nothing": ({}, {}),
    "questions, with all their modes": (
        {"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}, "context": {}}},
        {"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}, "context": {}}},
    ),
    # MCP 2025-11-25, Roots, "Capabilities": one that declares listChanged has to send it.
    "roots that change": ({"roots": {"listChanged": True}}, {"roots": {}}),
    # MCP 2025-11-25, Tasks, "Capabilities": a server could ask for tasks/result, which no method forwards.
    "tasks of 2025": ({"tasks": {"requests": {}}, "sampling": {}}, {"sampling": {}}),
    # MCP 2026-07-28, Versioning, "Extension Negotiation": a result of another type would be lost.
    "the extension tasks": ({"extensions": {"io.modelcontextprotocol/tasks": {}}}, {}),
    "an extension of nobody": ({"extensions": {"com.example/voice": {}}, "experimental": {"x": {}}}, {}),
    "an extension that is metadata": (
        {"extensions": {"io.modelcontextprotocol/ui": UI, "io.modelcontextprotocol/tasks": {}}},
        {"extensions": {"io.modelcontextprotocol/ui": UI}},
    ),
    "extensions of the wrong kind": ({"extensions": ["io.modelcontextprotocol/ui"]}, {}),
}


@pytest.mark.parametrize("name", DECLARED)
def test_capabilities_of_a_client(name: str) -> None:
    declared, forwarded = DECLARED[name]
    assert of_client(declared) == forwarded


@pytest.mark.parametrize("speaks", ERAS)
@pytest.mark.parametrize("era", ERAS)
def test_a_server_sees_only_what_the_gateway_forwards(era: str, speaks: str) -> None:
    """MCP 2026-07-28, Versioning, "Extension Negotiation"; MCP 2025-11-25, Tasks, "Capabilities"."""
    shop = Shop()
    declared = {
        "sampling": {"tools": {}},
        "tasks": {"requests": {"sampling": {"createMessage": {}}}},
        "extensions": {"io.modelcontextprotocol/tasks": {}, "io.modelcontextprotocol/ui": UI},
    }
    with gateway({"shop": shop}, speaks=speaks) as (url, _):
        _call(url, era, declared)
    # One session of the handshake era serves all clients of the stateless era.
    known = era == HANDSHAKE or speaks == STATELESS
    (seen,) = shop.capabilities_seen
    assert "tasks" not in seen
    assert seen.get("extensions") == ({"io.modelcontextprotocol/ui": UI} if known else None)
    assert seen["sampling"] == ({"tools": {}} if known else {})


def _call(url: str, era: str, declared: Mapping[str, Any]) -> None:
    """Call a tool of the shop as a client that declares something."""
    with loopback.Client(timeout=PATIENCE) as http:
        session: str | None = None
        if era == HANDSHAKE:
            client = {"name": "test", "version": "1"}
            opening = {"protocolVersion": era, "capabilities": declared, "clientInfo": client}
            body, headers = message(era, "initialize", opening, None)
            session = http.post(url, json=body, headers=headers).headers["mcp-session-id"]
        body, headers = message(era, "tools/call", {"name": "shop.saw"}, session)
        if era == STATELESS:
            key = "io.modelcontextprotocol/clientCapabilities"
            body["params"]["_meta"] = {**META, key: declared}
        assert http.post(url, json=body, headers=headers).status_code == 200


def test_a_question_of_a_server_is_no_task() -> None:
    """MCP 2025-11-25, Tasks: where no ``tasks`` are declared, ``task`` in a request is ignored."""
    asked: list[CreateMessageRequest] = []

    def sample(request: CreateMessageRequest) -> Mapping[str, Any]:
        asked.append(request)
        return {"role": "assistant", "content": {"type": "text", "text": "hi"}, "model": "m"}

    def tool(exchange: Exchange, arguments: dict[str, Any]) -> Mapping[str, Any]:
        params = {"messages": [], "maxTokens": 1, "task": {"ttl": 1000}}
        answer = exchange.stream().ask("sampling/createMessage", **params)
        return text(answer["result"]["content"]["text"])

    with ScriptedServer(HANDSHAKE) as server:
        server.tools["echo"] = tool
        upstream = Upstream("it", over_http(server.url), names=ServerNaming("it"))
        with (
            serving_aggregate(SingleServer(upstream)) as url,
            SyncRouterMCPClient(url, on_sampling=sample, protocol=HANDSHAKE) as client,
        ):
            assert client.call_tool("echo").text == "hi"
    assert [request.model_extra for request in asked] == [{}]
    assert question({"message": "?", "_meta": {"routermcp/serverId": "x"}, "task": {}}) == {"message": "?"}


@pytest.mark.parametrize("speaks", ERAS)
def test_a_client_sees_only_what_the_gateway_forwards(speaks: str) -> None:
    """The same in the other direction, where the gateway mirrors one server."""
    declared = {
        "tools": {"listChanged": True},
        "completions": {},
        "tasks": {"requests": {"tools": {"call": {}}}},
        "extensions": {"io.modelcontextprotocol/tasks": {}, "io.modelcontextprotocol/ui": {}},
        "experimental": {"x": {}},
    }
    expected = {
        "tools": {"listChanged": True},
        "completions": {},
        "extensions": {"io.modelcontextprotocol/ui": {}},
    }
    with ScriptedServer(STATELESS) as server:
        server.results["server/discover"] = {
            "resultType": "complete",
            "supportedVersions": [STATELESS],
            "capabilities": declared,
        }
        mirror = SingleServer(Upstream("it", over_http(server.url), names=ServerNaming("it")))
        with serving_aggregate(mirror) as url, SyncRouterMCPClient(url, protocol=speaks) as client:
            client.list_tools()  # by then the server was reached
            opening = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": {}}
            method = "initialize" if speaks == HANDSHAKE else "server/discover"
            described = ask(url, speaks, method, opening if speaks == HANDSHAKE else None)["result"]
    assert described["capabilities"] == of_server(declared) == expected

"""Signing in, or opening another page, in the middle of what a server and a client have with each other."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from routermcp import SyncRouterMCPClient
from routermcp.gateway import LocalGateway
from routermcp.oauth import memory_adapter
from routermcp.types import ElicitResult
from tests.gateway.listening import PATIENCE, message
from tests.gateway.servers import STATELESS
from tests.oauth.protected_server import ProtectedServer, consent
from tests.routermcp.server import Exchange, ScriptedServer

FORM = {"mode": "form", "message": "sure?", "requestedSchema": {"type": "object", "properties": {}}}

#: One that looks like the gateway's own, as that of a gateway behind the gateway does.
STATES = ("the server's state", "routermcp-gateway:{}")


@contextmanager
def behind(server: ScriptedServer, **options: Any) -> Generator[str]:
    """Serve a server, as ``it``, through a gateway, and give the URL of its project."""
    with LocalGateway({"mcpServers": {"it": {"url": server.url, **options}}}, tokens=memory_adapter()) as own:
        yield own.url.removesuffix("/mcp") + "/v1/mcp/default"


# ---- signing in ------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
def test_a_server_gets_its_state_and_its_answers_although_the_user_signs_in_between(state: str) -> None:
    asked: list[str] = []
    got: list[tuple[Any, Any]] = []

    def act(exchange: Exchange) -> None:
        params = exchange.seen.params
        got.append((params.get("inputResponses"), params.get("requestState")))
        if params.get("requestState") == state:
            exchange.answer()
            return
        requests = {"q": {"method": "elicitation/create", "params": FORM}}
        result = {"resultType": "input_required", "requestState": state, "inputRequests": requests}
        exchange.json({"jsonrpc": "2.0", "id": exchange.id, "result": result})

    def on_elicitation(request: Any) -> Any:
        asked.append(request.mode)
        if request.mode == "url":
            consent(mail, "ada", request.url)
            return ElicitResult(action="accept")
        mail.withdraw()
        return {}

    with (
        ProtectedServer() as mail,
        behind(mail, authType="oauth") as url,
        SyncRouterMCPClient(url, user_id="ada", on_elicitation=on_elicitation) as client,
    ):
        consent(mail, "ada", client.authorize("it").url)
        client.list_tools()
        mail.script("tools/call", *[act] * 2)
        assert client.call_tool("it.add", {"a": 1, "b": 2}).text == "3"
    assert asked == ["form", "url"]
    assert got == [(None, None), ({"q": {"action": "accept", "content": {}}}, state)]


def test_a_state_that_was_changed_on_its_way_is_refused() -> None:
    with ScriptedServer() as server, behind(server) as url:
        for state in ("[]", "{", '{"state": 7}', '{"responses": []}'):
            params = {"name": "it.add", "arguments": {}, "requestState": f"routermcp-gateway:{state}"}
            body, headers = message(STATELESS, "tools/call", params, None)
            answer = httpx.post(url, json=body, headers=headers, timeout=PATIENCE, trust_env=False).json()
            assert answer["error"]["code"] == -32602
    assert server.requests("tools/call") == []

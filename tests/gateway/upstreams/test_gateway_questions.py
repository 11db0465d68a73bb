"""Signing in, or opening another page, in the middle of what a server and a client have with each other."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Literal

import pytest

from routermcp import SyncRouterMCPClient
from routermcp.gateway.upstreams.times import DEFAULT_TIMES, UpstreamTimes
from routermcp.oauth import memory_adapter
from routermcp.types import AuthorizationRequiredError, ElicitResult
from tests import loopback
from tests.gateway.listening import PATIENCE, message
from tests.gateway.servers import ERAS, HANDSHAKE, STATELESS, serving_config
from tests.oauth.servers.protected_server import ProtectedServer, consent
from tests.routermcp.server import END_OF_STREAM, Exchange, ScriptedServer

FORM = {"mode": "form", "message": "sure?", "requestedSchema": {"type": "object", "properties": {}}}
PAGE = {"mode": "url", "elicitationId": "e1", "url": "https://idp.example/connect", "message": "Connect"}

#: One that looks like the gateway's own, as that of a gateway behind the gateway does.
STATES = ("the server's state", "routermcp-gateway:{}")


@contextmanager
def behind(server: ScriptedServer, times: UpstreamTimes = DEFAULT_TIMES, **options: Any) -> Generator[str]:
    """Serve a server, as ``it``, through a gateway, and give the URL of its project."""
    servers = {"it": {"url": server.url, **options}}
    with serving_config({"mcpServers": servers}, memory_adapter(), times) as url:
        yield url


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
            answer = loopback.post(url, json=body, headers=headers, timeout=PATIENCE).json()
            assert answer["error"]["code"] == -32602
    assert server.requests("tools/call") == []


# ---- pages that a server wants opened ----------------------------------------------------------------


def want_a_page(exchange: Exchange) -> None:
    exchange.error(-32042, "open this first", data={"elicitations": [PAGE], "url": "https://other.example"})


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("speaks", ERAS)
@pytest.mark.parametrize("personal", [False, True])
@pytest.mark.parametrize("does", ["accept", "decline"])
def test_a_page_that_a_server_wants_opened_is_the_client_s_to_open(
    era: str, speaks: str, personal: bool, does: Literal["accept", "decline"]
) -> None:
    """In the stateless era it is asked to; before, it gets the server's error, and asks its user itself."""
    asked: list[Any] = []

    def on_elicitation(request: Any) -> ElicitResult:
        asked.append(request)
        return ElicitResult(action=does)

    with (
        ProtectedServer(era=era) if personal else ScriptedServer(era=era) as server,
        behind(server, **({"authType": "oauth"} if personal else {})) as url,
        SyncRouterMCPClient(url, user_id="ada", protocol=speaks, on_elicitation=on_elicitation) as client,
    ):
        if isinstance(server, ProtectedServer):
            consent(server, "ada", client.authorize("it").url)
        client.list_tools()
        server.script("tools/call", want_a_page)
        if does == "accept":
            assert client.call_tool("it.add", {"a": 1, "b": 2}).text == "3"
        else:
            server.script("tools/call", want_a_page)
            with pytest.raises(AuthorizationRequiredError, match="open this first") as caught:
                client.call_tool("it.add", {"a": 1, "b": 2})
            assert (caught.value.url, caught.value.server_id) == (PAGE["url"], None)
    assert [each.url for each in asked] == [PAGE["url"]], "once, and not again for the error that follows"


@pytest.mark.parametrize("era", ERAS)
def test_a_client_that_opens_no_pages_gets_the_server_s_error(era: str) -> None:
    with ScriptedServer(era=HANDSHAKE) as server, behind(server) as url:
        with SyncRouterMCPClient(url, protocol=era) as client:
            client.list_tools()
            server.script("tools/call", want_a_page)
            with pytest.raises(AuthorizationRequiredError, match="open this first"):
                client.call_tool("it.add", {"a": 1, "b": 2})
        assert server.executed["tools/call:add"] == 0


def test_work_that_ended_with_a_page_begins_anew() -> None:
    """What the server had asked before goes with it."""
    asked: list[str] = []

    def confirm_and_want_a_page(exchange: Exchange) -> None:
        exchange.stream()
        exchange.server.ask(exchange.event, "elicitation/create", FORM)
        error = {"code": -32042, "message": "open this first", "data": {"elicitations": [PAGE]}}
        exchange.event({"jsonrpc": "2.0", "id": exchange.id, "error": error}, more=END_OF_STREAM)

    def confirm(exchange: Exchange, arguments: dict[str, Any]) -> dict[str, Any]:
        exchange.stream()
        answer = exchange.server.ask(exchange.event, "elicitation/create", FORM)
        return {"content": [{"type": "text", "text": str(answer["result"]["content"])}]}

    def on_elicitation(request: Any) -> Any:
        asked.append(request.mode)
        return ElicitResult(action="accept") if request.mode == "url" else {"number": len(asked)}

    with (
        ScriptedServer(era=HANDSHAKE) as server,
        behind(server) as url,
        SyncRouterMCPClient(url, protocol=STATELESS, on_elicitation=on_elicitation) as client,
    ):
        server.tools["echo"] = confirm
        client.list_tools()
        server.script("tools/call", confirm_and_want_a_page)
        assert client.call_tool("it.echo", {}).text == "{'number': 3}"
    assert asked == ["form", "url", "form"]


@pytest.mark.parametrize("era", ERAS)
def test_who_says_to_have_signed_in_and_has_not_is_told_where_again(era: str) -> None:
    def let_nobody_in(exchange: Exchange) -> None:
        exchange.status(401, WWW_Authenticate='Bearer error="invalid_token"')

    def on_elicitation(request: Any) -> ElicitResult:
        consent(mail, "ada", request.url)
        mail.script("tools/call", *[let_nobody_in] * 10)
        return ElicitResult(action="accept")

    with (
        ProtectedServer() as mail,
        behind(mail, UpstreamTimes(sign_in_ms=500), authType="oauth") as url,
        SyncRouterMCPClient(url, user_id="ada", protocol=era, on_elicitation=on_elicitation) as client,
        pytest.raises(AuthorizationRequiredError, match="sign in at it first") as caught,
    ):
        client.call_tool("it.add", {"a": 1, "b": 2})
    assert caught.value.server_id == "it"
    assert (caught.value.url or "").startswith(f"{mail.origin}/oauth/authorize?")

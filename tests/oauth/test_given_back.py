"""What a careless server gives back of the secrets that it was sent shows nowhere."""

from __future__ import annotations

import logging
from collections.abc import Callable
from urllib.parse import quote

import pytest

from routermcp import SyncRouterMCPClient
from routermcp.gateway import LocalGateway
from routermcp.oauth import OAuthConfig, memory_adapter
from routermcp.types import MCPError, RetryPolicy
from tests import loopback
from tests.oauth.looking import PLANTED, assert_clean, shown_by
from tests.oauth.servers.protected_server import ProtectedServer, callback
from tests.routermcp.server import HANDSHAKE, STATELESS, Action, Exchange, ScriptedServer

ONCE = RetryPolicy(attempts=1)


def sent(exchange: Exchange) -> str:
    """All that came with a request, as a server may quote it."""
    seen = exchange.seen
    return f"{seen.target} {seen.headers}"


def refusal(status: int) -> Action:
    """Refuse, and quote in the body, in a challenge, and in a header."""

    def refuse(exchange: Exchange) -> None:
        said = sent(exchange)
        challenge = f'Bearer error_description="{said.replace(chr(34), chr(39))}"'
        exchange.status(status, f"not good: {said}", WWW_Authenticate=challenge, X_Echo=said)

    return refuse


def page(exchange: Exchange) -> None:
    exchange.status(200, f"<p>{sent(exchange)}", "text/html")


def nonsense(exchange: Exchange) -> None:
    exchange.raw(f"{sent(exchange)}\r\n\r\n".encode())
    exchange.hang_up()


CARELESS: dict[str, Callable[[Exchange], None]] = {
    "401": refusal(401),
    "403": refusal(403),
    "500": refusal(500),
    "rpc-401": lambda exchange: exchange.error(-32001, sent(exchange), status=401, data=[sent(exchange)]),
    "rpc-400": lambda exchange: exchange.error(-32050, sent(exchange), status=400, data=[sent(exchange)]),
    "rpc": lambda exchange: exchange.error(-1, sent(exchange), data={"seen": sent(exchange)}),
    "json": lambda exchange: exchange.json({"seen": sent(exchange)}),
    "page": page,
    "307": lambda exchange: exchange.status(307, Location=f"https://other.example/{quote(sent(exchange))}"),
    "nonsense": nonsense,
}

#: "planted-secret" as user and password.
BASIC = "cGxhbnRlZC1zZWNyZXQ6cGxhbnRlZC1zZWNyZXQ="


@pytest.mark.parametrize("careless", CARELESS)
@pytest.mark.parametrize("when", ["connect", "call"])
@pytest.mark.parametrize(
    ("era", "way"), [(STATELESS, "sockets"), (STATELESS, "httpx"), (HANDSHAKE, "sockets")]
)
def test_a_server(era: str, way: str, when: str, careless: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "routermcp")
    with ScriptedServer(era) as server, loopback.Client(headers={"X-Key": f"{PLANTED}-3"}) as carrier:
        first = "server/discover" if era == STATELESS else "initialize"
        server.script(first if when == "connect" else "tools/call", CARELESS[careless])
        client = SyncRouterMCPClient(
            f"{server.url}?apiKey={PLANTED}-1",
            headers={"Authorization": f"Basic {BASIC}", "X-Api-Token": f"{PLANTED}-2"},
            protocol=era,
            retry=ONCE,
            debug=True,
            http_client=carrier if way == "httpx" else None,
        )
        with pytest.raises(MCPError) as caught, client:
            client.call_tool("add", {"a": 1, "b": 2})
    assert_clean(shown_by(caught.value), BASIC)
    assert_clean(caplog.text, BASIC)


def test_the_stream_of_a_server(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody hears that it was refused, but whoever reads the log."""
    caplog.set_level(logging.DEBUG, "routermcp")
    with ScriptedServer(HANDSHAKE, listens=True) as server:
        server.script("GET", *[CARELESS["401"]] * 3)
        client = SyncRouterMCPClient(
            server.url, api_key=PLANTED, protocol=HANDSHAKE, debug=True, on_elicitation=lambda _: {}
        )
        with client:
            client.call_tool("add", {"a": 1, "b": 2})
            client.call_tool("add", {"a": 1, "b": 2})
    assert server.requests("GET")
    assert_clean(caplog.text)


@pytest.mark.parametrize("careless", ["401", "403", "rpc-401", "rpc"])
def test_a_server_that_was_signed_in_at(careless: str, caplog: pytest.LogCaptureFixture) -> None:
    """Its tokens are not the client's own, but somebody else's who sees to them."""
    caplog.set_level(logging.DEBUG, "routermcp")
    with ProtectedServer() as server:
        oauth = OAuthConfig(memory_adapter(), authorize=lambda url: callback(server, "ada", url))
        with SyncRouterMCPClient(server.url, user_id="ada", oauth=oauth, debug=True) as client:
            client.list_tools()
            server.script("tools/call", *[CARELESS[careless]] * 8)
            with pytest.raises(MCPError) as caught:
                client.call_tool("add", {"a": 1, "b": 2})
    assert server.requests("tools/call")
    assert_clean(shown_by(caught.value))
    assert_clean(caplog.text)


@pytest.mark.parametrize("careless", CARELESS)
def test_a_server_behind_a_gateway(careless: str, caplog: pytest.LogCaptureFixture) -> None:
    """What the gateway sends there shows neither in its log nor at its clients."""
    caplog.set_level(logging.DEBUG, "routermcp")
    with ScriptedServer() as server:
        server.script("tools/call", *[CARELESS[careless]] * 3)
        upstream = {"url": f"{server.url}?token={PLANTED}-1", "headers": {"X-Api-Key": f"{PLANTED}-2"}}
        with (
            LocalGateway({"mcpServers": {"careless": upstream}}) as gateway,
            SyncRouterMCPClient(gateway.url, retry=ONCE) as client,
            pytest.raises(MCPError) as caught,
        ):
            client.call_tool("careless.add", {"a": 1, "b": 2})
    assert server.requests("tools/call")
    assert_clean(shown_by(caught.value))
    assert_clean(caplog.text)

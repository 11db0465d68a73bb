"""A server whose lists and resources change, and clients that do nothing but listen."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx

from routermcp.gateway import Caller, GatewayApp, Listing, serve_in_thread
from routermcp.gateway.catalog.server_names import ServerNaming
from routermcp.gateway.serving.stdio import serve_stdio
from routermcp.gateway.single import SingleServer
from routermcp.gateway.upstreams.targets import over_http, over_stdio
from routermcp.gateway.upstreams.times import DEFAULT_TIMES, UpstreamTimes
from routermcp.gateway.upstreams.upstream import Upstream
from routermcp.types import RPCError
from tests import loopback
from tests.gateway.servers import HANDSHAKE, STATELESS, Shop, serving_aggregate

#: Seconds that anything here is waited for: many times what it takes.
PATIENCE = 10.0

#: Where a client meets the server: directly, or with a gateway between that speaks one of
#: the eras to it, over HTTP or stdio.
PLACES = ("direct", "http-stateless", "http-handshake", "stdio-stateless", "stdio-handshake")

HEADERS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
META = {
    "io.modelcontextprotocol/protocolVersion": STATELESS,
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Market(Shop):
    """A shop whose visitors can change it, by its tools.

    Attributes:
        watched: What it was asked to watch, and has not been let off.
    """

    capabilities: Mapping[str, Any] = {
        "tools": {"listChanged": True},
        "resources": {"subscribe": True},
        "prompts": {},
    }

    def __init__(self) -> None:
        super().__init__(["grow", "touch", "close"])
        self.on_changed: Any = lambda _method, _params: None
        self.app: GatewayApp | None = None
        self.watched: set[str] = set()
        self._moved = threading.Condition()
        self.ended: list[str] = []

    async def grow(self, arguments: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        """Offer one thing more."""
        self.wares.append(f"more-{len(self.wares)}")
        self.on_changed("notifications/tools/list_changed", {})
        return {"content": []}

    async def touch(self, arguments: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        """Say that resources have changed."""
        for uri in arguments["uris"]:
            self.on_changed("notifications/resources/updated", {"uri": uri})
        return {"content": []}

    async def close(self, arguments: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        """End the streams of those who listen."""
        if self.app is not None:
            self.app.end_streams()
        return {"content": []}

    async def list_page(self, listing: Listing, cursor: str | None, caller: Caller) -> Mapping[str, Any]:
        if listing is Listing.RESOURCES:
            return {"resources": [{"uri": uri, "name": uri} for uri in ("shop://a", "shop://b")]}
        return await super().list_page(listing, cursor, caller)

    async def subscribe(self, uri: str, caller: Caller) -> None:
        if "secret" in uri:
            raise RPCError("not that", code=-32050)
        self._watch(self.watched | {uri})

    async def unsubscribe(self, uri: str) -> None:
        self._watch(self.watched - {uri})

    def _watch(self, uris: set[str]) -> None:
        with self._moved:
            self.watched = uris
            self._moved.notify_all()

    def comes_to_watch(self, *uris: str) -> bool:
        """Wait until just that is watched."""
        with self._moved:
            return self._moved.wait_for(lambda: self.watched == set(uris), PATIENCE)

    async def end_session(self, session_id: str) -> None:
        self.ended.append(session_id)


@contextmanager
def market(place: str = "direct", times: UpstreamTimes = DEFAULT_TIMES) -> Generator[tuple[Market, str]]:
    """Serve a market in a place; over stdio, the market given is not the one that is served."""
    shop = Market()
    with ExitStack() as stack:
        way, _, era = place.partition("-")
        protocol = {"stateless": STATELESS, "handshake": HANDSHAKE}.get(era, "auto")
        if way == "stdio":
            env = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
            settings = over_stdio([sys.executable, "-m", __name__], env=env, protocol=protocol)
        else:
            shop.app = GatewayApp(shop)
            shop.on_changed = shop.app.announce
            url = stack.enter_context(serve_in_thread(shop.app))
            if way == "direct":
                yield shop, url
                return
            settings = over_http(url, protocol=protocol)
        mirror = SingleServer(
            Upstream("it", settings, names=ServerNaming("it"), times=times), patience=PATIENCE
        )
        url = stack.enter_context(serving_aggregate(mirror))
        # The gateway speaks for the server once it has reached it.
        ask(url, STATELESS, "tools/list")
        yield shop, url


def ask(url: str, era: str, method: str, params: Any = None, session: str | None = None) -> Any:
    """Make one request by itself, and return its answer."""
    return post(url, era, method, params, session)[0]


def post(
    url: str, era: str, method: str, params: Any = None, session: str | None = None
) -> tuple[Any, httpx.Headers]:
    """Make one request, and return its answer and the headers that came with it."""
    body, headers = message(era, method, params, session)
    response = loopback.post(url, json=body, headers=headers, timeout=PATIENCE)
    text = response.text
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        text = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")][-1]
    return json.loads(text or "null"), response.headers


def message(era: str, method: str, params: Any, session: str | None) -> tuple[Any, dict[str, str]]:
    params, headers = dict(params or {}), dict(HEADERS)
    if era == STATELESS:
        params["_meta"] = META
        headers |= {"MCP-Protocol-Version": era, "Mcp-Method": method}
        if (name := params.get("name")) is not None:
            headers["Mcp-Name"] = name
    elif session is not None:
        headers |= {"Mcp-Session-Id": session, "MCP-Protocol-Version": era}
    body = {"jsonrpc": "2.0", "method": method, "params": params}
    return (body if method.startswith("notifications/") else {**body, "id": 77}), headers


def use(url: str, tool: str, session: str | None = None, **arguments: Any) -> None:
    """Use a tool of the market, in a session of the handshake era or in none."""
    era = STATELESS if session is None else HANDSHAKE
    assert "result" in ask(url, era, "tools/call", {"name": tool, "arguments": arguments}, session)


def open_session(url: str) -> str:
    """Open a session of the handshake era and return its id."""
    client = {
        "protocolVersion": HANDSHAKE,
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    _, headers = post(url, HANDSHAKE, "initialize", client)
    session: str = headers["mcp-session-id"]
    post(url, HANDSHAKE, "notifications/initialized", None, session)
    return session


@contextmanager
def listening(
    url: str, era: str, uris: Sequence[str] = (), session: str | None = None, **wanted: bool
) -> Generator[Iterator[Any]]:
    """Listen in the way of an era, and give what is heard; in the stateless era the acknowledgement first."""
    if era == STATELESS:
        params = {"notifications": {**wanted, "resourceSubscriptions": list(uris)}}
        body, headers = message(era, "subscriptions/listen", params, None)
        request: dict[str, Any] = {"method": "POST", "json": body, "headers": headers}
    else:
        session = session or open_session(url)
        for uri in uris:
            assert ask(url, era, "resources/subscribe", {"uri": uri}, session)["result"] == {}
        request = {"method": "GET", "headers": {"Accept": "text/event-stream", "Mcp-Session-Id": session}}
    with loopback.stream(url=url, timeout=PATIENCE, **request) as response:
        assert response.status_code == 200, response.read()
        lines = response.iter_lines()
        if era == HANDSHAKE:
            next(lines)  # a comment, by which the stream is known to be open
        yield (json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: "))


if __name__ == "__main__":
    import asyncio

    asyncio.run(serve_stdio(Market()))

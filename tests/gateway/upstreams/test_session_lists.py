"""A tool that a server switches on in one session is there for that session's client, and for no other.

MCP 2025-11-25, Tools, "List Changed Notification".
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from routermcp.gateway import Caller, GatewayApp, Listing, serve_in_thread
from routermcp.gateway.aggregate import Aggregate
from routermcp.gateway.catalog.server_names import ServerNaming
from routermcp.gateway.single import SingleServer
from routermcp.gateway.upstreams.targets import over_http
from routermcp.gateway.upstreams.upstream import Upstream
from tests import loopback
from tests.gateway.listening import PATIENCE, ask, listening, message, open_session, use
from tests.gateway.servers import HANDSHAKE, Shop, serving_aggregate

CHANGED = "notifications/tools/list_changed"


class Toolbox(Shop):
    """A server with a tool more in the sessions that have switched it on."""

    capabilities: Mapping[str, Any] = {"tools": {"listChanged": True}, "resources": {}, "prompts": {}}

    def __init__(self) -> None:
        super().__init__(["saw", "switch_on", "drill"])
        self.app = GatewayApp(self)
        self._on: set[str | None] = set()

    async def list_page(self, listing: Listing, cursor: str | None, caller: Caller) -> Mapping[str, Any]:
        page = await super().list_page(listing, cursor, caller)
        if listing is not Listing.TOOLS or caller.session_id in self._on:
            return page
        return {**page, "tools": [tool for tool in page["tools"] if tool["name"] != "drill"]}

    async def switch_on(self, arguments: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        self._on.add(caller.session_id)
        (session,) = (each for each in self.app._sessions if each.id == caller.session_id)
        while session.announcements is None:  # the gateway has not opened the session's stream yet
            await asyncio.sleep(0.01)
        self.app.announce(CHANGED, {}, caller.session_id)
        return {"content": []}

    async def drill(self, arguments: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        return {"content": [{"type": "text", "text": "drilled"}]}


@contextmanager
def behind(prefix: str) -> Generator[tuple[str, Aggregate]]:
    """Serve a toolbox behind a gateway of one server, or of several that prefixes its names."""
    box = Toolbox()
    with serve_in_thread(box.app) as there:
        names = None if prefix else ServerNaming("box")
        upstream = Upstream("box", over_http(there, protocol=HANDSHAKE), names=names)
        backend = (
            Aggregate([upstream], patience=PATIENCE) if prefix else SingleServer(upstream, patience=PATIENCE)
        )
        with serving_aggregate(backend) as url:
            yield url, backend


def tools(url: str, session: str) -> list[str]:
    listed = ask(url, HANDSHAKE, "tools/list", None, session)["result"]["tools"]
    return [tool["name"] for tool in listed]


def drill(url: str, name: str, session: str) -> Any:
    return ask(url, HANDSHAKE, "tools/call", {"name": name, "arguments": {}}, session)


@pytest.mark.parametrize("prefix", ["box.", ""], ids=["several servers", "one server"])
def test_a_tool_that_one_session_switches_on(prefix: str) -> None:
    with behind(prefix) as (url, backend):
        mine, other = open_session(url), open_session(url)
        use(url, f"{prefix}saw", mine)
        use(url, f"{prefix}saw", other)
        with listening(url, HANDSHAKE, session=other) as heard_by_other:
            with listening(url, HANDSHAKE, session=mine) as heard:
                assert f"{prefix}drill" not in tools(url, mine)
                use(url, f"{prefix}switch_on", mine)
                assert next(heard)["method"] == CHANGED
                # Told, it is there at once.
                assert drill(url, f"{prefix}drill", mine)["result"]["content"][0]["text"] == "drilled"
                assert f"{prefix}drill" in tools(url, mine)
                assert f"{prefix}drill" not in tools(url, other)
                assert drill(url, f"{prefix}drill", other)["error"]["code"] == -32002
            # The other session hears of its own change only.
            use(url, f"{prefix}switch_on", other)
            assert next(heard_by_other)["method"] == CHANGED
            assert f"{prefix}drill" in tools(url, other)
        for session in (mine, other):
            _, headers = message(HANDSHAKE, "ping", None, session)
            assert loopback.delete(url, headers=headers).status_code in (200, 204)
        assert backend._own == {}

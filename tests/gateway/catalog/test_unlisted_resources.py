"""Resources that no list has: user interfaces of tools (MCP Apps), and links in results.

MCP 2025-11-25, Tools, "Resource Links": a resource that a tool returns need not be in the list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from routermcp import SyncRouterMCPClient
from routermcp.gateway import Caller, Listing
from routermcp.types import MCPError, ResourceNotFoundError, RPCError
from tests.gateway.servers import ERAS, Shop, gateway

BOARD = "ui://board/main.html"
REPORT = "report://2026/11"


class Widgets(Shop):
    """A server that reads resources which it does not list.

    Args:
        has: Their URIs.
        names: The URI that its tool names.
        code: The error code for any other resource.
    """

    def __init__(self, has: str, names: str | None = None, code: int = -32002) -> None:
        super().__init__(["saw"])
        self.has = has
        self.names = names
        self.code = code
        self.read: list[str] = []

    async def list_page(self, listing: Listing, cursor: str | None, caller: Caller) -> Mapping[str, Any]:
        page = await super().list_page(listing, cursor, caller)
        if listing is not Listing.TOOLS or self.names is None:
            return page
        show = {"name": "show", "inputSchema": {}, "_meta": {"ui": {"resourceUri": self.names}}}
        return {**page, "tools": [*page["tools"], show]}

    async def read_resource(self, uri: str, caller: Caller) -> Mapping[str, Any]:
        self.read.append(uri)
        if uri != self.has:
            raise RPCError("what is that?", code=self.code)
        return {"contents": [{"uri": uri, "text": f"of {self.has}"}]}


def read(url: str, uri: str) -> str:
    with SyncRouterMCPClient(url) as client:
        client.list_tools()
        (content,) = client.read_resource(uri).contents
        return str(content.to_wire()["text"])


@pytest.mark.parametrize("speaks", ERAS)
def test_a_resource_is_read_from_the_server_whose_tool_names_it(speaks: str) -> None:
    one, two = Widgets("ui://other"), Widgets(BOARD, names=BOARD)
    with gateway({"one": one, "two": two}, speaks=speaks) as (url, _):
        assert read(url, BOARD) == f"of {BOARD}"
    assert (one.read, two.read) == ([], [BOARD])


@pytest.mark.parametrize("speaks", ERAS)
@pytest.mark.parametrize("code", [-32002, -32602, -32603, 0])
def test_a_resource_that_nothing_names_is_asked_for_in_turn(speaks: str, code: int) -> None:
    """Servers have many words for a resource that they do not have."""
    servers = [Widgets("a://", code=code), Widgets(REPORT), Widgets(REPORT)]
    shops = {"one": servers[0], "two": servers[1], "three": servers[2]}
    with gateway(shops, speaks=speaks) as (url, _):
        assert read(url, REPORT) == f"of {REPORT}"
    assert [server.read for server in servers] == [[REPORT], [REPORT], []]


def test_a_resource_that_nobody_has() -> None:
    servers = {"one": Widgets("a://"), "two": Widgets("b://", names="c://named")}
    with gateway(servers) as (url, _):
        for uri in ("d://", "c://named"):
            with pytest.raises(MCPError) as caught:
                read(url, uri)
            assert isinstance(caught.value, ResourceNotFoundError | RPCError)
    assert servers["one"].read == ["d://"]
    assert servers["two"].read == ["d://", "c://named"]


def test_a_resource_that_may_not_be_seen_is_not_asked_for() -> None:
    servers = {"one": Widgets(REPORT), "two": Widgets(BOARD, names=BOARD)}
    with gateway(servers, allows=lambda listing, name: "://" not in name) as (url, _):
        for uri in (REPORT, BOARD):
            with pytest.raises(ResourceNotFoundError):
                read(url, uri)
    assert [server.read for server in servers.values()] == [[], []]

"""Headers of clients that go on to a server: those that are named, and no others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from routermcp.gateway import GatewayApp, serve_in_thread
from routermcp.gateway.config.file import parse
from routermcp.types import ConfigError
from tests import loopback
from tests.gateway.gateways import BOTH, PATIENCE, request
from tests.gateway.servers import Shop, serving_config


class Noting:
    """An application that notes the headers of the calls that it gets."""

    def __init__(self) -> None:
        self.app = GatewayApp(Shop())
        self.path = self.app.path
        self.seen: list[dict[str, str]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        if headers.get("mcp-method") == "tools/call":
            self.seen.append(headers)
        await self.app(scope, receive, send)


@pytest.mark.parametrize(
    ("named", "passed"),
    [
        ([], {}),
        (["X-Tenant"], {"x-tenant": "a"}),
        (["x-tenant", "Authorization", "X-Missing"], {"x-tenant": "a", "authorization": "Bearer theirs"}),
    ],
)
def test_the_headers_that_are_named_go_on(named: list[str], passed: dict[str, str]) -> None:
    noting = Noting()
    sent = {**BOTH, "X-Tenant": "a", "X-Other": "b", "Cookie": "c=d", "Authorization": "Bearer theirs"}
    with serve_in_thread(noting) as there:  # type: ignore[arg-type]
        config = {"mcpServers": {"s": {"url": there, "passthroughHeaders": named}}}
        with serving_config(config) as url, loopback.Client(timeout=PATIENCE) as http:
            call = request("tools/call", {"name": "s.saw", "arguments": {}})
            assert "result" in http.post(url, json=call, headers=sent).json()
    (seen,) = noting.seen
    watched = {"x-tenant", "x-other", "cookie", "authorization", "x-missing"}
    assert {name: value for name, value in seen.items() if name in watched} == passed


@pytest.mark.parametrize(
    "more",
    [
        {"passthroughHeaders": ["Connection"]},
        {"passthroughHeaders": ["transfer-encoding"]},
        {"passthroughHeaders": ["Keep-Alive"]},
        {"passthroughHeaders": ["Mcp-Session-Id"]},
        {"passthroughHeaders": ["MCP-Param-Region"]},
        {"passthroughHeaders": ["X-API-Key"]},
        {"passthroughHeaders": ["no header"]},
        {"passthroughHeaders": ["Authorization"], "authBearer": "token"},
        {"passthroughHeaders": ["x-tenant"], "headers": {"X-Tenant": "ours"}},
    ],
    ids=lambda more: str(more)[22:],
)
def test_headers_that_cannot_go_on_are_refused(more: dict[str, Any]) -> None:
    text = json.dumps({"mcpServers": {"s": {"url": "http://127.0.0.1/mcp", **more}}})
    with pytest.raises(ConfigError, match=r"passthroughHeaders\[0\]"):
        parse(text, source="it", environ={})

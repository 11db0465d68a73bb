"""A server of HTTP+SSE behind the gateway, where its configuration says so."""

from __future__ import annotations

import pytest

from tests.gateway.servers import serving_config
from tests.routermcp.legacy_server import legacy_server
from tests.three_runtimes import make_client, run


@pytest.mark.parametrize("key", ["type", "transport"])
def test_its_tools_are_called_without_a_question_for_another_transport(key: str) -> None:
    with legacy_server() as server:
        entry = {"url": server.url, key: "sse"}
        with serving_config({"mcpServers": {"old": entry}}) as url:

            async def body() -> None:
                async with make_client("asyncio", url=url) as client:
                    assert (await client.call_tool("old.echo", {"a": 1})).text == '{"a": 1}'

            run("asyncio", body)
    assert server.requests()[0] == "GET /sse"

"""The gateway in one object, and in the same process."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from routermcp import RouterMCPClient, SyncRouterMCPClient
from routermcp.gateway import LocalGateway
from routermcp.gateway.config.model import GatewayConfig
from routermcp.types import ConfigError, LocalProtocolError, ToolDisabledError, UnauthorizedError
from tests.gateway.servers import ERAS, Shop, serving
from tests.gateway.serving.test_stdio import CONNECT
from tests.three_runtimes import RUNTIMES, make_client, run


def config_for(url: str, **more: Any) -> dict[str, Any]:
    return {"mcpServers": {"shop": {"url": url, "denyToolsGlob": ["wa*"]}}, **more}


@pytest.mark.parametrize("runtime", ["asyncio", "trio"])
def test_in_an_async_with_block(runtime: str) -> None:
    with serving(Shop(["saw", "wait"])) as url:

        async def body() -> str:
            async with (
                LocalGateway(config_for(url)) as gateway,
                make_client(runtime, url=gateway.url) as client,
            ):
                assert gateway.states() == {"shop": "ready"} or await client.list_tools()
                with pytest.raises(ToolDisabledError):
                    await client.call_tool("shop.wait")
                return (await client.call_tool("shop.saw")).text

        assert run(runtime, body) == "sawn"


def test_in_a_plain_with_block() -> None:
    with (
        serving(Shop(["saw"])) as url,
        LocalGateway(GatewayConfig.model_validate(config_for(url))) as gateway,
        SyncRouterMCPClient(gateway.url) as client,
    ):
        assert client.call_tool("shop.saw").text == "sawn"
        inside = gateway.url
    with pytest.raises(LocalProtocolError, match="inside its with block"):
        _ = gateway.url
    with pytest.raises(Exception, match="cannot connect"), SyncRouterMCPClient(inside):
        pass


@pytest.mark.parametrize("era", ERAS)
def test_without_a_socket(era: str) -> None:
    async def body(url: str) -> None:
        async with LocalGateway(config_for(url), listen=False) as gateway:
            with pytest.raises(LocalProtocolError, match="listen is False"):
                _ = gateway.url
            clients = [
                RouterMCPClient(
                    transport=gateway.transport, protocol=era, on_elicitation=lambda asked: {"answer": "yes"}
                )
                for _ in range(2)
            ]
            for client in clients:
                await client.connect()
            texts = await asyncio.gather(
                *(client.call_tool("shop.add", {"a": n, "b": 1}) for n in range(20) for client in clients)
            )
            assert [each.text for each in texts] == [str(n + 1) for n in range(20) for _ in clients]
            assert (await clients[0].call_tool("shop.chat")).text == (
                "one={'answer': 'yes'} two={'answer': 'yes'}"
            )
            for client in clients:
                await client.disconnect()

    with serving(Shop(["chat"])) as url:
        asyncio.run(body(url))


def test_a_gateway_without_a_socket_belongs_to_its_loop() -> None:
    async def body(url: str) -> None:
        async with LocalGateway(config_for(url), listen=False) as gateway:
            transport = gateway.transport

            def blocking() -> None:
                with SyncRouterMCPClient(transport=transport):
                    pass

            with pytest.raises(ConfigError, match="its own event loop only"):
                await asyncio.to_thread(blocking)

    with serving(Shop()) as url:
        asyncio.run(body(url))
        with pytest.raises(ConfigError, match="async with"), LocalGateway(config_for(url), listen=False):
            pass


def test_a_file_with_a_child_and_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its relative folder begins where the file is; variables are put in."""
    (tmp_path / "work").mkdir()
    child = "import os, sys; sys.argv[1:] = [open('url').read()]; exec(os.environ['SOURCE'])"
    file = tmp_path / "routermcp.jsonc"
    with serving(Shop(["saw"])) as url:
        (tmp_path / "work" / "url").write_text(url)
        monkeypatch.setenv("TEST_GATEWAY_SOURCE", CONNECT)
        monkeypatch.setenv("TEST_GATEWAY_KEY", "rmc_secret")
        server = {
            "command": sys.executable,
            "args": ["-c", child],
            "cwd": "work",
            "env": {
                "SOURCE": "${TEST_GATEWAY_SOURCE}",
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            },
        }
        auth = {"apiKeys": ["${env:TEST_GATEWAY_KEY}"]}
        file.write_text("// a comment\n" + json.dumps({"mcpServers": {"it": server}, "auth": auth}))
        with LocalGateway(file, patience=20) as gateway:
            with SyncRouterMCPClient(gateway.url, api_key="rmc_secret") as client:
                assert client.call_tool("it.saw").text == "sawn"
            project = gateway.url.replace("/mcp", "/v1/mcp/default")
            with pytest.raises(UnauthorizedError), SyncRouterMCPClient(project, api_key="rmc_wrong"):
                pass


def test_a_wrong_configuration_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match=r"mcpServers\.it: expected command"):
        LocalGateway({"mcpServers": {"it": {}}})


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_users_of_the_gateway_of_this_machine(runtime: str) -> None:
    """Whoever is on this machine may act for anybody, as there are no keys."""
    shop = Shop(["saw"])
    with serving(shop) as url, LocalGateway(config_for(url)) as gateway:

        async def body() -> None:
            async with make_client(runtime, url=gateway.url, user_id="ada", send_user_id=True) as client:
                assert (await client.call_tool("shop.saw")).text == "sawn"

        run(runtime, body)

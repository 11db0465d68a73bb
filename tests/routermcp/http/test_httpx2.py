"""Clients of httpx2, the successor of httpx, are taken by what they can do."""

from __future__ import annotations

from typing import Any

import httpx
import httpx2
import pytest

from routermcp import SyncRouterMCPClient
from routermcp.types import ConfigError, TransportError
from routermcp_adapters.http.httpx import library_of
from tests.routermcp.legacy_server import legacy_server
from tests.routermcp.server import ScriptedServer, dropped
from tests.three_runtimes import make_client, run


def http_client(runtime: str) -> Any:
    return httpx2.Client() if runtime == "blocking" else httpx2.AsyncClient()


async def close(client: Any) -> None:
    if isinstance(client, httpx2.Client):
        client.close()
    else:
        await client.aclose()


def test_calls_are_made_and_errors_are_ours(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        brought = http_client(runtime)
        async with make_client(runtime, url=any_server.url, http_client=brought) as client:
            assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"
            any_server.script("tools/call", dropped)
            with pytest.raises(TransportError) as caught:
                await client.call_tool("add", {"a": 1, "b": 2})
            assert caught.value.code == "interrupted"
        await close(brought)

    run(runtime, body)


def test_a_server_that_is_not_there_ran_nothing(runtime: str) -> None:
    async def body() -> None:
        brought = http_client(runtime)
        with pytest.raises(TransportError) as caught:
            await make_client(runtime, url="http://127.0.0.1:9/mcp", http_client=brought).connect()
        assert (caught.value.code, caught.value.not_run) == ("connect", True)
        await close(brought)

    run(runtime, body)


def test_a_server_of_http_sse_is_reached_with_it(runtime: str) -> None:
    with legacy_server() as server:

        async def body() -> None:
            brought = http_client(runtime)
            async with make_client(runtime, url=server.url, http_client=brought) as client:
                assert (await client.call_tool("echo", {"a": 1})).text == '{"a": 1}'
            await close(brought)

        run(runtime, body)


class Own(httpx2.Client):
    """A class of an application."""


def test_the_library_is_that_of_the_class_that_it_builds_on() -> None:
    with Own() as own, httpx.Client() as older:
        assert library_of(own) is httpx2
        assert library_of(older) is httpx


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_a_client_of_the_other_kind_is_named_with_its_module(library: Any) -> None:
    wrong = library.AsyncClient()
    with pytest.raises(ConfigError, match=rf"httpx2\.Client here, not {library.__name__}\.AsyncClient"):
        SyncRouterMCPClient("http://127.0.0.1:9/mcp", http_client=wrong)


def test_what_can_do_nothing_of_it_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"not builtins\.object"):
        SyncRouterMCPClient("http://127.0.0.1:9/mcp", http_client=object())  # pyright: ignore[reportArgumentType]

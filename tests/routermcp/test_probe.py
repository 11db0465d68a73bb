"""Whatever becomes of ``server/discover``, a server of the handshake era is asked to initialize."""

from __future__ import annotations

import pytest

from routermcp.types import TransportError
from tests.routermcp.server import HANDSHAKE, Action, Exchange, ScriptedServer, dropped, lost, refused
from tests.routermcp.test_bad_input import (
    accepted,
    another_answer,
    empty,
    no_http,
    no_json,
    page,
    wrong_shape,
)
from tests.three_runtimes import make_client, run


def silent(exchange: Exchange) -> None:
    exchange.closed_by_client()


def null(exchange: Exchange) -> None:
    exchange.json({"jsonrpc": "2.0", "id": exchange.id, "result": None})


def cut_stream(exchange: Exchange) -> None:
    exchange.stream()
    exchange.hang_up()


PROBES: dict[str, Action] = {
    "400": refused(400, "unknown method"),
    "403 of a filter": refused(403, "method not allowed"),
    "404": refused(404),
    "405": refused(405),
    "500": refused(500, "Traceback"),
    "502": refused(502),
    "503": refused(503),
    "524": refused(524),
    "202": accepted,
    "empty 200": empty,
    "half JSON": no_json,
    "null": null,
    "page": page,
    "wrong shape": wrong_shape,
    "another id": another_answer,
    "no HTTP": no_http,
    "lost": lost,
    "dropped": dropped,
    "cut stream": cut_stream,
    "silence": silent,
}


@pytest.mark.parametrize("name", PROBES)
def test_a_failed_probe_is_followed_by_initialize(runtime: str, name: str) -> None:
    with ScriptedServer(HANDSHAKE) as server:
        server.script("server/discover", PROBES[name])

        async def body() -> None:
            async with make_client(
                runtime, url=server.url, timeout=6000 if name == "silence" else 20_000
            ) as client:
                assert client.server is not None
                assert client.server.protocolVersion == HANDSHAKE
                assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"

        run(runtime, body)


def test_what_is_reported_is_the_failure_of_initialize(runtime: str) -> None:
    with ScriptedServer(HANDSHAKE) as server:
        server.script("server/discover", refused(503, "no probes here"))
        server.script("initialize", refused(403, "not on the list"))

        async def body() -> None:
            client = make_client(runtime, url=server.url)
            with pytest.raises(TransportError, match="not on the list") as caught:
                await client.connect()
            assert caught.value.code == "http_403"
            assert "no probes here" in str(caught.value.__cause__)

        run(runtime, body)


def test_who_wants_credentials_is_not_asked_in_another_way(runtime: str) -> None:
    with ScriptedServer(HANDSHAKE) as server:
        server.script("server/discover", refused(401))

        async def body() -> None:
            with pytest.raises(TransportError) as caught:
                await make_client(runtime, url=server.url).connect()
            assert caught.value.code == "http_401"

        run(runtime, body)
        assert not server.requests("initialize")

"""How progress extends the time of a call, and what the error of a time-out quotes."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import Any

import pytest

from routermcp import RouterMCPClient
from routermcp.types import ConfigError, Progress, TransportError
from routermcp_adapters.runtime import Runtime
from tests.routermcp.server import Exchange, ScriptedServer, text
from tests.three_runtimes import RUNTIMES, gather, make_client, run

#: Milliseconds without progress that a call may take here, and seconds between two reports: an eighth,
#: so that a report may be late on a busy machine.
TIMEOUT = 2000
PAUSE = 0.25
REPORTS = 9


def slow(exchange: Exchange, arguments: dict[str, Any]) -> Mapping[str, Any]:
    """Report progress, which takes longer than the time-out."""
    exchange.stream()
    for number in range(REPORTS):
        exchange.server.events["nothing"].wait(PAUSE)
        exchange.progress(number)
    return text("done")


def endless(exchange: Exchange, arguments: dict[str, Any]) -> Mapping[str, Any]:
    """Report progress once, and never answer."""
    exchange.stream().progress(1)
    exchange.closed_by_client()
    raise ConnectionAbortedError


#: Options of the client and of the call.
GIVEN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "per call": ({}, {"reset_on_progress": True}),
    "for all calls": ({"reset_on_progress": True, "max_timeout": 0}, {}),
    "with a callback": ({}, {"reset_on_progress": True, "max_timeout": 20_000, "on_progress": "seen"}),
}


@pytest.mark.parametrize(
    ("runtime", "name"),
    [
        *((runtime, "with a callback") for runtime in RUNTIMES),
        ("asyncio", "per call"),
        ("asyncio", "for all calls"),
    ],
)
def test_a_call_that_reports_progress_goes_on(server: ScriptedServer, runtime: str, name: str) -> None:
    settings, options = GIVEN[name]
    server.tools["slow"] = slow
    seen: list[Progress] = []
    if "on_progress" in options:
        options = {**options, "on_progress": seen.append}

    async def body() -> str:
        async with make_client(runtime, url=server.url, timeout=TIMEOUT, **settings) as client:
            return (await client.call_tool("slow", **options)).text

    assert run(runtime, body) == "done"
    assert len(seen) == (REPORTS if "on_progress" in options else 0)


@pytest.mark.parametrize(
    ("settings", "options", "words"),
    [
        ({}, {"on_progress": print}, "timeout=300 ms"),
        ({"reset_on_progress": True}, {"reset_on_progress": False, "on_progress": print}, "timeout=300 ms"),
        ({}, {"reset_on_progress": True, "max_timeout": 200}, "max_timeout=200 ms"),
        ({"reset_on_progress": True, "max_timeout": 200}, {}, "max_timeout=200 ms"),
    ],
)
def test_a_call_that_takes_too_long_ends(
    server: ScriptedServer, runtime: str, settings: Any, options: Any, words: str
) -> None:
    server.tools["endless"] = endless

    async def body() -> None:
        async with make_client(runtime, url=server.url, **settings) as client:
            with pytest.raises(TransportError, match=f"longer than {words}") as caught:
                await client.call_tool("endless", timeout=300, **options)
            assert caught.value.code == "timeout"

    run(runtime, body)


@pytest.mark.parametrize("wrong", [-1, 1.5, True])
def test_a_max_timeout_that_is_none(server: ScriptedServer, runtime: str, wrong: Any) -> None:
    with pytest.raises(ConfigError, match="max_timeout"):
        make_client(runtime, url=server.url, max_timeout=wrong)

    async def body() -> None:
        async with make_client(runtime, url=server.url) as client:
            with pytest.raises(ConfigError, match="max_timeout"):
                await client.call_tool("echo", reset_on_progress=True, max_timeout=wrong)

    run(runtime, body)


# ---- an error that names no request -------------------------------------------------------------------


class Complaining:
    """A transport whose server answers the handshake, and then says once that something is wrong."""

    def __init__(self) -> None:
        self.calls = 0

    def __str__(self) -> str:
        return "a complaining server"

    async def open(self, runtime: Runtime) -> Lines:
        return Lines(self, runtime)


class Lines:
    def __init__(self, server: Complaining, runtime: Runtime) -> None:
        self._server = server
        self._runtime = runtime
        self._due: deque[dict[str, Any]] = deque()

    async def send(self, payload: bytes) -> None:
        message = json.loads(payload)
        if message["method"] == "initialize":
            info = {"name": "complaining", "version": "1"}
            result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": info}
            self._due.append({"jsonrpc": "2.0", "id": message["id"], "result": result})
        elif message["method"] == "tools/call":
            self._server.calls += 1
            if self._server.calls == 2:
                error = {"code": -32050, "message": "the disk is full"}
                self._due.append({"jsonrpc": "2.0", "id": None, "error": error})

    async def receive(self) -> bytes:
        while not self._due:
            await self._runtime.sleep(0.05)
        return json.dumps(self._due.popleft()).encode()

    async def aclose(self) -> None:
        self.abort()

    def abort(self) -> None:
        self._due.append({"jsonrpc": "2.0", "method": "notifications/end"})


def test_a_time_out_quotes_an_error_that_names_no_request(runtime: str) -> None:
    async def timed_out(client: RouterMCPClient, timeout: int) -> str:
        with pytest.raises(TransportError) as caught:
            await client.call_tool("any", timeout=timeout)
        assert caught.value.code == "timeout"
        return str(caught.value)

    async def body() -> None:
        transport: Any = Complaining()
        async with make_client(runtime, transport=transport, protocol="2025-11-25") as client:
            for message in await gather(runtime, [lambda: timed_out(client, TIMEOUT)] * 2):
                said = "the server also reported, without naming a request: the disk is full (code -32050)"
                assert said in message
            assert "also reported" not in await timed_out(client, 100), "that was said before this call"

    run(runtime, body)

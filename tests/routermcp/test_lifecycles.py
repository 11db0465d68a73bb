"""Clients of HTTP in the places where applications keep them: lifespans, threads, child processes."""

from __future__ import annotations

import gc
import re
import warnings
from pathlib import Path

import pytest

from routermcp.types import MCPError
from tests.event_loops import LEFT_OPEN
from tests.lifecycles import Lifecycles, Way, pause
from tests.processes import EXITS, FORK_ASYNC, FORK_BLOCKING, in_a_process
from tests.routermcp.server import HANDSHAKE, STATELESS, ScriptedServer
from tests.three_runtimes import RUNTIMES, gather, make_client, run


@pytest.fixture
def way(any_server: ScriptedServer) -> Way:
    return {"url": any_server.url}


class TestLifecycles(Lifecycles):
    """Over HTTP."""


def test_disconnected_in_the_middle_of_a_call(any_server: ScriptedServer, runtime: str) -> None:
    """The call ends at once, not at its deadline."""
    ends: list[str] = []

    async def body() -> None:
        client = make_client(runtime, url=any_server.url, timeout=60_000)
        await client.connect()

        async def call() -> None:
            try:
                await client.call_tool("wait", {"for": "ever"})
            except MCPError as error:
                ends.append(getattr(error, "code", "not connected"))

        async def end() -> None:
            while not any_server.executed["tools/call:wait"]:
                await pause(runtime)
            await client.disconnect()

        await gather(runtime, [call, end])

    run(runtime, body)
    assert len(ends) == 1
    assert ends[0] in ("closed", "interrupted", "not connected")


# ---- child processes --------------------------------------------------------------------------------


def assert_sessions_are_apart(server: ScriptedServer) -> None:
    """See that parent and child have used different sessions."""
    owners: dict[bool, set[str]] = {True: set(), False: set()}
    for seen in server.requests("tools/call"):
        owners[seen.params["arguments"]["b"] == 100].add(seen.headers["mcp-session-id"])
    assert owners[True]
    assert owners[False]
    assert not owners[True] & owners[False]


def test_a_blocking_client_in_a_forked_worker(any_server: ScriptedServer) -> None:
    """As with gunicorn's preload and Celery's prefork: both processes go on, each by itself."""
    assert in_a_process(FORK_BLOCKING, any_server.url, "-W", "error") == "well\n"
    if any_server.era == HANDSHAKE:
        assert_sessions_are_apart(any_server)
        assert len(any_server.sessions) == 2, "each has ended its own, not those of its user ada"


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_an_async_client_in_a_forked_process(any_server: ScriptedServer, name: str) -> None:
    assert in_a_process(FORK_ASYNC, any_server.url, "-W", "error", name=name) == "well\n"
    if any_server.era == HANDSHAKE:
        assert_sessions_are_apart(any_server)
        assert any_server.sessions == {}


@pytest.mark.parametrize("flags", [(), ("-X", "dev", "-W", "error")], ids=" ".join)
def test_the_interpreter_ends_without_a_goodbye(runtime: str, flags: tuple[str, ...]) -> None:
    for era in ("2026-07-28", HANDSHAKE):
        with ScriptedServer(era, listens=era == HANDSHAKE) as server:
            assert in_a_process(EXITS[runtime], server.url, *flags) == "3\n"


# ---- forgotten ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_small_garbage")
@pytest.mark.parametrize(
    ("era", "runtime"), [*((HANDSHAKE, runtime) for runtime in RUNTIMES), (STATELESS, "asyncio")]
)
@pytest.mark.parametrize("disconnected", [False, True])
@pytest.mark.parametrize("inside", [False, True], ids=["later", "while the loop runs"])
def test_a_client_that_is_forgotten(
    any_server: ScriptedServer, runtime: str, disconnected: bool, inside: bool
) -> None:
    """One warning names the line where the client was made."""

    async def body() -> None:
        client = make_client(runtime, url=any_server.url)
        session = client.create_session("ada")
        await client.connect()
        await session.connect()
        await session.call_tool("echo")
        if disconnected:
            await client.disconnect()
        del client, session
        if inside:
            gc.collect()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(runtime, body)
        gc.collect()
    caught = [each for each in caught if not re.match(LEFT_OPEN, str(each.message))]
    told = [each.category for each in caught]
    assert told == ([] if disconnected else [ResourceWarning])
    for each in caught:
        line = Path(each.filename).read_text().splitlines()[each.lineno - 1]
        assert line.strip() == "client = make_client(runtime, url=any_server.url)"

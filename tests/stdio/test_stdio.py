"""Servers that are child processes: calls, cancellation, their ends and their remains."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from routermcp import RouterMCPClient
from routermcp.transports import StdioTransport, stdio
from routermcp.types import ConfigError, LogMessage, MCPError, RetryPolicy, SessionRenewal, TransportError
from routermcp_adapters.call.driver import CallOptions, Driver, DriverSettings
from routermcp_adapters.runtime import Runtime
from routermcp_adapters.streams.child_process import ShutdownTimeouts
from routermcp_adapters.streams.session import StreamSession
from routermcp_proto import calls
from routermcp_proto.client_session import ClientSession
from tests.adapters.rig import Callbacks
from tests.adapters.runtimes import run as run_on
from tests.processes import PATHS, PATIENCE, ends, is_running
from tests.three_runtimes import RUNTIMES, abandon, gather, make_client, run

SERVER = Path(__file__).with_name("server.py")


def child(*ways: str, **env: str) -> StdioTransport:
    """A server that behaves in these ways."""
    return stdio([sys.executable, str(SERVER), *ways], env={"PYTHONPATH": PATHS, **env})


def client_of(runtime: str, *ways: str, **settings: Any) -> RouterMCPClient:
    return make_client(runtime, transport=child(*ways), **settings)


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    return request.param


# ---- calls -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ways", "revision"),
    [
        ([], "2026-07-28"),
        (["handshake only"], "2025-11-25"),
        (["handshake only", "dies when probed"], "2025-11-25"),
    ],
    ids=["stateless", "handshake", "dies when probed"],
)
def test_servers_of_both_eras(runtime: str, ways: list[str], revision: str) -> None:
    async def body() -> None:
        async with client_of(runtime, *ways) as client:
            assert client.server is not None
            assert (client.server.protocolVersion, client.server.serverInfo.name) == (revision, "child")
            assert "echo" in [tool.name for tool in await client.list_tools()]
            assert (await client.call_tool("echo", {"text": "hello"})).text == "hello"
            with pytest.raises(MCPError, match="unknown method"):
                await client.list_prompts()

    run(runtime, body)


async def revision_and_echo(runtime: Runtime, *ways: str) -> tuple[str, str]:
    """Connect and call a tool of a server that has 0.3 seconds to answer the probe."""
    callbacks = Callbacks()
    machine = ClientSession(
        client_info={"name": "test", "version": "1"},
        capabilities={"elicitation": {"form": {}}},
        protocol="auto",
    )
    session = StreamSession(child(*ways), machine, callbacks, probe_seconds=0.3)
    settings = DriverSettings(RetryPolicy(), interaction_timeout=0, gateway=False)
    driver = Driver(session, callbacks, settings)
    await driver.connect(runtime, 60_000)
    result = await driver.call(calls.call_tool("echo", {"text": "hello"}), CallOptions(60_000))
    assert machine.server is not None
    revision = machine.server.protocolVersion
    await driver.disconnect()
    return revision, result.text


def test_a_server_that_does_not_answer_the_probe(runtime: str) -> None:
    async def body(made: Runtime) -> tuple[str, str]:
        return await revision_and_echo(made, "handshake only", "silent when probed")

    assert run_on(runtime, body) == ("2025-11-25", "hello")


def test_a_server_that_is_slow_to_answer_the_probe(runtime: str) -> None:
    """By then it speaks as it was asked to, and no longer otherwise."""

    async def body(made: Runtime) -> tuple[str, str]:
        return await revision_and_echo(made, "slow when probed")

    assert run_on(runtime, body) == ("2026-07-28", "hello")


def test_many_callers_share_one_stream(runtime: str) -> None:
    async def body() -> list[str]:
        async with client_of(runtime) as client:

            def call(number: int) -> Callable[[], Any]:
                async def made() -> str:
                    return (await client.call_tool("echo", {"text": str(number)})).text

                return made

            return await gather(runtime, [call(number) for number in range(40)])

    assert run(runtime, body) == [str(number) for number in range(40)]


def test_full_pipes_do_not_wait_for_each_other(runtime: str) -> None:
    """The child writes until both its outputs are full, while we write what it does not read."""
    heard: list[LogMessage] = []

    async def body() -> None:
        async with client_of(runtime, on_log=heard.append) as client:
            big = "x" * 3_000_000

            async def flood() -> str:
                return (await client.call_tool("flood", {"lines": 2000, "text": big})).text

            async def size() -> str:
                return (await client.call_tool("size", {"text": big})).text

            assert await gather(runtime, [flood, size]) == ["flooded", "3000000"]

    run(runtime, body)
    assert len(heard) == 2000


def test_questions_of_the_server_are_answered(runtime: str) -> None:
    async def body() -> None:
        def on_elicitation(request: object) -> dict[str, Any]:
            return {"name": "ada"}

        async with client_of(runtime, "handshake only", on_elicitation=on_elicitation) as client:
            answer = json.loads((await client.call_tool("ask")).text)
            assert (answer["action"], answer["content"]) == ("accept", {"name": "ada"})

    run(runtime, body)


def test_a_callback_may_call_the_same_client(runtime: str) -> None:
    answers: list[str] = []

    async def body() -> None:
        def plain(request: object) -> dict[str, Any]:
            answers.append(client._plain.call_tool("echo", {"text": "inner"}).text)  # pyright: ignore
            return {}

        async def on_elicitation(request: object) -> dict[str, Any]:
            answers.append((await client.call_tool("echo", {"text": "inner"})).text)
            return {}

        client = client_of(
            runtime, "handshake only", on_elicitation=plain if runtime == "blocking" else on_elicitation
        )
        async with client:

            async def ask() -> str:
                return (await client.call_tool("ask")).text

            async def echo() -> str:
                return (await client.call_tool("echo", {"text": "outer"})).text

            await gather(runtime, [ask, echo, echo])

    run(runtime, body)
    assert answers == ["inner"]


def test_sessions_have_children_of_their_own(runtime: str) -> None:
    async def body() -> None:
        async with client_of(runtime) as client, client.create_session("ada") as session:
            first, second = (await client.call_tool("pid")).text, (await session.call_tool("pid")).text
            assert first != second
            assert first == (await client.call_tool("pid")).text

    run(runtime, body)


# ---- giving up ---------------------------------------------------------------------------------


def test_a_call_that_is_given_up_and_the_next_one(runtime: str) -> None:
    async def body() -> None:
        async with client_of(runtime) as client:

            async def hang(**options: Any) -> Any:
                return await client.call_tool("hang", **options)

            for _ in range(3):
                assert await abandon(runtime, 0.25, hang)
                assert (await client.call_tool("echo", {"text": "next"})).text == "next"
            assert (await client.call_tool("cancelled")).text == "3"

    run(runtime, body)


def test_a_reader_that_is_given_up_is_followed_by_another(runtime: str) -> None:
    async def body() -> None:
        async with client_of(runtime) as client:

            async def hang() -> bool:
                async def call(**options: Any) -> Any:
                    return await client.call_tool("hang", **options)

                return await abandon(runtime, 0.1, call)

            async def wait() -> str:
                return (await client.call_tool("wait", {"seconds": 0.3})).text

            assert await gather(runtime, [hang, wait, wait]) == [True, "waited", "waited"]

    run(runtime, body)


def test_a_write_that_is_given_up_leaves_no_half_line(runtime: str) -> None:
    async def body() -> None:
        async with client_of(runtime) as client:
            pause = client.call_tool("wait", {"seconds": 1.0}, timeout=50)
            with pytest.raises(TransportError, match="timeout=50"):
                await pause

            async def send(**options: Any) -> Any:
                # The child reads nothing now, and a pipe holds 64 KiB.
                return await client.call_tool("size", {"text": "x" * 2_000_000}, **options)

            assert await abandon(runtime, 0.1, send)
            assert (await client.call_tool("echo", {"text": "whole"})).text == "whole"
            assert (await client.call_tool("pid")).text == (await client.call_tool("pid")).text

    run(runtime, body)


# ---- ends --------------------------------------------------------------------------------------


def test_a_child_that_dies_says_why_and_the_next_call_starts_another(runtime: str) -> None:
    async def body() -> None:
        async with client_of(runtime) as client:
            first = (await client.call_tool("pid")).text
            with pytest.raises(TransportError) as caught:
                await client.call_tool("die", {"code": 5, "saying": ["no disk", "giving up"]})
            assert caught.value.code == "interrupted"
            for word in ("exit code 5", "no disk | giving up", "retry=True"):
                assert word in str(caught.value)
            assert (await client.call_tool("pid")).text != first
            assert client.stats().opened == 2 if runtime != "blocking" else True

    run(runtime, body)


def test_a_child_that_took_the_place_of_another_is_told(runtime: str) -> None:
    told: list[SessionRenewal] = []

    async def body() -> None:
        async with client_of(runtime, on_session_renewed=told.append) as client:
            with pytest.raises(TransportError):
                await client.call_tool("die", {"code": 5, "saying": ["no disk"]})
            assert told == []
            await client.call_tool("echo", {"text": "anew"})
            await client.call_tool("echo", {"text": "again"})

    run(runtime, body)
    (renewal,) = told
    assert "exit code 5; its last words: no disk" in renewal.reason


def test_a_read_is_repeated_on_another_child(runtime: str) -> None:
    async def body() -> None:
        async with client_of(runtime, retry=RetryPolicy(backoff=1)) as client:
            os.kill(int((await client.call_tool("pid")).text), signal.SIGKILL)
            assert len(await client.list_tools()) > 3

    run(runtime, body)


def test_all_who_wait_learn_of_the_end(runtime: str) -> None:
    async def body() -> None:
        async with client_of(runtime) as client:

            async def call(name: str) -> str:
                if name == "die":
                    # The others have been sent by then.
                    await client.call_tool("wait", {"seconds": 1.0})
                try:
                    await client.call_tool(name)
                except TransportError as error:
                    return error.code
                return "answered"

            ended = await gather(
                runtime,
                [lambda: call("hang"), lambda: call("hang"), lambda: call("die"), lambda: call("hang")],
            )
            assert set(ended) <= {"interrupted", "closed"}
            assert (await client.call_tool("echo", {"text": "anew"})).text == "anew"

    run(runtime, body)


def test_a_good_child_ends_with_its_input(runtime: str) -> None:
    async def body() -> int:
        async with client_of(runtime) as client:
            return int((await client.call_tool("pid")).text)

    began = time.monotonic()
    pid = run(runtime, body)
    assert not is_running(pid)
    assert not Path(f"/proc/{pid}").exists(), "it is no zombie"
    assert time.monotonic() - began < 10


def test_a_child_that_stays_is_ended_with_its_own_children(runtime: str) -> None:
    transport = replace(child("stays"), shutdown=ShutdownTimeouts(exit=0.2, terminate=0.2))

    async def body() -> tuple[int, int]:
        async with make_client(runtime, transport=transport) as client:
            return int((await client.call_tool("pid")).text), int((await client.call_tool("spawn")).text)

    pid, grandchild = run(runtime, body)
    assert not is_running(pid)
    assert ends(grandchild)


PARENT = """
    import asyncio, sys
    import trio
    from routermcp import RouterMCPClient, SyncRouterMCPClient
    from routermcp.transports import stdio

    transport = stdio([sys.executable, {server!r}], env={{"PYTHONPATH": {paths!r}}})
    runtime, ending = sys.argv[1:]

    def tell(pid):
        print(pid, flush=True)

    def end():
        if ending == "exit":
            sys.exit(0)

    async def main():
        client = RouterMCPClient(transport=transport)
        await client.connect()
        tell((await client.call_tool("pid")).text)
        end()
        await client.call_tool("hang")

    if runtime == "blocking":
        client = SyncRouterMCPClient(transport=transport)
        client.connect()
        tell(client.call_tool("pid").text)
        end()
        client.call_tool("hang")
    elif runtime == "asyncio":
        asyncio.run(main())
    else:
        trio.run(main)
"""


@pytest.mark.parametrize("ending", ["exit", "SIGINT", "SIGTERM", "SIGKILL"])
def test_no_child_outlives_its_parent(runtime: str, ending: str) -> None:
    program = textwrap.dedent(PARENT).format(server=str(SERVER), paths=PATHS)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        parent = subprocess.Popen(
            [sys.executable, "-c", program, runtime, ending],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": PATHS},
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        if ending != "exit":
            parent.send_signal(getattr(signal, ending))
        _, noise = parent.communicate(timeout=PATIENCE)
    assert ends(pid)
    if ending == "exit":
        assert (parent.returncode, noise) == (0, "")


# ---- what a child gets -------------------------------------------------------------------------


def test_a_child_gets_no_secrets_of_its_parent(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED_API_KEY", "secret")
    monkeypatch.setenv("ROUTERMCP_API_KEY", "secret")
    monkeypatch.setenv("LC_PLANTED", "() { :; }")
    monkeypatch.setenv("LC_TIME", "C")

    async def body() -> list[str]:
        async with make_client(runtime, transport=child(GIVEN="yes")) as client:
            return (await client.call_tool("environment")).text.splitlines()

    names = set(run(runtime, body))
    assert {"GIVEN", "PATH", "LC_TIME"} <= names
    assert not names & {"PLANTED_API_KEY", "ROUTERMCP_API_KEY", "LC_PLANTED"}


def test_standard_error_is_logged(runtime: str, caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        async with client_of(runtime) as client:
            await client.call_tool("flood", {"lines": 3})

    with caplog.at_level(logging.INFO, "routermcp.stdio"):
        run(runtime, body)
    assert sum("error line" in record.getMessage() for record in caplog.records) == 3


def test_a_program_that_is_not_there(runtime: str, tmp_path: Path) -> None:
    for transport, word in [
        (stdio(["no-such-program-planted"]), "installed, and on the PATH"),
        (stdio([sys.executable], cwd=tmp_path / "none"), "no folder"),
        (stdio([str(tmp_path)]), "ermission"),
    ]:

        async def body(transport: StdioTransport = transport) -> TransportError:
            with pytest.raises(TransportError) as caught:
                await make_client(runtime, transport=transport, retry=RetryPolicy(attempts=1)).connect()
            return caught.value

        error = run(runtime, body)
        assert (error.code, error.not_run) == ("connect", True)
        assert word in str(error)


@pytest.mark.parametrize(
    ("command", "env"), [("uvx server", None), ([], None), ([1], None), (["a\0b"], None), (["a"], {"A": 1})]
)
def test_what_is_no_command_is_refused(command: Any, env: Any) -> None:
    with pytest.raises(ConfigError):
        stdio(command, env=env)


def test_a_message_over_the_limit_ends_the_connection_and_the_next_call_starts_another() -> None:
    """The limit is that of the stream, and the same on every runtime."""

    async def body() -> None:
        transport = stdio([sys.executable, str(SERVER)], env={"PYTHONPATH": PATHS}, max_message_size=20_000)
        async with make_client("asyncio", transport=transport) as client:
            assert (await client.call_tool("echo", {"text": "x" * 5_000})).text == "x" * 5_000
            with pytest.raises(TransportError, match="longer than 20000 bytes"):
                await client.call_tool("echo", {"text": "x" * 20_000})
            assert (await client.call_tool("echo", {"text": "x"})).text == "x"

    run("asyncio", body)
    with pytest.raises(ConfigError, match="max_message_size=0"):
        stdio(["server"], max_message_size=0)


def test_what_only_http_has_is_refused(runtime: str) -> None:
    for wrong in ({"url": "http://127.0.0.1/"}, {"api_key": "x"}, {"headers": {"A": "b"}}):
        with pytest.raises(ConfigError, match="over HTTP"):
            client_of(runtime, **wrong)
    with pytest.raises(ConfigError, match=r"open\(runtime\)"):
        make_client(runtime, transport="python server.py")

    async def body() -> None:
        async with client_of(runtime) as client:
            with pytest.raises(ConfigError, match="HTTP only"):
                await client.list_tools(headers={"A": "b"})

    run(runtime, body)


def test_a_transport_is_named_without_its_arguments() -> None:
    transport = stdio(["/usr/bin/uvx", "mcp-server-time", "--token", "secret"], env={"KEY": "secret"})
    assert str(transport) == "uvx mcp-server-time"
    assert str(stdio(["server", "--token=secret"])) == "server"
    assert str(stdio(["server", "postgres://me:secret@host/"])) == "server"

"""Clients of child processes in the places where applications keep them, and what is left of the children."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import trio

from routermcp import RouterMCPClient, SyncRouterMCPClient
from routermcp.transports import stdio
from routermcp.types import MCPError, RetryPolicy
from routermcp_adapters.runtimes.blocking import BlockingRuntime
from routermcp_adapters.runtimes.run_sync import limits, run_sync
from routermcp_adapters.streams.child_process import Child, ShutdownTimeouts
from routermcp_adapters.streams.pipes import DescriptorPipes
from routermcp_adapters.streams.stdio import StdioStream
from tests.adapters.ctrl_c import CtrlC, points
from tests.lifecycles import Lifecycles, Way, add, pause
from tests.processes import EXITS, FORK_ASYNC, FORK_BLOCKING, PATIENCE, ends, in_a_process, is_running
from tests.three_runtimes import RUNTIMES, gather, make_client, run

QUICK = Path(__file__).with_name("quick.py")


class Children:
    """The children that a test starts, and what they leave in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.command = [sys.executable, "-I", "-S", str(QUICK), str(folder)]

    @property
    def pids(self) -> set[int]:
        """All that have been started."""
        return {int(path.name) for path in self.folder.iterdir() if path.name.isdecimal()}

    def left(self, name: str) -> bool:
        """Whether one of them, or the test, has left that file."""
        return (self.folder / name).exists()

    def ended_themselves(self) -> bool:
        """Whether all have ended because their input did."""
        return all(self.left(f"{pid}.bye") for pid in self.pids)

    def assert_gone(self) -> None:
        """See that none runs any more, nor waits as a zombie of ours to be reaped."""
        for pid in self.pids:
            assert ends(pid)
            # Not any child at all: other tests of this process may have servers running.
            with pytest.raises(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    """Children of the stateless era, none of which may be there in the end."""
    made = Children(tmp_path)
    yield made
    gc.collect()
    made.assert_gone()


@pytest.fixture
def way(children: Children) -> Way:
    return {"transport": stdio(children.command)}


class TestLifecycles(Lifecycles):
    """Over stdio."""


# ---- ends -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", ["hang", "stuck"])
def test_disconnected_in_the_middle_of_a_call(children: Children, runtime: str, tool: str) -> None:
    """The call ends at once. A child that reads on ends by itself, one that does not is ended."""
    shutdown = ShutdownTimeouts(exit=0.2 if tool == "stuck" else 20.0, terminate=0.2)
    transport = replace(stdio(children.command), shutdown=shutdown)
    ends: list[str] = []

    async def body() -> None:
        client = make_client(runtime, transport=transport, timeout=60_000)
        await client.connect()

        async def call() -> None:
            with pytest.raises(MCPError, match="disconnected meanwhile"):
                await client.call_tool(tool, {"until": "never"})
            ends.append("call")

        async def end() -> None:
            while not children.left("hanging"):
                await pause(runtime)
            await client.disconnect()
            ends.append("child")

        await gather(runtime, [call, end])
        assert client.stats().open == 0

    run(runtime, body)
    assert sorted(ends) == ["call", "child"]
    assert ends[0] == "call" or tool == "hang"
    assert children.ended_themselves() == (tool == "hang")


def test_a_read_that_is_cut_off_by_the_goodbye_starts_no_child(
    children: Children, way: Way, runtime: str
) -> None:
    """Reads are repeated when a connection is lost, but not when it was given up."""

    async def body() -> None:
        client = make_client(runtime, **way, retry=RetryPolicy(attempts=2))
        await client.connect()

        async def call() -> None:
            with pytest.raises(MCPError, match="disconnected meanwhile"):
                await client.call_tool("hang", retry=True)

        async def end() -> None:
            while not children.left("hanging"):
                await pause(runtime)
            await client.disconnect()

        await gather(runtime, [call, end])
        assert client.stats().open == 0

    run(runtime, body)
    assert len(children.pids) == 1


@pytest.mark.parametrize("era", ["stateless", "handshake"])
def test_each_run_has_a_child_of_its_own(children: Children, era: str) -> None:
    """The child of a loop that was closed is ended when the client is used in another one."""
    client = RouterMCPClient(transport=stdio([*children.command, era]))

    async def begin() -> int:
        await client.connect()
        first = int((await client.call_tool("pid")).text)
        assert {pid for pid in children.pids if is_running(pid)} == {first}
        return first

    pids = [
        asyncio.run(begin()),
        asyncio.run(begin()),
        trio.run(begin),
        trio.run(begin),
        asyncio.run(begin()),
    ]
    assert len(set(pids)) == 5
    for pid in pids[:-1]:
        assert not Path(f"/proc/{pid}").exists(), "it is no zombie"
    asyncio.run(client.disconnect())


def test_a_loop_that_is_closed_in_the_middle_of_a_call(children: Children, way: Way) -> None:
    client = RouterMCPClient(**way)
    loop = asyncio.new_event_loop()

    async def begin() -> asyncio.Task[Any]:
        await client.connect()
        calls = [asyncio.create_task(client.call_tool("hang")) for _ in range(2)]
        while not children.left("hanging"):
            await pause("asyncio")
        return calls[0]

    async def anew() -> int:
        async with client:
            return await add(client, 1, 2)

    calls = loop.run_until_complete(begin())
    loop.close()
    assert asyncio.run(anew()) == 3
    assert not calls.done()
    loop.set_exception_handler(lambda loop, context: None)
    del calls


# ---- forks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ["stateless", "handshake"])
def test_a_blocking_client_in_a_forked_worker(children: Children, era: str) -> None:
    assert in_a_process(FORK_BLOCKING, json.dumps([*children.command, era]), "-W", "error") == "well\n"
    assert len(children.pids) == 4


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_an_async_client_in_a_forked_process(children: Children, name: str) -> None:
    assert in_a_process(FORK_ASYNC, json.dumps(children.command), "-W", "error", name=name) == "well\n"
    assert len(children.pids) == 2
    assert children.ended_themselves()


FORK_THAT_STAYS = """
import os, threading
from pathlib import Path
from routermcp import SyncRouterMCPClient
folder, answers = Path(sys.argv[2]), []
client = SyncRouterMCPClient(**way)
client.connect()
pid = lambda: int(client.call_tool("pid").text)
until = lambda name: (folder / name).exists() or until_later(name)
def until_later(name):
    while not (folder / name).exists():
        pass
mine = pid()
call = threading.Thread(target=lambda: answers.append(client.call_tool("wait", {"until": "forked"}).text))
call.start()
until("waiting")
here, there = os.pipe()
child = os.fork()
if not child:
    os.close(there)
    assert pid() != mine, "it has started one of its own"
    Path(folder, "forked").touch()
    os.read(here, 1)
    sys.exit(0)  # all that an interpreter does at its end
until("forked")
call.join()
assert answers == ["done"] and pid() == mine, "the parent goes on undisturbed"
before = os.fork()
if not before:
    sys.exit(0)
assert os.waitpid(before, 0)[1] == 0
assert pid() == mine, "the end of a fork is not the end of the parent's child"
client.disconnect()
assert (folder / f"{mine}.bye").exists(), "the copies of its pipes are closed"
os.close(there)
assert os.waitpid(child, 0)[1] == 0
print("well")
"""


def test_a_fork_touches_nothing_of_its_parents(children: Children) -> None:
    """It is made in the middle of a call of another thread, and outlives the parent's connection."""
    command, folder = json.dumps(children.command), str(children.folder)
    assert in_a_process(FORK_THAT_STAYS, command, "-W", "error", name=folder) == "well\n"


FORK_IN_A_LOOP = """
import asyncio, os
from pathlib import Path
from routermcp import RouterMCPClient
folder = Path(sys.argv[2])
async def main():
    async with RouterMCPClient(**way) as client:
        call = asyncio.create_task(client.call_tool("wait", {"until": "forked"}))
        while not (folder / "waiting").exists():
            await asyncio.sleep(0)
        child = os.fork()
        if not child:
            sys.exit(0)  # through the loop, which cancels its tasks
        assert os.waitpid(child, 0)[1] == 0
        (folder / "forked").touch()
        print((await call).text)
asyncio.run(main())
"""


def test_a_fork_that_ends_its_copy_of_the_loop(children: Children) -> None:
    """What a loop watches is one list for parent and child, until the child has closed its copies."""
    command, folder = json.dumps(children.command), str(children.folder)
    assert in_a_process(FORK_IN_A_LOOP, command, "-W", "error", name=folder) == "done\n"
    assert children.ended_themselves()


# ---- the end of the interpreter, and garbage -----------------------------------------------------------


@pytest.mark.parametrize("flags", [(), ("-W", "error"), ("-X", "dev", "-W", "error")], ids=" ".join)
def test_the_interpreter_ends_without_a_goodbye(
    children: Children, runtime: str, flags: tuple[str, ...]
) -> None:
    """Not even a child is left that would go on although its input has ended."""
    command = json.dumps([*children.command, "stays"])
    assert in_a_process(EXITS[runtime], command, *flags) == "3\n"
    assert len(children.pids) == 1


@pytest.mark.parametrize("disconnected", [False, True])
@pytest.mark.parametrize("inside", [False, True], ids=["later", "while the loop runs"])
def test_a_client_that_is_forgotten(
    children: Children, way: Way, runtime: str, disconnected: bool, inside: bool
) -> None:
    """Whoever asks for warnings is told once, and where the client was made."""

    async def body() -> None:
        client = make_client(runtime, **way)
        await client.connect()
        await client.call_tool("pid")
        if disconnected:
            await client.disconnect()
        del client
        if inside:
            gc.collect()
            children.assert_gone()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(runtime, body)
        gc.collect()
    told = [each.category for each in caught]
    assert told == ([] if disconnected else [ResourceWarning])
    for each in caught:
        line = Path(each.filename).read_text().splitlines()[each.lineno - 1]
        assert line.strip() == "client = make_client(runtime, **way)"


# ---- Ctrl-C ----------------------------------------------------------------------------------------------


class Interrupted:
    """A blocking client that goes on after Ctrl-C."""

    def __init__(self, way: Way) -> None:
        self.client = SyncRouterMCPClient(**way)
        self.client.connect()
        self.may_be_dead = False

    def add(self, number: int) -> int:
        return int(self.client.call_tool("add", {"a": number, "b": 1}).text)

    def assert_works(self) -> None:
        """See that nothing is held, and that each call gets its own answer."""
        gc.collect()
        assert not limits.scopes, "a limit of the call that was interrupted is in force"
        self.assert_nothing_held()
        self.client.connect()
        if self.may_be_dead:
            # Whoever finds the child dead cannot know what it had done.
            assert self.client.call_tool("pid", retry=True)
        assert [self.add(number) for number in range(3)] == [1, 2, 3]
        self.assert_nothing_held()

    def assert_nothing_held(self) -> None:
        carrier: Any = self.client._driver._transport
        assert carrier._flight._flight is None
        assert not carrier._lock.locked()
        multiplexer = carrier._multiplexer
        if multiplexer is not None and multiplexer.broken is None:
            assert not multiplexer._waiters
            assert multiplexer._writing.idle
            for lock in (multiplexer._lock, multiplexer._stream._lock):
                # Its attendant has them for moments.
                assert lock.acquire(timeout=PATIENCE)
                lock.release()
            leader = multiplexer._leader
            assert leader is None or leader is multiplexer._attendant


#: Characters of an argument and of an answer: more than a pipe takes at once.
LARGE = 100_000

#: Calls so short that they are interrupted everywhere in CI too.
SHORT = ("a_call", "a_timeout", "a_large_call")

#: Gets a client into a state, and returns what is interrupted there.
Scenario = Callable[[Interrupted], Callable[[], object]]


def a_call(client: Interrupted) -> Callable[[], object]:
    return lambda: client.add(7)


def a_large_call(client: Interrupted) -> Callable[[], object]:
    """Whose request and answer go through the pipes piece by piece."""
    large = "x" * LARGE

    def call() -> None:
        assert client.client.call_tool("echo", {"text": large}).text == large

    return call


def a_timeout(client: Interrupted) -> Callable[[], object]:
    """After which the server is told."""

    def call() -> None:
        with pytest.raises(MCPError, match="timeout"):
            client.client.call_tool("hang", timeout=5)

    return call


def a_dead_child(client: Interrupted) -> Callable[[], object]:
    client.may_be_dead = True
    pid = int(client.client.call_tool("pid").text)
    os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):  # the client may have seen it end already
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return lambda: client.client.call_tool("pid", retry=True)


def connecting(client: Interrupted) -> Callable[[], object]:
    client.client.disconnect()
    return client.client.connect


def disconnecting(client: Interrupted) -> Callable[[], object]:
    return client.client.disconnect


@pytest.mark.usefixtures("_small_garbage", "_interrupted_finalizers")
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")  # Ctrl-C just before it begins
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # and just after it was made
@pytest.mark.parametrize(
    "scenario",
    [a_call, a_large_call, a_timeout, a_dead_child, connecting, disconnecting],
    ids=lambda scenario: scenario.__name__,
)
def test_ctrl_c_anywhere(scenario: Scenario, children: Children, way: Way) -> None:
    """A child whose messages are whole is kept; another takes the place of one whose are not."""
    name = scenario.__name__
    client = Interrupted({**way, "retry": RetryPolicy(backoff=1)})
    act = scenario(client)
    with CtrlC() as counting:
        act()
    assert counting.points > 20
    failed = []
    everywhere = range(counting.points)
    for at in everywhere if name in SHORT else points(counting.points, len(name)):
        client.client.connect()
        act = scenario(client)
        with CtrlC(at) as ctrl_c:
            try:  # noqa: SIM105 - contextlib is one of those that are interrupted
                act()
            except KeyboardInterrupt:
                pass
        try:
            client.assert_works()
        except Exception as error:  # noqa: BLE001 - all of them are shown together
            failed.append((at, ctrl_c.where, repr(error)[:200]))
    client.client.disconnect()
    assert not failed, "\n".join(map(str, failed)) + f"\n{len(failed)} of {counting.points}"
    running = [pid for pid in children.pids if Path(f"/proc/{pid}").exists()]
    assert not running, "none was lost sight of"


class Said:
    """A child that has said something, and will say no more."""

    def __init__(self, said: bytes) -> None:
        (output, into), (errors, unused) = os.pipe(), os.pipe()
        os.write(into, said)
        self._files = [os.fdopen(each, "rb", buffering=0) for each in (output, errors)]
        self.stdout, self.stderr = self._files
        self.stdin = os.fdopen(into, "wb", buffering=0)
        self._files += [self.stdin, os.fdopen(unused, "wb", buffering=0)]
        self.pipes = DescriptorPipes(cast("subprocess.Popen[bytes]", self), receive_size=5)

    def close(self) -> None:
        for file in self._files:
            file.close()


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_no_line_is_lost_or_torn_wherever_ctrl_c_comes() -> None:
    """They are all read in the end, or the stream says that some are not."""
    lines = [b"one", b"two", b"three", b"four"]

    def stream() -> tuple[StdioStream, Said]:
        said = Said(b"\n".join([*lines, b""]))
        return StdioStream(cast("Child", said), BlockingRuntime(), "child"), said

    counted, pipes = stream()
    with CtrlC() as counting:
        for _ in lines:
            run_sync(counted.receive())
    pipes.close()
    for at in range(counting.points):
        made, pipes = stream()
        read: list[bytes] = []

        async def read_all(made: StdioStream = made, read: list[bytes] = read) -> None:
            while len(read) < len(lines):
                line = await made.receive()
                read += [line]

        with CtrlC(at):
            try:  # noqa: SIM105 - contextlib is one of those that are interrupted
                run_sync(read_all())
            except KeyboardInterrupt:
                pass
        if not made._ended:
            run_sync(read_all())
            assert read == lines
        assert read == lines[: len(read)]
        pipes.close()

"""The parts of stdio on Windows that are the same on every system."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from routermcp.transports import stdio
from routermcp.types import ConfigError
from routermcp_adapters.streams.pipe_threads import MAX_HELD
from routermcp_adapters.streams.pipes import ThreadPipes
from routermcp_adapters.streams.windows import program_of
from tests.processes import PATIENCE

NPX = r"C:\Program Files\nodejs\npx.CMD"


def which(program: str, path: str | None = None) -> str | None:
    """Find the shim of npm, and programs on a path of the child's own."""
    if program == "npx":
        return NPX
    return f"{path}\\{program}.exe" if path == "C:\\mine" else None


def test_a_shim_of_npm_is_found_by_its_whole_path() -> None:
    assert program_of(["npx", "-y", "@playwright/mcp@latest"], None, which) == (
        NPX,
        "-y",
        "@playwright/mcp@latest",
    )


@pytest.mark.parametrize("name", ["PATH", "Path"])
def test_a_program_is_looked_for_where_the_child_would(name: str) -> None:
    assert program_of(["server", "a"], {name: "C:\\mine"}, which) == ("C:\\mine\\server.exe", "a")


def test_a_program_that_is_not_found_is_left_to_the_system() -> None:
    assert program_of(["nowhere", "a & b"], None, which) == ("nowhere", "a & b")


@pytest.mark.parametrize("bad", ['a" & calc', "%PATH%", "a|b", "a^b", "a&b", ">out", "<in", "!x!", "a\nb"])
def test_an_argument_that_cmd_would_read_as_its_own_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match=r"npx\.CMD"):
        program_of(["npx", "package", bad], None, lambda *_, **__: "npx.CMD")
    assert program_of(["node", bad], None, lambda *_, **__: "node.exe") == ("node.exe", bad)


def test_pipes_are_descriptors_or_threads() -> None:
    with pytest.raises(ConfigError, match="pipes is 'descriptors' or 'threads', not 'sockets'"):
        stdio(["server"], pipes="sockets")  # type: ignore[arg-type]


@pytest.fixture
def woken() -> threading.Event:
    return threading.Event()


def started(program: str, woken: threading.Event) -> tuple[subprocess.Popen[bytes], ThreadPipes]:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    return process, ThreadPipes(process, woken.set)


def test_threads_read_no_more_than_a_bound_ahead(woken: threading.Event) -> None:
    """A child that writes for ever is held up by its pipe, as without threads."""
    process, pipes = started("while True: print('x' * 1000)", woken)
    taken = 0
    while taken < 20 * MAX_HELD:
        assert woken.wait(PATIENCE)
        woken.clear()
        while data := pipes.read_output():
            assert len(data) <= MAX_HELD
            taken += len(data)
            assert pipes._output._size <= 2 * MAX_HELD
    process.kill()
    process.wait()
    pipes.close()
    join(pipes)


def test_threads_take_no_more_than_a_bound_for_a_child_that_does_not_read(woken: threading.Event) -> None:
    process, pipes = started("import sys; sys.stdin.readline(); print('read', len(sys.stdin.read()))", woken)

    def fill() -> None:
        taken = 0
        while taken <= 3 * MAX_HELD + (1 << 20):  # more than the bound and any pipe
            taken += pipes.write(b"y" * MAX_HELD)

    with pytest.raises(BlockingIOError):
        fill()
    process.kill()
    process.wait()
    pipes.close()
    join(pipes)
    with pytest.raises(OSError, match="closed"):
        pipes.write(b"more")


def test_the_input_is_closed_after_what_was_taken_for_it(woken: threading.Event) -> None:
    process, pipes = started("import sys; print(len(sys.stdin.read()))", woken)
    assert pipes.write(b"z" * MAX_HELD) == MAX_HELD
    pipes.close_input()
    assert process.wait(PATIENCE) == 0
    said = b""
    while (data := pipes.read_output()) != b"":
        said += data or b""
    assert said.split() == [b"%d" % MAX_HELD]
    pipes.close()
    join(pipes)


def join(pipes: ThreadPipes) -> None:
    """See that the threads end, and with them the descriptors."""
    for thread in (pipes._writer, pipes._output, pipes._errors):
        thread.join(PATIENCE)
        assert not thread.is_alive()
        assert thread.file.closed

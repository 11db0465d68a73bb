"""Starting the peers: each in a process group of its own, on a free loopback port.

What differs between the peers is written down here as data, so that one list of tests
serves all: what their tools are called and what they answer.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tests.third_party import (
    EVERYTHING_PACKAGE,
    EVERYTHING_VERSION,
    FASTMCP_REQUIREMENT,
    MCP_REQUIREMENT,
    node,
    npm_package,
    python_environment,
)

HERE = Path(__file__).resolve().parent
#: Seconds until a peer accepts connections. Node.js servers take seconds on a busy machine.
READY_SECONDS = 60
#: Seconds between looks at the port of a starting peer.
LOOK_SECONDS = 0.02
#: Seconds a peer has to end by itself.
STOP_SECONDS = 5


class User(BaseModel):
    """What ``get_user`` of our own peers returns."""

    id: str
    name: str
    email: str


class Weather(BaseModel):
    """What ``get-structured-content`` of server-everything returns."""

    temperature: float
    conditions: str
    humidity: float


@dataclass(frozen=True)
class Use:
    """A call and a text that its answer holds."""

    name: str
    arguments: dict[str, Any]
    answer: str = ""


@dataclass(frozen=True)
class Vocabulary:
    """What a peer calls the things that the tests use."""

    add: Use
    boom: Use
    slow: Use
    progress: Use
    echo: str
    echo_argument: str
    typed: Use
    typed_result: BaseModel
    prompt: Use
    resource: str
    resource_text: str
    template: str
    ask: Use
    ask_content: dict[str, Any]
    own: bool
    """Whether it is one of our own programs, with ``whoami`` and ``executions``."""


OWN = Vocabulary(
    add=Use("add", {"a": 2, "b": 3}, "5"),
    boom=Use("boom", {}, "boom"),
    slow=Use("slow", {"seconds": 20}),
    progress=Use("count", {"n": 5}, "5"),
    echo="echo",
    echo_argument="text",
    typed=Use("get_user", {"key": "123"}),
    typed_result=User(id="123", name="Ada", email="ada@example.com"),
    prompt=Use("review", {"code": "x = 1"}, "Review: x = 1"),
    resource="peer://greeting",
    resource_text="hello",
    template="peer://item/{key}",
    ask=Use("ask", {}, "answered 7"),
    ask_content={"value": 7},
    own=True,
)

EVERYTHING = Vocabulary(
    add=Use("get-sum", {"a": 2, "b": 3}, "is 5"),
    boom=Use("get-sum", {"a": "not a number"}, "a"),
    slow=Use("trigger-long-running-operation", {"duration": 20, "steps": 2}),
    progress=Use("trigger-long-running-operation", {"duration": 0.1, "steps": 5}, "completed"),
    echo="echo",
    echo_argument="message",
    typed=Use("get-structured-content", {"location": "Chicago"}),
    typed_result=Weather(temperature=36, conditions="Light rain / drizzle", humidity=82),
    prompt=Use("args-prompt", {"city": "Vienna"}, "Vienna"),
    resource="demo://resource/dynamic/text/1",
    resource_text="Resource 1",
    template="demo://resource/dynamic/text/{resourceId}",
    ask=Use("trigger-elicitation-request", {}, "Ada"),
    ask_content={"name": "Ada"},
    own=False,
)


def _mcp_command() -> list[str]:
    return [str(python_environment(MCP_REQUIREMENT)), str(HERE / "mcp_server.py")]


def _fastmcp_command() -> list[str]:
    return [str(python_environment(FASTMCP_REQUIREMENT, MCP_REQUIREMENT)), str(HERE / "fastmcp_server.py")]


def _everything_command() -> list[str]:
    package = npm_package(EVERYTHING_PACKAGE, EVERYTHING_VERSION)
    return [str(node()), str(package / "dist" / "index.js"), "streamableHttp"]


def _everything_sse_command() -> list[str]:
    return [*_everything_command()[:-1], "sse"]


@dataclass(frozen=True)
class Kind:
    """A peer that can be started."""

    name: str
    command: Callable[[], list[str]]
    words: Vocabulary = OWN
    options: tuple[str, ...] = ()
    stateless_era: bool = True
    """Whether it knows 2026-07-28."""
    streams: bool = True
    """Whether it answers with event streams, on which it can say something while a call runs."""
    legacy: bool = False
    """Whether it speaks HTTP+SSE, the transport before Streamable HTTP."""


KINDS = (
    Kind("mcp", _mcp_command),
    Kind("mcp-json", _mcp_command, options=("json",), streams=False),
    Kind("fastmcp", _fastmcp_command),
    Kind("fastmcp-json", _fastmcp_command, options=("json",), streams=False),
    Kind("everything", _everything_command, words=EVERYTHING, stateless_era=False),
    Kind("mcp-sse", _mcp_command, options=("sse",), stateless_era=False, legacy=True),
    Kind("everything-sse", _everything_sse_command, words=EVERYTHING, stateless_era=False, legacy=True),
)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Peer:
    """A running peer."""

    kind: Kind
    port: int = field(default_factory=_free_port)
    _process: subprocess.Popen[bytes] | None = None
    _log: Path = field(default_factory=lambda: Path(tempfile.mkstemp(prefix="peer-", suffix=".log")[1]))

    @property
    def url(self) -> str:
        """Its MCP endpoint."""
        return f"http://127.0.0.1:{self.port}{'/sse' if self.kind.legacy else '/mcp'}"

    def start(self) -> None:
        """Start it and wait until it accepts connections.

        Raises:
            RuntimeError: It ended at once, or took too long; its output is in the message.
        """
        command = self.kind.command()
        # npm servers read the port from the environment, ours from the command line.
        if self.kind.words.own:
            command = [*command, str(self.port), *self.kind.options]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, "PORT": str(self.port)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(LOOK_SECONDS)
            else:
                return
        self.stop()
        raise RuntimeError(f"{self.kind.name} did not start:\n{self._log.read_text()[-4000:]}")

    def stop(self, *, at_once: bool = False) -> None:
        """End it with all its children."""
        if self._process is None:
            return
        process, self._process = self._process, None
        self._signal(process, signal.SIGKILL if at_once else signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._signal(process, signal.SIGKILL)
            process.wait(STOP_SECONDS)
        # A child may have outlived its parent in the group.
        self._signal(process, signal.SIGKILL)

    @staticmethod
    def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)

    def restart(self) -> None:
        """Let it crash, and start it again on the same port with nothing remembered."""
        self.stop(at_once=True)
        self.start()

    def close(self) -> None:
        """End it and remove its log."""
        self.stop()
        self._log.unlink(missing_ok=True)

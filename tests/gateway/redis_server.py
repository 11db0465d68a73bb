"""A Redis of a test's own: with a password, on a port of its own, and without a trace on disk."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.third_party import UnavailableError, debian_program, skips_are_failures

#: Seconds for it to start, and again to end.
PATIENCE = 20.0

PASSWORD = "s3cr3t-value"


def program(name: str, package: str) -> Path:
    """Return a program, or skip the test where nobody insists on it."""
    try:
        return debian_program(name, package)
    except UnavailableError as missing:
        if skips_are_failures():
            raise
        pytest.skip(str(missing))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as there:
        return there.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a program that was started listens."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            assert process.poll() is None, "it ended"
            assert time.monotonic() < until, "it does not listen"
            time.sleep(0.02)


class RedisServer:
    """Starts and stops on the same port; what it held is gone then."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/3"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "no",
            "requirepass": PASSWORD,
            "dir": self._folder,
            "logfile": self._folder / "redis.log",
        }
        command = [str(program("redis-server", "redis-server"))]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        self._process = subprocess.Popen(command)
        wait_for(self.port, self._process)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    @contextmanager
    def frozen(self) -> Generator[None]:
        """Let it take connections and say nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)


@contextmanager
def redis_server(folder: Path) -> Generator[RedisServer]:
    """Run a Redis for as long as the block runs."""
    server = RedisServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()

"""A Redis of a test's own: with a password, on a port of its own, and without a trace on disk."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.programs import PATIENCE, free_port, program, wait_for

PASSWORD = "s3cr3t-value"


class RedisServer:
    """Starts and stops on the same port; what it held is gone then."""

    def __init__(self, folder: Path, more: Sequence[str] = ()) -> None:
        self.port = free_port()
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/3"
        self._folder = folder
        self._more = more
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
        command += self._more
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

"""Programs of the system that tests start on ports of their own."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.third_party import UnavailableError, debian_program, skips_are_failures

#: Seconds for a program to start, and again to end.
PATIENCE = 20.0


def program(name: str, package: str) -> Path:
    """Return a program, or skip the test where nobody insists on it."""
    try:
        return debian_program(name, package)
    except UnavailableError as missing:
        if skips_are_failures():
            raise
        pytest.skip(str(missing))


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as there:
        return there.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen[bytes], *, patience: float = PATIENCE) -> None:
    """Wait until a program that was started listens, for so many seconds at most."""
    until = time.monotonic() + patience
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            assert process.poll() is None, process.stderr and process.stderr.read().decode()
            assert time.monotonic() < until, "it does not listen"
            time.sleep(0.02)

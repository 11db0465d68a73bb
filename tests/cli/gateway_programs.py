"""The commands of the gateway as programs: run to their end, or while they serve."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

#: Seconds that a program of a test may take.
PATIENCE = 30.0

PYTHONPATH = os.pathsep.join(path for path in sys.path if path)


def environment(**more: str) -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith("ROUTERMCP_")}
    return {**mine, "PYTHONPATH": PYTHONPATH, **more}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "routermcp", *arguments]


def ran(*arguments: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@contextmanager
def running(*arguments: str, cwd: Path, **more: str) -> Generator[tuple[str, subprocess.Popen[str]]]:
    """Run a command that serves, and give its URL."""
    program = subprocess.Popen(
        command(*arguments), cwd=cwd, env=environment(**more), stderr=subprocess.PIPE, text=True
    )
    try:
        assert program.stderr is not None
        lines = iter(program.stderr.readline, "")
        line = next((line for line in lines if " at http://" in line), None)
        assert line is not None, "it ended before it listened"
        yield line.split(" at ")[1].split()[0], program
    finally:
        program.kill()
        program.wait()
        if program.stderr is not None:
            program.stderr.close()

"""The inner loop: style, types, generated files and the fast tests, all at once.

::

    .venv/bin/python scripts/check.py

At most a minute on two cores. What each command says is printed where it fails; the exit code is 1
then. ``.ci/run`` checks everything.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: Modules of Python, or scripts, and their arguments. The longest first.
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("-m", "pytest", "-q", "tests/proto", "tests/adapters", "tests/structure"),
    ("-m", "pyright", "--pythonpath", sys.executable),
    ("-m", "ruff", "check", "."),
    ("-m", "ruff", "format", "--check", "."),
    ("scripts/async_to_sync.py", "--check"),
    ("scripts/pictures.py", "--check"),
    ("scripts/reference.py", "--check"),
    ("scripts/names.py",),
    ("-m", "benchmarks", "report", "--check"),
)


def run(command: Sequence[str]) -> bool:
    """Run a command, say how long it took and, where it failed, what it said; return whether it passed."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    failed = done.returncode != 0
    took = f"{time.monotonic() - began:5.1f} s  {'FAILED' if failed else 'passed'}  {' '.join(command)}"
    print(f"{done.stdout}{took}" if failed else took, flush=True)
    return not failed


def main() -> int:
    """Run all commands and return the exit code."""
    began = time.monotonic()
    with ThreadPoolExecutor(len(COMMANDS)) as pool:
        passed = list(pool.map(run, COMMANDS))
    print(f"{time.monotonic() - began:5.1f} s  {'all passed' if all(passed) else 'FAILED'}")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Runs the programs of this folder, which CI runs for a moment and people for as long as they like."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

#: Seconds on a machine that has much else to do; by itself no program takes more than twenty.
PATIENCE = 600


def run(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a program, and return its exit code and what it said, both streams in one."""
    script = Path(__file__).with_name(name)
    return subprocess.run(
        [sys.executable, script, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

"""No peer's bytes cost more than their number allows; see :mod:`tests.security.budgets`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

#: Seconds on a machine that has much else to do; by itself it takes twenty.
PATIENCE = 600

pytestmark = pytest.mark.timeout(PATIENCE)

SCRIPT = Path(__file__).with_name("budgets.py")


def search(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *options], capture_output=True, text=True, check=False)


def test_every_entry_holds_its_budget() -> None:
    done = search()
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_planted_is_found() -> None:
    done = search("--planted")
    assert done.stdout.count("FOUND") == 4, done.stdout + done.stderr

"""No peer's bytes cost more than their number allows; see :mod:`tests.security.budgets`."""

from __future__ import annotations

import pytest

from tests.security.scripts import PATIENCE, run

pytestmark = pytest.mark.timeout(PATIENCE)


def test_every_entry_holds_its_budget() -> None:
    done = run("budgets.py")
    assert done.returncode == 0, done.stdout


def test_what_is_planted_is_found() -> None:
    done = run("budgets.py", "--planted")
    assert done.stdout.count("FOUND") == 4, done.stdout

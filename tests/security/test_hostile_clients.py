"""A gateway among hostile clients serves the others; see :mod:`tests.security.hostile_clients`."""

from __future__ import annotations

import pytest

from tests.security.scripts import PATIENCE, run

pytestmark = pytest.mark.timeout(PATIENCE)


def test_a_client_is_served_whatever_others_do() -> None:
    done = run("hostile_clients.py", "--seconds", "2")
    assert done.returncode == 0, done.stdout


def test_a_gateway_that_closes_no_idle_connection_is_found() -> None:
    done = run("hostile_clients.py", "--seconds", "1", "--planted")
    assert done.returncode == 1, done.stdout
    assert "the good client was refused: 503" in done.stdout

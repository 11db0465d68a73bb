"""Servers over stdio in both ways to wait for their pipes: the system's own, and threads as on Windows."""

from __future__ import annotations

import pytest
from hypothesis import settings

from routermcp_adapters.streams import stdio
from tests.conftest import LONG


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test in both ways; in the short form those of whole lifecycles, which take long, in one."""
    ways = ["descriptors", "threads"]
    if metafunc.module.__name__.endswith("test_lifecycles") and settings().max_examples < LONG:
        ways = ["descriptors"]
    metafunc.parametrize("_pipes", ways, indirect=True)


@pytest.fixture(autouse=True)
def _pipes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take one of the ways where a test names none."""
    monkeypatch.setattr(stdio, "DEFAULT_PIPES", request.param)

"""What all tests share."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests import event_loops

# They say what they expected as tests do.
pytest.register_assert_rewrite("tests.lifecycles", "tests.processes")

#: Examples of a property in the long run.
LONG = 2000

settings.register_profile("default", deadline=None)
settings.register_profile(
    "long", max_examples=LONG, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

#: Test processes beside the one of each core, as many tests wait for other processes.
WAITING_WORKERS = 2


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many processes share the tests: none for one file, which starts sooner by itself."""
    paths = {Path(argument.partition("::")[0]) for argument in config.args}
    files = {file for path in paths for file in ([path] if path.is_file() else path.rglob("test_*.py"))}
    return min(len(files), (os.cpu_count() or 1) + WAITING_WORKERS) if len(files) > 1 else 0


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the tests of asyncio run on another event loop."""
    parser.addoption("--event-loop", choices=event_loops.EVENT_LOOPS, default="asyncio")


def pytest_configure(config: pytest.Config) -> None:
    """Install the event loop, in each process that runs tests."""
    event_loops.install(str(config.getoption("--event-loop")))


@pytest.fixture
def _interrupted_finalizers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Ctrl-C in a finalizer be: CPython reports it and goes on, whatever the finalizer is of."""
    report = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        if unraisable.exc_type is not KeyboardInterrupt:
            report(unraisable)

    monkeypatch.setattr(sys, "unraisablehook", hook)


@pytest.fixture
def _small_garbage() -> Iterator[None]:
    """Let the collector look at what a test makes, and not at all that is there already."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()

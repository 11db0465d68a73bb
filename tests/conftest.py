"""What all tests share."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# They say what they expected as tests do.
pytest.register_assert_rewrite("tests.lifecycles", "tests.processes")

#: Examples of a property in the long run.
LONG = 2000

settings.register_profile("default", deadline=None)
settings.register_profile(
    "long", max_examples=LONG, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


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

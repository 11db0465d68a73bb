"""Runs of pytest inside a test, in this process."""

from __future__ import annotations

import gc
import warnings
from pathlib import Path

import pytest


def run_pytest(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run pytest in the current folder, which sees that folder alone.

    The settings of a project in which temporary files lie are not its own, and neither is what another
    test, one that failed above all, left to the garbage collector: it would be the fault of an inner test.
    """
    Path("pytest.ini").touch()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", *arguments)

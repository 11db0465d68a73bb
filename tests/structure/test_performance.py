"""The page of figures is made from the checked-in ones; bounds and slopes mean what they say."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.growth import MOST_SLOPE, steepest
from benchmarks.results import Bound
from tests.structure.imports import ROOT


def test_page_and_pictures_are_made_from_the_figures() -> None:
    command = [sys.executable, "-m", "benchmarks", "report", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("bound", "kept", "kept_in_short"),
    [
        (Bound("least", 8.1, 10), True, True),
        (Bound("least", 7.9, 10), False, True),
        (Bound("least", 6.4, 10), False, False),
        (Bound("most", 11.9, 10, at_most=True), True, True),
        (Bound("most", 13.4, 10, at_most=True), False, True),
        (Bound("most", 13.6, 10, at_most=True), False, False),
        (Bound("its own limit", 4.1, 10, limit=4.0), True, True),
        (Bound("its own limit", 10.1, 10, at_most=True, limit=10), False, True),
        (Bound("counted", 11, 10, at_most=True, exact=True), False, False),
        (Bound("counted", 10, 10, at_most=True, exact=True), True, True),
    ],
)
def test_bounds_leave_room_for_noise(bound: Bound, kept: bool, kept_in_short: bool) -> None:
    assert (bound.missed() == "", bound.missed(short=True) == "") == (kept, kept_in_short)


def test_what_grows_with_the_square_is_too_steep_and_what_grows_linearly_is_not() -> None:
    sizes = (10, 100, 1_000, 10_000)
    linear = [(size, 5.0 + size) for size in sizes]
    square_at_the_end = [*linear[:-1], (10_000, 100_000.0)]
    assert steepest(linear, 100) < MOST_SLOPE
    assert steepest(square_at_the_end, 100) > MOST_SLOPE
    assert steepest([(size, float(size**2)) for size in sizes], 100) > MOST_SLOPE

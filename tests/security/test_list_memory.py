"""A list takes ten times its bytes at most, see :mod:`tests.security.list_memory`."""

from __future__ import annotations

import pytest

from tests.security.scripts import PATIENCE, run

pytestmark = pytest.mark.timeout(PATIENCE)


def test_a_list_takes_ten_times_its_bytes() -> None:
    done = run("list_memory.py")
    assert done.stdout.splitlines() == [
        "shortest: refused, refused",
        "tools of 60 bytes: refused, refused",
        "tools of 400 bytes: read, read",
        "resources of 100 bytes: read, read",
        "many icons: refused, refused",
        "many arguments: refused, refused",
        "many hints: refused, refused",
        "many arrays: refused, refused",
    ]


def test_short_entries_that_count_as_long_ones_are_found() -> None:
    done = run("list_memory.py", "--planted")
    assert done.stdout.count("more than") == 4, done.stdout

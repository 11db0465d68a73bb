"""Numbers that a peer wrote, of any length and in any spelling."""

from __future__ import annotations

from typing import Any

import pytest

from routermcp_proto.http.numbers import MAX_WHOLE_DIGITS, finite_number, whole_number


@pytest.mark.parametrize(
    ("digits", "number"),
    [
        ("0", 0),
        ("99", 99),
        ("100", 100),
        ("101", 100),
        ("0" * 5_000 + "7", 7),
        ("1" * (MAX_WHOLE_DIGITS + 1), 100),
        ("9" * 5_000, 100),
        (b"42", 42),
        (b"9" * 5_000, 100),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("1_0", None),
        (" 1", None),
        ("0x1", None),
        ("\N{ARABIC-INDIC DIGIT ONE}", None),
        ("\N{SUPERSCRIPT TWO}", None),
        (b"\xb2", None),
    ],
)
def test_a_whole_number_has_ascii_digits_and_a_bound(digits: str | bytes, number: int | None) -> None:
    assert whole_number(digits, 100) == number


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3600, 3600.0),
        (-1.5, -1.5),
        ("3600", 3600.0),
        (" 2.5e3 ", 2500.0),
        ("-0", 0.0),
        ("1e999", None),
        (10**400, None),
        (float("inf"), None),
        (float("nan"), None),
        ("9" * 5_000, None),
        ("1_000", None),
        ("nan", None),
        ("infinity", None),
        ("0x10", None),
        ("\N{ARABIC-INDIC DIGIT ONE}", None),
        ("", None),
        (True, None),
        (None, None),
        ([1], None),
    ],
)
def test_a_number_of_json_may_be_a_text_and_is_finite(value: Any, number: float | None) -> None:
    assert finite_number(value) == number

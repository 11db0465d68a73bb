"""Numbers that a peer wrote: in headers, in events, in JSON documents.

Python reads whole numbers in a time that grows with the square of their digits, refuses more than
4,300 of them, and takes spellings for numbers that no specification knows (``1_000``, digits of other
scripts). So no other module makes a number of a peer's text; ``tests/structure`` forbids it.
"""

from __future__ import annotations

import math
import re
from typing import Any

#: Digits of a number that is read, those of 64 bits: a longer one is beyond every bound.
MAX_WHOLE_DIGITS = 20

# A number as JSON writes it, with zeros in front too; a double needs fewer digits.
_DECIMAL = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?")


def whole_number(digits: str | bytes, most: int) -> int | None:
    """Return a number of ASCII digits, ``most`` for a larger one; None where the text is no number."""
    if not digits.isascii() or not digits.isdigit():
        return None
    text = digits.decode("ascii") if isinstance(digits, bytes) else digits
    significant = text.lstrip("0") or "0"
    return min(int(significant), most) if len(significant) <= MAX_WHOLE_DIGITS else most


def finite_number(value: Any) -> float | None:
    """Return a number of JSON, or a text with one; None for any other value and beyond a double's range."""
    if isinstance(value, str):
        text = value.strip()
        if not _DECIMAL.fullmatch(text):
            return None
        value = float(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None

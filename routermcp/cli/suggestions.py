"""The nearest known name for one that was mistyped."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``, did you mean 'x'?`` with the nearest name, nothing where none is near."""
    alike = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {alike[0]!r}?" if alike else ""

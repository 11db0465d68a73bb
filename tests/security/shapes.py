"""Inputs that are made to be dear: a few pieces, repeated up to a size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hypothesis import strategies as st

#: Pieces of which any text may be made. Those of an entry are added.
COMMON = (*"a0- \t\r\n\"'\\,;:=/?é", "\r\n", "\u202e")

#: Characters of what a peer named before: the longest token, far longer than any name.
MAX_NAMED = 8 * 1024


class Takes(Protocol):
    """What the shapes of an entry depend on."""

    pieces: Sequence[str]
    common: Sequence[str]
    frames: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Shape:
    """The plan of an input, for any size."""

    begin: str
    unit: str
    end: str
    named: str
    """The unit of what was named before."""

    def texts(self, size: int) -> tuple[str, str]:
        """Return what was named, and what is said."""
        named = (self.named * (MAX_NAMED // max(len(self.named), 1)))[: min(MAX_NAMED, size // 4)]
        count = max((size - len(self.begin) - len(self.end)) // max(len(self.unit), 1), 1)
        return named, self.begin + self.unit * count + self.end


def shapes(entry: Takes) -> st.SearchStrategy[Shape]:
    """Make shapes of the pieces of an entry, in one of its frames."""
    pieces = st.sampled_from([*entry.pieces, *entry.common])
    words = st.lists(pieces, max_size=3).map("".join)
    units = st.lists(pieces, min_size=1, max_size=4).map("".join)

    def shape(frame: tuple[str, str], begin: str, unit: str, end: str, named: str | None) -> Shape:
        return Shape(frame[0] + begin, unit, end + frame[1], unit if named is None else named)

    # What was named is often what is said, or nearly so.
    named = st.none() | units
    return st.builds(shape, st.sampled_from(entry.frames), words, units, words, named)

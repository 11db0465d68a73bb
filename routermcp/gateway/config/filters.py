"""Which tools, resources and prompts of a server are let through.

Globs know ``*`` (any text without ``/``), ``**`` (any text), ``?`` (one character, no
``/``), ``[abc]`` and ``[a-z]`` (one of these), ``[!abc]`` (one that is none of these, nor
``/``). Everything else stands for itself, a ``[`` without its ``]`` too.

The names come from servers that may mean harm, and the globs from people who may write
many stars. A glob as a regular expression takes exponential time there, or wrong turns
where stars of both kinds meet. So a glob is a set of positions here, moved over the name
once, all positions at a time as the bits of one integer: the time is that of the name's
length (Baeza-Yates and Gonnet, "A new approach to text searching", 1992).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_SEPARATOR: Final = "/"


@dataclass(frozen=True, slots=True)
class _Class:
    """The characters between brackets, as ranges."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool

    def accepts(self, character: str) -> bool:
        named = any(first <= character <= last for first, last in self.ranges)
        return not named and character != _SEPARATOR if self.negated else named


def _class_at(text: str, start: int) -> tuple[_Class, int] | None:
    """Read the class whose bracket is at ``start``, with where it ends; None where it has no end."""
    begin = start + 1
    negated = text.startswith("!", begin)
    begin += negated
    # As in the shell, a bracket that comes first is one of the characters.
    end = text.find("]", begin + 1)
    if end < 0:
        return None
    ranges: list[tuple[str, str]] = []
    position = begin
    while position < end:
        last = position + 2 if text.startswith("-", position + 1) and position + 2 < end else position
        ranges.append((text[position], text[last]))
        position = last + 1
    return _Class(tuple(ranges), negated), end + 1


class Glob:
    """A pattern for names, ready to be used often.

    Args:
        text: The pattern; every text is one.
    """

    __slots__ = ("_classes", "_everywhere", "_final", "_inside", "_literals", "_stars", "_start", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._literals: dict[str, int] = {}
        self._classes: list[tuple[_Class, int]] = []
        self._stars = self._inside = self._everywhere = 0
        bit = 1
        position = 0
        while position < len(text):
            position = self._add(text, position, bit)
            bit <<= 1
        self._final = bit
        self._start = self._past_stars(1)

    def _add(self, text: str, position: int, bit: int) -> int:
        """Take in the part of the pattern at a position; return where the next one begins."""
        character = text[position]
        if character == "*":
            # A run of stars is one: two positions that both stay would have to be followed twice.
            end = position
            while text.startswith("*", end):
                end += 1
            self._stars |= bit
            if end - position > 1:
                self._everywhere |= bit
            else:
                self._inside |= bit
            return end
        if character == "?":
            self._inside |= bit
            return position + 1
        if character == "[" and (found := _class_at(text, position)) is not None:
            self._classes.append((found[0], bit))
            return found[1]
        self._literals[character] = self._literals.get(character, 0) | bit
        return position + 1

    def _past_stars(self, positions: int) -> int:
        return positions | (positions & self._stars) << 1

    def _accepting(self, character: str) -> int:
        """Return the parts of the pattern that the character fits."""
        parts = self._everywhere | self._literals.get(character, 0)
        if character != _SEPARATOR:
            parts |= self._inside
        for each, bit in self._classes:
            if each.accepts(character):
                parts |= bit
        return parts

    def matches(self, name: str) -> bool:
        """Whether the pattern fits the whole name, in time that grows as the name's length."""
        positions = self._start
        for character in name:
            fitting = positions & self._accepting(character)
            positions = self._past_stars(fitting & self._stars | (fitting & ~self._stars) << 1)
            if not positions:
                return False
        return bool(positions & self._final)

    def __repr__(self) -> str:
        """Show the pattern."""
        return f"Glob({self.text!r})"


class Filter:
    """A filter of names: names and globs that are allowed, and such that are denied.

    A name that is denied is never let through. Of the others all are where nothing is
    allowed by name or glob, else those that are. The order of the rules is that of the
    product: exact deny, glob deny, exact allow, glob allow, default.
    """

    __slots__ = ("_allowed", "_allowed_globs", "_denied", "_denied_globs")

    def __init__(
        self,
        allowed: Iterable[str] = (),
        denied: Iterable[str] = (),
        allowed_globs: Iterable[str] = (),
        denied_globs: Iterable[str] = (),
    ) -> None:
        self._allowed = frozenset(allowed)
        self._denied = frozenset(denied)
        self._allowed_globs = tuple(map(Glob, allowed_globs))
        self._denied_globs = tuple(map(Glob, denied_globs))

    def allows(self, name: str) -> bool:
        """Whether a name is let through."""
        if name in self._denied or any(glob.matches(name) for glob in self._denied_globs):
            return False
        if name in self._allowed or any(glob.matches(name) for glob in self._allowed_globs):
            return True
        return not self._allowed and not self._allowed_globs

"""Tables of the reference, and what docstrings say in their cells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_ROLE = re.compile(r":\w+:`~?(?:[\w.]*\.)?(\w+)`")
_ITEM = re.compile(r"^( {4,8})(\w+): (.*?)(?=^\1\w+: |^\S|^ {0,4}\S|\Z)", re.MULTILINE | re.DOTALL)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def plain(text: str) -> str:
    """Return a docstring's text on one line, its roles and literals as code spans."""
    return " ".join(_ROLE.sub(r"`\1`", text).replace("``", "`").split())


def first_sentence(text: str | None) -> str:
    """Return the first line of a docstring."""
    return plain((text or "").strip().partition("\n")[0])


def section(docstring: str | None, title: str) -> dict[str, str]:
    """Return the names and texts of a section of a docstring in Google's form, such as ``Args``."""
    _, _, after = (docstring or "").partition(f"\n    {title}:\n")
    body = re.split(r"^    \S|^\S", after, maxsplit=1, flags=re.MULTILINE)[0]
    return {name: plain(text) for _, name, text in _ITEM.findall(body)}

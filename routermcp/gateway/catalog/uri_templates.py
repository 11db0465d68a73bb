"""Matches URIs with URI templates.

Source: RFC 6570. Servers use its simple forms, ``{name}`` and ``{+path}``; other
expressions are taken to stand for anything.
"""

from __future__ import annotations

import re
from functools import lru_cache

#: Templates whose parts are cached. A gateway has a few; with more it is slower, not wrong.
MAX_CACHED_TEMPLATES = 4_096

_EXPRESSION = re.compile(r"\{([^{}]*)\}")

#: Characters that the value of a simple expression does not hold: they would be percent-encoded.
_RESERVED = frozenset("/?#")


def template_fit(template: str, uri: str) -> int | None:
    """Return how well a URI fits a template: the number of characters they share, None for no fit.

    Each literal part is taken at its first occurrence, so that the time is that of reading
    the URI, whatever a server sends as a template.
    """
    literals, expressions = _template_parts(template)
    if not expressions or not uri.startswith(literals[0]):
        return None
    position = len(literals[0])
    for index, expression in enumerate(expressions):
        literal = literals[index + 1]
        last = index == len(expressions) - 1
        found = len(uri) - len(literal) if last else uri.find(literal, position)
        if found < position or (last and not uri.endswith(literal)):
            return None
        value = uri[position:found]
        simple = expression[:1].isalnum()
        if simple and (not value or not _RESERVED.isdisjoint(value)):
            return None
        position = found + len(literal)
    return sum(map(len, literals))


@lru_cache(maxsize=MAX_CACHED_TEMPLATES)
def _template_parts(template: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split a template into literals and the expressions between them."""
    parts = _EXPRESSION.split(template)
    return tuple(parts[::2]), tuple(parts[1::2])

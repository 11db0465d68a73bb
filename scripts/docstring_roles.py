"""Lets the site show docstrings that are written for Sphinx: their roles and their literal blocks.

``:class:`~package.Name``` becomes code, and the indented lines after ``Example::`` become a block of Python.
An extension of griffe, which reads the docstrings for ``docs/zensical.toml``.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

from griffe import Extension, Object

#: A role and what it names: with a tilde, only the last part is shown.
ROLE = re.compile(r":(?:class|meth|func|mod|attr|data|exc|obj):`(~|\.*)([^`]+)`")

#: A line that ends in two colons, and the indented lines below it.
LITERAL_BLOCK = re.compile(r"^([ ]*)([^\n]*)::\n\n((?:\1[ ]+[^\n]*\n|[ ]*\n)+)", re.MULTILINE)


def _code(role: re.Match[str]) -> str:
    short, name = role.groups()
    return f"`{name.rpartition('.')[2] if short == '~' else name}`"


def _fenced(block: re.Match[str]) -> str:
    margin, words, lines = block.groups()
    code = textwrap.indent(f"```python\n{textwrap.dedent(lines).strip()}\n```", margin)
    return f"{margin}{words}:\n\n{code}\n\n" if words else f"{code}\n\n"


class DocstringRoles(Extension):
    """Rewrites the docstring of each object that griffe has read."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Replace what only Sphinx reads by Markdown."""
        if obj.docstring is not None:
            text = LITERAL_BLOCK.sub(_fenced, f"{obj.docstring.value}\n")
            obj.docstring.value = ROLE.sub(_code, text).rstrip()

"""Elements of HTML around a server's words."""

from __future__ import annotations

from html import escape
from typing import Final

#: Types that every browser draws. SVG is not one: it is a document, with scripts and links.
IMAGE_TYPES: Final = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"})

# MathJax, which notebooks run over their output, makes links of formulas in a text. It leaves these classes
# alone (of its versions 2 and 3), and the elements "pre" and "code".
_AROUND: Final = '<div class="tex2jax_ignore mathjax_ignore">{}</div>'


def around(elements: list[str]) -> str:
    """Return the element that holds all others."""
    return _AROUND.format("".join(elements))


def escaped(text: str) -> str:
    """Return a text without markup, and without the lone surrogates that a notebook cannot encode."""
    return escape(text.encode("utf-8", "replace").decode("utf-8"))


def text_block(text: str) -> str:
    """Return a text that keeps its lines and blanks."""
    return f'<pre style="white-space: pre-wrap; overflow-wrap: anywhere">{escaped(text)}</pre>'


def code(text: str) -> str:
    """Return a short text within a line, whose direction of writing does not reach beyond it."""
    return f'<code style="unicode-bidi: isolate; overflow-wrap: anywhere">{escaped(text)}</code>'


def note(text: str) -> str:
    """Return a line that stands for something that is not shown: words of ours alone."""
    return f"<div><em>{escape(text)}</em></div>"


def error_mark() -> str:
    """Return the line above what a tool says of its failure."""
    style = "border-left: 4px solid #d33; padding-left: 6px"
    return f'<div style="{style}"><b>The tool reported an error</b></div>'


def image(media_type: str, data: str) -> str:
    """Return an image of base64, no wider than the page; its type is one of ``IMAGE_TYPES``."""
    source = f"data:{media_type};base64,{escaped(data)}"
    return f'<div><img alt="{media_type}" style="max-width: 100%" src="{source}"></div>'


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a table of cells that are HTML, with heads that are not."""
    cell = '<td style="text-align: left; vertical-align: top">{}</td>'
    top = "".join(f'<th style="text-align: left">{escape(head)}</th>' for head in heads)
    body = "".join(f"<tr>{''.join(map(cell.format, row))}</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"

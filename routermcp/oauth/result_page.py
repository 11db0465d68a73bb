"""The page that tells a user in a browser how a sign-in ended."""

from __future__ import annotations

import html

_HTML_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<body style="font:16px/1.5 system-ui;max-width:32em;margin:4em auto;padding:0 1em">
<h1>{title}</h1><p>{text}</p>"""


def result_page(title: str, text: str) -> bytes:
    """Return the HTML of the page, with the title and the text in it as they are."""
    return _HTML_PAGE.format(title=html.escape(title), text=html.escape(text)).encode()

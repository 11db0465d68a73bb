"""The result of a tool as HTML: its texts and images in order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .elements import IMAGE_TYPES, around, code, error_mark, image, note, text_block

#: Characters of base64 of all images of one result. A notebook saves what it shows in its file, and gets
#: slow to open from some ten megabytes on.
MAX_IMAGE_CHARS: Final = 8_000_000

#: Characters of all texts of one result: some thousand lines, more than a reader scrolls through.
MAX_TEXT_CHARS: Final = 100_000

#: Items of one result; each costs the page an element.
MAX_ITEMS: Final = 200

#: Characters of a type that is not known: twice the longest registered media type.
MAX_TYPE_CHARS: Final = 160


def tool_result_html(content: Sequence[Mapping[str, Any]], structured: Any, *, is_error: bool) -> str:
    """Return the HTML of a result: its items in order, or its structured content where it has none."""
    page = _Page()
    if is_error:
        page.elements.append(error_mark())
    for item in content[:MAX_ITEMS]:
        page.add_item(item)
    if len(content) > MAX_ITEMS:
        page.elements.append(note(f"{len(content) - MAX_ITEMS:,} more items"))
    if not content and structured is not None:
        page.add_json(structured)
    return around(page.elements)


class _Page:
    """The elements so far, and how many characters may still come."""

    def __init__(self) -> None:
        self.elements: list[str] = []
        self._text_left = MAX_TEXT_CHARS
        self._image_left = MAX_IMAGE_CHARS

    def add_item(self, item: Mapping[str, Any]) -> None:
        """Add a text, an image, or a note in the place of an item of another type."""
        kind, text = item.get("type"), item.get("text")
        if kind == "text" and isinstance(text, str):
            self.add_text(text)
        elif kind == "image":
            self._add_image(item.get("mimeType"), item.get("data"))
        else:
            self._add_kind("Item of type", kind)

    def add_text(self, text: str) -> None:
        """Add a text, up to what is left."""
        shown = text[: self._text_left]
        self._text_left -= len(shown)
        self.elements.append(text_block(shown))
        if len(shown) < len(text):
            self.elements.append(note(f"cut after {MAX_TEXT_CHARS:,} characters of text"))

    def add_json(self, value: Any) -> None:
        """Add a JSON value, of which no more is written than is shown.

        Its lines are indented, so that what is nested deeply is cut before it is too deep for Python.
        """
        chunks: list[str] = []
        size = 0
        for chunk in json.JSONEncoder(indent=2, ensure_ascii=False, default=str).iterencode(value):
            chunks.append(chunk)
            size += len(chunk)
            if size > self._text_left:
                break
        self.add_text("".join(chunks))

    def _add_image(self, media_type: Any, data: Any) -> None:
        if not isinstance(media_type, str) or media_type not in IMAGE_TYPES or not isinstance(data, str):
            self._add_kind("Image of type", media_type)
        elif len(data) > self._image_left:
            self.elements.append(note(f"{media_type}, too large to show: {len(data):,} characters of base64"))
        else:
            self._image_left -= len(data)
            self.elements.append(image(media_type, data))

    def _add_kind(self, words: str, kind: Any) -> None:
        shown = kind[:MAX_TYPE_CHARS] if isinstance(kind, str) else "unknown"
        self.elements.append(f"<div>{words} {code(shown)}</div>")

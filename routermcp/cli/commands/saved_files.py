"""Images, sounds and other blobs of a result, saved to files: ``-o FILE``."""

from __future__ import annotations

import base64
import binascii
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from ...types import ResponseValidationError
from ..failures import UsageProblem, complain
from ..output import describe_content, write_text

OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Save the image, sound or blob to FILE, - for standard output; further ones to FILE-2, ... "
        "Where there is none, the text.",
    ),
]

ContentItem = Mapping[str, Any]

#: Files of one result: more than any tool gives for a user to look at, and few enough to be removed by hand.
MAX_SAVED_FILES = 100


def write_content(items: Sequence[ContentItem], output: Path | None) -> None:
    """Write content items as text, or save those that are no text.

    Args:
        items: Content of a tool, or contents of a resource.
        output: The file for what is no text, None to name such items only.

    Raises:
        UsageProblem: The file cannot be written, or a further one is there already: only the first is named
            by the user, and the server says how many there are.
        ResponseValidationError: An item is not encoded as it should be.
    """
    if output is None:
        write_text("\n".join(describe_content(item) for item in items))
        return
    blobs = [(item, content) for item in items if (content := _bytes_of(item)) is not None]
    texts = [describe_content(item) for item in items if _bytes_of(item) is None]
    if not blobs:
        _save(output, "\n".join(texts).encode("utf-8", "replace"), "text")
        return
    if texts and output != Path("-"):
        write_text("\n".join(texts))
    for number, (item, content) in enumerate(blobs[:MAX_SAVED_FILES], start=1):
        kind = str(item.get("mimeType") or item.get("type") or "blob")
        _save(_numbered(output, number), content, kind, replace=number == 1)
    if len(blobs) > MAX_SAVED_FILES:
        complain(f"{len(blobs) - MAX_SAVED_FILES} more are not saved; --json shows the whole result")


def _bytes_of(item: ContentItem) -> bytes | None:
    """Return the bytes of an item that is no text, None for one that is."""
    resource = item.get("resource")
    if isinstance(resource, dict):
        return _bytes_of(cast("dict[str, Any]", resource))
    data = item.get("data") if isinstance(item.get("data"), str) else item.get("blob")
    if not isinstance(data, str):
        return None
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ResponseValidationError(
            f"the server's {item.get('mimeType') or 'blob'} is not encoded in base64", method="tools/call"
        ) from error


def _numbered(output: Path, number: int) -> Path:
    if number == 1 or output == Path("-"):
        return output
    return output.with_name(f"{output.stem}-{number}{output.suffix}")


def _save(path: Path, content: bytes, kind: str, *, replace: bool = True) -> None:
    if path == Path("-"):
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    try:
        with path.open("wb" if replace else "xb") as file:
            file.write(content)
    except OSError as error:
        raise UsageProblem(f"{path} cannot be written: {error.strerror}") from error
    complain(f"wrote {path} ({kind}, {len(content)} bytes)")

"""A page of the lists of several catalogs as one, and the cursor of the next page."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from routermcp_proto.exceptions import InvalidParamsError

from ..backend import Listing
from .entries import Entry
from .merged import MergedCatalog

#: Entries of one page. A thousand tools are half a megabyte.
PAGE_SIZE = 1_000


def merged_page(catalogs: Sequence[MergedCatalog], listing: Listing, cursor: str | None) -> dict[str, Any]:
    """Return the page that a cursor leads to.

    Entries are in alphabetical order, so that they and their pages are the same in every process.

    Args:
        catalogs: The catalogs; where two have an entry of one name, that of the first counts.
        listing: The list.
        cursor: The ``nextCursor`` of the page before, None for the first page.

    Raises:
        InvalidParamsError: No page has given that cursor.
    """
    before = None if cursor is None else _name_in(cursor)
    entries: dict[str, Entry] = {}
    for catalog in reversed(catalogs):
        found = catalog[listing]
        entries.update({name: found[name] for name in catalog.after(listing, before, PAGE_SIZE + 1)})
    names = sorted(entries)
    page: dict[str, Any] = {listing.value: [entries[name].listed() for name in names[:PAGE_SIZE]]}
    if len(names) > PAGE_SIZE:
        page["nextCursor"] = _cursor_after(names[PAGE_SIZE - 1])
    return page


def _cursor_after(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode("ascii")


def _name_in(cursor: str) -> str:
    try:
        return base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidParamsError("unknown cursor") from error

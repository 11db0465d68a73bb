"""A page of a list as the event that answers the request for it, read in slices where it is long."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from ..events import ResponseReceived, ResponseRejected
from ..exceptions import ResponseValidationError
from ..jsonrpc import RequestId
from ..types.reading import MAX_ENTRY_WARNINGS, ListReader

#: Reads one page, slice by slice: it yields after each slice, and returns the event.
PageReading = Generator[None, None, ResponseReceived | ResponseRejected]


def read_page(
    request_id: RequestId, reader: ListReader[Any], learn: Callable[[Any], list[str]]
) -> PageReading:
    """Read a page of a list.

    Args:
        request_id: The request that it answers.
        reader: Reads its entries.
        learn: Takes each slice as a page of its own, and returns warnings about its entries.
    """
    learned: list[str] = []
    try:
        for part in reader.read_slices():
            learned += learn(part)
            yield
        parsed = reader.parsed()
    except ResponseValidationError as error:
        return ResponseRejected(request_id, error)
    return ResponseReceived(request_id, parsed.value, parsed.warnings + _first(learned))


def read_at_once(reading: PageReading) -> ResponseReceived | ResponseRejected:
    """Read all slices of a page at once."""
    while True:
        try:
            next(reading)
        except StopIteration as done:
            return done.value


def _first(warnings: list[str]) -> tuple[str, ...]:
    """Return the first warnings, and the count of the others."""
    if len(warnings) <= MAX_ENTRY_WARNINGS:
        return tuple(warnings)
    return (
        *warnings[:MAX_ENTRY_WARNINGS],
        f"left out {len(warnings) - MAX_ENTRY_WARNINGS} more tools with invalid headers",
    )

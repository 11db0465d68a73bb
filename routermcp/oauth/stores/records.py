"""Read the content of a store, which another program may have written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

from routermcp_proto.exceptions import OAuthError

from .base import Record

T = TypeVar("T")


def object_in(data: Any) -> Record | None:
    """Parse a JSON object, and return None for anything else."""
    try:
        value: Any = json.loads(data)
    except (ValueError, TypeError, RecursionError):
        return None
    return cast("Record", value) if isinstance(value, dict) else None


def as_record(value: object, where: object) -> Record:
    """Return a record.

    Raises:
        OAuthError: It is something else; it is left as it is. What it is does not show, also not
            in a cause, as there may be tokens in it.
    """
    if not isinstance(value, dict):
        raise OAuthError(f"{where} holds no tokens that can be read: move it away to sign in again")
    return cast("Record", value)


def ids_in(names: Iterable[T], decoded: Callable[[T], str | None]) -> list[str]:
    """Return the ids that names in a store stand for, sorted; names that are not ours are passed over."""
    found: list[str] = []
    for name in names:
        try:
            text = decoded(name)
        except ValueError:
            continue
        if text is not None:
            found.append(text)
    return sorted(found)

"""Secrets that a peer was sent and gives back in its words, taken out before anybody sees them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, cast
from urllib.parse import quote, quote_plus

from .events import ConnectionFailed, ErrorReceived, Event, MessageDropped, ResponseRejected
from .jsonrpc import ErrorObject

HIDDEN = "***"
"""What stands in the place of a secret."""

#: Characters of the shortest secret that is looked for: shorter ones are no secrets, and taking them
#: out would leave words that nobody can read.
MIN_SECRET_LENGTH = 4


QUOTING = (ErrorReceived, ConnectionFailed, ResponseRejected, MessageDropped)
"""Events that repeat words of the peer which people are shown."""


def redacted(event: Event, secrets: Sequence[str]) -> Event:
    """Return an event without secrets, where it is one that repeats words of the peer."""
    match event:
        case ErrorReceived():
            return replace(event, error=error_without(event.error, secrets))
        case ConnectionFailed() | ResponseRejected():
            hide_in(event.error, secrets)
            return event
        case MessageDropped():
            return MessageDropped(without(event.problem, secrets))
        case _:
            return event


def error_without(error: ErrorObject, secrets: Sequence[str]) -> ErrorObject:
    """Return an error object of the peer without secrets."""
    return ErrorObject(error.code, without(error.message, secrets), without(error.data, secrets))


def without(said: Any, secrets: Sequence[str]) -> Any:
    """Return what was said, any JSON value, without secrets, however they are written in it.

    Args:
        said: What a peer said.
        secrets: What it was sent.
    """
    written = _written(secrets)
    return _replaced(said, written) if written else said


def hide_in(error: BaseException, secrets: Sequence[str]) -> None:
    """Take secrets out of an error and of those that it came from; what holds none stays untouched."""
    written = _written(secrets)
    each: BaseException | None = error
    while each is not None and written:
        args = _replaced(each.args, written)
        if args != each.args:
            each.args = args
        for name, value in tuple(vars(each).items()):
            if isinstance(value, str | list | dict | tuple) and (clean := _replaced(value, written)) != value:
                setattr(each, name, clean)
        each = each.__cause__ or each.__context__


def _written(secrets: Iterable[str]) -> list[str]:
    """Return secrets as they may be written in texts; long ones come before those inside them."""
    found: set[str] = set()
    for secret in secrets:
        if len(secret) >= MIN_SECRET_LENGTH:
            found |= {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)}
            found.add(json.dumps(secret)[1:-1])
    return sorted(found, key=len, reverse=True)


def _replaced(said: Any, written: Sequence[str]) -> Any:
    if isinstance(said, str):
        for secret in written:
            said = said.replace(secret, HIDDEN)
        return said
    if isinstance(said, bytes):
        for secret in written:
            said = said.replace(secret.encode(), HIDDEN.encode())
        return said
    if isinstance(said, dict):
        members = cast("dict[Any, Any]", said).items()
        return {_replaced(key, written): _replaced(value, written) for key, value in members}
    if isinstance(said, list | tuple):
        items = [_replaced(item, written) for item in cast("Sequence[Any]", said)]
        return items if isinstance(said, list) else tuple(items)
    return said

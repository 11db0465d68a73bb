"""Redaction of secrets that a peer repeats in its answers and errors.

A peer writes a secret in the notation of its answer: percent-encoded, with the escapes of JSON, as
references of HTML. So a text is reduced to its characters, with a map back to the places they came
from, and the secrets, reduced alike, are searched there. All patterns are fixed ones: what a peer
named never becomes part of a regular expression, and each step takes linear time.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, cast

from .events import (
    ConnectionFailed,
    ErrorReceived,
    Event,
    LongListReceived,
    MessageDropped,
    ResponseReceived,
    ResponseRejected,
)
from .exceptions import causes
from .jsonrpc import ErrorObject

HIDDEN = "***"
"""The text that replaces a secret."""

#: Characters of the shortest secret that is searched for where only its name marks it as one: a shorter
#: one can be guessed, and occurs in unrelated words.
MIN_SECRET_LENGTH = 6

#: Characters of one answer that are searched and kept: far more than people read of an error, and
#: searched within milliseconds.
MAX_TEXT = 1024 * 1024

#: Secrets whose forms are kept, as a peer that sends many odd messages has each searched for them:
#: those of the sessions that are at it.
MAX_CACHED_SECRETS = 64

CUT = " [cut]"
"""The text that follows one that was cut."""

#: Members of data that are not redacted: pages that a user has to open.
_PAGES = ("url",)

_SECRET_NAME = re.compile(
    "key(?!w)|token(?!s)|secret|auth(?!or(?!iz))|passw|pwd|credential|signature|assertion|verifier"
)
_SECRET_NAMES = frozenset({"cookie", "set-cookie", "dpop", "dpop-nonce", "code", "sig"})


def is_secret(name: str) -> bool:
    """Return whether the name of a header, or of a parameter of a URL or form, marks its value as secret."""
    low = name.lower()
    return low in _SECRET_NAMES or _SECRET_NAME.search(low) is not None


def redacted(event: Event, secrets: Callable[[], Sequence[str]]) -> Event:
    """Return an event without secrets, if it is of a kind that shows the peer's text to people."""
    match event:
        case ErrorReceived():
            return replace(event, error=error_without(event.error, secrets()))
        case ConnectionFailed() | ResponseRejected():
            hide_in(event.error, secrets())
            return event
        case MessageDropped():
            return MessageDropped(without(event.problem, secrets()))
        case LongListReceived():
            return replace(event, reading=_redacted_at_the_end(event.reading, secrets))
        case _:
            return event


def _redacted_at_the_end(
    reading: Generator[None, None, ResponseReceived | ResponseRejected], secrets: Callable[[], Sequence[str]]
) -> Generator[None, None, ResponseReceived | ResponseRejected]:
    outcome = yield from reading
    if isinstance(outcome, ResponseRejected):
        hide_in(outcome.error, secrets())
    return outcome


def beginning_without(body: bytes | bytearray, size: int, secrets: Sequence[str]) -> str:
    """Return the first bytes of a body, redacted before it is cut: half a secret would not be found."""
    return without(body.decode("utf-8", "replace"), secrets).encode()[:size].decode("utf-8", "replace")


def error_without(error: ErrorObject, secrets: Sequence[str]) -> ErrorObject:
    """Return an error object of the peer without secrets."""
    return ErrorObject(error.code, without(error.message, secrets), without(error.data, secrets))


def without(said: Any, secrets: Sequence[str], *, shortest: int = MIN_SECRET_LENGTH) -> Any:
    """Return a JSON value without secrets, in any notation of URLs, JSON or HTML.

    Args:
        said: A value that the peer sent.
        secrets: The secrets that the peer was sent.
        shortest: Characters of the shortest secret that is searched for.
    """
    searched = _searched_forms(secrets, shortest)
    return _secrets_replaced(said, _Hiding(searched)) if searched else said


def hide_in(error: BaseException, secrets: Sequence[str]) -> None:
    """Remove secrets from an error and its causes; values without secrets stay the same objects."""
    searched = _searched_forms(secrets)
    if not searched:
        return
    for each in causes(error):
        args = _secrets_replaced(each.args, _Hiding(searched))
        if args != each.args:
            each.args = args
        members = vars(each)
        for name, value in tuple(members.items()):
            if not isinstance(value, str | list | dict | tuple):
                continue
            clean = _secrets_replaced(value, _Hiding(searched))
            if clean != value:
                members[name] = clean


def _searched_forms(secrets: Sequence[str], shortest: int = MIN_SECRET_LENGTH) -> list[tuple[str, bool]]:
    """Return what to search for, the longest first, and whether to search reduced texts for it."""
    forms = {
        form for secret in secrets if len(secret) >= shortest for form in _secret_forms(secret, shortest)
    }
    return sorted(forms, key=lambda form: len(form[0]), reverse=True)


class _Hiding:
    """Removes secrets from the texts of one value, of which it keeps :data:`MAX_TEXT` characters."""

    def __init__(self, searched: Sequence[tuple[str, bool]]) -> None:
        self._searched = searched
        self._left = MAX_TEXT

    def __call__(self, text: str) -> str:
        kept = text[: self._left]
        self._left -= len(kept)
        hidden = _secrets_hidden(kept, self._searched)
        return hidden if len(kept) == len(text) else hidden + CUT


@lru_cache(maxsize=MAX_CACHED_SECRETS)
def _secret_forms(secret: str, shortest: int) -> tuple[tuple[str, bool], ...]:
    """Return what to search for, and whether to search the reduced text for it."""
    # The secret may hold what looks like an escape: as it is, and where the peer escaped that too.
    reduced = (_reduce_escapes(secret)[0], secret.replace("\\", "").replace("+", " "))
    return ((secret, False), *((form, True) for form in reduced if len(form) >= shortest))


def _secrets_hidden(text: str, searched: Sequence[tuple[str, bool]]) -> str:
    # A long secret is replaced before a short one that it contains.
    for secret, in_reduced in searched:
        if not in_reduced:
            text = text.replace(secret, HIDDEN)
    if _ESCAPE.search(text) is None and "+" not in text:
        return text
    plain, places = _reduce_escapes(text)
    found: list[tuple[int, int]] = []
    for secret, in_reduced in searched:
        at = plain.find(secret) if in_reduced else -1
        while at >= 0:
            found.append(places.original_span(at, at + len(secret)))
            at = plain.find(secret, at + len(secret))
    if not found:
        return text
    pieces: list[str] = []
    done = 0
    for start, end in sorted(found):
        if start >= done:
            pieces += (text[done:start], HIDDEN)
        done = max(done, end)
    return "".join([*pieces, text[done:]])


class _RedactedPositions:
    """Where the characters of a reduced text stand in the text itself."""

    def __init__(self) -> None:
        self._reduced = array("I", [0])
        self._text = array("I", [0])
        self._width = array("B", [1])

    def add(self, reduced: int, text: int, width: int) -> None:
        """Note that the characters from an index on are each so many characters of the text."""
        self._reduced.append(reduced)
        self._text.append(text)
        self._width.append(width)

    def original_span(self, start: int, end: int) -> tuple[int, int]:
        """Return the part of the text that a part of the reduced text came from."""
        return self._begin(start), self._begin(end - 1, after=True)

    def _begin(self, index: int, *, after: bool = False) -> int:
        run = bisect_right(self._reduced, index) - 1
        width = self._width[run]
        return self._text[run] + (index - self._reduced[run] + after) * width


def _reduce_escapes(text: str) -> tuple[str, _RedactedPositions]:
    """Return the characters that a text stands for, without backslashes, and their places."""
    pieces: list[str] = []
    places = _RedactedPositions()
    length = done = 0
    for match in _ESCAPE.finditer(text):
        at = match.start()
        if at > done:
            places.add(length, done, 1)
            pieces.append(text[done:at])
            length += at - done
        done = match.end()
        for character, width in _read_escape(match[0]):
            if character != "\\":
                places.add(length, at, width)
                pieces.append(character)
                length += 1
            at += width
    places.add(length, done, 1)
    pieces.append(text[done:])
    # Forms write a blank so.
    return "".join(pieces).replace("+", " "), places


def _read_escape(escape: str) -> Iterator[tuple[str, int]]:
    """Give the characters that an escape stands for, each with its width."""
    kind = escape[0]
    if kind == "%":
        for character in bytes.fromhex(escape.replace("%", "")).decode("utf-8", "surrogateescape"):
            yield character, 3 * len(character.encode("utf-8", "surrogateescape"))
    elif kind == "\\":
        yield _escaped_character(escape), len(escape)
    else:
        yield _REFERENCES.get(escape.lower()) or _numbered_character(escape), len(escape)


def _escaped_character(escape: str) -> str:
    if len(escape) == len("\\u0000") and escape[1] in "uU":
        return chr(int(escape[2:], 16))  # noqa: FURB166 - the prefix is that of JSON
    return escape[-1]


def _numbered_character(reference: str) -> str:
    digits = reference[2:-1].lower()
    base = 16 if digits[0] == "x" else 10
    number = int(digits.lstrip("x"), base)
    return chr(number) if number <= _LAST_CHARACTER else "&"


_LAST_CHARACTER = 0x10FFFF
_REFERENCES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'"}

_ESCAPE = re.compile(
    r"(?:%[0-9a-f]{2})++|\\u[0-9a-f]{4}|(?:\\\\)++|\\."
    r"|&(?:amp|lt|gt|quot|apos);|&#[0-9]{1,10};|&#x[0-9a-f]{1,10};",
    re.IGNORECASE | re.DOTALL,
)


def _secrets_replaced(said: Any, hide: Callable[[str], str]) -> Any:
    if isinstance(said, str):
        return hide(said)
    if isinstance(said, bytes):
        text = said.decode("utf-8", "surrogateescape")
        return hide(text).encode("utf-8", "surrogateescape")
    if isinstance(said, dict):
        members = cast("dict[Any, Any]", said).items()
        return {
            _secrets_replaced(key, hide): value if key in _PAGES else _secrets_replaced(value, hide)
            for key, value in members
        }
    if isinstance(said, list | tuple):
        items = [_secrets_replaced(item, hide) for item in cast("Sequence[Any]", said)]
        return items if isinstance(said, list) else tuple(items)
    return said

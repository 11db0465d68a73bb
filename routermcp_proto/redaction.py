"""Redaction of secrets that a peer repeats in its answers and errors."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from .events import ConnectionFailed, ErrorReceived, Event, MessageDropped, ResponseRejected
from .exceptions import causes
from .jsonrpc import ErrorObject

HIDDEN = "***"
"""The text that replaces a secret."""

#: Characters of the shortest secret that is searched for where only its name marks it as one: a shorter
#: one can be guessed, and occurs in unrelated words.
MIN_SECRET_LENGTH = 6

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
        case _:
            return event


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
    hide = _hiding(secrets, shortest)
    return _replaced(said, hide) if hide is not None else said


def hide_in(error: BaseException, secrets: Sequence[str]) -> None:
    """Remove secrets from an error and its causes; values without secrets stay the same objects."""
    hide = _hiding(secrets)
    if hide is None:
        return
    for each in causes(error):
        args = _replaced(each.args, hide)
        if args != each.args:
            each.args = args
        members = vars(each)
        for name, value in tuple(members.items()):
            if isinstance(value, str | list | dict | tuple) and (clean := _replaced(value, hide)) != value:
                members[name] = clean


def _hiding(secrets: Sequence[str], shortest: int = MIN_SECRET_LENGTH) -> Callable[[str], str] | None:
    """Return a function that removes the secrets from a text, None if there are none to remove."""
    long = {secret for secret in secrets if len(secret) >= shortest}
    if not long:
        return None
    # A long secret is replaced before a short one that it contains.
    written = [_written(secret) for secret in sorted(long, key=len, reverse=True)]
    pattern = re.compile("|".join(written))
    return lambda text: pattern.sub(HIDDEN, text)


def _written(secret: str) -> str:
    """Return a pattern for a secret in the notations of URLs, JSON and HTML."""
    return "".join(letter if letter.isascii() and letter.isalnum() else _letter(letter) for letter in secret)


def _letter(letter: str) -> str:
    """Return a pattern for a character that can be written in more than one way."""
    number = ord(letter)
    percent = "".join(f"%{byte:02x}" for byte in letter.encode("utf-8", "surrogatepass"))
    escapes = [percent, rf"\\u{number:04x}", f"&#0*{number};", f"&#x0*{number:x};"]
    named = html.escape(letter)
    if named != letter:
        escapes.append(re.escape(named))
    if letter == " ":
        escapes.append(r"\+")
    return rf"(?:(?i:{'|'.join(escapes)})|\\?{re.escape(letter)})"


def _replaced(said: Any, hide: Callable[[str], str]) -> Any:
    if isinstance(said, str):
        return hide(said)
    if isinstance(said, bytes):
        text = said.decode("utf-8", "surrogateescape")
        return hide(text).encode("utf-8", "surrogateescape")
    if isinstance(said, dict):
        members = cast("dict[Any, Any]", said).items()
        return {
            _replaced(key, hide): value if key in _PAGES else _replaced(value, hide) for key, value in members
        }
    if isinstance(said, list | tuple):
        items = [_replaced(item, hide) for item in cast("Sequence[Any]", said)]
        return items if isinstance(said, list) else tuple(items)
    return said

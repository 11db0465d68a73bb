"""Signing in where the browser is on another machine: its last address is pasted on the terminal."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol
from urllib.parse import parse_qs, urlencode, urlsplit

from routermcp_proto.exceptions import OAuthError
from routermcp_proto.oauth.code_grant import refusal_in, state_of

from ._urls import checked_page
from .browser import on_standard_error, show_page
from .config import DEFAULT_REDIRECT_URI

#: Seconds for the user, after which a receiver gives up; the client stops waiting before.
RECEIVE_SECONDS = 600.0

#: Bytes of the longest line that is read; a terminal gives 4 KiB at most.
MAX_LINE_BYTES = 64 * 1024

#: Lines that are no answer, after which no more are read: a program may be writing there.
MAX_WRONG_LINES = 10

HINT = (
    "The browser ends at an address that begins with {redirect_uri}. If it shows no page there, copy the\n"
    "address, or the code that the page shows, paste it here, and press Enter.\n"
)


class WrongLineError(ValueError):
    """A line is no answer to the sign-in that waits; the message says why."""


def redirect_uri_of(url: str) -> str | None:
    """Return where the browser comes back to from a page to sign in at, None where that does not say."""
    return next(iter(parse_qs(urlsplit(url).query).get("redirect_uri", [])), None)


def answer_in(line: str, url: str) -> str:
    """Return the URL that the browser came back to, from what a user has pasted.

    Args:
        line: That URL, its query, or the code alone, as some pages show it: ``code`` or
            ``code#state``.
        url: The page that the user was sent to.

    Raises:
        WrongLineError: It is none of them, or belongs to another sign-in.
    """
    expected, text = state_of(url), line.strip().strip("'\"")
    back = redirect_uri_of(url) or DEFAULT_REDIRECT_URI
    if "=" in text and ("?" in text or text.startswith(("code=", "state=", "error="))):
        query = text.partition("?")[2] or text
        callback = f"{back.partition('?')[0]}?{query.partition('#')[0]}"
        state = state_of(callback)
        if state != expected and (state is not None or refusal_in(callback) is None):
            raise WrongLineError("that is the address of another sign-in; paste the one of the page above")
        return callback
    code, mark, state = text.partition("#")
    if not code or "://" in text or not text.isprintable() or len(text.split()) != 1:
        raise WrongLineError("that is neither the address where the browser ended nor a code")
    if mark and state != expected:
        raise WrongLineError("that is the code of another sign-in; paste the one of the page above")
    return f"{back.partition('?')[0]}?{urlencode({'code': code, 'state': expected or ''})}"


class Terminal:
    """Reads lines that a user pastes, without a thread and without Python's buffer.

    Args:
        url: The page that the user was sent to.
        show: Shows a line to the user.
        descriptor: What is read; default standard input.
    """

    def __init__(self, url: str, show: Callable[[str], object], descriptor: int | None = None) -> None:
        self._url = url
        self._show = show
        self._descriptor = _standard_input() if descriptor is None else descriptor
        self._read = b""
        self._wrong = 0

    @property
    def is_open(self) -> bool:
        """Whether there may be lines yet."""
        return self._descriptor is not None

    def fileno(self) -> int:
        """Return what to wait for."""
        return self._descriptor if self._descriptor is not None else -1

    def read(self) -> str | None:
        """Read what is there; return the answer, None where there is none yet."""
        if self._descriptor is None:
            return None
        try:
            data = os.read(self._descriptor, MAX_LINE_BYTES)
        except OSError:  # a terminal that is gone
            data = b""
        self._read += data or b"\n"  # the last line may have no end
        for line in self._lines():
            try:
                return answer_in(line, self._url)
            except WrongLineError as error:
                self._wrong += 1
                self._show(f"{error}\n")
        if not data or self._wrong >= MAX_WRONG_LINES or len(self._read) >= MAX_LINE_BYTES:
            self._descriptor = None
        return None

    def _lines(self) -> Iterator[str]:
        *lines, self._read = self._read.split(b"\n")
        yield from (text for line in lines if (text := line.decode("utf-8", "replace").strip()))


def _standard_input() -> int | None:
    try:
        return sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # closed, or none of the system
        return None


class HasDescriptor(Protocol):
    """Something of the system that can be waited for."""

    def fileno(self) -> int:
        """Return its descriptor."""
        ...


class PasteReceiver:
    """Shows the user where to sign in, and reads what the user pastes.

    Args:
        show: Shows lines to the user; default on standard error.
        seconds: How long to wait for the user at most.
    """

    def __init__(self, show: Callable[[str], object] | None = None, seconds: float = RECEIVE_SECONDS) -> None:
        self._show = show or on_standard_error
        self._seconds = seconds

    def __repr__(self) -> str:
        return "<paste_receiver>"

    def __call__(self, url: str) -> str:
        """Let the user sign in at a URL; return the one that the browser came back to.

        Raises:
            OAuthError: It is no page, or nothing was pasted.
        """
        checked_page(url, "the server")
        show_page(url, self._show, open_browser=False)
        self._show(HINT.format(redirect_uri=redirect_uri_of(url) or DEFAULT_REDIRECT_URI))
        terminal, until = Terminal(url, self._show), time.monotonic() + self._seconds
        while terminal.is_open:
            if not wait_for_input([terminal], until - time.monotonic()):
                raise OAuthError("nothing was pasted in time")
            answer = terminal.read()
            if answer is not None:
                return refused_at_once(answer)
        raise OAuthError("nothing was pasted: standard input has ended, or holds something else")


def wait_for_input(sources: Sequence[HasDescriptor], seconds: float) -> Sequence[HasDescriptor]:
    """Wait until something can be read; return what, nothing where the time is over."""
    if seconds <= 0:
        return []
    if os.name == "nt":  # pragma: no cover - its select() knows sockets only, and its consoles are files
        return sources
    return select.select(sources, [], [], seconds)[0]


def refused_at_once(callback: str) -> str:
    """Return where a browser came back to, unless a server says no there without a state.

    Raises:
        OAuthError: It does. With a state it is an answer as any other, and judged as such.
    """
    refusal = refusal_in(callback) if state_of(callback) is None else None
    if refusal is not None:
        raise OAuthError(f"the authorization server did not sign the user in: {refusal}")
    return callback


def paste_receiver(
    *, show: Callable[[str], object] | None = None, seconds: float = RECEIVE_SECONDS
) -> PasteReceiver:
    """Ask the user to paste the last address of the browser; for ``OAuthConfig(authorize=...)``.

    For terminals on other machines, such as over SSH. The page need not exist: its address, or the
    code alone where a page shows that, is read from standard input.

    Args:
        show: Shows a line to the user; default on standard error.
        seconds: How long to wait for the user at most.
    """
    return PasteReceiver(show, seconds)

"""The page that a user signs in at: shown on the terminal, and opened in a browser."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import unicodedata
import webbrowser
from collections.abc import Callable
from urllib.parse import urlsplit

from routermcp_proto.exceptions import printable

#: Browsers that a thread may wait for at once; the page of any further one is only shown.
#: Those with windows are done at once; in a terminal there is room for one.
MAX_BROWSERS = 4

_browsers = threading.BoundedSemaphore(MAX_BROWSERS)


def on_standard_error(line: str) -> None:
    """Show a line to the user, in which a server may have put words."""
    print(printable(line), file=sys.stderr, flush=True)  # noqa: T201 - the user has to see it


def show_page(url: str, show: Callable[[str], object], *, open_browser: bool) -> None:
    """Send the user to a page to sign in at.

    Args:
        url: The page, which is shown whole and never fetched here.
        show: Shows a line to the user.
        open_browser: Whether to open it, unless its name is odd.
    """
    show(f"To sign in, open this page:\n\n  {url}\n")
    warning = suspicion_of(url)
    if warning:
        show(f"Look twice before you go there: {warning}.\n")
    elif open_browser:
        _open(url)


def over_ssh() -> bool:
    """Return whether the user is at another machine, where a browser of this one does not show."""
    there = os.environ.get("SSH_CONNECTION")
    return bool(there) and not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _open(url: str) -> None:
    """Open a page in a browser, which some stay in until their user closes them."""
    if not _browsers.acquire(blocking=False):
        return

    def work() -> None:
        try:
            with contextlib.suppress(OSError, webbrowser.Error):  # the URL was shown
                webbrowser.open(url)
        finally:
            _browsers.release()

    threading.Thread(target=work, name="routermcp browser", daemon=True).start()


def suspicion_of(url: str) -> str | None:
    """Return what is suspicious about the name of the host in a URL, None for an ordinary one."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return "it is no address of a page"
    return suspicion(host)


def suspicion(host: str) -> str | None:
    """Return what is suspicious about a host name, None for an ordinary one.

    Names that mix alphabets can look like those of others.
    """
    for label in host.split("."):
        try:
            text = label.encode("ascii").decode("idna") if label.startswith("xn--") else label
        except UnicodeError:
            return f"{label!r} in its name is no word of any alphabet"
        alphabets = {unicodedata.name(letter, "?").partition(" ")[0] for letter in text if letter.isalpha()}
        if len(alphabets) > 1:
            return f"{text!r} in its name mixes letters of several alphabets"
    return None

"""Checks of the pages that servers send users to."""

from __future__ import annotations

from urllib.parse import urlsplit

from routermcp_proto.exceptions import OAuthError


def checked_page(url: str, whose: str) -> str:
    """Return the URL of a page to sign in at, as it was given.

    It is shown on terminals and opened in browsers, where other schemes open files and start
    programs, and characters that do not show hide where a URL leads.

    Args:
        url: The URL.
        whose: Where one is to sign in there, for the error.

    Raises:
        OAuthError: It is no such URL.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets, or a port that is no number
        good = False
    if not good or not url.isprintable() or " " in url:
        raise OAuthError(f"what was given for {whose} is no page to sign in at, such as https://... would be")
    return url

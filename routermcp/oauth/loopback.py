"""Signing in from a program on the user's own machine (RFC 8252)."""

from __future__ import annotations

import http.server
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from routermcp_proto.exceptions import ConfigError, OAuthError
from routermcp_proto.oauth.code_grant import state_of

from ._urls import checked_page
from .browser import on_standard_error, show_page
from .config import CALLBACK_PORT

#: Seconds for the user, after which the receiver stops listening; the client stops waiting before.
RECEIVE_SECONDS = 600.0

#: Seconds for one request of the browser, so that a connection without one blocks no other.
REQUEST_SECONDS = 5.0

_BROWSER_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<body style="font:16px/1.5 system-ui;max-width:32em;margin:4em auto;padding:0 1em">
<h1>{title}</h1><p>{text}</p>"""
_DONE = ("You are back", "The program has the answer and goes on. You can close this page.")
_ELSEWHERE = ("Nothing here", "This page only waits for a sign-in that a program on this machine has begun.")


class LoopbackReceiver:
    """Shows the user where to sign in, opens a browser, and waits for the answer.

    Args:
        port: Where the browser comes back to, on this machine only.
        open_browser: Whether to open the browser; the URL is shown in any case.
        show: Shows lines to the user; default on standard error.
        seconds: How long to wait for the user at most.
        elsewhere: How to choose another port, for the error where it is taken.
    """

    def __init__(
        self,
        port: int,
        open_browser: bool,
        show: Callable[[str], object] | None = None,
        seconds: float = RECEIVE_SECONDS,
        elsewhere: str = "loopback_receiver(port=...)",
    ) -> None:
        self.redirect_uri = f"http://127.0.0.1:{port}/callback"
        self._port = port
        self._open_browser = open_browser
        self._show = show or on_standard_error
        self._seconds = seconds
        self._elsewhere = elsewhere

    def __repr__(self) -> str:
        return f"<loopback_receiver {self.redirect_uri}>"

    def __call__(self, url: str) -> str:
        """Let the user sign in at a URL; return the one that the browser came back to.

        Raises:
            OAuthError: It is no page, the port is taken, or nobody came back.
        """
        checked_page(url, "the server")
        expected = state_of(url)
        found: list[str] = []
        origin = f"http://127.0.0.1:{self._port}"

        class Handler(http.server.BaseHTTPRequestHandler):
            """Takes the answer to this sign-in, and nothing else."""

            timeout = REQUEST_SECONDS

            def do_GET(self) -> None:
                """Take the answer, if this is it."""
                path, _, _ = self.path.partition("?")
                good = path == "/callback" and state_of(f"{origin}{self.path}") == expected
                if good and not found:
                    found.append(f"{origin}{self.path}")
                title, text = _DONE if good else _ELSEWHERE
                page = _BROWSER_PAGE.format(title=title, text=text).encode()
                self.send_response(200 if good else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(page)))
                self.send_header("Referrer-Policy", "no-referrer")  # the code is in this page's URL
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name there
                """Log nothing: the line would hold the code."""

        try:
            server = _Server(("127.0.0.1", self._port), Handler)
        except OSError as error:
            raise OAuthError(
                f"port {self._port} of this machine is taken; give another with {self._elsewhere}"
            ) from error
        with server:
            show_page(url, self._show, open_browser=self._open_browser)
            until = time.monotonic() + self._seconds
            while not found:
                server.timeout = until - time.monotonic()
                if server.timeout <= 0:
                    raise OAuthError("nobody came back from signing in")
                server.handle_request()
        return found[0]


class _Server(http.server.HTTPServer):
    """An HTTP server that never shares its port."""

    allow_reuse_address = sys.platform != "win32"
    address_family = socket.AF_INET

    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing about a browser that leaves early: its request may hold the code."""


def loopback_receiver(
    port: int = CALLBACK_PORT,
    *,
    open_browser: bool = True,
    show: Callable[[str], object] | None = None,
    seconds: float = RECEIVE_SECONDS,
) -> LoopbackReceiver:
    """Ask the user in a browser on this machine; for ``OAuthConfig(authorize=...)``.

    Args:
        port: Where the browser comes back to.
        open_browser: Whether to open it; the whole URL is shown before in any case.
        show: Shows a line to the user; default on standard error.
        seconds: How long to wait for the user at most.

    Raises:
        ConfigError: It is no port.
    """
    if not 1 <= port <= 65535:
        raise ConfigError(f"{port} is no port")
    return LoopbackReceiver(port, open_browser, show, seconds)

"""Signing in from a program on the user's own machine (RFC 8252)."""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from collections.abc import Callable, Generator
from urllib.parse import urlsplit

from routermcp_proto.exceptions import ConfigError, OAuthError
from routermcp_proto.oauth.urls import LOOPBACK_NAMES

from ._urls import checked_page
from .browser import on_standard_error, over_ssh, show_page
from .callback_server import REUSES_ADDRESSES, CallbackServer, Place
from .paste import (
    HINT,
    RECEIVE_SECONDS,
    HasDescriptor,
    Terminal,
    redirect_uri_of,
    refused_at_once,
    wait_for_input,
)

SSH_HINT = (
    "You are on this machine over SSH, so the browser on yours will not find {redirect_uri}.\n"
    "Forward the port, from a terminal on your machine: ssh -L {port}:127.0.0.1:{port} THIS-MACHINE\n"
)

_STATELESS_HINT = (
    'The browser came back and said "{refusal}", but not to which sign-in: any page can send it here like\n'
    "that, and some servers do where they refuse. This goes on waiting; press Ctrl-C to give up.\n"
)


class LoopbackReceiver:
    """Shows the user where to sign in, opens a browser, and waits for the answer.

    Args:
        host: The address to listen on; None for that of the page's ``redirect_uri``.
        port: The port to listen on; None for that of the page's ``redirect_uri``.
        path: The page that the browser comes back to; None for that of the page's ``redirect_uri``.
        open_browser: Whether to open the browser; the URL is shown in any case.
        paste: Whether to read an answer from standard input as well.
        show: Shows lines to the user; default on standard error.
        seconds: How long to wait for the user at most.
        elsewhere: How to choose another port, for the error where it is taken.
    """

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        path: str | None = None,
        *,
        open_browser: bool = True,
        paste: bool = False,
        show: Callable[[str], object] | None = None,
        seconds: float = RECEIVE_SECONDS,
        elsewhere: str = "loopback_receiver(port=...)",
    ) -> None:
        self._given = (host, port, path)
        self.redirect_uri = self._place_by(Place()).url
        self._open_browser = open_browser
        self._paste = paste
        self._show = show or on_standard_error
        self._seconds = seconds
        self._elsewhere = elsewhere

    def __repr__(self) -> str:
        return f"<loopback_receiver {self.redirect_uri}>"

    def __call__(self, url: str) -> str:
        """Let the user sign in at a URL; return the one that the browser came back to.

        Raises:
            OAuthError: It is no page, the port is taken, the user said no, or did not come back.
        """
        checked_page(url, "the server")
        place = self._place_for(redirect_uri_of(url))
        with self._listening_errors(place):
            server = CallbackServer(place, url)
        with server:
            remote = over_ssh()
            show_page(url, self._show, open_browser=self._open_browser and not remote)
            if remote:
                self._show(SSH_HINT.format(redirect_uri=place.url, port=place.port))
            if self._paste:
                self._show(HINT.format(redirect_uri=place.url))
            terminal = Terminal(url, self._show) if self._paste else None
            return refused_at_once(self._wait(server, terminal))

    def check_redirect_uri(self, redirect_uri: str | None) -> None:
        """Check that browsers can come back there, before a user is sent anywhere.

        Args:
            redirect_uri: Where users come back to, None for the address of this receiver.

        Raises:
            OAuthError: The port is taken, or the address is none of this machine.
        """
        place = self._place_for(redirect_uri)
        with self._listening_errors(place), socket.socket(place.family) as probe:
            # Bound and not listening, it keeps no other receiver from its port meanwhile.
            if REUSES_ADDRESSES:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place.address)

    @contextlib.contextmanager
    def _listening_errors(self, place: Place) -> Generator[None]:
        try:
            yield
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            problem = "is taken" if taken else f"cannot be listened on at {place.host}: {error.strerror}"
            raise OAuthError(
                f"port {place.port} of this machine {problem}; give another with {self._elsewhere}"
            ) from error

    def _wait(self, server: CallbackServer, terminal: Terminal | None) -> str:
        until = time.monotonic() + self._seconds
        while server.answer is None:
            sources: list[HasDescriptor] = [server, server.woken]
            if terminal is not None and terminal.is_open:
                sources.append(terminal)
            ready = wait_for_input(sources, min(until - time.monotonic(), server.cut_late()))
            if not ready and time.monotonic() >= until:
                raise OAuthError("nobody came back from signing in")
            if server in ready:
                server.handle_request()
            if server.woken in ready and (refusal := server.refusal_to_show()) is not None:
                self._show(_STATELESS_HINT.format(refusal=refusal))
            if terminal is not None and terminal in ready:
                answer = terminal.read()
                if answer is not None:
                    return answer
        return server.answer

    def _place_by(self, place: Place) -> Place:
        host, port, path = self._given
        return Place(host or place.host, port or place.port, path or place.path)

    def _place_for(self, back: str | None) -> Place:
        """Return where to listen for browsers that come back to a URL, as far as no other place was given.

        Raises:
            OAuthError: That is on another machine.
        """
        if back is None:
            return self._place_by(Place())
        parts = urlsplit(back)
        if parts.hostname not in LOOPBACK_NAMES and self._given == (None, None, None):
            raise OAuthError(
                f"users come back to {back}, where loopback_receiver() does not listen: give it host=, "
                "port= and path= where it is reached by that address, or use paste_receiver()"
            )
        named = Place(parts.hostname or "", parts.port or 80, parts.path or "/")
        return self._place_by(named if named.host in LOOPBACK_NAMES else Place())


def loopback_receiver(
    port: int | None = None,
    *,
    host: str | None = None,
    path: str | None = None,
    open_browser: bool = True,
    paste: bool = False,
    show: Callable[[str], object] | None = None,
    seconds: float = RECEIVE_SECONDS,
) -> LoopbackReceiver:
    """Ask the user in a browser on this machine; for ``OAuthConfig(authorize=...)``.

    Where ``OAuthConfig(redirect_uri=...)`` is given, it listens there.

    Args:
        port: Where the browser comes back to; default that of ``redirect_uri``, else 28418.
        host: The address to listen on; default that of ``redirect_uri``, else 127.0.0.1. In a
            container whose port is published it is ``0.0.0.0``.
        path: The page there; default that of ``redirect_uri``, else ``/callback``.
        open_browser: Whether to open the browser; the whole URL is shown before in any case. Over
            SSH none is opened, and how to forward the port is shown.
        paste: Whether to read an answer from standard input as well, where the browser may be on
            another machine.
        show: Shows a line to the user; default on standard error.
        seconds: How long to wait for the user at most.

    Raises:
        ConfigError: That is no port, or no path.
    """
    if port is not None and not 1 <= port <= 65535:
        raise ConfigError(f"{port} is no port")
    if path is not None and not path.startswith("/"):
        raise ConfigError(f"path= begins with a slash, unlike {path!r}")
    return LoopbackReceiver(
        host, port, path, open_browser=open_browser, paste=paste, show=show, seconds=seconds
    )

"""Signing in from a program on the user's own machine (RFC 8252)."""

from __future__ import annotations

import contextlib
import errno
import http.server
import math
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from routermcp_proto.exceptions import ConfigError, OAuthError
from routermcp_proto.oauth.code_grant import refusal_in, state_of
from routermcp_proto.oauth.urls import LOOPBACK_NAMES

from ._urls import checked_page
from .browser import on_standard_error, over_ssh, show_page
from .config import CALLBACK_PATH, CALLBACK_PORT
from .paste import (
    HINT,
    RECEIVE_SECONDS,
    HasDescriptor,
    Terminal,
    redirect_uri_of,
    refused_at_once,
    wait_for_input,
)
from .result_page import result_page

#: Seconds for one request of the browser from its first byte to its last. A connection that takes
#: longer is cut: it may be another program's, which drips bytes.
REQUEST_SECONDS = 5.0

#: Connections that are served at once: a browser opens a few ahead. A further one cuts the oldest.
MAX_CONNECTIONS = 32

#: Addresses that stand for all addresses of a machine: browsers come to the loopback one of them.
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a container is reached

#: Whether a port can be listened on right after another program did; on Windows that would share it.
REUSES_ADDRESSES = sys.platform != "win32"

SSH_HINT = (
    "You are on this machine over SSH, so the browser on yours will not find {redirect_uri}.\n"
    "Forward the port, from a terminal on your machine: ssh -L {port}:127.0.0.1:{port} THIS-MACHINE\n"
)

_DONE = ("You are back", "The program has the answer and goes on. You can close this page.")
_REFUSED = ("You are not signed in", "The server said: {refusal}. You can close this page.")
_ELSEWHERE = ("Nothing here", "This page only waits for a sign-in that a program on this machine has begun.")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a browser comes back to: an address of this machine, and the path of one page."""

    host: str = "127.0.0.1"
    port: int = CALLBACK_PORT
    path: str = CALLBACK_PATH

    @property
    def url(self) -> str:
        """The URL, as browsers are sent there."""
        host = ANY_ADDRESS.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}{self.path}"

    @property
    def address(self) -> tuple[str, int]:
        """The address to listen on."""
        # Browsers try both addresses of "localhost"; the name is not looked up.
        return ("127.0.0.1" if self.host == "localhost" else self.host), self.port

    @property
    def family(self) -> socket.AddressFamily:
        """The family of that address."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET


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
            OAuthError: It is no page, the port is taken, the user said no, or nobody came back.
        """
        checked_page(url, "the server")
        place = self._place_for(redirect_uri_of(url))
        with self._listening_errors(place):
            server = _Server(place, url)
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

    def _wait(self, server: _Server, terminal: Terminal | None) -> str:
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


#: What a browser wants that is sent back from signing in, where it says so (W3C, Fetch Metadata). Any page
#: can have it ask for something else here, and end a sign-in with a refusal.
_DOCUMENT = "document"


class _Handler(http.server.BaseHTTPRequestHandler):
    """Takes the answer to the sign-in of its server, and nothing else."""

    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]
    timeout = REQUEST_SECONDS

    def do_GET(self) -> None:
        """Take the answer, if this is it and no other page's image, frame or script asks for it."""
        if self.headers.get("Sec-Fetch-Dest", _DOCUMENT) == _DOCUMENT:
            callback, (title, text), status = self.server.read(self.path)
        else:
            callback, (title, text), status = None, _ELSEWHERE, 404
        page = result_page(title, text)
        try:
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
            self.send_header("Referrer-Policy", "no-referrer")  # the code is in this page's URL
            self.end_headers()
            self.wfile.write(page)
        finally:
            # After the page: the program may end as soon as it has the answer.
            if callback is not None:
                self.server.take(callback)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name there
        """Log nothing: the line would hold the code."""


class _Server(http.server.HTTPServer):
    """An HTTP server that never shares its port, with a thread for each connection.

    Args:
        place: Where it listens.
        url: The page that the user was sent to.
    """

    allow_reuse_address = REUSES_ADDRESSES
    request_queue_size = 4 * MAX_CONNECTIONS
    """Connections that wait to be accepted: a browser that finds no room tries again after a second."""
    timeout = 0.25
    """Seconds for a connection to be accepted, where the system cannot say whether there is one."""

    def __init__(self, place: Place, url: str) -> None:
        self.address_family = place.family
        self.answer: str | None = None
        self._place = place
        self._expected = state_of(url)
        self._open: deque[tuple[float, socket.socket]] = deque()
        self.woken, self._waker = socket.socketpair()
        """Can be read once the answer is there."""
        super().__init__(place.address, _Handler)

    def server_close(self) -> None:
        """Stop listening, and cut the connections."""
        super().server_close()
        while self._open:
            _cut(self._open.popleft()[1])
        self.woken.close()
        self._waker.close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own."""
        self._open.append((time.monotonic() + REQUEST_SECONDS, request))
        if len(self._open) > MAX_CONNECTIONS:
            _cut(self._open.popleft()[1])
        threading.Thread(target=self._serve, args=(request, client_address), daemon=True).start()

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except Exception:  # noqa: BLE001 - as the server's own loop does
            self.handle_error(request, client_address)
        finally:
            self.shutdown_request(request)

    def cut_late(self) -> float:
        """Cut the connections whose time is over; return the seconds until the next one's is."""
        while self._open and self._open[0][0] <= time.monotonic():
            _cut(self._open.popleft()[1])
        return self._open[0][0] - time.monotonic() if self._open else math.inf

    def take(self, callback: str) -> None:
        """Take an answer; the first one counts."""
        self.answer = self.answer or callback
        with contextlib.suppress(OSError):  # closed: the wait has ended otherwise
            self._waker.send(b"!")

    def read(self, target: str) -> tuple[str | None, tuple[str, str], int]:
        """Read the target of a request.

        Returns:
            The answer, None where it is none; title and text of the page for the browser; the status.
        """
        parts = urlsplit(self._place.url)
        callback = f"{parts.scheme}://{parts.netloc}{target}"
        state, refusal = state_of(callback), refusal_in(callback)
        # A refusal without a state is one of the server's page, which has lost it: nothing is let in.
        ours = state == self._expected or (state is None and refusal is not None)
        if target.partition("?")[0] != self._place.path or not ours:
            return None, _ELSEWHERE, 404
        if refusal is None:
            return callback, _DONE, 200
        return callback, (_REFUSED[0], _REFUSED[1].format(refusal=refusal)), 200

    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing about a browser that leaves early: its request may hold the code."""


def _cut(connection: socket.socket) -> None:
    """End a connection that a thread may be reading."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


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

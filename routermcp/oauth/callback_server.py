"""Where a browser comes back to from a sign-in: a small HTTP server on the user's own machine (RFC 8252)."""

from __future__ import annotations

import contextlib
import http.server
import math
import socket
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from routermcp_proto.oauth.code_grant import refusal_in, state_of

from .config import CALLBACK_PATH, CALLBACK_PORT
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

_DONE = ("You are back", "The program has the answer and goes on. You can close this page.")
_REFUSED = ("You are not signed in", "The server said: {refusal}. You can close this page.")
_STATELESS = (
    "The sign-in goes on",
    "This does not say which sign-in it answers, so that any page could have sent you here. "
    "The program still waits for its answer: end it there if you do not want to sign in.",
)
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


#: What a browser wants that is sent back from signing in, where it says so (W3C, Fetch Metadata). Any page
#: can have it ask for something else here, and end a sign-in with a refusal.
_DOCUMENT = "document"


class _Handler(http.server.BaseHTTPRequestHandler):
    """Takes the answer to the sign-in of its server, and nothing else."""

    server: CallbackServer  # pyright: ignore[reportIncompatibleVariableOverride]
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


class CallbackServer(http.server.HTTPServer):
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
        self._is_noted = False
        self._to_show: str | None = None
        self._open: deque[tuple[float, socket.socket]] = deque()
        self.woken, self._waker = socket.socketpair()
        """Can be read once the answer is there, or a refusal that does not count."""
        self.woken.setblocking(False)
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
        self._wake()

    def refusal_to_show(self) -> str | None:
        """Return the first refusal that does not count, None where there is none or it was shown."""
        with contextlib.suppress(BlockingIOError):
            self.woken.recv(1)
        refusal, self._to_show = self._to_show, None
        return refusal

    def _note(self, refusal: str) -> None:
        if not self._is_noted:  # a page may send as many as it likes
            self._is_noted, self._to_show = True, refusal
            self._wake()

    def _wake(self) -> None:
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
        if target.partition("?")[0] != self._place.path:
            return None, _ELSEWHERE, 404
        # Before anything else in it, a refusal above all: any page can send the browser here (RFC 8252, 8.9).
        if state != self._expected:
            if state is not None or refusal is None:
                return None, _ELSEWHERE, 404
            self._note(refusal)
            return None, _STATELESS, 400
        if refusal is None:
            return callback, _DONE, 200
        return callback, (_REFUSED[0], _REFUSED[1].format(refusal=refusal)), 200

    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing about a browser that leaves early: its request may hold the code."""


def _cut(connection: socket.socket) -> None:
    """End a connection that a thread may be reading."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)

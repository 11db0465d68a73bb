"""A transport to a server in the same process: no socket, no thread, no serialisation apart from JSON.

It works on asyncio, on trio and in blocking code, because it only waits for a flag of the
runtime it is given.
"""

from collections import deque
from collections.abc import Callable

#: Takes a message and returns those to be sent back.
Serve = Callable[[bytes], list[bytes]]


class InProcessTransport:
    """Opens a connection to a server that is a function.

    Args:
        accept: Called for each connection; returns what serves it.
        ended: The error with which the server breaks off.
    """

    def __init__(self, accept: Callable[[], Serve], ended: type[Exception]) -> None:
        self._accept = accept
        self._ended = ended

    async def open(self, runtime) -> "InProcessStream":
        return InProcessStream(self._accept(), self._ended, runtime)

    def __str__(self) -> str:
        return "the server in this process"


class InProcessStream:
    """One connection: sending serves the message at once, receiving waits for a reply."""

    def __init__(self, serve: Serve, ended: type[Exception], runtime) -> None:
        self._serve = serve
        self._ended = ended
        self._runtime = runtime
        self._replies: deque[bytes] = deque()
        self._closed = False
        self._news = None

    async def send(self, payload: bytes) -> None:
        if self._closed:
            raise OSError("the connection is closed")
        try:
            self._replies.extend(self._serve(payload))
        except self._ended:
            self._closed = True
        self._tell()

    async def receive(self) -> bytes:
        while not self._replies:
            if self._closed:
                return b""
            # The flag first, then another look: a reply may come in between, from a thread.
            news = self._news = self._runtime.event()
            if not self._replies and not self._closed:
                await news.wait()
        return self._replies.popleft()

    def _tell(self) -> None:
        news, self._news = self._news, None
        if news is not None:
            news.set()

    async def aclose(self) -> None:
        self.abort()

    def abort(self) -> None:
        self._closed = True
        self._tell()

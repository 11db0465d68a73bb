"""A runtime without sockets, threads or waiting: scripted peers on a clock of their own.

Tests use it to see what the driver does to the byte and to the millisecond.
"""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from routermcp_adapters.runtime import Address, ByteStream, Event, StreamClosedError
from routermcp_adapters.runtimes.blocking import BlockingRuntime

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pause:
    """Time that passes before the peer goes on, in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Break:
    """The connection breaks with this error; None is an orderly end."""

    error: OSError | None = None


#: What a scripted peer does: send bytes, let time pass, or end.
Move = bytes | Pause | Break

#: Called with what was sent; returns what the peer does then. After its last move it is silent.
Peer = Callable[[bytes], Iterable[Move]]


class ScriptedStream:
    """A byte stream whose other end is a function."""

    def __init__(self, peer: Peer, runtime: MemoryRuntime) -> None:
        self._peer = peer
        self._runtime = runtime
        self._moves: deque[Move] = deque()
        self.sent: list[bytes] = []
        """What was sent, one entry for each call."""
        self.closed = False

    async def send_all(self, data: bytes) -> None:
        """Hand the data to the peer, and keep what it does then."""
        if self.closed or (self._moves and isinstance(self._moves[0], Break)):
            raise StreamClosedError("the peer has closed the connection")
        self.sent.append(data)
        self._moves.extend(self._peer(data))

    async def receive_some(self) -> bytes:
        """Return what the peer sends next; its silence ends at the deadline."""
        while self._moves:
            move = self._moves.popleft()
            if isinstance(move, bytes):
                return move
            if isinstance(move, Break):
                self._moves.appendleft(move)
                if move.error is not None:
                    raise move.error
                return b""
            await self._runtime.sleep(move.seconds)
        await self._runtime.sleep(float("inf"))
        return b""

    def receive_nowait(self) -> bytes | None:
        """Return what the peer sends without any time passing."""
        if not self._moves or isinstance(self._moves[0], Pause):
            return None
        move = self._moves[0]
        if isinstance(move, Break):
            return b""
        self._moves.popleft()
        return move

    @property
    def ready(self) -> bool:
        """Whether :meth:`receive_nowait` has something to return."""
        return bool(self._moves) and not isinstance(self._moves[0], Pause)

    @property
    def pause(self) -> float:
        """Seconds until then, endless for never."""
        move = self._moves[0] if self._moves else None
        return move.seconds if isinstance(move, Pause) else float("inf")

    def let_pass(self, seconds: float) -> None:
        """Take so much off the pause that comes next."""
        move = self._moves[0] if self._moves else None
        if isinstance(move, Pause):
            self._moves.popleft()
            if move.seconds > seconds:
                self._moves.appendleft(Pause(move.seconds - seconds))

    async def aclose(self) -> None:
        """Close the stream."""
        self.closed = True

    def abort(self) -> None:
        """Close the stream."""
        self.closed = True


class MemoryRuntime(BlockingRuntime):
    """Blocking code on a clock that only moves when somebody waits.

    Args:
        connections: Makes the other end of each new connection, or raises :class:`OSError`.
        chance: What :meth:`random` returns.
    """

    name = "memory"

    def __init__(self, connections: Callable[[], Peer], *, chance: float = 0.0) -> None:
        super().__init__()
        self._connections = connections
        self._chance = chance
        self._time = 0.0
        self.streams: list[ScriptedStream] = []
        self.dialed: list[str] = []
        """The first address of each connection."""
        """The connections that were opened, in order."""

    def now(self) -> float:
        """Return the time, in seconds since the runtime was made."""
        return self._time

    def random(self) -> float:
        """Return the chance that the runtime was made with."""
        return self._chance

    async def sleep(self, seconds: float) -> None:
        """Let time pass, but not past the deadline.

        Raises:
            TimeoutError: The deadline comes first.
            RuntimeError: It would be for ever: nothing moves, and there is no deadline.
        """
        remaining = self._remaining()
        if remaining is None and seconds == float("inf"):
            raise RuntimeError("the peer is silent and there is no deadline: this would wait for ever")
        self._time += seconds if remaining is None else min(seconds, remaining)
        self._remaining()

    async def wait_any(self, streams: Sequence[ByteStream], flag: Event | None) -> None:
        """Let time pass until one of the scripted streams has something."""
        del flag
        scripted = [cast("ScriptedStream", stream) for stream in streams]
        if not any(stream.ready for stream in scripted):
            pauses = [stream.pause for stream in scripted]
            await self.sleep(min(pauses))
            for stream in scripted:
                stream.let_pass(min(pauses))

    async def run_blocking(self, work: Callable[[], T], *, lookup: bool = False) -> T:
        """Do the work at once."""
        del lookup
        return work()

    async def connect(
        self,
        addresses: Sequence[Address],
        tls: ssl.SSLContext | None,
        server_name: str,
    ) -> ScriptedStream:
        """Open a connection to the next scripted peer."""
        del tls, server_name
        self._remaining()
        self.dialed.append(addresses[0][1][0])
        stream = ScriptedStream(self._connections(), self)
        self.streams.append(stream)
        return stream

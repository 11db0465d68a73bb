"""The stdio transport: an MCP server that is a child process.

Source: https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/stdio
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import sys
import threading
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from routermcp_proto.exceptions import ConfigError, RemoteProtocolError, TransportError
from routermcp_proto.framing import MAX_MESSAGE_SIZE, LineDecoder

from ..concurrency import fork
from ..limits import check_size
from ..runtime import RECEIVE_SIZE, Event, Runtime, StreamClosedError
from .child_process import Child, ShutdownTimeouts
from .windows import program_of

log = logging.getLogger("routermcp.stdio")

#: Bytes that may wait for a child that does not read: a message of the greatest size and
#: as much again.
MAX_UNSENT = 128 * 1024 * 1024

#: Lines of the child's standard error that an error shows, and characters of each.
LAST_ERRORS = 5
MAX_LAST_ERROR = 200

#: Bytes of one such line. A longer one is a dump of something, and not shown at all.
MAX_ERROR_LINE = 64 * 1024

#: Seconds for a child whose output has ended to be reported as ended.
_REAP_SECONDS = 0.25

#: Seconds between two looks for its last words, where threads read them.
_LAG_POLL_SECONDS = 0.002

PipesBy = Literal["descriptors", "threads"]
"""What waits for the pipes of a child: the system itself, or threads."""

DEFAULT_PIPES: PipesBy = "threads" if sys.platform == "win32" else "descriptors"

# A script, a module or a package: no option and no URL.
_NAME = re.compile(r"[\w./@][\w./@-]*")


@dataclass(frozen=True, slots=True)
class StdioTransport:
    """Starts a server as a child process for each session; made by :func:`stdio`."""

    command: tuple[str, ...] = field(repr=False)
    env: Mapping[str, str] | None = field(default=None, repr=False)
    cwd: str | os.PathLike[str] | None = None
    shutdown: ShutdownTimeouts = field(default=ShutdownTimeouts(), repr=False)
    max_message_size: int = MAX_MESSAGE_SIZE
    pipes: PipesBy = field(default=DEFAULT_PIPES, repr=False)

    async def open(self, runtime: Runtime) -> StdioStream:
        """Start the child.

        Raises:
            TransportError: It cannot be started.
        """
        try:
            command = self.command if sys.platform != "win32" else program_of(self.command, self.env)
            waker = Waker(runtime) if self.pipes == "threads" else None
            child = Child(command, self.env, self.cwd, waker)
            return StdioStream(child, runtime, str(self), self.shutdown, waker, self.max_message_size)
        except OSError as error:
            advice = f"{error.strerror or error}"
            if isinstance(error, FileNotFoundError):
                folder = self.cwd is not None and not os.path.isdir(self.cwd)
                advice = f"there is no folder {self.cwd}" if folder else "is it installed, and on the PATH?"
            raise TransportError(
                f"cannot start {self.command[0]!r}: {advice}", code="connect", not_run=True
            ) from error

    def __str__(self) -> str:
        """Return the program and what it runs; further arguments may hold secrets."""
        shown = [os.path.basename(self.command[0])]
        shown += [part for part in self.command[1:2] if _NAME.fullmatch(part)]
        return shlex.join(shown)


def stdio(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    max_message_size: int = MAX_MESSAGE_SIZE,
    pipes: PipesBy | None = None,
) -> StdioTransport:
    """Describe a server that is started as a child process and spoken to over its stdio.

    Args:
        command: Program and arguments, for example ``["uvx", "mcp-server-time"]``.
        env: Variables for the child. Of the parent's it gets only those that programs need
            to run (``HOME``, ``PATH``, the locale and the like), so that no secret travels
            unasked.
        cwd: The folder to start it in.
        max_message_size: Bytes of the longest message of the server. A longer one ends the connection.
        pipes: ``"descriptors"`` where the system can wait for the child's pipes, ``"threads"`` where
            threads have to; default what fits the system.

    Raises:
        ConfigError: The command is not a list of texts, a size is none, or the system cannot wait for pipes.
    """
    if isinstance(command, str | bytes):
        raise ConfigError("stdio takes a list such as ['uvx', 'mcp-server-time'], not one text")
    if not command or not all(isinstance(part, str) and "\0" not in part for part in command):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError("stdio takes a list of texts: the program and its arguments")
    for name, value in (env or {}).items():
        if not isinstance(name, str) or not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"env={{{name!r}: ...}}: names and values are texts")
    check_size(max_message_size, "max_message_size")
    if pipes not in (None, "descriptors", "threads"):
        raise ConfigError(f"pipes is 'descriptors' or 'threads', not {pipes!r}")
    if pipes == "descriptors" and DEFAULT_PIPES == "threads":
        raise ConfigError("this system cannot wait for pipes: leave pipes= out")
    return StdioTransport(
        tuple(command),
        None if env is None else dict(env),
        cwd,
        max_message_size=max_message_size,
        pipes=pipes or DEFAULT_PIPES,
    )


class Waker:
    """Wakes the receiver of a stream from another thread, and does not keep the stream alive."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.stream: weakref.ref[StdioStream] | None = None

    def __call__(self) -> None:
        """Wake the receiver, in the thread of its runtime."""
        self._runtime.call_soon(self._wake)

    def _wake(self) -> None:
        stream = self.stream() if self.stream is not None else None
        if stream is not None:
            stream.wake_receiver()


class StdioStream:
    """The pipes of a child.

    Sending never waits: what the pipe does not take at once is kept, and the next receiver
    passes it on while it waits. So a cancelled call leaves no half line behind, and two
    full pipes never wait for each other.

    Closing waits for the caller that is receiving, or leaves the pipes to it: a descriptor that
    was closed may be another file's by the time that it is read from.
    """

    def __init__(
        self,
        child: Child,
        runtime: Runtime,
        name: str,
        shutdown: ShutdownTimeouts = ShutdownTimeouts(),  # noqa: B008 - it is frozen
        waker: Waker | None = None,
        max_message_size: int = MAX_MESSAGE_SIZE,
    ) -> None:
        self._child = child
        self._pipes = child.pipes
        self._runtime = runtime
        self._name = name
        self._shutdown = shutdown
        self._unsent = bytearray()
        # The sender and the receiver may be two threads.
        self._lock = threading.Lock()
        self._attention: Event | None = None
        self._receiving = False
        self._left: Event | None = None
        self._decoder = LineDecoder(max_message_size)
        self._lines: deque[bytes] = deque()
        self._errors = LineDecoder(MAX_ERROR_LINE)
        self._last_errors: deque[str] = deque(maxlen=LAST_ERRORS)
        self._stderr_open = True
        self._ended = False
        self._aborted = False
        fork.watch(self)
        if waker is not None:
            waker.stream = weakref.ref(self)

    async def send(self, payload: bytes) -> None:
        """Write one line to the pipe, and keep what it does not take."""
        if self._ended:
            raise StreamClosedError("the process has ended")
        if len(self._unsent) + len(payload) > MAX_UNSENT:
            raise StreamClosedError(f"the process does not read: {len(self._unsent)} bytes wait for it")
        with self._lock:
            self._unsent += payload
            self._unsent += b"\n"
        self._flush()
        if self._unsent:
            self.wake_receiver()

    def wake_receiver(self) -> None:
        """Wake the caller that waits for the child."""
        attention = self._attention
        if attention is not None:
            attention.set()

    def _flush(self) -> None:
        """Write what the pipe takes."""
        with self._lock:
            while self._unsent and not self._ended:
                try:
                    written = self._pipes.write(self._unsent[:RECEIVE_SIZE])
                except BlockingIOError:
                    return
                except OSError:
                    # The child has closed its input; its last output is read first.
                    self._unsent.clear()
                    return
                except BaseException:
                    # Ctrl-C: it is unknown how much of it was written.
                    self._ended = True
                    raise
                del self._unsent[:written]

    async def receive(self) -> bytes:
        """Return the next line.

        Raises:
            OSError: The child has ended; the error says how, and shows its last errors.
        """
        self._receiving = True
        try:
            while not self._lines:
                await self._receive_more()
            # No function is called between the two: Ctrl-C cannot come there.
            line = self._lines[0]
            del self._lines[0]
            return line
        finally:
            self._receiving = False
            if self._left is not None:
                self._left.set()
            if self._aborted:
                self._child.close()

    async def _receive_more(self) -> None:
        if self._ended:
            raise OSError("it was closed meanwhile")
        self._read_errors()
        data = self._read_lines()
        if data is None:
            await self._wait()
        elif not data:
            self._ended = True
            await self._child.wait(self._runtime, _REAP_SECONDS)
            await self._read_last_errors()
            raise OSError(self._how_it_ended())

    def _read_lines(self) -> bytes | None:
        """Read what has come, and split it into lines."""
        try:
            data = self._pipes.read_output()
            if data:
                self._lines.extend(self._decoder.receive_data(data))
        except RemoteProtocolError as error:
            raise OSError(str(error)) from error
        except BaseException:
            # Ctrl-C: some of it may be lost.
            self._ended = True
            raise
        return data

    async def _wait(self) -> None:
        self._flush()
        attention = self._attention = self._runtime.event()
        try:
            if self._ended:
                return
            await self._pipes.wait(
                self._runtime, attention, errors=self._stderr_open, writing=bool(self._unsent)
            )
        finally:
            self._attention = None
        self._flush()

    def _read_errors(self) -> None:
        """Log what the child writes to its standard error, and remember the end of it."""
        while self._stderr_open:
            data = self._pipes.read_errors()
            if data is None:
                return
            try:
                lines = self._errors.receive_data(data) if data else self._errors.receive_eof()
            except RemoteProtocolError:
                self._errors = LineDecoder(MAX_ERROR_LINE)
                lines = [b"(a line that is too long to be shown)"]
            for line in lines:
                text = line.decode("utf-8", "replace")
                self._last_errors.append(text[:MAX_LAST_ERROR])
                log.info("%s: %s", self._name, text)
            self._stderr_open = bool(data)

    async def _read_last_errors(self) -> None:
        runtime, until = self._runtime, self._runtime.now() + self._pipes.lag_seconds
        self._read_errors()
        while self._stderr_open and runtime.now() < until:
            await runtime.sleep(_LAG_POLL_SECONDS)
            self._read_errors()

    def _how_it_ended(self) -> str:
        code = self._child.exit_code
        if code is None:
            how = "the process closed its output"
        elif code < 0:
            how = f"the process was ended by signal {-code}"
        else:
            how = f"the process ended with exit code {code}"
        if not self._last_errors:
            return how
        return f"{how}; its last words: " + " | ".join(self._last_errors)

    async def aclose(self) -> None:
        """Close the child's input and wait for its end; a child that does not end is killed."""
        self._flush()
        with self._lock:
            self._ended = True
        left = self._left = self._runtime.event()
        self.wake_receiver()
        if self._receiving:
            await left.wait()
        await self._child.stop(self._runtime, self._shutdown, self._drain)

    def _drain(self) -> None:
        """Read what a child writes while it ends, since a full pipe would hold it up."""
        self._read_errors()
        while self._pipes.read_output():
            pass

    def abort(self) -> None:
        """End the child at once."""
        self._ended = self._aborted = True
        self.wake_receiver()
        if self._receiving:
            self._child.kill()
            return
        with self._lock:
            self._child.close()

    def after_fork(self) -> None:
        """Close this process's copy of the pipes; the child is the parent's."""
        self._ended = True
        self._child.close()

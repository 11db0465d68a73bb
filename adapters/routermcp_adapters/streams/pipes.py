"""The pipes of a child process, which never hold up their user.

Where the system can wait for pipes, they are read and written without blocking. Where it cannot, which
is on Windows, each pipe has a daemon thread that blocks in its place: the threads that read hold a
bounded amount of data, the one that writes takes a bounded amount (:mod:`.pipe_threads`).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from typing import IO, Protocol

from ..runtime import RECEIVE_SIZE, Descriptor, Event, Runtime
from .pipe_threads import PipeReader, PipeWriter, close_pipe

#: Seconds that the end of a child waits for its threads, and for its last words: they end with the
#: pipes. A process that has left the group of the child may hold a pipe for longer; then a daemon
#: thread waits for it.
THREADS_SECONDS = 2.0

#: Seconds between two looks whether they have ended.
_POLL_SECONDS = 0.002


class Pipes(Protocol):
    """The standard streams of one child."""

    lag_seconds: float
    """The longest that what the child has written may take to arrive here after its end."""

    def read_output(self) -> bytes | None:
        """Return what the child has written, ``b""`` at the end, None for nothing yet."""
        ...

    def read_errors(self) -> bytes | None:
        """Return what the child has written to its standard error, as :meth:`read_output`."""
        ...

    def write(self, data: bytes | bytearray) -> int:
        """Write to the child's input, and return how many bytes were taken.

        Raises:
            BlockingIOError: None at present.
            OSError: The child has closed its input.
        """
        ...

    async def wait(self, runtime: Runtime, attention: Event, *, errors: bool, writing: bool) -> None:
        """Wait until there is something to read, or to go on writing, or the flag is raised.

        Args:
            runtime: Where the caller runs.
            attention: Made by the runtime; the callback ``wake`` raises it, too.
            errors: Whether the child's standard error is still open.
            writing: Whether the caller has more to write.
        """
        ...

    def close_input(self) -> None:
        """Close the child's input, after what was taken for it."""
        ...

    def close(self) -> None:
        """Close all of them, once the child has ended; may be called again."""
        ...

    async def closed(self, runtime: Runtime) -> None:
        """Wait until they are closed, for a bounded time."""
        ...


def taken_from(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
    """Return standard input, output and error of a process that was started with pipes."""
    stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
    if stdin is None or stdout is None or stderr is None:
        raise AssertionError("the process was started with three pipes")
    return stdin, stdout, stderr


class DescriptorPipes:
    """Pipes that the system can wait for.

    Args:
        process: The child; it goes on to own the pipes.
        receive_size: Bytes to read at once.
    """

    lag_seconds = 0.0

    def __init__(self, process: subprocess.Popen[bytes], receive_size: int = RECEIVE_SIZE) -> None:
        self._receive_size = receive_size
        self._files = taken_from(process)
        self._stdin, self._stdout, self._stderr = (file.fileno() for file in self._files)
        for descriptor in (self._stdin, self._stdout, self._stderr):
            os.set_blocking(descriptor, False)

    def read_output(self) -> bytes | None:
        """Read the child's output."""
        return self._read(self._stdout)

    def read_errors(self) -> bytes | None:
        """Read the child's standard error."""
        return self._read(self._stderr)

    def _read(self, descriptor: int) -> bytes | None:
        try:
            return os.read(descriptor, self._receive_size)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def write(self, data: bytes | bytearray) -> int:
        """Write to the child's input."""
        return os.write(self._stdin, data)

    async def wait(self, runtime: Runtime, attention: Event, *, errors: bool, writing: bool) -> None:
        """Wait for the descriptors."""
        readable: list[Descriptor] = [self._stdout, self._stderr] if errors else [self._stdout]
        await runtime.wait_ready(readable, [self._stdin] if writing else [], attention)

    def close_input(self) -> None:
        """Close the child's input."""
        close_pipe(self._files[0])

    def close(self) -> None:
        """Close the pipes."""
        for file in self._files:
            close_pipe(file)

    async def closed(self, runtime: Runtime) -> None:
        """Return at once."""
        del runtime


class ThreadPipes:
    """Pipes that threads wait for.

    Args:
        process: The child, which no longer owns the pipes.
        wake: Called in a thread when there is something to do; raises the flag of the caller that
            waits. It must not keep the child alive.

    Raises:
        OSError: There are too many threads.
    """

    lag_seconds = THREADS_SECONDS

    def __init__(self, process: subprocess.Popen[bytes], wake: Callable[[], object]) -> None:
        stdin, stdout, stderr = taken_from(process)
        self._owner = os.getpid()
        self._writer = PipeWriter(stdin, wake)
        self._output, self._errors = PipeReader(stdout, wake), PipeReader(stderr, wake)
        try:
            for each in (self._writer, self._output, self._errors):
                each.start()
        except RuntimeError as error:
            raise OSError(f"no thread for its pipes: {error}") from error
        # Until here Ctrl-C leaves them to the process.
        process.stdin = process.stdout = process.stderr = None

    def read_output(self) -> bytes | None:
        """Return the child's output that its thread has read."""
        return self._output.take()

    def read_errors(self) -> bytes | None:
        """Return the child's standard error that its thread has read."""
        return self._errors.take()

    def write(self, data: bytes | bytearray) -> int:
        """Give data to the thread that writes."""
        return self._writer.put(data)

    async def wait(self, runtime: Runtime, attention: Event, *, errors: bool, writing: bool) -> None:
        """Wait for the threads."""
        del runtime
        # A thread that has had something before the flag was made has found no caller to wake.
        if self._output.ready or (errors and self._errors.ready) or (writing and self._writer.ready):
            return
        await attention.wait()

    def close_input(self) -> None:
        """Have the thread that writes close the input, when it has written everything."""
        if os.getpid() == self._owner:
            self._writer.stop()

    def close(self) -> None:
        """Have the threads close the pipes, or close the copies of a fork, where no thread is."""
        for each in (self._writer, self._output, self._errors):
            if os.getpid() == self._owner:
                each.stop()
            else:
                close_pipe(each.file)

    async def closed(self, runtime: Runtime) -> None:
        """Wait for the end of the threads, for a bounded time."""
        until = runtime.now() + THREADS_SECONDS
        while any(each.is_alive() for each in (self._writer, self._output, self._errors)):
            if runtime.now() >= until:
                return
            await runtime.sleep(_POLL_SECONDS)

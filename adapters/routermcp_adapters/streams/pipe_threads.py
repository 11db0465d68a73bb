"""Daemon threads that block for the pipes of a child process, one for each.

A descriptor is closed by the thread that uses it, since its number may be another file's as soon as it
is closed.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from typing import IO

from ..runtime import RECEIVE_SIZE

#: Bytes that a thread holds of a pipe before it stops to read, or takes for a pipe that is full.
MAX_HELD = 4 * RECEIVE_SIZE


class PipeThread(threading.Thread):
    """A thread that blocks for one pipe, and closes it at its end."""

    def __init__(self, file: IO[bytes], wake: Callable[[], object]) -> None:
        super().__init__(name="routermcp-pipe", daemon=True)
        self.file = file
        self._wake = wake
        # It may be taken again when garbage is collected, which stops a child.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._stopped = False
        self._ended = False

    def run(self) -> None:
        """Move data until the pipe ends."""
        try:
            self._move()
        finally:
            close_pipe(self.file)
            self._ended = True
            self._wake()

    def _move(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        """Let the thread end: at the end of the pipe, or when it has written what it took."""
        with self._lock:
            self._stopped = True
            self._changed.notify_all()


class PipeReader(PipeThread):
    """Reads a pipe ahead of its user."""

    def __init__(self, file: IO[bytes], wake: Callable[[], object]) -> None:
        super().__init__(file, wake)
        self._held: deque[bytes] = deque()
        self._size = 0

    @property
    def ready(self) -> bool:
        """Whether there is data, or the end."""
        return bool(self._held) or self._ended

    def _move(self) -> None:
        while data := _read_blocking(self.file.fileno()):
            with self._lock:
                self._held.append(data)
                self._size += len(data)
            self._wake()
            with self._lock:
                while self._size > MAX_HELD and not self._stopped:
                    self._changed.wait()

    def take(self) -> bytes | None:
        """Return a piece of what was read, ``b""`` at the end, None for nothing yet."""
        with self._lock:
            if self._held:
                data = self._held.popleft()
                self._size -= len(data)
                self._changed.notify_all()
                return data
            return b"" if self._ended else None


class PipeWriter(PipeThread):
    """Writes to a pipe behind its user."""

    def __init__(self, file: IO[bytes], wake: Callable[[], object]) -> None:
        super().__init__(file, wake)
        self._held = bytearray()

    @property
    def ready(self) -> bool:
        """Whether it takes more, or the pipe is closed."""
        return len(self._held) < MAX_HELD or self._ended

    def _move(self) -> None:
        while True:
            with self._lock:
                while not self._held and not self._stopped:
                    self._changed.wait()
                data = bytes(self._held[:RECEIVE_SIZE])
            if not data:
                return
            try:
                written = os.write(self.file.fileno(), data)
            except OSError:
                return
            with self._lock:
                full = len(self._held) >= MAX_HELD
                del self._held[:written]
            if full:
                self._wake()

    def put(self, data: bytes | bytearray) -> int:
        """Take data, and return how much.

        Raises:
            BlockingIOError: There is no room.
            OSError: The pipe is closed.
        """
        with self._lock:
            if self._ended or self._stopped:
                raise BrokenPipeError("the child has closed its input")
            room = MAX_HELD - len(self._held)
            if room <= 0:
                raise BlockingIOError
            self._held += data[:room]
            self._changed.notify_all()
            return min(room, len(data))


def _read_blocking(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, RECEIVE_SIZE)
    except OSError:
        return b""


def close_pipe(file: IO[bytes]) -> None:
    """Close a pipe, whatever was not written to it."""
    try:
        file.close()
    except OSError:
        return  # what was not written has no reader

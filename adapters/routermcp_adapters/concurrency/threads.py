"""Daemon threads for work that cannot be interrupted, such as looking a name up or reading a token.

An event loop's own executor joins its threads when the loop closes, so one lookup that
hangs for a minute would hold ``asyncio.run`` for as long. These threads are abandoned.
"""

from __future__ import annotations

import contextvars
import itertools
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from ..wire_log import log
from . import fork

T = TypeVar("T")

#: Threads at work at once, abandoned ones included. Name lookups and token stores are
#: short; 64 that all hang mean that nothing of the kind will work, and more would not help.
MAX_THREADS = 64

#: Pieces of work that may wait for a thread: one for each of ten thousand users whose tokens
#: are wanted at the same moment.
MAX_WAITING = 10_000

_numbers = itertools.count(1)


class Job:
    """A piece of work.

    Args:
        work: What to do, in the context of whoever makes this.
        done: Called in the thread with the result and the error, one of which is None.
    """

    __slots__ = ("_context", "_done", "_work")

    def __init__(self, work: Callable[[], Any], done: Callable[[Any, BaseException | None], object]) -> None:
        self._context = contextvars.copy_context()
        self._work: Callable[[], Any] | None = work
        self._done = done

    def abandon(self) -> None:
        """Do not begin with it any more; what has begun goes on, for nobody."""
        self._work = None

    @property
    def wanted(self) -> bool:
        """Whether anybody waits for it."""
        return self._work is not None

    def run(self) -> None:
        """Do the work, and report how it ended."""
        work, result, error = self._work, None, None
        if work is None:
            return
        try:
            result = self._context.run(work)
        except StopIteration as problem:
            # It would end the coroutine that waits, without a word.
            error = RuntimeError("the work raised StopIteration")
            error.__cause__ = problem
        except BaseException as problem:  # noqa: BLE001 - reported to the waiting caller, whatever it is
            error = problem
        self._done(result, error)


class Crew:
    """Threads that are there while there is work.

    Args:
        size: How many at once.
        room: How many pieces of work may wait for them.
    """

    def __init__(self, size: int = MAX_THREADS, room: int = MAX_WAITING) -> None:
        self._size = size
        self._room = room
        self._lock = threading.Lock()
        self._threads = 0
        self._waiting: deque[Job] = deque()

    def take(self, job: Job) -> None:
        """Begin with a piece of work, now or when a thread is free.

        Raises:
            OSError: Too much waits already.
        """
        with self._lock:
            if self._threads >= self._size:
                if len(self._waiting) >= self._room:
                    self._waiting = deque(other for other in self._waiting if other.wanted)
                if len(self._waiting) >= self._room:
                    raise OSError(f"{self._size} threads are at work and {self._room} more wanted already")
                self._waiting.append(job)
                return
            self._threads += 1
        try:
            name = f"routermcp-{next(_numbers)}"
            threading.Thread(target=self._work, args=(job,), name=name, daemon=True).start()
        except BaseException:
            with self._lock:
                self._threads -= 1
            raise

    def _work(self, job: Job) -> None:
        current: Job | None = job
        while current is not None:
            try:
                current.run()
            except Exception:  # noqa: BLE001 - what waits here has other callers, who are not to wait for ever
                log.exception("the end of some work could not be reported")
            current = self._next()

    def _next(self) -> Job | None:
        with self._lock:
            while self._waiting:
                job = self._waiting.popleft()
                if job.wanted:
                    return job
            self._threads -= 1
            return None


_crew, _long_crew = Crew(), Crew()


def _after_fork() -> None:
    """Forget the threads of the parent process."""
    global _crew, _long_crew
    _crew, _long_crew = Crew(), Crew()


fork.do_in_child(_after_fork)


def start(work: Callable[[], T], done: Callable[[T | None, BaseException | None], object]) -> Job:
    """Run work in a daemon thread and report there how it ended.

    Args:
        work: What to do.
        done: Called in the thread with the result and the error, one of which is None.

    Returns:
        What to abandon when nobody waits any more.

    Raises:
        OSError: Too much such work is waiting.
    """
    job = Job(work, done)
    _crew.take(job)
    return job


def start_long(work: Callable[[], object]) -> None:
    """Run work in a daemon thread that may itself have work done by :func:`start`.

    It has threads of its own, so that none of them waits for one that waits for it.

    Args:
        work: What to do; it raises nothing.

    Raises:
        OSError: Too much such work is waiting.
    """

    def ended(_: object, error: BaseException | None) -> None:
        if error is not None:
            raise error

    _long_crew.take(Job(work, ended))

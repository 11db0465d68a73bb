"""Daemon threads for work that cannot be interrupted, such as looking up a name or reading a token.

An event loop's own executor joins its threads when the loop closes, so one lookup that
hangs for a minute would hold ``asyncio.run`` for as long. These threads are abandoned.
"""

from __future__ import annotations

import contextvars
import itertools
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from ..logs import log
from . import fork

T = TypeVar("T")

#: Threads at work at once in a pool, abandoned ones included. Name lookups and token stores are
#: short; 64 that all hang mean that nothing of the kind will work, and more would not help.
MAX_THREADS = 64

#: Jobs that may wait for a thread: one for each of ten thousand users whose tokens are wanted
#: at the same moment.
MAX_QUEUED = 10_000

_numbers = itertools.count(1)


class Job:
    """Work for a thread.

    Args:
        work: What to run, in the context of the caller that makes this.
        done: Called in the thread with the result and the error, one of which is None.
    """

    __slots__ = ("_context", "_done", "_work")

    def __init__(self, work: Callable[[], Any], done: Callable[[Any, BaseException | None], object]) -> None:
        self._context = contextvars.copy_context()
        self._work: Callable[[], Any] | None = work
        self._done = done

    def abandon(self) -> None:
        """Do not start it any more; if it runs, its result is ignored."""
        self._work = None

    @property
    def wanted(self) -> bool:
        """Whether a caller waits for it."""
        return self._work is not None

    def run(self) -> None:
        """Run the work, and report how it ended."""
        work, result, error = self._work, None, None
        if work is None:
            return
        try:
            result = self._context.run(work)
        except StopIteration as problem:
            # It would end the coroutine that waits without an error.
            error = RuntimeError("the work raised StopIteration")
            error.__cause__ = problem
        except BaseException as problem:  # noqa: BLE001 - reported to the waiting caller, whatever it is
            error = problem
        self._done(result, error)


class ThreadPool:
    """Daemon threads that live while there is work.

    Args:
        max_threads: How many at once.
        max_queued: How many jobs may wait for them.
    """

    def __init__(self, max_threads: int = MAX_THREADS, max_queued: int = MAX_QUEUED) -> None:
        self._max_threads = max_threads
        self._max_queued = max_queued
        self.after_fork()
        fork.watch(self)

    def after_fork(self) -> None:
        """Forget the threads of the parent process, and the lock that one of them may hold."""
        self._lock = threading.Lock()
        self._threads = 0
        self._queue: deque[Job] = deque()

    def start(self, work: Callable[[], T], done: Callable[[T | None, BaseException | None], object]) -> Job:
        """Run work in a thread, now or when one is free, and report there how it ended.

        Args:
            work: What to run, in the context of the caller.
            done: Called in the thread with the result and the error, one of which is None.

        Returns:
            What to abandon when the result is not wanted any more.

        Raises:
            OSError: Too many jobs are waiting.
        """
        job = Job(work, done)
        with self._lock:
            if self._threads >= self._max_threads:
                if len(self._queue) >= self._max_queued:
                    self._queue = deque(other for other in self._queue if other.wanted)
                if len(self._queue) >= self._max_queued:
                    raise OSError(
                        f"{self._max_threads} threads are at work and {self._max_queued} more wanted already"
                    )
                self._queue.append(job)
                return job
            self._threads += 1
        try:
            name = f"routermcp-{next(_numbers)}"
            threading.Thread(target=self._work, args=(job,), name=name, daemon=True).start()
        except BaseException:
            with self._lock:
                self._threads -= 1
            raise
        return job

    def _work(self, job: Job) -> None:
        current: Job | None = job
        while current is not None:
            try:
                current.run()
            except Exception:  # noqa: BLE001 - the jobs that wait have other callers, and must run
                log.exception("the result of work in a thread could not be reported")
            current = self._next()

    def _next(self) -> Job | None:
        with self._lock:
            while self._queue:
                job = self._queue.popleft()
                if job.wanted:
                    return job
            self._threads -= 1
            return None


#: Token stores, and whatever else is short.
SHARED = ThreadPool()

#: A token store that hangs holds up no connection that needs no token.
_LOOKUPS = ThreadPool()


def pool_for(*, lookup: bool) -> ThreadPool:
    """Return the threads that look names up, or those for all else that is short."""
    return _LOOKUPS if lookup else SHARED


_long = ThreadPool()

#: Threads that go on for as long as a connection is open. A process that needs more children or
#: streams at once than this is one for asyncio or trio, where each costs a task.
MAX_LASTING_THREADS = 1_000

_lasting = ThreadPool(MAX_LASTING_THREADS, max_queued=0)


async def run_in_thread(
    work: Callable[[], T],
    wait: Callable[[], Awaitable[object]],
    wake: Callable[[], object],
    *,
    lookup: bool = False,
) -> T:
    """Run work in a daemon thread and return its result; where the wait ends early, it is abandoned.

    Args:
        work: What to run.
        wait: Waits, in the way of the runtime, until ``wake`` was called.
        wake: Called in the thread when the work has ended.
        lookup: It looks a name up.

    Raises:
        OSError: Too many jobs are waiting.
    """
    ended: list[tuple[T | None, BaseException | None]] = []

    def report(result: T | None, error: BaseException | None) -> None:
        ended.append((result, error))
        wake()

    job = pool_for(lookup=lookup).start(work, report)
    try:
        await wait()
    finally:
        job.abandon()
    result, error = ended[0]
    if error is not None:
        raise error
    return cast("T", result)


def start_long(work: Callable[[], object]) -> None:
    """Run work in a daemon thread that may itself have work run by :data:`SHARED`.

    It has threads of its own, so that none of them waits for one that waits for it.

    Args:
        work: What to run; it raises nothing.

    Raises:
        OSError: Too many jobs are waiting.
    """
    _long.start(work, _raise_error)


def start_lasting(work: Callable[[], object]) -> None:
    """Run work in a daemon thread for as long as a connection is open.

    Args:
        work: What to run; it raises nothing.

    Raises:
        OSError: There are too many such threads.
    """
    _lasting.start(work, _raise_error)


def _raise_error(_: object, error: BaseException | None) -> None:
    if error is not None:
        raise error

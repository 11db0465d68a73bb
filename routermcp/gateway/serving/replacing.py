"""How worker processes are replaced by new ones that have read the configuration again, and how they end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from typing import Protocol

#: Seconds for a new worker to be ready, while the others start too, on a machine that has other things to do.
READY_SECONDS = 60.0

#: Seconds for a worker to end when its requests have: it closes its servers, on such a machine.
END_SECONDS = 30.0

_logger = logging.getLogger("routermcp.gateway")


class Worker(Protocol):
    """A worker process."""

    @property
    def process(self) -> BaseProcess:
        """The process."""
        ...

    def terminate(self) -> None:
        """Ask it to end, when the requests under way have ended."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...

    def join(self) -> None:
        """Wait for its end."""
        ...


class Ending(Protocol):
    """Whether all workers are to end."""

    def is_set(self) -> bool:
        """Return whether they are."""
        ...


def replace_workers(old: Sequence[Worker], new: Sequence[Worker], ending: Ending) -> bool:
    """Have new workers take the place of old ones.

    All old ones are asked to end at once. One after another, with calls under way in each, a key that was
    withdrawn would be good for as many times the seconds that these get as there are workers.

    Args:
        old: Those that serve until now.
        new: Those that are being started.
        ending: Set when all are to end, so that none is waited for.

    Returns:
        Whether they did; else the new ones are ended, and the old ones serve on.
    """
    if not all(_is_ready(each, ending) for each in new):
        for each in new:
            each.kill()
            each.join()
        if not ending.is_set():
            _logger.error(
                "new workers were not ready in time: the old ones go on, with the old configuration"
            )
        return False
    for each in old:
        each.terminate()
    return True


def _is_ready(worker: Worker, ending: Ending) -> bool:
    # Older releases of uvicorn cannot say, and replace without a look.
    wait = getattr(worker, "wait_until_ready", None)
    return wait is None or wait(READY_SECONDS, ending)


class DrainingWorkers:
    """Workers that were asked to end and still have requests under way.

    Args:
        drain_seconds: Seconds that their requests get.
        clock: Returns the time in seconds.
    """

    def __init__(self, drain_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = drain_seconds + END_SECONDS
        self._clock = clock
        self._workers: list[tuple[Worker, float]] = []

    def add(self, workers: Sequence[Worker]) -> None:
        """Take workers that were just asked to end."""
        until = self._clock() + self._seconds
        self._workers += [(worker, until) for worker in workers]

    def are_left(self) -> bool:
        """Return whether some have not ended; one that is stuck is killed when its time is over."""
        now = self._clock()
        left = [each for each in self._workers if each[0].process.exitcode is None]
        self._workers = [(worker, until) for worker, until in left if now < until]
        for worker, until in left:
            if now >= until:
                _kill(worker)
        return bool(self._workers)

    def wait(self) -> None:
        """Wait for the end of all."""
        for worker, until in self._workers:
            worker.process.join(max(0.0, until - self._clock()))
            if worker.process.exitcode is None:
                _kill(worker)
        self._workers.clear()


def _kill(worker: Worker) -> None:
    _logger.error("a worker did not end in time, and is killed")
    worker.kill()
    worker.join()

"""How worker processes are replaced by new ones that have read the configuration again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from threading import Event
from typing import Protocol

#: Seconds for a new worker to be ready, while the others start too, on a machine that has other things to do.
READY_SECONDS = 60.0

_logger = logging.getLogger("routermcp.gateway")


class Worker(Protocol):
    """A worker process."""

    def terminate(self) -> None:
        """Ask it to end, when the requests under way have ended."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...

    def join(self) -> None:
        """Wait for its end."""
        ...


def replace_workers(old: Sequence[Worker], new: Sequence[Worker], ending: Event) -> bool:
    """Have new workers take the place of old ones.

    All old ones are asked to end before any is waited for. One after another, with calls under way in each,
    a key that was withdrawn would be good for as many times the seconds that these get as there are workers.

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
    for each in old:
        each.join()
    return True


def _is_ready(worker: Worker, ending: Event) -> bool:
    # Older releases of uvicorn cannot say, and replace without a look.
    wait = getattr(worker, "wait_until_ready", None)
    return wait is None or wait(READY_SECONDS, ending)

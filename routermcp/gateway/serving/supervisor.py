"""The process over several workers, and its signals; it needs uvicorn."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from socket import socket
from threading import Event

import uvicorn
from uvicorn.supervisors import Multiprocess

from .replacing import DrainingWorkers, replace_workers

#: Signals that a terminal sends to workers too, which only their supervisor is to handle.
TERMINAL_SIGNALS = {getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)}


class _Ending:
    """Tells, as an event does, whether SIGINT or SIGTERM came, be it handled or still queued."""

    def __init__(self, handled: Event, queued: list[int]) -> None:
        self._handled, self._queued = handled, queued

    def is_set(self) -> bool:
        return self._handled.is_set() or signal.SIGTERM in self._queued or signal.SIGINT in self._queued


class Supervisor(Multiprocess):
    """Starts the workers, replaces those that end, and ends them at the first SIGINT or SIGTERM.

    Signals are queued, and handled between other things: a handler of Python may interrupt anything, and no
    lock may be taken in it. Workers that were replaced drain while all goes on.

    Args:
        config: How each worker serves.
        listener: The socket that they share.
        may_restart: Tells on SIGHUP whether workers could start now; where not, these stay.
        drain_seconds: Seconds that the requests under way in a worker get when it ends.

    Attributes:
        interrupted: Whether SIGINT came.
        failed: Whether it ended because a worker could not start.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        listener: socket,
        may_restart: Callable[[], bool],
        drain_seconds: float,
    ) -> None:
        super().__init__(config, [listener])
        self._may_restart = may_restart
        self._draining = DrainingWorkers(drain_seconds)
        self._ending = _Ending(self.should_exit, self.signal_queue)
        self.interrupted = self.failed = False
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, lambda number, _frame: self._queue_once(number))

    def init_processes(self) -> None:
        """Start as many workers as there are to be."""
        with _blocked_in_new_processes():
            super().init_processes()

    def keep_subprocess_alive(self) -> None:
        """Start a worker for each that has ended."""
        if self.should_exit.is_set():
            return
        with _blocked_in_new_processes():
            super().keep_subprocess_alive()
        self.failed = self.should_exit.is_set()  # one could not start, and no other would

    def handle_int(self) -> None:
        """End after Ctrl-C."""
        self.interrupted = True
        super().handle_int()

    def handle_hup(self) -> None:
        """Replace the workers, when those replaced before have ended, and if new ones could start."""
        if self._draining.are_left():
            self._queue_once(signal.SIGHUP)
        elif not self._ending.is_set() and self._may_restart():
            super().handle_hup()

    def restart_all(self) -> None:
        """Replace all workers by new ones that are ready, unless it is to end meanwhile."""
        old, self.processes = self.processes, []
        self.init_processes()
        if replace_workers(old, self.processes, self._ending):
            self._draining.add(old)
        else:
            self.processes = old

    def terminate_all(self) -> None:
        """Ask all workers to end; what connects now is refused, as no socket listens any more."""
        for each in self.sockets:
            each.close()
        super().terminate_all()
        self._draining.add(self.processes)

    def join_all(self) -> None:
        """Wait for the end of all, also of those that were replaced."""
        self._draining.wait()

    def _queue_once(self, number: int) -> None:
        """Queue a signal; many that come before it is handled are one."""
        if number not in self.signal_queue:
            self.signal_queue.append(number)


@contextmanager
def _blocked_in_new_processes() -> Generator[None]:
    """Have processes that are started take no signals of a terminal until they handle them.

    Ctrl-C goes to all processes: each worker would write a traceback while it starts.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, TERMINAL_SIGNALS)
    try:
        resource_tracker.ensure_running()  # the first worker would start it, which unblocks SIGINT
        signal.pthread_sigmask(signal.SIG_BLOCK, TERMINAL_SIGNALS)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_terminal_signals_to_supervisor() -> None:
    """Let signals of a terminal reach this worker, and what it starts: uvicorn handles SIGINT by now."""
    if hasattr(signal, "SIGHUP"):
        # Handled, not ignored: programs that are started would inherit that.
        signal.signal(signal.SIGHUP, lambda _number, _frame: None)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, TERMINAL_SIGNALS)

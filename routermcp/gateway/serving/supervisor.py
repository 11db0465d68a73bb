"""The process over several workers, and its signals; it needs uvicorn."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from multiprocessing import resource_tracker
from socket import socket

import uvicorn
from uvicorn.supervisors import Multiprocess

from .replacing import replace_workers


class Supervisor(Multiprocess):
    """Starts the workers, replaces those that end, and ends them at the first SIGINT or SIGTERM.

    SIGINT is blocked here and in the workers while they start: Ctrl-C goes to all of them, and each would
    write a traceback. The supervisor takes it in a thread, and ends them.

    Args:
        config: How each worker serves.
        listener: The socket that they share.
        may_restart: Tells on SIGHUP whether workers could start now; where not, these stay.

    Attributes:
        interrupted: Whether SIGINT came.
    """

    def __init__(self, config: uvicorn.Config, listener: socket, may_restart: Callable[[], bool]) -> None:
        super().__init__(config, [listener])
        self._may_restart = may_restart
        self.interrupted = False
        signal.signal(signal.SIGTERM, lambda _number, _frame: self.should_exit.set())
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, lambda number, _frame: self._note(number))

    def run(self) -> None:
        """Run until SIGINT or SIGTERM, and the end of all workers."""
        if hasattr(signal, "pthread_sigmask"):
            resource_tracker.ensure_running()  # the first worker would start it, which unblocks SIGINT
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            threading.Thread(target=self._take_interrupts, name="routermcp-ctrl-c", daemon=True).start()
        super().run()

    def handle_int(self) -> None:
        """End after Ctrl-C, where signals cannot be blocked."""
        self.interrupted = True
        super().handle_int()

    def handle_hup(self) -> None:
        """Replace the workers, if new ones could start."""
        if self._may_restart():
            super().handle_hup()

    def restart_all(self) -> None:
        """Replace all workers by new ones that are ready, unless it is to end meanwhile."""
        old, self.processes = self.processes, []
        self.init_processes()
        if not replace_workers(old, self.processes, self.should_exit):
            self.processes = old

    def _take_interrupts(self) -> None:
        while True:  # the thread ends with the program
            signal.sigwait({signal.SIGINT})
            self.interrupted = True
            self.should_exit.set()

    def _note(self, number: int) -> None:
        """Note a signal to be handled; many that come meanwhile are one."""
        if number not in self.signal_queue:
            self.signal_queue.append(number)


def hear_interrupts() -> None:
    """Let SIGINT reach this worker, and what it starts: it handles it now."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

"""Connecting to the first address of a host that answers.

Attempts start one after another, a quarter of a second apart or as soon as one has failed;
the first that succeeds wins and the others are closed. So a host whose IPv6 leads nowhere
costs 250 ms and not a minute.

Source: RFC 8305, "Happy Eyeballs Version 2", sections 5 and 8.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..runtime import Address

if TYPE_CHECKING:
    from ..runtime import Runtime


#: Seconds between two attempts (the default of RFC 8305, section 8).
ATTEMPT_DELAY = 0.25

#: Seconds before a Unix socket whose queue is full is tried again, and how often: a server
#: that accepts nothing for so long is not merely busy.
BUSY_DELAY = 0.02
BUSY_TRIES = 250

#: Seconds by which an attempt may start early. uvloop's clock counts milliseconds, and a wait may end
#: within the last of them; waiting for the rest of it would only spin.
CLOCK_TICK = 0.001


async def connect_first(
    runtime: Runtime,
    addresses: Sequence[Address],
    busy_tries: int = BUSY_TRIES,
    attempt_delay: float = ATTEMPT_DELAY,
) -> socket.socket:
    """Return a non-blocking socket that is connected to one of the addresses.

    Args:
        runtime: Waits for sockets.
        addresses: In the order of preference.
        busy_tries: How often a Unix socket whose queue is full is tried.
        attempt_delay: Seconds before the next address is tried beside one that is silent.

    Raises:
        OSError: None of them took the connection; a refusal, which says most, if there was one.
    """
    race = _Race(addresses, busy_tries, attempt_delay)
    try:
        while True:
            winner = race.advance(runtime.now())
            if winner is not None:
                return race.keep(winner)
            if not race.running and not race.waiting:
                raise race.failure()
            await runtime.wait_ready([], race.running, seconds=race.seconds_left(runtime.now()))
    finally:
        race.close()


class _Race:
    """The attempts of one connection; it never waits itself."""

    def __init__(self, addresses: Sequence[Address], busy_tries: int, attempt_delay: float) -> None:
        self.waiting = deque(addresses)
        self.running: list[socket.socket] = []
        self._failures: list[OSError] = []
        self._next_at = float("-inf")
        self._busy_tries = busy_tries
        self._attempt_delay = attempt_delay

    def advance(self, now: float) -> socket.socket | None:
        """Look at the attempts, start the next one when it is time, and return one that has succeeded."""
        for sock in tuple(self.running):
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                self._lose(sock, OSError(number, os.strerror(number)), now)
            elif _is_connected(sock):
                return sock
        while self.waiting and now >= self._next_at - CLOCK_TICK:
            winner = self._start(self.waiting.popleft(), now)
            if winner is not None:
                return winner
        return None

    def _start(self, address: Address, now: float) -> socket.socket | None:
        family, where = address
        self._next_at = now + self._attempt_delay
        try:
            # The protocol's number is what asyncio goes by when it sets TCP_NODELAY.
            protocol = 0 if family == getattr(socket, "AF_UNIX", None) else socket.IPPROTO_TCP
            sock = socket.socket(family, socket.SOCK_STREAM, protocol)
        except OSError as error:
            self._failures.append(error)
            self._next_at = now
            return None
        self.running.append(sock)
        try:
            sock.setblocking(False)
            if protocol:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect(where)
        except BlockingIOError as error:
            if error.errno == errno.EAGAIN and not protocol:
                self._wait_for_queue(sock, address, error, now)
            return None
        except OSError as error:
            self._lose(sock, error, now)
            return None
        return sock

    def _wait_for_queue(self, sock: socket.socket, address: Address, error: OSError, now: float) -> None:
        self._lose(sock, error, now)
        self._busy_tries -= 1
        if self._busy_tries > 0:
            self.waiting.append(address)
            self._next_at = now + BUSY_DELAY

    def _lose(self, sock: socket.socket, error: OSError, now: float) -> None:
        self.running.remove(sock)
        sock.close()
        self._failures.append(error)
        self._next_at = now

    def seconds_left(self, now: float) -> float | None:
        """Return the seconds until the next attempt starts, None if there is none."""
        return max(self._next_at - now, 0.0) if self.waiting else None

    def keep(self, winner: socket.socket) -> socket.socket:
        """Return the winner, which is not closed with the others."""
        self.running.remove(winner)
        return winner

    def failure(self) -> OSError:
        """Return the error that says most."""
        refusals = [error for error in self._failures if error.errno == errno.ECONNREFUSED]
        return (refusals or self._failures or [OSError("the host has no address")])[-1]

    def close(self) -> None:
        """Close all attempts that were not kept."""
        for sock in self.running:
            sock.close()


def _is_connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True

"""Ctrl-C in a call that reads for others, or that is in the way of others."""

from __future__ import annotations

from collections import deque
from typing import Any, cast

import pytest

from routermcp_adapters.concurrency.mutex import Mutex, _Turn
from routermcp_adapters.runtimes.blocking import BlockingRuntime
from routermcp_adapters.runtimes.run_sync import run_sync
from routermcp_adapters.streams.multiplexer import Multiplexer, _Waiter
from routermcp_proto import calls
from routermcp_proto.client_session import ClientSession
from routermcp_proto.events import ErrorReceived, Event, Outgoing
from routermcp_proto.jsonrpc import ErrorObject
from tests.adapters.ctrl_c import CtrlC

OTHER, MINE = 1, 2

#: Where a call has not begun.
BEFORE = ("run_sync", "exchange", "ensured", "_cleanup", "__init__")


class Lines:
    """A stream that answers calls in an order."""

    def __init__(self, *order: int) -> None:
        self.due = deque(order)
        self.aborted = False

    async def send(self, payload: bytes) -> None:
        """Do nothing."""

    async def receive(self) -> bytes:
        number = self.due[0]
        del self.due[0]
        return b"%d" % number

    async def aclose(self) -> None:
        """Do nothing."""

    def abort(self) -> None:
        self.aborted = True


class Session:
    """Takes a number for the answer to that request."""

    def receive_message(self, payload: bytes) -> list[Event]:
        return [ErrorReceived(int(payload), ErrorObject(1, "answer"), calls.list_tools())]


class Calls:
    """One call that is interrupted, and another that waits for it to read or to have sent."""

    def __init__(self, *order: int) -> None:
        self.runtime = BlockingRuntime()
        self.stream = Lines(*order)
        self.multiplexer = Multiplexer(self.stream, cast("ClientSession", Session()), self.runtime, "server")
        self.other = self.multiplexer._waiters[OTHER] = _Waiter(OTHER)
        self.flag: Any = self.runtime.event()
        self.other.flag = self.flag

    def act(self) -> None:
        async def ignore(event: Event) -> None:
            """There are none."""

        run_sync(self.multiplexer.exchange(Outgoing(b"", "tools/call", MINE), ignore))

    def assert_other_goes_on(self) -> None:
        """See that the other is woken, with its answer, an error or the stream to read."""
        multiplexer = self.multiplexer
        assert self.flag._flag.is_set()
        assert self.other.box or multiplexer.broken is not None or OTHER in self.stream.due
        assert self.stream.aborted == (multiplexer.broken is not None)
        assert multiplexer._leader is None
        assert list(multiplexer._waiters) == [OTHER]
        assert multiplexer._writing.idle


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")  # Ctrl-C just before it begins
@pytest.mark.parametrize("order", [(OTHER, MINE), (MINE, OTHER)])
def test_who_waits_for_the_reader_goes_on_wherever_ctrl_c_comes(order: tuple[int, int]) -> None:
    with CtrlC() as counting:
        Calls(*order).act()
    assert counting.points > 20
    for at in range(counting.points):
        waiting = Calls(*order)
        with CtrlC(at) as ctrl_c:
            try:  # noqa: SIM105 - contextlib is one of those that are interrupted
                waiting.act()
            except KeyboardInterrupt:
                pass
        if ctrl_c.where.rpartition(" ")[2] in BEFORE and not waiting.flag._flag.is_set():
            # It was not even on its list of calls, and nobody would wait for it to read.
            continue
        waiting.assert_other_goes_on()


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_the_next_in_the_queue_is_let_in_wherever_ctrl_c_comes() -> None:
    async def work(turns: deque[_Turn]) -> None:
        turns.append(other)

    def queue() -> tuple[Mutex, _Turn, Any]:
        runtime = BlockingRuntime()
        mutex, other = Mutex(runtime), _Turn()
        flag: Any = runtime.event()
        other.flag = flag
        return mutex, other, flag

    with CtrlC() as counting:
        mutex, other, flag = queue()
        run_sync(mutex.run(work, mutex._turns))
    assert flag._flag.is_set()
    for at in range(counting.points):
        mutex, other, flag = queue()
        with CtrlC(at) as ctrl_c:
            try:  # noqa: SIM105 - contextlib is one of those that are interrupted
                run_sync(mutex.run(work, mutex._turns))
            except KeyboardInterrupt:
                pass
        assert list(mutex._turns) in ([other], []), ctrl_c.where
        assert flag._flag.is_set() or not mutex._turns, ctrl_c.where
        mutex._leave(other)
        assert mutex.idle

"""The event loops of others on which the tests can run."""

from __future__ import annotations

import asyncio
import importlib
import warnings
from typing import Any

#: What ``--event-loop`` may name, the loop of the standard library first.
EVENT_LOOPS = ("asyncio", "uvloop")

#: What uvloop says of each connection that it finds open when it is closed.
LEFT_OPEN = "unclosed resource <TCPTransport "


def install(name: str) -> None:
    """Have :func:`asyncio.run` use such a loop in this process.

    uvloop walks what is still open when it is closed, warns of each and closes it. Where that
    warning is an error, as in these tests, it closes nothing and then waits for ever for what is
    open, in C code that no signal interrupts. So warnings are only collected while it closes.
    """
    if name == "asyncio":
        return
    uvloop: Any = importlib.import_module("uvloop")

    class Loop(uvloop.Loop):
        def close(self) -> None:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                uvloop.Loop.close(self)
            for each in caught:
                warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)

    with warnings.catch_warnings():
        # Python 3.14 deprecates policies; a test that calls asyncio.run names no loop itself.
        warnings.simplefilter("ignore", DeprecationWarning)

        class Policy(uvloop.EventLoopPolicy):
            def new_event_loop(self) -> asyncio.AbstractEventLoop:
                return Loop()

        asyncio.set_event_loop_policy(Policy())  # pyright: ignore[reportDeprecated]

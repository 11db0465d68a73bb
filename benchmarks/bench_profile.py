"""Where the CPU time of one tool call goes: each function over 3 %, with its reason.

::

    python benchmarks/bench_profile.py [--check] [--short] [--json FILE]

Calls of 60 letters are made one after the other on asyncio, while a timer of the process's CPU time
(``ITIMER_PROF``) notes which Python function runs. What a function calls in C is its own, the kernel's part
of a system call too; what it calls in Python is not. A profiler of calls would add more to each than many
take.

``--check`` ends with 1 where a function that is surely over ``LEAST_SHARE`` has no reason in ``REASONS``.
"""

from __future__ import annotations

import asyncio
import math
import signal
import sys
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

import bare_server
import results
from clients import ARGUMENTS

from routermcp import RouterMCPClient

#: Calls before the profile, and calls in it: some seconds, for a thousand notes and more.
WARM_UP, CALLS, SHORT_CALLS = 200, 40_000, 4_000
#: Seconds of CPU between two notes; systems have a tick of up to 4 ms.
TICK_SECONDS = 0.001
#: The share of a call's CPU from which on a function needs a reason.
LEAST_SHARE = 0.03

#: Why a function takes what it takes, by its file and its name.
REASONS = {
    (
        "asyncio/selector_events.py",
        "_SelectorSocketTransport.write",
    ): "sends the request: `send()` in the kernel",
    (
        "asyncio/selector_events.py",
        "_SelectorSocketTransport._read_ready__get_buffer",
    ): "receives the answer: `recv_into()` in the kernel",
    ("asyncio/base_events.py", "BaseEventLoop._run_once"): "one turn of the event loop for the answer",
    ("asyncio/base_events.py", "BaseEventLoop.get_debug"): "the loop asks itself at each callback",
    ("asyncio/base_events.py", "BaseEventLoop.time"): "the clock: the deadline of a call, and the loop's own",
    ("python3.11/selectors.py", "EpollSelector.select"): "waits for the socket: `epoll_wait()` in the kernel",
    ("json/encoder.py", "JSONEncoder.iterencode"): "writes the arguments as JSON, in C",
    (
        "http/fast_reader.py",
        "DirectResponseReader._head",
    ): "finds the end of the response's head and reads its status",
    (
        "http/fast_reader.py",
        "DirectResponseReader.next_event",
    ): "gives the head, the body and its end, one by one",
    ("http/fast_reader.py", "_read_fields"): "the header fields of the response: each is validated",
    ("call/driver.py", "Driver._limited"): "sets the deadline of the call, and removes it",
    ("routermcp_proto/jsonrpc.py", "decode"): "parses the body, in C (pydantic's `from_json`)",
    (
        "types/base.py",
        "_empty_list_for_null",
    ): "reads a result whose `content` is null, as some servers send it",
    ("types/tools.py", "ToolResult.text"): "the benchmark reads the text of the result",
    ("pydantic/main.py", "BaseModel.model_validate"): "validates the result, in pydantic's core",
}


class Frame(NamedTuple):
    """A function, its share of a call's CPU, and how far that may be off (95 %)."""

    file: str
    name: str
    share: float
    error: float

    @property
    def surely_large(self) -> bool:
        """Whether it takes more than the share that needs a reason, whatever chance adds."""
        return self.share - self.error > LEAST_SHARE

    @property
    def reason(self) -> str:
        """Why it takes that."""
        return REASONS.get((self.file, self.name), "")


async def profiled(url: str, calls: int) -> Counter[CodeType]:
    """Make the calls, and return how often each function ran when it was looked."""
    seen: Counter[CodeType] = Counter()

    def note(_: int, frame: FrameType | None) -> None:
        if frame is not None:
            seen[frame.f_code] += 1

    signal.signal(signal.SIGPROF, note)
    async with RouterMCPClient(url) as client:
        for number in range(WARM_UP + calls):
            if number == WARM_UP:
                signal.setitimer(signal.ITIMER_PROF, TICK_SECONDS, TICK_SECONDS)
            assert (await client.call_tool("echo", ARGUMENTS)).text == ARGUMENTS["text"]
        signal.setitimer(signal.ITIMER_PROF, 0)
    return seen


def frames(seen: Counter[CodeType]) -> list[Frame]:
    """Return the functions, the greatest share first."""
    whole = seen.total()
    found: list[Frame] = []
    for code, count in seen.most_common():
        share = count / whole
        error = 2 * math.sqrt(share * (1 - share) / whole)
        found.append(Frame("/".join(Path(code.co_filename).parts[-2:]), code.co_qualname, share, error))
    return found


def main() -> int:
    """Run the benchmark and return its exit code."""
    options = results.parser(__doc__).parse_args()
    calls = SHORT_CALLS if options.short else CALLS
    with bare_server.started() as url:
        seen = asyncio.run(profiled(url, calls))
    found = frames(seen)
    large = [frame for frame in found if frame.share > LEAST_SHARE]
    for frame in large:
        print(f"{frame.share:>6.1%} {frame.file:<30} {frame.name:<44} {frame.reason}")
    rest = 1 - sum(frame.share for frame in large)
    print(f"{rest:>6.1%} {len(found) - len(large)} functions under {LEAST_SHARE:.0%}")
    unexplained = [frame for frame in found if frame.surely_large and not frame.reason]
    bound = results.Bound(
        "functions over 3 % without a reason", len(unexplained), 0, at_most=True, unit="", exact=True
    )
    rows = [{**frame._asdict(), "reason": frame.reason} for frame in large]
    return results.finish(options, [bound], rows=rows, rest=rest, notes=seen.total())


if __name__ == "__main__":
    sys.exit(main())

"""What the protocol core takes for one tool call, without a socket or an event loop.

::

    python benchmarks/bench_proto.py [--check] [--short] [--json FILE]

A call is a request that is written and a whole HTTP response that is read: JSON, or an event stream as
uvicorn writes one, of 60 letters and of 64 KiB. Beside it stands what a program by hand does with the
same bytes: h11, ``json.dumps`` and pydantic's ``from_json``, without any check. The two take turns.

* microseconds: the median over the blocks, of CPU time; and as a multiple of the program by hand.
* calls: functions of ``routermcp_proto`` that the call runs through, the same on every machine.
* objects: memory blocks that are allocated by the end of the call and freed with its outcome.
* peak: the most bytes that the call holds at a time.

``--check`` ends with 1 beyond the bounds in ``MOST``.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
import tracemalloc
from typing import Any, NamedTuple

import h11
import results
from count_calls import Profile
from pydantic_core import from_json

from routermcp_proto import ClientSession, calls
from routermcp_proto.events import Outgoing
from routermcp_proto.http.binding import HTTPBinding
from routermcp_proto.http.fast_reader import DirectResponseReader
from routermcp_proto.http.reader import EndOfBody
from routermcp_proto.http.url import EndpointURL

ARGUMENTS = {"text": "a" * 60}
URL = "http://127.0.0.1:8000/mcp"

#: By framing of the answer and letters of the result: the most function calls, and the most time as a
#: multiple of the program by hand.
MOST = {
    ("json", 60): (52, 0.65),
    ("events", 60): (65, 0.75),
    ("json", 65536): (52, 0.75),
    ("events", 65536): (65, 2.3),
}
#: Blocks of each of the two.
BLOCKS, SHORT_BLOCKS = 15, 5
#: Calls of a block: long beside the resolution of the clock.
CALLS = 200
#: Calls before anything is measured, so that caches are filled.
WARM_UP = 20


class Figures(NamedTuple):
    """What one call takes."""

    microseconds: float
    by_hand: float
    """Microseconds of the program by hand."""
    calls: int
    objects: int
    peak: int

    @property
    def multiple(self) -> float:
        """The time, as a multiple of the program by hand."""
        return self.microseconds / self.by_hand


def result(request_id: object, letters: int) -> bytes:
    """Return the answer to a call."""
    content = [{"type": "text", "text": "a" * letters}]
    message = {"jsonrpc": "2.0", "id": request_id, "result": {"resultType": "complete", "content": content}}
    return json.dumps(message).encode()


def response(framing: str, body: bytes) -> bytes:
    """Return a whole HTTP response."""
    if framing == "json":
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        return head.encode() + body
    event = b"event: message\r\ndata: %b\r\n\r\n" % body
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(event), event)


class Core:
    """A session of the stateless era, over one connection."""

    def __init__(self) -> None:
        self.session = ClientSession(client_info={"name": "bench", "version": "1"})
        self.binding = HTTPBinding(self.session, EndpointURL.parse(URL), {})
        self.reader = DirectResponseReader()
        discovered = {
            "resultType": "complete",
            "supportedVersions": ["2026-07-28"],
            "capabilities": {"tools": {}},
        }
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": discovered}).encode()
        self._exchange(self.session.start_handshake(), response("json", body))
        self.next_id = 2

    def call(self, answer: bytes) -> str:
        """Make one call, which is answered so, and return the text of its result."""
        return self.result(answer).text

    def result(self, answer: bytes) -> Any:
        """Make one call, which is answered so, and return its result."""
        self.next_id += 1
        outgoing = self.session.start_request(calls.call_tool("echo", ARGUMENTS))
        (event,) = self._exchange(outgoing, answer)
        return event.value

    def _exchange(self, outgoing: Outgoing, answer: bytes) -> list[Any]:
        exchange, reader = self.binding.exchange(outgoing), self.reader
        self.binding.post(outgoing).to_bytes()
        reader.start(b"POST")
        reader.receive_data(answer)
        events: list[Any] = []
        while type(item := reader.next_event()) is not EndOfBody:
            events += exchange.receive(item)
        return events if exchange.finished else events + exchange.receive(item)


class ByHand:
    """The same without a protocol: what each byte has to go through."""

    def __init__(self) -> None:
        self.next_id = 2
        self.connection = h11.Connection(h11.CLIENT)

    def call(self, answer: bytes) -> str:
        """Write a request, read the answer, and return the text of its result."""
        connection = self.connection
        params = {"name": "echo", "arguments": ARGUMENTS}
        body = json.dumps({"jsonrpc": "2.0", "id": self.next_id, "method": "tools/call", "params": params})
        self.next_id += 1
        headers = [("host", "x"), ("content-type", "application/json"), ("content-length", str(len(body)))]
        connection.send(h11.Request(method="POST", target="/mcp", headers=headers))
        connection.send(h11.Data(data=body.encode()))
        connection.send(h11.EndOfMessage())
        connection.receive_data(answer)
        received = bytearray()
        while type(event := connection.next_event()) is not h11.EndOfMessage:
            if isinstance(event, h11.Data):
                received += event.data
        connection.start_next_cycle()
        message = from_json(received[received.index(b"{") : received.rindex(b"}") + 1])
        return message["result"]["content"][0]["text"]


def answers(framing: str, letters: int, first: int, count: int) -> list[bytes]:
    """Return the responses to the next calls."""
    return [response(framing, result(number, letters)) for number in range(first, first + count)]


def block(program: Core | ByHand, framing: str, letters: int, count: int) -> float:
    """Make calls and return the microseconds of each."""
    prepared = answers(framing, letters, program.next_id, count)
    began = time.process_time()
    for answer in prepared:
        assert len(program.call(answer)) == letters
    return (time.process_time() - began) / count * 1e6


def calls_of(core: Core, framing: str, letters: int) -> int:
    """Return how many functions of the core one call runs through."""
    (answer,) = answers(framing, letters, core.next_id, 1)
    profile = Profile(on=True)
    sys.setprofile(profile)
    core.result(answer)
    sys.setprofile(None)
    return len(profile.take())


def memory_of(core: Core, framing: str, letters: int) -> tuple[int, int]:
    """Return the blocks that an outcome consists of, and the most bytes that its call holds."""
    first, second = answers(framing, letters, core.next_id, 2)
    gc.collect()
    gc.disable()
    before = sys.getallocatedblocks()
    kept = core.result(first)
    blocks = sys.getallocatedblocks() - before
    del kept
    tracemalloc.start()
    core.result(second)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    gc.enable()
    return blocks, peak


def measure(framing: str, letters: int, blocks: int) -> Figures:
    """Measure one kind of call."""
    core, by_hand = Core(), ByHand()
    for program in (core, by_hand):
        block(program, framing, letters, WARM_UP)
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(blocks):
        ours.append(block(core, framing, letters, CALLS))
        theirs.append(block(by_hand, framing, letters, CALLS))
    return Figures(
        statistics.median(ours),
        statistics.median(theirs),
        calls_of(core, framing, letters),
        *memory_of(core, framing, letters),
    )


def bounds(figures: dict[tuple[str, int], Figures]) -> list[results.Bound]:
    """Return what must hold."""
    made: list[results.Bound] = []
    for (framing, letters), found in figures.items():
        calls, multiple = MOST[framing, letters]
        kind = f"{framing} of {letters} letters"
        made.append(
            results.Bound(
                f"function calls in the core: {kind}", found.calls, calls, at_most=True, unit="", exact=True
            )
        )
        made.append(
            results.Bound(
                f"CPU in the core, of a program by hand: {kind}",
                found.multiple,
                multiple,
                at_most=True,
                limit=multiple,
            )
        )
    return made


def main() -> int:
    """Run the benchmark and return its exit code."""
    options = results.parser(__doc__).parse_args()
    print("answer  letters     time of by hand  calls  objects     peak")
    figures: dict[tuple[str, int], Figures] = {}
    blocks = SHORT_BLOCKS if options.short else BLOCKS
    for framing, letters in MOST:
        found = figures[framing, letters] = measure(framing, letters, blocks)
        times = f"{found.microseconds:>5.0f} us {found.multiple:>9.2f}x"
        memory = f"{found.objects:>8} {found.peak / 1024:>5.0f} KB"
        print(f"{framing:<7} {letters:>7} {times} {found.calls:>6} {memory}", flush=True)
    rows = [
        {"framing": framing, "letters": letters, **found._asdict()}
        for (framing, letters), found in figures.items()
    ]
    return results.finish(options, bounds(figures), rows=rows)


if __name__ == "__main__":
    sys.exit(main())

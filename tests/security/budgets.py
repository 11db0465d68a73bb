"""What a peer's bytes may cost: time and memory in proportion to their number, whatever they are.

Every entry of :mod:`tests.security.entries` takes two texts of a peer: one that it named before (a
token, a tool, a template) and one that it says now. Hypothesis makes both of a few pieces, repeated up
to the size, and climbs towards the dearest. An input that costs more than the budget is measured again
at several sizes: a cost that grows faster than the input is a finding, and one beyond all room too.

::

    python tests/security/budgets.py                    each entry for a moment, with the usual seed
    python tests/security/budgets.py --seconds 600 --seed random
    python tests/security/budgets.py challenges --seed 7

Each entry runs in a child process of its own, whose memory and time the system limits: what holds the
interpreter, or the heap, ends the child and is a finding with the input that was noted before.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings, target

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "adapters")]

from tests.security.entries import ENTRIES, GIVEN_UP, PLANTED, Entry  # noqa: E402
from tests.security.shapes import Shape, shapes  # noqa: E402

#: Seconds of CPU time for each byte of both texts.
SECONDS_PER_BYTE = 1e-6

#: The budget is for a quiet machine; beyond this many times it an input is a finding by itself.
ROOM = 20

#: The cost of a byte may grow so many times when the input becomes four times as long: it stays the
#: same where the cost is linear, and is four times as large where it is quadratic.
GROWTH = 2.5

#: Bytes of memory for each byte of both texts, and beside them, for what is kept of any text.
MEMORY_PER_BYTE = 20
MEMORY_BESIDE = 32 * 1024 * 1024

#: Bytes of an input that is searched with, unless the entry takes less.
SIZE = 16 * 1024

#: Bytes that an input counts for at least, as no input is free.
SHORTEST = 4 * 1024

#: Bytes of an input whose memory is measured, which is done for the dearest ones.
LARGE = 2 * 1024 * 1024

#: Inputs of one round of the search, and seconds of CPU time after which it ends before.
EXAMPLES = 25
ROUND = 0.2

#: What does not end the search.
SEED = 20261130


Check = Callable[[Entry, Shape], float]


class Finding(Exception):
    """An input that costs more than it may."""


@dataclass
class Report:
    """What the search in one entry found."""

    entry: str
    inputs: int = 0
    dearest: float = 0.0
    """Microseconds for each byte of the dearest input."""
    finding: str = ""

    def __str__(self) -> str:
        verdict = f"FOUND {self.finding}" if self.finding else "holds"
        return f"{self.entry:24} {self.inputs:6} inputs, at most {self.dearest:6.3f} us a byte: {verdict}"


# ---- in the child --------------------------------------------------------------------------------


def _out_of_time(*_: object) -> None:
    raise Finding("takes more time than any input may")


def cost(entry: Entry, shape: Shape, size: int) -> float:
    """Return the seconds of CPU time for each byte of an input."""
    named, said = shape.texts(size)
    signal.setitimer(signal.ITIMER_PROF, entry.given_up)
    began = time.thread_time()
    entry.take(named, said)
    spent = time.thread_time() - began
    signal.setitimer(signal.ITIMER_PROF, 0)
    return spent / max(len(named) + len(said), SHORTEST)


def check_time(entry: Entry, shape: Shape) -> float:
    """Return what a byte of an input costs.

    Raises:
        Finding: More than it may.
    """
    size = min(SIZE, entry.most)
    dear = cost(entry, shape, size)
    if dear <= SECONDS_PER_BYTE:
        return dear
    cheap, longer = min(cost(entry, shape, size) for _ in range(3)), min(size * 4, entry.most)
    dear = min(cost(entry, shape, longer) for _ in range(3))
    if dear > SECONDS_PER_BYTE * ROOM or (dear > SECONDS_PER_BYTE and dear > cheap * GROWTH):
        raise Finding(f"{cheap * 1e6:.1f} us for each of {size} bytes, {dear * 1e6:.1f} us of {longer}")
    return dear


def check_memory(entry: Entry, shape: Shape) -> float:
    """See that an input needs no more memory than it may, and return 0.

    Raises:
        Finding: It does.
    """
    named, said = shape.texts(min(LARGE, entry.most))
    gc.collect()
    room = MEMORY_PER_BYTE * (len(named) + len(said)) + MEMORY_BESIDE
    limit = _virtual_size() + room
    try:
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        entry.take(named, said)
    except MemoryError:
        raise Finding(f"needs more than {room >> 20} MiB for {len(named) + len(said) >> 20} MiB") from None
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return 0.0


def _virtual_size() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def search(entry: Entry, number: int, seconds: float, note: Path) -> Report:
    """Search one entry for a dear input, for one round and then until the time is over."""
    report = Report(entry.name)
    costs: dict[Shape, float] = {}
    over = 0.0
    signal.signal(signal.SIGPROF, _out_of_time)

    def check(check_one: Check, shape: Shape) -> float:
        if report.finding or (report.inputs > 1 and time.process_time() > over):
            return 0.0  # Hypothesis goes on by itself
        note.write_text(f"{shape} ends the process")
        try:
            return check_one(entry, shape)
        except Exception as error:  # noqa: BLE001 - an error that is not the library's is a finding, too
            report.finding = f"{shape}: {error!r}"
            return 0.0

    def one(shape: Shape) -> None:
        report.inputs += not report.finding
        costs[shape] = check(check_time, shape)
        target(costs[shape])

    search_once = settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.target),
        suppress_health_check=list(HealthCheck),
    )(given(shapes(entry))(one))
    until = time.monotonic() + seconds
    while True:
        over = time.process_time() + ROUND
        seed(number)(search_once)()
        number += 1
        if report.finding or time.monotonic() >= until:
            break
    over += GIVEN_UP
    for shape in sorted(costs, key=costs.__getitem__, reverse=True)[: entry.large]:
        check(check_memory, shape)
    report.dearest = max(costs.values(), default=0.0) * 1e6
    return report


# ---- the parent ----------------------------------------------------------------------------------


def in_child(entry: Entry, number: int, seconds: float) -> Report:
    """Search one entry in a child process."""
    reader, writer = os.pipe()
    memory = os.memfd_create("input")
    note = Path(f"/proc/self/fd/{memory}")
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            processor = int(seconds + 4 * GIVEN_UP)
            resource.setrlimit(resource.RLIMIT_CPU, (processor, processor))
            report = search(entry, number, seconds, note)
            os.write(writer, json.dumps(asdict(report)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    last = note.read_text()
    os.close(memory)
    return Report(**json.loads(said)) if said else Report(entry.name, finding=last)


def search_all(entries: list[Entry], number: int, seconds: float, jobs: int = 1) -> Iterator[Report]:
    """Search entries, so many at a time, and give what was found in each."""
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda entry: in_child(entry, number, seconds), entries)


def main() -> int:
    """Search all entries, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("entries", nargs="*", help=f"of {', '.join(entry.name for entry in ENTRIES)}")
    parser.add_argument("--seconds", type=float, default=0.0, help="for each entry, at least one round")
    parser.add_argument("--seed", default=str(SEED), help='a number, or "random"')
    parser.add_argument("--jobs", type=int, default=1, help="entries at a time")
    parser.add_argument("--planted", action="store_true", help="search entries that are dear on purpose")
    options = parser.parse_args()
    number = random.SystemRandom().randrange(2**31) if options.seed == "random" else int(options.seed)
    print(f"seed {number}", flush=True)
    known = PLANTED if options.planted else ENTRIES
    entries = [entry for entry in known if entry.name in options.entries or not options.entries]
    found = 0
    for report in search_all(entries, number, options.seconds, options.jobs):
        print(report, flush=True)
        found += bool(report.finding)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

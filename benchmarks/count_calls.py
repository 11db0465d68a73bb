"""How many Python calls, in how many files, one tool call takes: at the client and at the gateway.

::

    python benchmarks/count_calls.py [--check] [--list]

Counted are the ``call`` events of ``sys.setprofile`` in files of the project's three packages: a
function that is called, or a coroutine or generator that is resumed. Calls of the standard library
and of dependencies are not counted, nor is what C code does. A number like this says nothing of
time, but it is the same on every machine (Python 3.12 and later have no calls for comprehensions,
so a few less), and it is the length of the way that a reader follows.

* client: one warmed-up ``await client.call_tool()`` on asyncio, over Streamable HTTP on loopback,
  in the stateless era. The server (``bare_server.py``) is another process.
* gateway: one ``tools/call``, from the request that arrives to the answer that is sent, with the
  request to the upstream server between them. The gateway runs on a thread under uvicorn, as in
  ``routermcp serve``; only that thread is counted. Its client runs on the main thread.

Each is counted several times, and the most frequent result is printed. ``--list`` prints every
call too, in order. ``--check`` ends with 1 beyond the bounds.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import bare_server

import routermcp_adapters
import routermcp_proto
from routermcp import RouterMCPClient, SyncRouterMCPClient
from routermcp.gateway.config.model import GatewayConfig
from routermcp.gateway.factory import aggregate_of, application_of
from routermcp.gateway.serving.uvicorn import serve_in_thread

#: The most calls, and the most files that they are in.
MOST = {"client": (130, 22), "gateway": (220, 34)}
#: Calls before counting: connections are open and caches filled by then.
WARM_UP = 20
#: Calls that are counted, one at a time.
SAMPLES = 9
#: Seconds from an answer until the gateway has nothing left to do for it.
QUIET_SECONDS = 0.05

PACKAGES = {
    f"{Path(package.__file__ or '').parent}/": package.__name__
    for package in (sys.modules["routermcp"], routermcp_adapters, routermcp_proto)
}
ARGUMENTS = {"text": "a" * 60}

Entry = tuple[str, str]
"""A file and the qualified name of a function in it."""


@dataclass
class Profile:
    """Notes calls in the project's files while it is on."""

    on: bool = False
    entries: list[Entry] = field(default_factory=list[Entry])
    _names: dict[str, str | None] = field(default_factory=dict[str, str | None])

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        """Take an event of ``sys.setprofile``."""
        if self.on and event == "call":
            code = frame.f_code
            if code.co_filename not in self._names:
                self._names[code.co_filename] = _name_of(code.co_filename)
            name = self._names[code.co_filename]
            if name is not None:
                self.entries.append((name, code.co_qualname))

    def take(self) -> tuple[Entry, ...]:
        """Return what was noted, and begin again."""
        entries, self.entries = tuple(self.entries), []
        return entries


def _name_of(path: str) -> str | None:
    for folder, package in PACKAGES.items():
        if path.startswith(folder):
            return f"{package}/{path.removeprefix(folder)}"
    return None


async def count_client(url: str) -> list[tuple[Entry, ...]]:
    """Return the calls of each counted ``call_tool``."""
    profile = Profile()
    samples: list[tuple[Entry, ...]] = []
    async with RouterMCPClient(url) as client:
        for _ in range(WARM_UP):
            assert (await client.call_tool("echo", ARGUMENTS)).text == ARGUMENTS["text"]
        for _ in range(SAMPLES):
            sys.setprofile(profile)
            profile.on = True
            await client.call_tool("echo", ARGUMENTS)
            profile.on = False
            sys.setprofile(None)
            samples.append(profile.take())
    return samples


def count_gateway(url: str) -> list[tuple[Entry, ...]]:
    """Return the calls in the gateway's thread for each counted ``tools/call``."""
    profile = Profile()
    config = GatewayConfig.model_validate({"mcpServers": {"bench": {"url": url}}})
    threading.setprofile(profile)  # of threads that start from now on
    with serve_in_thread(application_of(config, aggregate_of(config))) as gateway:
        threading.setprofile(None)
        with SyncRouterMCPClient(gateway) as client:
            return count_at(profile, lambda: client.call_tool("bench.echo", ARGUMENTS).text)


def count_at(profile: Profile, call: Callable[[], str]) -> list[tuple[Entry, ...]]:
    """Return the calls of each counted call, which are made one after the other."""
    samples: list[tuple[Entry, ...]] = []
    for _ in range(WARM_UP):
        assert call() == ARGUMENTS["text"]
    for _ in range(SAMPLES):
        time.sleep(QUIET_SECONDS)
        profile.on = True
        call()
        time.sleep(QUIET_SECONDS)
        profile.on = False
        samples.append(profile.take())
    return samples


def main() -> int:
    """Count, print and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail beyond the bounds")
    parser.add_argument("--list", action="store_true", help="print every call, in order")
    options = parser.parse_args()
    with bare_server.started() as url:
        counted = {"client": asyncio.run(count_client(url)), "gateway": count_gateway(url)}
    results: list[str] = []
    missed = False
    for end, samples in counted.items():
        ((entries, _),) = Counter(samples).most_common(1)
        files = Counter(name for name, _ in entries)
        most_calls, most_files = MOST[end]
        missed = missed or len(entries) > most_calls or len(files) > most_files
        if options.list:
            print_entries(end, entries, files)
        results.append(f"{end:<7}  {len(entries):>5}  {most_calls:>4}  {len(files):>5}  {most_files:>4}")
    print("         calls  most  files  most", *results, sep="\n")
    return int(options.check and missed)


def print_entries(end: str, entries: tuple[Entry, ...], files: Counter[str]) -> None:
    """Print the calls in order, each run of calls in one file under its name, and the files by calls."""
    print(f"== {end}: calls in order")
    last = ""
    for name, function in entries:
        if name != last:
            print(name)
            last = name
        print(f"    {function}")
    print(f"== {end}: calls of each file")
    for name, calls in files.most_common():
        print(f"{calls:>5}  {name}")


if __name__ == "__main__":
    sys.exit(main())

"""What the benchmarks share: their options, their bounds, and the file of figures."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

#: By how much a figure may miss what it must hold before ``--check`` fails: what a busy machine does to a
#: ratio that is taken in turns.
NOISE = 0.2
#: The same for ``--short``, whose blocks are few, on a machine that runs other programs meanwhile.
SHORT_NOISE = 0.35


@dataclass(frozen=True, slots=True)
class Bound:
    """A figure that must hold.

    Attributes:
        name: What was measured.
        measured: The figure.
        must: What it must be: at least, or with ``at_most`` at most.
        stretch: What it should become, where that is more than it must.
        limit: What ``--check`` fails beyond, where that is not ``must`` less the noise; ``--short`` takes the
            looser of the two.
        exact: The figure is the same on every machine, so that there is no noise.
    """

    name: str
    measured: float
    must: float
    at_most: bool = False
    stretch: float | None = None
    unit: str = "x"
    limit: float | None = None
    exact: bool = False

    def missed(self, *, short: bool = False) -> str:
        """Say by how much the bound is missed, beyond the noise; nothing where it is kept."""
        limit = self._limit(short=short)
        if self.measured <= limit if self.at_most else self.measured >= limit:
            return ""
        asked = f"at {'most' if self.at_most else 'least'} {limit:.3g}{self.unit}"
        return f"{self.name}: {self.measured:.3g}{self.unit}, {asked}"

    def _limit(self, *, short: bool) -> float:
        if self.exact:
            return self.must
        noise = SHORT_NOISE if short else NOISE
        limit = self.must * (1 + noise if self.at_most else 1 - noise)
        if self.limit is None:
            return limit
        if not short:
            return self.limit
        return max(limit, self.limit) if self.at_most else min(limit, self.limit)


def parser(documentation: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that each has, described by the first line of a program's text."""
    made = argparse.ArgumentParser(description=(documentation or "").splitlines()[0])
    made.add_argument("--check", action="store_true", help="fail where a bound is not kept")
    made.add_argument("--short", action="store_true", help="a few seconds, with wider margins")
    made.add_argument("--json", type=Path, help="write the figures to this file")
    return made


def environment() -> dict[str, str]:
    """Say what was measured, and on what."""
    found = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "cpu": cpu_name(),
        "cpus": str(os.cpu_count()),
        "machine": platform.machine(),
    }
    for name in ("routermcp", "mcp", "fastmcp", "httpx", "httpx2", "aiohttp", "uvloop", "trio", "pydantic"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def cpu_name() -> str:
    """Return the name of the processor, as far as the system tells (Linux)."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def finish(options: argparse.Namespace, bounds: Sequence[Bound], **figures: Any) -> int:
    """Write the figures where that is wanted, print the bounds that are missed, and return the exit code."""
    if options.json:
        used = [resource.getrusage(which) for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        found = {
            "environment": environment(),
            "cpu_seconds": round(sum(each.ru_utime + each.ru_stime for each in used), 1),
            "seconds": round(time.monotonic() - BEGAN, 1),
            "bounds": [asdict(each) for each in bounds],
            **figures,
        }
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    missed = [said for each in bounds if (said := each.missed(short=options.short))]
    for said in missed:
        print(f"missed: {said}")
    return int(options.check and bool(missed))


#: When the program began.
BEGAN = time.monotonic()

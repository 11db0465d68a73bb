"""CPU time of ``import routermcp``, over that of an interpreter that does nothing, beside other packages.

::

    python benchmarks/bench_import.py [--check] [--short] [--json FILE]

Each import is an interpreter of its own, with the bytecode that an installed package has: it is written
before, to a directory of this program. The packages take turns, so that whatever else the machine does
falls on all of them, and medians are printed, in milliseconds of CPU. Only packages that are installed are
measured.

``--check`` ends with 1 where ``import routermcp`` takes more than ``MOST_OF_MCP`` of what ``import mcp``
takes. ``GOAL_MS`` is what it is to take on a machine that does nothing else, and is not checked: a busy one
doubles all of these figures.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile

import results

#: Statements, by name: what a program of each package begins with.
STATEMENTS = {
    "python": "pass",
    "routermcp": "import routermcp",
    "mcp": "import mcp",
    "fastmcp": "import fastmcp",
}
#: The most of what the official package takes: it takes 0.20, on a busy machine too.
MOST_OF_MCP = 0.27
#: Milliseconds over python.
GOAL_MS = 180.0
#: Imports of each package.
RUNS, SHORT_RUNS = 11, 3


def cpu_of(statement: str, bytecode: str) -> float:
    """Run a statement in an interpreter of its own and return the milliseconds of CPU that it took."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPYCACHEPREFIX"] = bytecode
    process = subprocess.Popen([sys.executable, "-c", statement], env=env, cwd=bytecode)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{statement!r} failed")
    return (used.ru_utime + used.ru_stime) * 1000


def measure(runs: int) -> dict[str, float]:
    """Return the milliseconds over python that each package takes."""
    statements = {
        name: statement
        for name, statement in STATEMENTS.items()
        if name == "python" or importlib.util.find_spec(name)
    }
    taken: dict[str, list[float]] = {name: [] for name in statements}
    with tempfile.TemporaryDirectory() as bytecode:
        for statement in statements.values():
            cpu_of(statement, bytecode)
        for _ in range(runs):
            for name, statement in statements.items():
                taken[name].append(cpu_of(statement, bytecode))
    medians = {name: statistics.median(each) for name, each in taken.items()}
    return {name: median - medians["python"] for name, median in medians.items() if name != "python"}


def bounds(taken: dict[str, float]) -> list[results.Bound]:
    """Return what must hold."""
    if "mcp" not in taken:
        return []
    share, most = taken["routermcp"] / taken["mcp"], MOST_OF_MCP
    return [results.Bound("CPU of import routermcp, of import mcp", share, most, at_most=True, limit=most)]


def main() -> int:
    """Run the benchmark and return its exit code."""
    options = results.parser(__doc__).parse_args()
    taken = measure(SHORT_RUNS if options.short else RUNS)
    for name, milliseconds in taken.items():
        print(f"import {name:<10} {milliseconds:>6.0f} ms {milliseconds / taken['routermcp']:>6.1f}x")
    print(f"goal             {GOAL_MS:>6.0f} ms")
    return results.finish(options, bounds(taken), goal_ms=GOAL_MS, ms=taken)


if __name__ == "__main__":
    sys.exit(main())

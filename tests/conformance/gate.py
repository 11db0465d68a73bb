"""Runs the official MCP conformance suite against ``client.py`` and judges the outcome.

Usage::

    python tests/conformance/gate.py [--runtime all|rotate|asyncio|trio|blocking] [--scenario NAME]...

``all`` plays every scenario on every runtime. ``rotate`` plays each on one runtime, taken
in turn, and ``tools_call`` of both eras on all three.

The suite's own verdict is not enough. Run over many scenarios at once it ignores the exit
code of the client, and a client that does nothing passes some of them. So each scenario is
run by itself, where the exit code counts, and has to show at least the number of successful
checks that ``minimum_checks.json`` records; a failure, a warning or a check skipped beyond
those recorded there fails it.

The suite and a Node.js that it starts on are installed from npm on first use. Without npm
the gate says so and passes, but not where ``CI`` is set.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.third_party import (
    CONFORMANCE_PACKAGE,
    CONFORMANCE_VERSION,
    UnavailableError,
    node,
    npm_package,
    skips_are_failures,
)
from tests.three_runtimes import RUNTIMES

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
#: Seconds a client may take, after which ``timeout`` ends it: the suite itself would wait on.
CLIENT_SECONDS = 30
#: Seconds for a whole scenario, in case the suite itself hangs.
SCENARIO_SECONDS = 90
#: Scenarios at once. They spend their time on starting Python and Node.js.
PARALLEL = 2
#: Scenarios that measure time, and so run alone, after the others.
ALONE = frozenset({"sse-retry"})
#: Scenarios that ``rotate`` plays on every runtime.
SMOKE = frozenset({"tools_call"})


@dataclass(frozen=True)
class Run:
    """One scenario, in one revision, on one runtime."""

    revision: str
    scenario: str
    runtime: str
    minimum: int
    skipped: frozenset[str]


@dataclass(frozen=True)
class Outcome:
    """What came of a run; it passed when there are no problems."""

    run: Run
    successes: int
    seconds: float
    problems: tuple[str, ...]
    output: str


def select_runs(runtime: str, only: Iterable[str] = ()) -> list[Run]:
    """Return the runs to make, in a fixed order.

    Args:
        runtime: One of the runtimes, ``all`` or ``rotate``.
        only: Names of scenarios; all of them when empty.
    """
    table: dict[str, dict[str, dict[str, Any]]] = json.loads((HERE / "minimum_checks.json").read_text())
    wanted = frozenset(only)
    runs: list[Run] = []
    index = 0
    for revision, scenarios in table.items():
        for scenario, recorded in scenarios.items():
            runtimes = (runtime,) if runtime in RUNTIMES else RUNTIMES
            if runtime == "rotate" and scenario not in SMOKE:
                runtimes = (RUNTIMES[index % len(RUNTIMES)],)
            index += 1
            if wanted and scenario not in wanted:
                continue
            skipped = frozenset[str](recorded.get("skipped", ()))
            runs += [Run(revision, scenario, each, recorded["success"], skipped) for each in runtimes]
    return runs


def judge(run: Run, returncode: int, checks: list[dict[str, Any]]) -> tuple[int, tuple[str, ...]]:
    """Count the successful checks of a run and name what is wrong with it."""
    problems: list[str] = []
    if returncode != 0:
        problems.append(f"the suite ended with {returncode}")
    counts = Counter(check["status"] for check in checks)
    for check in checks:
        status, name = check["status"], check.get("name", "")
        expected = status == "SKIPPED" and name in run.skipped
        if status not in {"SUCCESS", "INFO"} and not expected:
            problems.append(f"{status} {check['id']} {name}: {check.get('errorMessage', '')}")
    if counts["SUCCESS"] < run.minimum:
        problems.append(f"{counts['SUCCESS']} checks succeeded, {run.minimum} are recorded")
    return counts["SUCCESS"], tuple(problems)


def play(run: Run, suite: Path, program: Path) -> Outcome:
    """Let the suite play one scenario with the client program."""
    directory = Path(tempfile.mkdtemp(prefix="conformance-"))
    # The suite starts a shell and kills only that; so the client replaces it and is bounded itself.
    bound = f"timeout -k 2 {CLIENT_SECONDS} " if shutil.which("timeout") else ""
    client = f"exec {bound}{shlex.quote(sys.executable)} {shlex.quote(str(program))}"
    command = [
        *(str(node()), str(suite / "dist" / "index.js"), "client", "--command", client),
        *("--scenario", run.scenario, "--spec-version", run.revision, "--force"),
        *("--timeout", str(CLIENT_SECONDS * 2 * 1000), "-o", str(directory)),
    ]
    began = time.monotonic()
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "ROUTERMCP_RUNTIME": run.runtime},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SCENARIO_SECONDS,
            check=False,
        )
        output = done.stdout.decode(errors="replace")
        reports = sorted(directory.rglob("checks.json"))
        checks: list[dict[str, Any]] = json.loads(reports[-1].read_text()) if reports else []
        successes, problems = judge(run, done.returncode, checks)
    except subprocess.TimeoutExpired:
        successes, problems, output = 0, (f"no outcome after {SCENARIO_SECONDS} s",), ""
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return Outcome(run, successes, time.monotonic() - began, problems, output)


def play_all(runs: list[Run], suite: Path, program: Path) -> list[Outcome]:
    """Play the runs, those that measure time alone at the end, and print a line for each."""
    outcomes: list[Outcome] = []

    def report(outcome: Outcome) -> None:
        run = outcome.run
        verdict = "FAILED" if outcome.problems else "passed"
        print(
            f"{verdict}  {run.revision}  {run.scenario:<36}{run.runtime:<9}"
            f"{outcome.successes:>3} of {run.minimum:<3}{outcome.seconds:5.1f} s",
            flush=True,
        )
        outcomes.append(outcome)

    def played(run: Run) -> Outcome:
        return play(run, suite, program)

    with ThreadPoolExecutor(PARALLEL) as pool:
        for outcome in pool.map(played, [run for run in runs if run.scenario not in ALONE]):
            report(outcome)
    for run in runs:
        if run.scenario in ALONE:
            report(played(run))
    return outcomes


def main() -> int:
    """Run the gate and return its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runtime", choices=("all", "rotate", *RUNTIMES), default="all")
    parser.add_argument("--scenario", action="append", default=[], help="play only this one; may be repeated")
    parser.add_argument("--client", type=Path, default=HERE / "client.py", help="the program to judge")
    options = parser.parse_args()
    runs = select_runs(options.runtime, options.scenario)
    if not runs:
        parser.error(f"no such scenario: {', '.join(options.scenario)}")
    try:
        suite = npm_package(CONFORMANCE_PACKAGE, CONFORMANCE_VERSION)
        node()
    except UnavailableError as missing:
        print(f"conformance: {'failed' if skips_are_failures() else 'skipped'}: {missing}")
        return int(skips_are_failures())
    outcomes = play_all(runs, suite, options.client.resolve())
    failed = [outcome for outcome in outcomes if outcome.problems]
    for outcome in failed:
        run = outcome.run
        print(f"\n{run.revision} {run.scenario} on {run.runtime}")
        print("\n".join(f"  {problem}" for problem in outcome.problems))
        print(outcome.output[-4000:])
    print(f"{len(outcomes) - len(failed)} passed, {len(failed)} failed")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())

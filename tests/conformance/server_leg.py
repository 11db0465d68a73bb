"""Runs the server scenarios of the official MCP conformance suite and judges the outcome.

Usage::

    python tests/conformance/server_leg.py [--way direct|http|stdio]

The suite plays what a revision requires against ``server.py``: directly, through the gateway
in front of it over HTTP, and through the gateway in front of it over stdio. In each of these
ways one process serves both revisions.

The suite fails for what is scored only. Here every scenario that ``minimum_server_checks.json``
records has to show at least the number of successful checks recorded there, scored or not,
and no failure, warning or skipped check beyond those recorded. Without npm the gate says so
and passes, but not where ``CI`` is set.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.conformance.gate import Run, judge
from tests.third_party import (
    CONFORMANCE_PACKAGE,
    CONFORMANCE_VERSION,
    UnavailableError,
    node,
    npm_package,
    skips_are_failures,
)

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SERVER = ("-m", "tests.conformance.server")
PROXY = ("-m", "tests.conformance.proxy")
#: Ways from the suite to the server.
WAYS = ("direct", "http", "stdio")
#: Seconds for all scenarios of a revision. They take four on an idle machine.
PLAY_SECONDS = 120
#: Seconds for a process to end when its input has ended.
END_SECONDS = 15
#: What the suite appends to the name of a scenario.
_STAMP = re.compile(r"-\d{4}-\d\d-\d\dT[\d-]+Z$")


@dataclass(frozen=True)
class Record:
    """What is expected of one scenario."""

    success: int
    scored: bool
    skipped: frozenset[str]


@dataclass(frozen=True)
class Result:
    """What came of the scenarios of a revision, over one way; all is well without problems."""

    way: str
    revision: str
    scored: int
    expected: int
    successes: int
    seconds: float
    problems: tuple[str, ...]


def read_records() -> dict[str, dict[str, Record]]:
    """Return what is expected, by revision and scenario."""
    table: dict[str, dict[str, dict[str, Any]]] = json.loads(
        (HERE / "minimum_server_checks.json").read_text()
    )
    return {
        revision: {
            scenario: Record(
                recorded["success"], recorded.get("scored", True), frozenset(recorded.get("skipped", ()))
            )
            for scenario, recorded in scenarios.items()
        }
        for revision, scenarios in table.items()
    }


def read_checks(directory: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the checks that the suite has made, by scenario."""
    return {
        _STAMP.sub("", report.parent.name).removeprefix("server-"): json.loads(report.read_text())
        for report in sorted(directory.glob("*/checks.json"))
    }


def judge_all(
    way: str,
    revision: str,
    records: dict[str, Record],
    returncode: int,
    checks: dict[str, list[dict[str, Any]]],
    seconds: float,
) -> Result:
    """Compare what the suite has found with what is expected."""
    problems = [f"the suite ended with {returncode}"] if returncode != 0 else []
    total = scored = 0
    for scenario, record in records.items():
        if scenario not in checks:
            problems.append(f"{scenario}: was not played")
            continue
        run = Run(revision, scenario, way, record.success, record.skipped)
        successes, found = judge(run, 0, checks[scenario])
        problems += [f"{scenario}: {problem}" for problem in found]
        total += successes
        scored += record.scored and not found
    expected = sum(record.scored for record in records.values())
    return Result(way, revision, scored, expected, total, seconds, tuple(problems))


@contextmanager
def started(arguments: Sequence[str]) -> Generator[str]:
    """Run a Python program that prints its URL, until the block ends."""
    path = os.pathsep.join((str(ROOT), str(ROOT / "adapters")))
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            url = process.stdout.readline().strip() if process.stdout is not None else ""
            if not url:
                raise RuntimeError(f"{' '.join(arguments)} did not start")
            yield url
        finally:
            if process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def reached(way: str) -> Generator[str]:
    """Start what has to be there for one way, and give the URL for the suite."""
    if way == "direct":
        with started(SERVER) as url:
            yield url
    elif way == "http":
        with started(SERVER) as behind, started([*PROXY, behind]) as url:
            yield url
    else:
        with started([*PROXY, sys.executable, *SERVER, "--stdio"]) as url:
            yield url


def play(way: str, revision: str, records: dict[str, Record], url: str, suite: Path) -> Result:
    """Let the suite play what a revision requires."""
    # By this name, as the scenario about DNS rebinding asks for it.
    target = url.replace("127.0.0.1", "localhost")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="conformance-") as directory:
        command = [
            *(str(node()), str(suite / "dist" / "index.js"), "server", "--url", target),
            *("--requirements", revision, "-o", directory),
        ]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PLAY_SECONDS,
            check=False,
        )
        seconds = time.monotonic() - began
        return judge_all(way, revision, records, done.returncode, read_checks(Path(directory)), seconds)


def main() -> int:
    """Run the leg and return its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--way", choices=WAYS, action="append", help="only this one; may be repeated")
    ways = parser.parse_args().way or WAYS
    try:
        suite = npm_package(CONFORMANCE_PACKAGE, CONFORMANCE_VERSION)
        node()
    except UnavailableError as missing:
        print(f"conformance: {'failed' if skips_are_failures() else 'skipped'}: {missing}")
        return int(skips_are_failures())
    failed = False
    for way in ways:
        with reached(way) as url:
            for revision, records in read_records().items():
                result = play(way, revision, records, url, suite)
                failed = failed or bool(result.problems)
                print(
                    f"{'FAILED' if result.problems else 'passed'}  {revision}  server, {way:<7}"
                    f"{result.scored:>3} of {result.expected} scored scenarios, "
                    f"{result.successes} checks, {result.seconds:.1f} s",
                    *(f"  {problem}" for problem in result.problems),
                    sep="\n",
                    flush=True,
                )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

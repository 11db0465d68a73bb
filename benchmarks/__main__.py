"""Runs the benchmarks, and writes ``docs/performance.md`` from what they found.

::

    python -m benchmarks run [--out FILE] [--only NAME]   measure all, or one again; at most ten minutes
    python -m benchmarks report [--check]                 write the page and its pictures, or compare them

``run`` keeps the figures in ``docs/performance.json``; ``report`` needs nothing but that file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE), str(ROOT / "scripts")]

from report.page import page  # noqa: E402
from report.plots import pictures  # noqa: E402

FIGURES = ROOT / "docs" / "performance.json"
PAGE = ROOT / "docs" / "performance.md"
PICTURES = ROOT / "docs" / "pictures"

#: The benchmarks, and what they are called with.
BENCHMARKS: dict[str, list[str]] = {
    "http": ["--all"],
    "list": [],
    "sessions": [],
    "stream": [],
    "scale": [],
    "gateway": ["--all"],
    "proto": [],
    "import": [],
    "profile": [],
}
#: Digits of a figure that are kept: no more are the same in two runs.
DIGITS = 4


def rounded(found: Any) -> Any:
    """Return figures with as many digits as mean something."""
    if isinstance(found, float):
        return float(f"{found:.{DIGITS}g}")
    if isinstance(found, list):
        return [rounded(each) for each in found]
    if isinstance(found, dict):
        return {name: rounded(each) for name, each in found.items()}
    return found


def run(out: Path, only: str | None) -> int:
    """Measure, each benchmark in a process of its own, one after the other."""
    kept: dict[str, Any] = json.loads(out.read_text())["benchmarks"] if only and out.exists() else {}
    began = time.monotonic()
    failed: list[str] = []
    for name in [only] if only else BENCHMARKS:
        print(f"== {name}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            figures = Path(folder, "figures.json")
            program = [sys.executable, "-W", "ignore", str(HERE / f"bench_{name}.py")]
            done = subprocess.run([*program, *BENCHMARKS[name], "--json", str(figures)], check=False)
            if done.returncode or not figures.exists():
                failed.append(name)
                continue
            kept[name] = rounded(json.loads(figures.read_text()))
    found = {"date": datetime.now(UTC).date().isoformat(), "benchmarks": kept}
    out.write_text(json.dumps(found, indent=1) + "\n")
    print(f"== {time.monotonic() - began:.0f} s" + "".join(f"; failed: {name}" for name in failed))
    return 1 if failed else 0


def report(*, check: bool) -> int:
    """Write the page and the pictures, or say which are not what would be written."""
    found = json.loads(FIGURES.read_text())
    written = {PAGE: page(found), **{PICTURES / name: text for name, text in pictures(found).items()}}
    stale = [path for path, text in written.items() if not path.exists() or path.read_text() != text]
    if not check:
        for path, text in written.items():
            path.write_text(text)
        return 0
    for path in stale:
        print(f"{path.relative_to(ROOT)} is stale: run python -m benchmarks report")
    return int(bool(stale))


def main() -> int:
    """Do what the command line says, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="measure")
    running.add_argument("--out", type=Path, default=FIGURES, help="the file of figures")
    running.add_argument("--only", choices=BENCHMARKS, help="measure this one, and keep the others' figures")
    reporting = commands.add_parser("report", help="write docs/performance.md and its pictures")
    reporting.add_argument("--check", action="store_true", help="fail where they are stale")
    options = parser.parse_args()
    return run(options.out, options.only) if options.command == "run" else report(check=options.check)


if __name__ == "__main__":
    sys.exit(main())

"""What the benchmarks share: their options, the file of figures, and the bounds that were not kept."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def parser(documentation: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that each has, described by the first line of a program's text."""
    made = argparse.ArgumentParser(description=(documentation or "").splitlines()[0])
    made.add_argument("--check", action="store_true", help="fail where a bound is not kept")
    made.add_argument("--json", type=Path, help="write the figures to this file")
    return made


def environment() -> dict[str, str]:
    """Say what was measured, and on what."""
    found = {"python": platform.python_version(), "cpus": str(os.cpu_count()), "machine": platform.machine()}
    for name in ("routermcp", "mcp", "fastmcp", "httpx", "aiohttp", "uvloop", "trio"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def finish(options: argparse.Namespace, missed: Sequence[str], **figures: Any) -> int:
    """Write the figures where that is wanted, print the bounds that are missed, and return the exit code."""
    if options.json:
        options.json.write_text(json.dumps({"environment": environment(), **figures}, indent=1))
    for each in missed:
        print(f"missed: {each}")
    return int(options.check and bool(missed))

"""One name, one meaning: list the names that two modules of the source define.

::

    python scripts/names.py [--private]

A reader who searches for a name should land in one place. Two definitions are right where they
are one concept in several forms, or each is the usual word of its own field: ``REASONS`` says
which. The exit code is 1 where a name has no reason there, or a reason no name by now.

What is looked at are classes, functions and variables at module level in the three packages; not
``_sync``, which is generated from ``_async``. Names with an underscore in front are seen in their
own module only, and may mean what it says; ``--private`` lists them too.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: Where the source is.
FOLDERS = ("routermcp_proto", "adapters/routermcp_adapters", "routermcp")

#: Generated from another folder, with its names.
GENERATED = "routermcp/_sync/"

#: Why a name may be defined in several modules.
REASONS: dict[str, str] = {
    "Event": "the word of asyncio, trio and threading, and that of sans-I/O cores (h11) for what they return",
    "InputRequired": "input_required of the specification: the core's event, and a backend's exception",
    "ResultT": "a type variable",
    "T": "a type variable",
    "app": "a group of commands, by the convention of typer",
    "log": "the logger of its module",
    "main": "what runs when its module is started as a program",
    "ping": "the method of the protocol, and the command that calls it",
    "listen": "the method of the protocol, and the command that does so",
    "run": "runs a test on a runtime, in the thread of the caller or one of its own; or a command",
    "status": "a command of its group: of the gateway, and of sign-ins",
}


def defined(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a module defines at its top, also under ``if`` and ``try``."""
    pending: list[ast.stmt] = list(tree.body)
    while pending:
        node = pending.pop(0)
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name
            case ast.Assign():
                for target in node.targets:
                    yield from (item.id for item in ast.walk(target) if isinstance(item, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.If():
                pending += [*node.body, *node.orelse]
            case ast.Try():
                pending += [*node.body, *node.orelse, *node.finalbody]
                pending += [statement for handler in node.handlers for statement in handler.body]
            case _:
                pass


def several(*, private: bool) -> dict[str, list[str]]:
    """Return the names with more than one module that defines them, and the paths of these modules."""
    found: dict[str, set[str]] = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(GENERATED):
                for item in defined(ast.parse(path.read_text())):
                    found.setdefault(item, set()).add(name)
    return {
        name: sorted(paths)
        for name, paths in sorted(found.items())
        if len(paths) > 1 and not name.startswith("__" if private else "_")
    }


def main() -> int:
    """List the names and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--private", action="store_true", help="list private names too")
    names = several(private=parser.parse_args().private)
    for name, paths in names.items():
        print(f"{name}: {REASONS.get(name, 'private' if name.startswith('_') else 'NO REASON')}")
        print(*(f"    {path}" for path in paths), sep="\n")
    unknown = [name for name in names if name not in REASONS and not name.startswith("_")]
    stale = [name for name in REASONS if name not in names]
    if unknown:
        print(f"{len(unknown)} without a reason: {', '.join(unknown)}")
    if stale:
        print(f"defined once by now, so that the reason can go: {', '.join(stale)}")
    return 1 if unknown or stale else 0


if __name__ == "__main__":
    sys.exit(main())

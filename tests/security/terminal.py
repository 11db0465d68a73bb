"""Everything that shows a peer's words on a terminal, one after the other, each after a line of its own.

``python tests/security/terminal.py URL`` runs the commands of the command line in this process, then the
library in a program that configures no logging. Its caller gives it a terminal.
"""

from __future__ import annotations

import json
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "adapters")]

from routermcp import MCPError, SyncRouterMCPClient  # noqa: E402
from routermcp.cli import main  # noqa: E402

#: What a hostile server says: it names a window, clears the screen, rings, breaks the line, comes as C1
#: and turns the direction of writing. A name has no line break.
HOSTILE_NAME = "n\x1b]0;owned\x07\x1b[2J\x1bc\x00\x7f\x9b31m\x85\u202ee\u2066m\u200f\u061c\u2028a\ud800"
HOSTILE = f"{HOSTILE_NAME}\r\n\x1b[1Ao\tk\x0b\x0c"

COMMANDS = (
    ("tools",),
    ("tools", "--json"),
    ("call", "hostile"),
    ("call", "hostile", "--json"),
    ("call", "failing"),
    ("call", "refused"),
    ("call", "missing"),
    ("call", "unreadable"),
    ("resources",),
    ("resources", "--json"),
    ("read", "hostile:a"),
    ("read", "hostile:a", "--json"),
    ("prompts",),
    ("prompts", "--json"),
    ("prompt", "hostile"),
    ("prompt", "hostile", "--json"),
    ("ping",),
    ("ping", "--json"),
    ("status",),
    ("auth", "status", "--users", "a"),
)


def _typed(client: SyncRouterMCPClient) -> None:
    client.call_tool_typed("hostile", {}, dict[str, int])


def _listed(client: SyncRouterMCPClient) -> None:
    client.list_tools()


def _refused(client: SyncRouterMCPClient) -> None:
    client.call_tool("refused")


def _warned(client: SyncRouterMCPClient) -> None:
    warnings.warn(str(client.list_tools()[0].name.isprintable()), stacklevel=2)


LIBRARY: tuple[Callable[[SyncRouterMCPClient], None], ...] = (_listed, _typed, _refused, _warned)


def show(url: str) -> None:
    """Run everything."""
    for command in COMMANDS:
        print(f"=== {json.dumps(command)}", flush=True)
        main([*command, "--url", url])
        sys.stdout.flush()
    with SyncRouterMCPClient(url) as client:
        for use in LIBRARY:
            print(f"=== {use.__name__}", flush=True)
            try:
                use(client)
            except MCPError:
                traceback.print_exc()
                sys.stderr.flush()


if __name__ == "__main__":
    show(sys.argv[1])

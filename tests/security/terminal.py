"""Everything that shows a peer's words on a terminal, one after the other, each after a line of its own.

``python tests/security/terminal.py URL OTHER`` runs the commands of the command line in this process, then
the library in a program that configures no logging. Its caller gives it a terminal. ``OTHER`` is no MCP
server: it has the health of a gateway, and asks to sign in.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
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
    ("tools", "--verbose"),
    ("tools", "--json"),
    ("describe", "missing"),
    ("doctor",),
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
)

#: The commands that speak to what is no MCP server.
OTHERS = (
    ("status",),
    ("auth", "status"),
    ("auth", "login", "--paste"),
    ("auth", "login", "--device"),
    ("auth", "revoke"),
    ("connect",),
    ("demo",),
)

#: Seconds for a gateway to start; it takes less than one.
STARTING_SECONDS = 60.0


def _typed(client: SyncRouterMCPClient) -> None:
    client.call_tool_typed("hostile", {}, dict[str, int])


def _listed(client: SyncRouterMCPClient) -> None:
    client.list_tools()


def _refused(client: SyncRouterMCPClient) -> None:
    client.call_tool("refused")


def _warned(client: SyncRouterMCPClient) -> None:
    warnings.warn(str(client.list_tools()[0].name.isprintable()), stacklevel=2)


#: A server over stdio that says hostile things on both of its streams.
STDIO_SERVER = shlex.join(
    [
        sys.executable,
        "-c",
        f"import sys; print({HOSTILE_NAME[:-1]!r}, file=sys.stderr); print({HOSTILE_NAME[:-1]!r})",
    ]
)

LIBRARY: tuple[Callable[[SyncRouterMCPClient], None], ...] = (_listed, _typed, _refused, _warned)


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def served(command: Sequence[str], port: int) -> None:
    """Run a command that serves in a child process, and be a client of it that says hostile things."""
    child = os.fork()
    if not child:
        os._exit(main([*command, "--port", str(port)]))
    for _ in range(int(STARTING_SECONDS / 0.05)):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            break
        time.sleep(0.05)
    with SyncRouterMCPClient(f"http://127.0.0.1:{port}/mcp") as client:
        for name in ("hostile", "bad.hostile", HOSTILE_NAME):
            with contextlib.suppress(MCPError):
                client.list_tools()
                client.call_tool(name, {HOSTILE: HOSTILE})
    os.kill(child, signal.SIGTERM)
    os.waitpid(child, 0)


def write_config(url: str, other: str) -> str:
    """Write the configuration of a gateway in front of hostile servers, and return its path."""
    path = Path.home() / "hostile.json"
    servers = {"bad": {"url": url}, "worse": {"url": other}}
    path.write_text(json.dumps({"mcpServers": servers, "log": {"format": "text"}}))
    return str(path)


def show(url: str, other: str) -> None:
    """Run everything."""
    # First, as a process with threads cannot be forked.
    for command in (["serve", "--config", write_config(url, other)], ["proxy", "--stdio", STDIO_SERVER]):
        print(f"=== {json.dumps(command[:1])}", flush=True)
        served(command, free_port())
    for command in COMMANDS:
        print(f"=== {json.dumps(command)}", flush=True)
        main([*command, "--url", url])
        sys.stdout.flush()
    for command in OTHERS:
        print(f"=== {json.dumps(command)}", flush=True)
        main([*command, "--url", other])
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
    show(*sys.argv[1:])

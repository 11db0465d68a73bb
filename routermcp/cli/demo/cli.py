"""The command ``demo``."""

from __future__ import annotations

import typer

from ..client_commands import client_command
from ..failures import ExitCode
from ..options import ClientOptions

app = typer.Typer()


@client_command(app)
def demo(*, options: ClientOptions) -> None:
    """Show the client on all its runtimes.

    Runs one scenario under asyncio, under trio and in plain code. Without a server a local one
    is started (ROUTERMCP_URL is not used). A server of yours is only asked what it has, and to
    run one tool that says that it changes nothing and needs no arguments.
    """
    from .command import run_demo  # noqa: PLC0415 - only where it is shown

    ok = run_demo(options)
    raise typer.Exit(ExitCode.OK if ok else ExitCode.TOOL_ERROR)

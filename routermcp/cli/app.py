"""The application: its commands put together, and how it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from .. import __version__
from .auth import app as auth_commands
from .bridge import app as bridge_commands
from .broken_pipe import QuietGroup, discard_output
from .commands.all import app as client_commands
from .config import app as config_commands
from .demo.cli import app as demo_command
from .doctor.command import app as doctor_command
from .failures import EXIT_CODES, ExitCode
from .gateway.serve import app as serve_command
from .gateway.status import app as status_command
from .interactive.listen import app as listen_command
from .interactive.shell import app as shell_command

app = typer.Typer(
    name="routermcp",
    cls=QuietGroup,
    help=f"Use MCP servers from the command line.\n\n{EXIT_CODES}",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(client_commands)
app.add_typer(shell_command)
app.add_typer(listen_command)
app.add_typer(doctor_command)
app.add_typer(demo_command)
app.add_typer(serve_command)
app.add_typer(status_command)
app.add_typer(bridge_commands)
app.add_typer(config_commands)
app.add_typer(auth_commands)


def run(argv: Sequence[str] | None) -> int:
    """Run a command and return the exit code."""
    try:
        app(args=None if argv is None else list(argv), prog_name="routermcp")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitCode.OK
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:  # typer wrote what is wrong with the words
        discard_output()
        return ExitCode.BROKEN_PIPE
    return ExitCode.OK


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"routermcp {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Take the options before the command; the help is that of the application."""
    del version

"""All commands that use a server, as one application: the shell has them too."""

from __future__ import annotations

import typer

from .prompts import app as prompt_commands
from .resources import app as resource_commands
from .server import app as server_commands
from .tools import app as tool_commands

app = typer.Typer(
    help="The commands of a server.",
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for commands in (tool_commands, resource_commands, prompt_commands, server_commands):
    app.add_typer(commands)

"""The page of the commands: what ``-h`` says of each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from unittest import mock

import typer.main
from typer.testing import CliRunner

from routermcp.cli.app import app

#: Columns of the help, as many as fit on the page.
WIDTH = 88

INTRODUCTION = """# Commands

What `routermcp -h` and `routermcp COMMAND -h` say. [The command line](../command-line.md) shows the commands
at work, and [The local gateway](../gateway.md) those of the gateway.
"""


def _commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of each command."""
    yield words
    for name, each in getattr(command, "commands", {}).items():
        yield from _commands(each, (*words, name))


def commands_page() -> str:
    """Return the page."""
    text = INTRODUCTION
    with mock.patch.dict(os.environ, {"COLUMNS": str(WIDTH), "TERM": "dumb"}):
        for words in _commands(typer.main.get_command(app)):
            said = CliRunner().invoke(app, [*words, "-h"], prog_name="routermcp").output.strip()
            text += f"\n## {' '.join(('routermcp', *words))}\n\n```text\n{said}\n```\n"
    return text

"""How the program ends when the reader of its output is gone: without a word, by an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Generator
from typing import Any

import typer
from typer.core import TyperGroup

from .failures import ExitCode


class QuietGroup(TyperGroup):
    """The commands of the program; a broken pipe is an exit code of its own, not an error of typer's."""

    def make_context(self, *args: Any, **more: Any) -> Any:
        """Read the words of the command line; that may write the help."""
        with broken_pipe_is_an_exit():
            return super().make_context(*args, **more)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with broken_pipe_is_an_exit():
            return super().invoke(ctx)


@contextlib.contextmanager
def broken_pipe_is_an_exit() -> Generator[None]:
    """Turn the end of the reader into an exit code, also where the output is only flushed.

    Raises:
        typer.Exit: The reader is gone.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
        raise typer.Exit(ExitCode.BROKEN_PIPE) from None


def discard_output() -> None:
    """Let what is still buffered go nowhere, so that the interpreter can end without an error.

    Source: https://docs.python.org/3/library/signal.html#note-on-sigpipe
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            with contextlib.suppress(OSError, ValueError):
                os.dup2(nowhere, stream.fileno())
    os.close(nowhere)

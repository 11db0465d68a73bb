"""The command ``shell``: a prompt for the commands of one server, over one session."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from typing import Any

import typer

from ... import SyncRouterMCPClient
from ..client_commands import client_command
from ..commands.all import app as client_commands
from ..failures import ExitCode, complain
from ..options import ClientOptions
from ..output import write_line, write_rows
from ..suggestions import did_you_mean
from .completion import ShellCompleter
from .ctrl_c import CtrlC, taking_ctrl_c
from .listen import describe_notification

try:
    import readline
except ImportError:  # on Windows, and where Python was built without it
    readline = None

app = typer.Typer()

#: Characters of the line about a command that ``help`` shows.
SHORT_HELP = 90

_END = ("exit", "quit")
_HELP = ("help", "?", "-h", "--help")


@client_command(app)
def shell(*, options: ClientOptions) -> None:
    """Use a server from a prompt, over one session.

    The commands are those of this program, without a server: tools, describe, call, resources,
    read, prompts, prompt, ping. Tab completes them; exit or Ctrl-D ends. Without a terminal the lines
    of standard input are run, and the exit code is that of the last one.
    """
    completers: list[ShellCompleter] = []

    def hear(method: str, params: Mapping[str, Any]) -> None:
        if method.endswith("/list_changed"):
            for each in completers:
                each.forget()
        complain(describe_notification(method, params))

    with options.connected(on_notification=hear) as client:
        names = [*typer.main.get_group(client_commands).commands, _HELP[0], _END[0]]
        completers.append(ShellCompleter(client, names))
        with taking_ctrl_c() as ctrl_c, completing(completers[0], ctrl_c):
            code = _run_lines(client, options, ctrl_c)
    raise typer.Exit(code)


def _run_lines(client: SyncRouterMCPClient, options: ClientOptions, ctrl_c: CtrlC) -> int:
    server = client.server
    name = server.serverInfo.name if server is not None else options.place
    code: int = ExitCode.OK
    for line in _lines(f"{''.join(each for each in name if each.isprintable())[:40]}> ", ctrl_c):
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            complain(f"the line cannot be read: {error}")
            code = ExitCode.USAGE
            continue
        if not words:
            continue
        if words[0] in _END:
            break
        code = ctrl_c.ends(partial(_run_words, words, client), ExitCode.INTERRUPTED)
        if code == ExitCode.INTERRUPTED and not sys.stdin.isatty():
            break
    return code


def _run_words(words: list[str], client: SyncRouterMCPClient) -> int:
    known = typer.main.get_group(client_commands).commands
    if words[0] in _HELP:
        rows = [(name, command.get_short_help_str(SHORT_HELP)) for name, command in known.items()]
        write_rows(rows, none="")
        write_line("COMMAND -h shows the options of one; exit or Ctrl-D ends.")
        return ExitCode.OK
    if words[0] not in known:
        complain(f"there is no command {words[0]!r}{did_you_mean(words[0], known) or ': help lists them'}")
        return ExitCode.USAGE
    return run_line(words, client)


def run_line(words: list[str], client: SyncRouterMCPClient) -> int:
    """Run one command over a session and return its exit code."""
    try:
        client_commands(args=words, prog_name="", obj=client)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitCode.OK
    return ExitCode.OK


def _lines(prompt: str, ctrl_c: CtrlC) -> Iterator[str]:
    """Yield the lines of standard input, with a prompt where a user types them; Ctrl-C drops a line."""
    if not sys.stdin.isatty():
        yield from sys.stdin
        return
    sys.stderr.write("help lists the commands, Tab completes, exit or Ctrl-D ends.\n")
    while True:
        try:
            line = ctrl_c.ends(partial(input, prompt), None)
        except EOFError:
            sys.stderr.write("\n")
            return
        if line is None:
            sys.stderr.write("\n")
        else:
            yield line


@contextlib.contextmanager
def completing(completer: ShellCompleter, ctrl_c: CtrlC) -> Generator[None]:
    """Complete with Tab while the block runs, where Python has ``readline``."""
    if readline is None or not sys.stdin.isatty():
        yield
        return
    before, delimiters = readline.get_completer(), readline.get_completer_delims()
    readline.set_completer(_readline_completer(completer, ctrl_c))
    readline.set_completer_delims(" \t\n")
    # The readline of macOS is libedit, which has another language.
    libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")
    try:
        yield
    finally:
        readline.set_completer(before)
        readline.set_completer_delims(delimiters)


def _readline_completer(completer: ShellCompleter, ctrl_c: CtrlC) -> Callable[[str, int], str | None]:
    def complete(begun: str, number: int) -> str | None:
        assert readline is not None  # noqa: S101 - it calls this
        before = readline.get_line_buffer()[: readline.get_begidx()].split()
        found = ctrl_c.ends(partial(completer.candidates, before, begun), [])
        if number >= len(found):
            return None
        word = found[number]
        return word if word.endswith("=") else f"{word} "

    return complete

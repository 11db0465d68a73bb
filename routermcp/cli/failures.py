"""Exit codes, and errors as one line for people."""

from __future__ import annotations

import shlex
import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from enum import IntEnum

import typer

from routermcp_proto.exceptions import (
    AuthorizationRequiredError,
    ConfigError,
    LocalProtocolError,
    MCPError,
    RPCError,
    printable,
)
from routermcp_proto.oauth.metadata import CONCESSIONS

from ..oauth.text_settings import in_other_words


class ExitCode(IntEnum):
    """How the program ended."""

    OK = 0
    TOOL_ERROR = 1
    USAGE = 2
    TRANSPORT = 3
    SERVER_ERROR = 4
    INTERRUPTED = 130
    BROKEN_PIPE = 141


EXIT_CODES = """\
\b
Exit codes:
  0    it worked
  1    the tool reported an error (isError), or a part of the demo failed
  2    wrong usage, arguments or settings
  3    the server cannot be reached, refused, or gave an answer that makes no sense
  4    the server answered with an error object
  130  interrupted with Ctrl-C
  141  the reader of the output ended, as head does
"""


class UsageProblem(Exception):  # noqa: N818 - a mistake of the user
    """The typed arguments do not fit the command."""


def complain(problem: str) -> None:
    """Write one line to standard error."""
    line = " ".join(printable(problem).split())
    sys.stderr.write(f"routermcp: {line}\n")


#: What the library calls a setting, and what this program offers for it: nobody writes Python here.
_AS_OPTIONS = (
    (
        "no server URL: give url= or set ROUTERMCP_URL, for example to ",
        "no server: give its URL as the first word, -- and the program to start, or its name in a "
        "routermcp.jsonc; or set ROUTERMCP_URL, for example to ",
    ),
    (
        "give OAuthConfig(client_id=..., client_secret=...), the latter if it gave one",
        "give its id with --client-id, and its secret, if it has one, with --client-secret-file",
    ),
    ("give api_key= or an Authorization header", "give --api-key or sign in"),
    ("give api_key=", "give --api-key, or set ROUTERMCP_API_KEY"),
    (", and leave dpop=False out of OAuthConfig", ""),
    ("say so with issuer=", "say so with --issuer"),
    ("and issuer= says", "and --issuer or --preset says"),
    ("if the server has moved, change issuer=", "if the server has moved, change that"),
)


def as_options(problem: str) -> str:
    """Return a message of the library with options in place of the settings that it names."""
    return in_other_words(problem, _AS_OPTIONS, _option_for)


def _option_for(name: str, value: str) -> str:
    """Return what the command line has in place of a setting of the library."""
    if name not in CONCESSIONS:
        return f"the setting {name} of the library"
    return f"--issuer with --concession {name}{f'={value}' if name == 'metadata_issuer' else ''}"


@contextmanager
def reported(*, debug: bool, at: str = "") -> Generator[None]:
    """Turn errors into a line on standard error and an exit code.

    Args:
        debug: Show where they come from, too.
        at: The URL by which the server was named, for advice; empty for none.

    Raises:
        typer.Exit: There was one.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except (MCPError, UsageProblem) as error:
        if debug:
            traceback.print_exc()
        complain(
            "; ".join([as_options(str(error)), *_failure_advice(error, at), *getattr(error, "__notes__", ())])
        )
        raise typer.Exit(exit_code(error)) from None


@contextmanager
def gateway_installed() -> Generator[None]:
    """Turn a missing extra into a sentence.

    Raises:
        typer.Exit: It is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        complain(f"the gateway needs {error.name}, which is not installed: pip install 'routermcp[gateway]'")
        raise typer.Exit(ExitCode.USAGE) from None


def _failure_advice(error: MCPError | UsageProblem, at: str) -> list[str]:
    if not isinstance(error, AuthorizationRequiredError):
        return []
    behind = error.url is not None and error.server_id is not None
    words = [str(error.server_id), *(["--url", at] if at else [])] if behind else [at] if at else []
    return [f"to sign in: {shlex.join(['routermcp', 'auth', 'login', *words])}"]


def exit_code(error: MCPError | UsageProblem) -> ExitCode:
    """Choose the exit code for an error."""
    if isinstance(error, UsageProblem | ConfigError | LocalProtocolError):
        return ExitCode.USAGE
    return ExitCode.SERVER_ERROR if isinstance(error, RPCError) else ExitCode.TRANSPORT

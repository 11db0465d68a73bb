"""The program that a command names on Windows, where a shim of npm is a file for the command interpreter."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence

from routermcp_proto.exceptions import ConfigError

#: Files that ``cmd.exe`` runs.
_BATCH = (".bat", ".cmd")

#: Characters that ``cmd.exe`` reads as its own inside an argument, however it is quoted: such an
#: argument could run another program (CVE-2024-24576 and its kin).
_SPECIAL = frozenset('"%!&|<>^\r\n')


def program_of(
    command: Sequence[str],
    env: Mapping[str, str] | None,
    which: Callable[..., str | None] = shutil.which,
) -> tuple[str, ...]:
    """Return a command with the path of its program, which may be a shim such as ``npx.cmd``.

    Args:
        command: Program and arguments.
        env: Variables for the child, whose ``PATH`` counts where it has one.
        which: Finds a program in a path, with the extensions of ``PATHEXT``.

    Raises:
        ConfigError: An argument for such a file has a character that cannot be passed on safely.
    """
    program, *arguments = command
    path = next((value for name, value in (env or {}).items() if name.upper() == "PATH"), None)
    found = which(program, path=path or os.environ.get("PATH"))
    if found is None:
        return tuple(command)  # starting it says best why that fails
    if found.lower().endswith(_BATCH) and any(_SPECIAL.intersection(each) for each in arguments):
        raise ConfigError(
            f"{os.path.basename(found)!r} is run by cmd.exe, which reads one of its arguments as a command: "
            "start the program that it stands for, such as node with the script"
        )
    return (found, *arguments)

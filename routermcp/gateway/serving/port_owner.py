"""Whose program listens on a port of this machine, where the system tells: on Linux."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from routermcp_proto.http.numbers import whole_number

#: Where Linux lists the sockets of this machine.
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))

#: The user that may listen for others, as for a container whose port is published.
ROOT = 0

_LISTENS = "0A"

# The place of the user in a line, and the largest number of one.
_USER, MAX_USER = 7, 2**32 - 1


def listens_for_another_user(port: int) -> bool:
    """Return whether a program of another user listens on a port; False where the system does not tell.

    Any user can listen on a port that is free, and is sent the key of the gateway that should be there.
    """
    if not hasattr(os, "getuid"):
        return False
    users: set[int] = set()
    for table in TABLES:
        try:
            users.update(listening_users(table.read_text().splitlines(), port))
        except OSError:  # another system, or one without IPv6
            continue
    return bool(users - {os.getuid(), ROOT})


def listening_users(lines: Iterable[str], port: int) -> Iterator[int]:
    """Yield the users whose sockets listen on a port, by the lines of a table of Linux."""
    for line in lines:
        fields = line.split()
        if len(fields) > _USER and fields[3] == _LISTENS and fields[1].endswith(f":{port:04X}"):
            user = whole_number(fields[_USER], MAX_USER)
            if user is not None:
                yield user

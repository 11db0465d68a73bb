"""Folders and files that no other user of the machine can write to.

A user who can write to a folder of tokens can put records of their own there, and have calls made with
their tokens. What the owner of the process may change is made private; all else is refused.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from routermcp_proto.exceptions import TokenStoreError

#: The permissions of others that a folder of tokens must not have.
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

#: The administrator, who may read and write everything anyway.
_ROOT = 0


def make_private(folder: Path) -> None:
    """Make a folder and that around it, accessible to their owner only.

    Raises:
        TokenStoreError: Another user owns one, or can write to it.
        OSError: They cannot be made.
    """
    for each in (folder.parent, folder):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
        close_to_others(each)


def close_to_others(folder: Path) -> None:
    """Take the permission to write to a folder from all but its owner.

    Raises:
        TokenStoreError: Another user owns it, or can write to it all the same.
        OSError: It cannot be looked at.
    """
    if not _knows_owners():
        return
    found = folder.stat()
    _check_owner(folder, found.st_uid)
    if not found.st_mode & _OTHERS_WRITE:
        return
    if found.st_uid == os.geteuid():
        folder.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS_WRITE)
        found = folder.stat()
    if found.st_mode & _OTHERS_WRITE:
        raise TokenStoreError(
            f"other users can write to the folder of tokens {folder}: keep the tokens in a folder within "
            "it that is yours, on a file system that has permissions"
        )


def check_owner(path: Path) -> None:
    """Check that no other user has put a file there.

    Raises:
        TokenStoreError: Another user owns it.
        OSError: It cannot be looked at.
    """
    if _knows_owners():
        _check_owner(path, path.stat().st_uid)


def create_private(path: Path) -> None:
    """Create an empty file that only its owner can read, unless it exists.

    Raises:
        OSError: It cannot be made.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _check_owner(path: Path, owner: int) -> None:
    if owner not in (os.geteuid(), _ROOT):
        raise TokenStoreError(
            f"{path} belongs to another user (uid {owner}), whose tokens would be used: take it over with "
            f"'chown {os.geteuid()}', or keep the tokens elsewhere"
        )


def _knows_owners() -> bool:
    """Return whether the system has users and permissions in the manner of POSIX."""
    return hasattr(os, "geteuid")

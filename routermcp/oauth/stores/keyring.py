"""Tokens in files that only the keyring of the user's system opens."""

from __future__ import annotations

import time
from pathlib import Path

from routermcp_proto.exceptions import ConfigError, MCPError, TokenStoreError

from .._optional import error_line, needs_extra
from .base import AdapterLock, TokenAdapter
from .encrypted import encrypted
from .file import file_adapter

#: The name under which keyrings show the key.
SERVICE = "routermcp"

#: The folder for records that the key of a keyring encrypts, beside those that are plain.
KEYRING_PATH = "~/.routermcp/mcp-oauth-keyring"

#: Seconds for another process to make the key: the user may be asked for a password meanwhile.
KEY_SECONDS = 60.0

#: Seconds between two attempts to take the lock for that.
KEY_POLL_SECONDS = 0.05


def keyring_adapter(path: str | Path | None = None, *, service: str = SERVICE) -> TokenAdapter:
    """Keep tokens in files, encrypted with a key in the keyring of the user's system.

    That is the macOS Keychain, the Windows Credential Locker or the Secret Service of Linux, by way of
    ``keyring`` (``routermcp[keyring]``). Records lie in files, as keyrings neither lock nor list
    entries, and some hold no more than 2,560 bytes. The user may be asked to unlock the keyring here.

    Args:
        path: The folder; default ``~/.routermcp/mcp-oauth-keyring``.
        service: The name under which the keyring shows the key.

    Raises:
        ConfigError: ``keyring`` is missing, or finds no keyring on this system.
        TokenStoreError: The keyring cannot be used, such as one that stays locked.
    """
    with needs_extra("keyring_adapter()", "keyring"):
        import keyring  # noqa: PLC0415 - of the extra ``keyring``
        import keyring.errors  # noqa: PLC0415
        from cryptography.fernet import Fernet  # noqa: PLC0415
    folder = Path(path if path is not None else KEYRING_PATH).expanduser()
    files = file_adapter(folder)
    name = str(folder.absolute())

    def key() -> str:
        kept = keyring.get_password(service, name)
        if kept is None:
            # Made by one process: what another key has encrypted would be lost.
            keyring.set_password(service, name, Fernet.generate_key().decode("ascii"))
            kept = keyring.get_password(service, name)
        if not kept:
            raise TokenStoreError("the keyring of this system keeps nothing: see 'keyring --list-backends'")
        return kept

    lock = files.lock("", "routermcp:key")
    _acquire(lock)
    try:
        return encrypted(files, key())
    except keyring.errors.NoKeyringError as error:
        raise ConfigError(
            "there is no keyring on this system: take encrypted(file_adapter(), key) with a key of yours"
        ) from error
    except MCPError:
        raise
    except Exception as error:  # backends let errors of the system's own libraries out
        raise TokenStoreError(f"the keyring cannot be used: {error_line(error)}") from error
    finally:
        lock.release()


def _acquire(lock: AdapterLock) -> None:
    until = time.monotonic() + KEY_SECONDS
    while not lock.acquire():
        if time.monotonic() >= until:
            raise TokenStoreError("another process is making the key of the keyring, and takes too long")
        time.sleep(KEY_POLL_SECONDS)

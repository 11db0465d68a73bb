"""Tokens in files: for command-line tools and one machine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
import time
from functools import partial
from pathlib import Path

from routermcp_adapters.concurrency import fork
from routermcp_proto.exceptions import TokenStoreError

from .base import AdapterLock, Record, TokenAdapter
from .private_files import check_owner, close_to_others, make_private
from .records import as_record, ids_in, object_in

#: Where the command-line gateway keeps its tokens too.
DEFAULT_PATH = "~/.routermcp/mcp-oauth"

#: Characters of the longest name of a file without its ending. Most file systems have 255 bytes.
MAX_NAME_CHARACTERS = 180

#: Bytes of the longest record: a few tokens have thousands.
MAX_RECORD_BYTES = 4 * 1024 * 1024

#: Seconds after which a temporary file is left over: writing a record takes milliseconds.
LEFT_OVER_SECONDS = 60.0

_TEMPORARY = ".tmp"

#: The member of a record that holds the id of its server, where the name of the file cannot.
LONG_ID = "routermcp:server_id"

_PLAIN_ID = re.compile(r"[a-z0-9][a-z0-9._@+-]*")
_ESCAPED_BYTE = re.compile(rb"=([0-9a-f]{2})")
_WINDOWS_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # on Windows


def encoded_file_name(name: str) -> str:
    """Return a name as the name of a file: the same for the same id, another for any other.

    Plain ids stay as they are. In others, every byte that is not plain becomes ``=`` and two
    hexadecimal digits, capitals included, as not all file systems tell them apart, and a dot at
    the end, which Windows drops; what is too long ends in a digest.
    """
    data = name.encode("utf-8", "surrogatepass")
    plain = _PLAIN_ID.fullmatch(name) and not name.endswith(".") and not _WINDOWS_DEVICE.fullmatch(name)
    if plain and len(name) <= MAX_NAME_CHARACTERS:
        return name
    text = "=" + "".join(
        chr(byte) if _PLAIN_ID.fullmatch("a" + chr(byte)) and byte < 128 else f"={byte:02x}" for byte in data
    )
    if text.endswith("."):
        text = f"{text[:-1]}=2e"
    if len(text) <= MAX_NAME_CHARACTERS:
        return text
    return f"=={text[: MAX_NAME_CHARACTERS - 70]}={hashlib.sha256(data).hexdigest()}"


def decoded(name: str) -> str:
    """Return the name that :func:`encoded_file_name` was given, unless that was too long.

    Raises:
        ValueError: It has not.
    """
    if not name.startswith("="):
        return name
    data = _ESCAPED_BYTE.sub(lambda match: bytes([int(match[1], 16)]), name[1:].encode("ascii"))
    return data.decode("utf-8", "surrogatepass")


class _FileLock:
    """A lock between the processes of a machine; it ends with its process."""

    seconds: float | None = None

    def __init__(self, path: Path) -> None:
        self._path = path
        from filelock import FileLock, Timeout  # noqa: PLC0415 - only files need it

        # Not per thread: it may be released by another thread than the one that acquired it.
        self._make = partial(FileLock, str(path), thread_local=False)
        self._lock = self._make()
        self._timeout = Timeout
        fork.watch(self)

    def after_fork(self) -> None:
        """Leave the held lock to the parent process."""
        self._lock = self._make()

    def acquire(self) -> bool:
        if self._lock.is_locked:
            return True  # it would count how often, and want to be released as often
        try:
            make_private(self._path.parent)
            self._lock.acquire(timeout=0)
        except self._timeout:
            return False
        except OSError as error:
            raise TokenStoreError(f"the lock {self._path} cannot be taken: {error}") from error
        return True

    def renew(self) -> bool:
        return self._lock.is_locked

    def release(self) -> None:
        with contextlib.suppress(OSError):
            self._lock.release()


class _FileAdapter:
    """Keeps each record in a file of its own."""

    inline = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __repr__(self) -> str:
        return f"<file_adapter {self._folder}>"

    def _path(self, user_id: str, server_id: str) -> Path:
        return self._folder / encoded_file_name(user_id) / f"{encoded_file_name(server_id)}.json"

    def get(self, user_id: str, server_id: str) -> Record | None:
        path = self._path(user_id, server_id)
        try:
            close_to_others(self._folder)
            close_to_others(path.parent)
            record = _read_record(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TokenStoreError(f"the tokens in {path} cannot be read: {error}") from error
        record.pop(LONG_ID, None)
        return record

    def set(self, user_id: str, server_id: str, record: Record, *, lock: AdapterLock | None = None) -> None:
        path = self._path(user_id, server_id)
        if path.name.startswith("=="):
            record = {**record, LONG_ID: server_id}
        data = json.dumps(record, indent=1).encode()
        # No other process writes a record that is locked.
        age = 0.0 if lock is not None and lock.renew() else LEFT_OVER_SECONDS
        try:
            make_private(path.parent)
            _remove_left_over(path, age)
            _write_record(path, data)
        except OSError as error:
            raise TokenStoreError(f"the tokens cannot be kept in {path}: {error}") from error

    def delete(self, user_id: str, server_id: str) -> None:
        path = self._path(user_id, server_id)
        try:
            path.unlink(missing_ok=True)
            _remove_left_over(path)
            if path.parent.is_dir():
                _sync(path.parent)
        except OSError as error:
            raise TokenStoreError(f"the tokens in {path} cannot be deleted: {error}") from error

    def list(self, user_id: str) -> list[str]:
        folder = self._folder / encoded_file_name(user_id)
        try:
            return ids_in(folder.glob("*.json"), _id_in)
        except OSError as error:
            raise TokenStoreError(f"the tokens in {folder} cannot be read: {error}") from error

    def lock(self, user_id: str, server_id: str) -> AdapterLock:
        path = self._path(user_id, server_id)
        return _FileLock(path.with_name(f"{path.name}.lock"))


def _id_in(path: Path) -> str | None:
    """Return the id of the server whose record is in a file, None where the file is not ours."""
    name = path.name.removesuffix(".json")
    try:
        server_id = _read_record(path).get(LONG_ID) if name.startswith("==") else decoded(name)
    except FileNotFoundError:
        return None  # deleted meanwhile
    return server_id if isinstance(server_id, str) and encoded_file_name(server_id) == name else None


def _read_record(path: Path) -> Record:
    """Return the record in a file.

    Raises:
        OAuthError: It holds something else, or is another user's; it is left as it is.
        OSError: It cannot be read.
    """
    check_owner(path)
    with path.open("rb") as file:
        data = file.read(MAX_RECORD_BYTES + 1)
    return as_record(object_in(data) if len(data) <= MAX_RECORD_BYTES else None, path)


def _write_record(path: Path, data: bytes) -> None:
    """Put a file in the place of another, whole or not at all, even if the machine stops."""
    # Readable by its owner only.
    descriptor, temporary = tempfile.mkstemp(_TEMPORARY, f".{path.name}.", path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _remove_left_over(path: Path, seconds: float = 0.0) -> None:
    """Remove what processes that died while they wrote a record have left behind, and it holds tokens.

    Args:
        path: The file of the record.
        seconds: The age from which on a temporary file is one that no process is writing.
    """
    newest = time.time() - seconds
    for each in path.parent.glob(f".{path.name}.*{_TEMPORARY}"):
        with contextlib.suppress(FileNotFoundError):  # its process has ended meanwhile
            if each.stat().st_mtime <= newest:
                each.unlink()


def _sync(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def file_adapter(path: str | os.PathLike[str] | None = None) -> TokenAdapter:
    """Keep tokens in files, one for each user and server, readable by their owner only.

    Args:
        path: The folder; default ``~/.routermcp/mcp-oauth/``.
    """
    return _FileAdapter(Path(path if path is not None else DEFAULT_PATH).expanduser())

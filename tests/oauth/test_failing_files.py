"""The file store on a machine that fails or stops at any system call: records are old or new, never half.

Each operation is repeated with a fault at its first system call, at its second, and so on.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from routermcp.oauth import file_adapter
from routermcp.oauth.stores.base import TokenAdapter
from routermcp_proto.exceptions import TokenStoreError

USER, SERVER = "ada", "https://mcp.example/mcp"
OLD: dict[str, Any] = {"tokens": "secret-old" * 100}
NEW: dict[str, Any] = {"tokens": "secret-new" * 100}

#: What the store calls. More than one fault of each is met.
CALLS = ("mkdir", "open", "fdopen", "fsync", "replace", "unlink", "close")

#: More than any operation makes.
MOST_CALLS = 50


class Stopped(BaseException):
    """The machine has stopped: nothing is done any more, nor tidied up."""


class Machine:
    """Has a fault at one of the system calls, the first being 0.

    Args:
        monkeypatch: Puts the calls of the machine in the place of those of ``os``.
        at: The call with the fault.
        stops: Whether the machine stops there; else the call fails once.
        before: Whether the fault comes before the call is carried out.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, *, stops: bool, before: bool) -> None:
        self.met = False
        self._at, self._stops, self._before = at, stops, before
        self._count = 0
        for name in CALLS:
            monkeypatch.setattr(os, name, self._wrapped(getattr(os, name)))

    def _wrapped(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def carry_out(*args: Any, **named: Any) -> Any:
            if self.met and self._stops:
                raise Stopped
            due, self._count = self._count == self._at, self._count + 1
            if due and self._before:
                self._fault()
            try:
                return call(*args, **named)
            finally:
                if due:
                    self._fault()

        return carry_out

    def _fault(self) -> None:
        self.met = True
        raise Stopped if self._stops else OSError(errno.EIO, "the disk is broken")


def contents(folder: Path) -> bytes:
    """Return all that is on the disk."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def each_fault(
    folder: Path, prepare: Callable[[TokenAdapter], None], act: Callable[[TokenAdapter], None], kind: str
) -> list[Path]:
    """Let an operation meet a fault at each of its calls, each in a folder of its own; return the folders."""
    folders: list[Path] = []
    for at in range(MOST_CALLS):
        place = folder / str(at)
        prepare(file_adapter(place))
        with pytest.MonkeyPatch.context() as patch:
            machine = Machine(patch, at, stops=kind.startswith("stops"), before=kind.endswith("before"))
            with suppress(Stopped, TokenStoreError):
                act(file_adapter(place))
        if not machine.met:
            assert at > 1, "the store makes several calls"
            return folders
        folders.append(place)
    raise AssertionError("the store makes no end of calls")


KINDS = ("fails before", "fails after", "stops before", "stops after")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("old", [None, OLD], ids=["first", "again"])
def test_a_record_is_old_or_new(tmp_path: Path, kind: str, old: dict[str, Any] | None) -> None:
    def prepare(adapter: TokenAdapter) -> None:
        if old is not None:
            adapter.set(USER, SERVER, old)

    for place in each_fault(tmp_path, prepare, lambda adapter: adapter.set(USER, SERVER, NEW), kind):
        adapter = file_adapter(place)
        assert adapter.get(USER, SERVER) in (old, NEW)
        adapter.set(USER, SERVER, NEW)
        assert adapter.get(USER, SERVER) == NEW
        assert adapter.list(USER) == [SERVER]
        adapter.delete(USER, SERVER)
        assert b"secret" not in contents(place)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_a_record_that_is_deleted_leaves_no_secret(tmp_path: Path, kind: str) -> None:
    def prepare(adapter: TokenAdapter) -> None:
        adapter.set(USER, SERVER, OLD)

    for place in each_fault(tmp_path, prepare, lambda adapter: adapter.delete(USER, SERVER), kind):
        adapter = file_adapter(place)
        assert adapter.get(USER, SERVER) in (None, OLD)
        adapter.delete(USER, SERVER)
        assert b"secret" not in contents(place)


def test_the_next_write_removes_what_a_process_has_left_long_ago(tmp_path: Path) -> None:
    adapter = file_adapter(tmp_path)
    adapter.set(USER, SERVER, OLD)
    (record,) = tmp_path.rglob("*.json")
    old, new = (record.with_name(f".{record.name}.{name}.tmp") for name in ("old", "new"))
    for each in (old, new):
        each.write_bytes(b"secret")
    os.utime(old, (0, 0))
    adapter.set(USER, SERVER, NEW)
    assert (old.exists(), new.exists()) == (False, True), "another process may be writing the new one"
    adapter.delete(USER, SERVER)
    assert b"secret" not in contents(tmp_path)


def test_a_write_under_the_lock_removes_all_that_processes_have_left(tmp_path: Path) -> None:
    adapter = file_adapter(tmp_path)
    lock = adapter.lock(USER, SERVER)
    assert lock.acquire()
    adapter.set(USER, SERVER, OLD, lock=lock)
    (record,) = tmp_path.rglob("*.json")
    record.with_name(f".{record.name}.new.tmp").write_bytes(b"secret-new")
    adapter.set(USER, SERVER, {}, lock=lock)
    lock.release()
    assert b"secret" not in contents(tmp_path)

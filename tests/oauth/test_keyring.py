"""Tokens that the keyring of a user's system opens."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail, null
from keyring.errors import KeyringLocked

from routermcp.oauth import file_adapter, keyring_adapter
from routermcp.types import ConfigError, OAuthError, TokenStoreError

RECORD = {"tokens": {"access_token": "planted-secret"}}


class Ring(KeyringBackend):
    """Keeps entries in memory."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}
        self.locked = False
        self.fails: Exception = KeyringLocked("the user has said no")

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise self.fails
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


@pytest.fixture(autouse=True)
def ring() -> Iterator[Ring]:
    before, ring = keyring.get_keyring(), Ring()
    keyring.set_keyring(ring)
    yield ring
    keyring.set_keyring(before)


def test_records_are_kept_for_the_next_program(tmp_path: Path) -> None:
    keyring_adapter(tmp_path).set("ada", "s", RECORD)
    again = keyring_adapter(tmp_path)
    assert again.get("ada", "s") == RECORD
    assert again.list("ada") == ["s"]
    lock, other = again.lock("ada", "s"), keyring_adapter(tmp_path).lock("ada", "s")
    assert lock.acquire()
    assert not other.acquire()
    lock.release()
    again.delete("ada", "s")
    assert again.get("ada", "s") is None


def test_the_files_alone_say_nothing(tmp_path: Path, ring: Ring) -> None:
    adapter = keyring_adapter(tmp_path, service="mine")
    adapter.set("ada", "s", RECORD)
    assert list(ring.entries) == [("mine", str(tmp_path))]
    assert "planted" not in str(file_adapter(tmp_path).get("ada", "s"))
    assert next(iter(ring.entries.values())) not in repr(adapter)
    ring.entries.clear()
    with pytest.raises(OAuthError, match="another key"):
        keyring_adapter(tmp_path).get("ada", "s")


@pytest.mark.parametrize("kind", [KeyringLocked, OSError, RuntimeError, TypeError])
def test_a_keyring_that_stays_locked(tmp_path: Path, ring: Ring, kind: type[Exception]) -> None:
    """Its library may raise errors of the system's own."""
    ring.locked, ring.fails = True, kind("the user has said no")
    with pytest.raises(TokenStoreError, match="said no"):
        keyring_adapter(tmp_path)
    ring.locked = False
    keyring_adapter(tmp_path)  # nothing holds the lock of the first attempt


def test_a_system_without_a_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring.set_keyring(fail.Keyring())
    with pytest.raises(ConfigError, match="no keyring on this system"):
        keyring_adapter(tmp_path)
    keyring.set_keyring(null.Keyring())
    with pytest.raises(TokenStoreError, match="keeps nothing"):
        keyring_adapter(tmp_path)
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigError, match=r"routermcp\[keyring\]"):
        keyring_adapter(tmp_path)

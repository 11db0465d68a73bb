"""Other users of the machine cannot read tokens, and a folder that they can write to is closed or refused."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from routermcp.oauth import TokenAdapter, file_adapter, sql_adapter
from routermcp.types import TokenStoreError

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions in the manner of POSIX")

USER, SERVER = "ada", "mail"
RECORD: dict[str, Any] = {"tokens": "a"}

USES: dict[str, Callable[[TokenAdapter], object]] = {
    "get": lambda adapter: adapter.get(USER, SERVER),
    "set": lambda adapter: adapter.set(USER, SERVER, RECORD),
    "lock": lambda adapter: adapter.lock(USER, SERVER).acquire(),
}

each_use = pytest.mark.parametrize("use", USES.values(), ids=USES)
each_folder = pytest.mark.parametrize("name", [".", USER])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a record in it."""
    file_adapter(tmp_path / "tokens").set(USER, SERVER, RECORD)
    return tmp_path / "tokens"


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a path that of another user, which only the administrator can really do."""
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        other = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: other)


@each_use
@each_folder
@pytest.mark.parametrize("permissions", [0o777, 0o770, 0o1777, 0o707])
def test_a_folder_of_ours_is_closed_to_others(folder: Path, use: Any, name: str, permissions: int) -> None:
    (folder / name).chmod(permissions)
    use(file_adapter(folder))
    assert stat.S_IMODE((folder / name).stat().st_mode) == permissions & ~0o022


def test_reading_stays_allowed(folder: Path) -> None:
    folder.chmod(0o755)
    assert file_adapter(folder).get(USER, SERVER) == RECORD
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


@each_use
@each_folder
def test_a_folder_of_another_user_is_refused(
    folder: Path, use: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_away(folder / name, monkeypatch)
    with pytest.raises(TokenStoreError, match=r"belongs to another user .* take it over with 'chown"):
        use(file_adapter(folder))


def test_a_folder_whose_permissions_stay_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.chmod(0o777)
    monkeypatch.setattr(Path, "chmod", lambda *_: None)  # as file systems of other systems do
    with pytest.raises(TokenStoreError, match=r"other users can write to .* within it that is yours"):
        file_adapter(folder).get(USER, SERVER)


def test_a_record_that_another_user_has_put_there_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_away(folder / USER / f"{SERVER}.json", monkeypatch)
    with pytest.raises(TokenStoreError, match="belongs to another user"):
        file_adapter(folder).get(USER, SERVER)


def test_a_database_is_its_owners(tmp_path: Path) -> None:
    adapter = sql_adapter(f"sqlite:///{tmp_path}/tokens.db")
    adapter.set(USER, SERVER, RECORD)
    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    adapter.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert set(found.values()) == {0o600}, found


def test_an_existing_database_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "tokens.db"
    path.touch(0o660)
    path.chmod(0o660)
    adapter = sql_adapter(f"sqlite:///{path}")
    adapter.set(USER, SERVER, RECORD)
    adapter.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert stat.S_IMODE(path.stat().st_mode) == 0o660

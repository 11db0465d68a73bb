"""What every adapter keeps to, on real stores."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.fernet import Fernet
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from routermcp.gateway import LocalGateway
from routermcp.gateway.http.routes import token_api
from routermcp.oauth import (
    TokenAdapter,
    cloud_adapter,
    encrypted,
    file_adapter,
    memory_adapter,
    redis_adapter,
    sql_adapter,
)
from routermcp.oauth.stores.file import MAX_NAME_CHARACTERS, decoded, encoded_file_name
from routermcp.oauth.stores.sql import SQLTimes, _SQLAdapter
from routermcp.types import ConfigError, LockLostError, OAuthError
from tests import loopback
from tests.gateway.sessions.redis_server import RedisServer
from tests.oauth.conftest import ADAPTERS, LASTING, LEASES, OPEN, spoil
from tests.oauth.servers.postgres_server import pooler
from tests.oauth.stores import KEY, open_store

ROOT = Path(__file__).resolve().parents[2]
HERE = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'adapters'}"}

every = pytest.mark.parametrize("store", ADAPTERS, indirect=True)
lasting = pytest.mark.parametrize("store", LASTING, indirect=True)
leases = pytest.mark.parametrize("store", LEASES, indirect=True)

RECORD: dict[str, Any] = {"tokens": {"access_token": "a"}, "of_others": [1, None, "ü"]}


@every
def test_what_was_kept_comes_back(adapter: TokenAdapter) -> None:
    assert adapter.get("u", "s") is None
    adapter.set("u", "s", RECORD)
    assert adapter.get("u", "s") == RECORD
    adapter.set("u", "s", {"other": 1})
    assert adapter.get("u", "s") == {"other": 1}
    adapter.delete("u", "s")
    adapter.delete("u", "s")
    assert adapter.get("u", "s") is None


@every
def test_what_is_kept_is_a_copy(adapter: TokenAdapter) -> None:
    record = {"list": [1]}
    adapter.set("u", "s", record)
    record["list"].append(2)
    (adapter.get("u", "s") or {})["list"].append(3)
    assert adapter.get("u", "s") == {"list": [1]}


@every
def test_users_and_servers_are_apart(adapter: TokenAdapter) -> None:
    for user in ("u", "", "U", "u/../v", "ä"):
        for server in ("s", "", "S", "https://x/y?z=1", "s" * 500):
            assert adapter.get(user, server) is None
            adapter.set(user, server, {"of": [user, server]})
    for user in ("u", "", "U", "u/../v", "ä"):
        assert adapter.list(user) == sorted(["s", "", "S", "https://x/y?z=1", "s" * 500])
        for server in adapter.list(user):
            assert adapter.get(user, server) == {"of": [user, server]}
    assert adapter.list("nobody") == []


@every
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(user=st.text(), server=st.text())
def test_any_text_is_an_id(adapter: TokenAdapter, user: str, server: str) -> None:
    adapter.set(user, server, {"of": [user, server]})
    assert adapter.get(user, server) == {"of": [user, server]}
    assert server in adapter.list(user)
    adapter.delete(user, server)
    assert server not in adapter.list(user)


@pytest.mark.parametrize("store", OPEN, indirect=True)
@pytest.mark.parametrize("data", ["", "{", "[]", "1", "null", '"hush"', "[" * 100_000])
def test_what_is_no_record_is_said_to_be_so(store: str, adapter: TokenAdapter, data: str) -> None:
    adapter.set("u", "s", RECORD)
    spoil(store, adapter, data)
    for _ in range(2):  # it is left as it is
        with pytest.raises(OAuthError, match="no tokens that can be read") as caught:
            adapter.get("u", "s")
        assert "hush" not in repr(caught.value)
        assert caught.value.__cause__ is None, "which would show the data"
    assert adapter.list("u") == ["s"]
    adapter.set("u", "s", RECORD)
    assert adapter.get("u", "s") == RECORD


@every
def test_a_lock_is_held_by_one(adapter: TokenAdapter) -> None:
    first, second, other = adapter.lock("u", "s"), adapter.lock("u", "s"), adapter.lock("u", "t")
    assert first.acquire()
    assert not second.acquire()
    assert other.acquire()
    assert first.renew()
    second.release()  # it is not its own
    assert not second.acquire()
    first.release()
    assert second.acquire()
    second.release()
    other.release()


@every
def test_a_lock_is_held_by_one_thread(adapter: TokenAdapter) -> None:
    with ThreadPoolExecutor(8) as pool:
        locks = [adapter.lock("u", "s") for _ in range(8)]
        assert sum(pool.map(lambda lock: lock.acquire(), locks)) == 1
        # Whoever gives it up need not run in the thread that has taken it.
        list(pool.map(lambda lock: lock.release(), locks))
    again = adapter.lock("u", "s")
    assert again.acquire()
    again.release()


@every
def test_the_holder_writes(adapter: TokenAdapter) -> None:
    lock = adapter.lock("u", "s")
    assert lock.acquire()
    adapter.set("u", "s", RECORD, lock=lock)
    lock.release()
    assert adapter.get("u", "s") == RECORD


@every
def test_whoever_holds_a_lock_gets_it_again(adapter: TokenAdapter) -> None:
    # The answer to the first request may have been lost.
    lock, other = adapter.lock("u", "s"), adapter.lock("u", "s")
    assert lock.acquire()
    fence = getattr(lock, "fence", None)
    assert lock.acquire()
    assert getattr(lock, "fence", None) == fence
    assert not other.acquire()
    adapter.set("u", "s", RECORD, lock=lock)
    lock.release()
    assert other.acquire()
    other.release()


@leases
def test_a_lease_that_is_had_again_lasts_from_then_on(adapter: TokenAdapter) -> None:
    lock, following = adapter.lock("u", "s"), adapter.lock("u", "s")
    assert lock.acquire()
    adapter.lease_seconds = 1.5  # pyright: ignore[reportAttributeAccessIssue]
    assert lock.acquire()
    until = time.monotonic() + 10
    while not following.acquire():
        assert time.monotonic() < until
    assert not lock.acquire()
    following.release()


@leases
def test_a_lease_ends_with_its_time(adapter: TokenAdapter) -> None:
    adapter.lease_seconds = 1.5  # pyright: ignore[reportAttributeAccessIssue]
    assert adapter.get("u", "s") is None  # connected, so that what follows takes no time
    stalled, following = adapter.lock("u", "s"), adapter.lock("u", "s")
    assert stalled.acquire()
    for _ in range(3):
        assert stalled.renew()
    until = time.monotonic() + 10
    while not following.acquire():
        assert time.monotonic() < until
    assert not stalled.renew()
    adapter.set("u", "s", {"by": "the next"}, lock=following)
    following.release()
    # Also when the next holder has ended already, whoever stalled writes nothing over it.
    with pytest.raises(LockLostError):
        adapter.set("u", "s", {"by": "the late"}, lock=stalled)
    stalled.release()
    assert adapter.get("u", "s") == {"by": "the next"}


@every
def test_secrets_do_not_show(adapter: TokenAdapter) -> None:
    adapter.set("u", "s", {"token": "hush-hush"})
    assert "hush" not in repr(adapter)
    assert "keeper" not in repr(adapter)
    assert "s3cr3t" not in repr(adapter)


# ---- several processes --------------------------------------------------------------------------

#: Processes that want one lock: more in ``.ci/run --full``.
PROCESSES = 6 if settings.get_current_profile_name() == "long" else 3

COUNT = """
import sys, time
from tests.oauth.stores import open_store
adapter = open_store(sys.argv[1])
for _ in range(int(sys.argv[2])):
    lock = adapter.lock("u", "s")
    while not lock.acquire():
        time.sleep(0.002)
    record = adapter.get("u", "s") or {"count": 0}
    adapter.set("u", "s", {"count": record["count"] + 1}, lock=lock)
    lock.release()
"""

WRITE = """
import sys
from tests.oauth.stores import open_store
adapter = open_store(sys.argv[1])
print("begun", flush=True)
for number in range(10**9):
    adapter.set("u", "s", {"number": number, "filling": "x" * 200_000})
"""


@lasting
def test_processes_lose_nothing_under_the_lock(store: str) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", COUNT, store, "5"], env=HERE, cwd=ROOT)
        for _ in range(PROCESSES)
    ]
    assert [process.wait(100) for process in processes] == [0] * PROCESSES
    adapter = open_store(store)
    assert adapter.get("u", "s") == {"count": 5 * PROCESSES}
    getattr(adapter, "close", lambda: None)()


@lasting
def test_a_killed_writer_leaves_a_whole_record(store: str) -> None:
    adapter = open_store(store)
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITE, store], env=HERE, cwd=ROOT, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            until = time.monotonic() + 10
            while adapter.get("u", "s") is None:
                assert time.monotonic() < until
            process.send_signal(signal.SIGKILL)
        kept = adapter.get("u", "s")
        assert kept is not None
        assert len(kept["filling"]) == 200_000
        adapter.delete("u", "s")
    getattr(adapter, "close", lambda: None)()


# ---- files ----------------------------------------------------------------------------------------


def test_files_are_private_and_readable(tmp_path: Path) -> None:
    adapter = file_adapter(tmp_path / "tokens")
    adapter.set("user-1", "mcp.example", RECORD)
    path = tmp_path / "tokens" / "user-1" / "mcp.example.json"
    assert json.loads(path.read_text()) == RECORD
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for folder in (path.parent, path.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == [path.name], "nothing temporary stays"


def test_the_folder_of_the_command_line_gateway_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file_adapter().set("u", "s", RECORD)
    assert (tmp_path / ".routermcp" / "mcp-oauth" / "u" / "s.json").exists()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff"])
def test_a_corrupt_file_is_named_and_left(tmp_path: Path, data: bytes) -> None:
    adapter = file_adapter(tmp_path)
    adapter.set("u", "s", RECORD)
    path = tmp_path / "u" / "s.json"
    path.write_bytes(data)
    with pytest.raises(OAuthError, match=r"s\.json holds no tokens"):
        adapter.get("u", "s")
    assert path.read_bytes() == data


@pytest.mark.parametrize("name", ["=\u00fc", "=ff", "==ff", "Other", "con", "=61", "a.", ".tmp"])
def test_files_of_others_are_passed_over(tmp_path: Path, name: str) -> None:
    adapter = file_adapter(tmp_path)
    long = "s" * 300
    for server in ("s", long):
        adapter.set("u", server, RECORD)
    (tmp_path / "u" / f"{name}.json").write_text("{}")
    assert adapter.list("u") == ["s", long]


def test_a_long_name_that_is_lost_is_said_to_be_so(tmp_path: Path) -> None:
    adapter = file_adapter(tmp_path)
    adapter.set("u", "s" * 300, RECORD)
    (path,) = (tmp_path / "u").glob("*.json")
    path.write_text("[]")
    with pytest.raises(OAuthError, match="no tokens that can be read"):
        adapter.list("u")


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "u").write_text("a file")
    adapter = file_adapter(tmp_path)
    lock = adapter.lock("u", "s")
    for act in (
        lambda: adapter.get("u", "s"),
        lambda: adapter.set("u", "s", {}),
        lambda: adapter.delete("u", "s"),
        lock.acquire,
    ):
        with pytest.raises(OAuthError, match=str(tmp_path)):
            act()


@given(st.text(), st.text())
@example("a.", "a")
@example("A.", "a" * 300 + ".")
def test_names_of_files(first: str, second: str) -> None:
    name = encoded_file_name(first)
    assert (name == encoded_file_name(second)) is (first == second)
    assert (name.lower() == encoded_file_name(second).lower()) is (first == second)
    assert len(name) <= MAX_NAME_CHARACTERS
    assert "/" not in name
    assert "\\" not in name
    assert name not in ("", ".", "..")
    assert not name.endswith("."), "Windows drops it"
    if not name.startswith("=="):
        assert decoded(name) == first


@pytest.mark.parametrize("name", ["user-1", "a@b.example", "default"])
def test_plain_names_stay(name: str) -> None:
    assert encoded_file_name(name) == name


@pytest.mark.parametrize(
    "name", ["..", "", "a.", "CON", "con", "nul.json", ".hidden", "A", "a/b", "=41", "x" * 300]
)
def test_other_names_do_not(name: str) -> None:
    assert encoded_file_name(name).startswith("=")


# ---- encryption ------------------------------------------------------------------------------------

OTHER_KEY = "5hL9Cq1Q2m3s4t5u6v7w8x9y0zABCDEFGHIJKLMNOPQ="


def test_what_is_encrypted_cannot_be_read() -> None:
    inner = memory_adapter()
    encrypted(inner, KEY).set("u", "s", {"token": "hush"})
    assert "hush" not in str(inner.get("u", "s"))


def test_keys_are_replaced() -> None:
    inner = memory_adapter()
    encrypted(inner, KEY).set("u", "s", RECORD)
    both = encrypted(inner, [OTHER_KEY, KEY])
    assert both.get("u", "s") == RECORD
    with pytest.raises(OAuthError, match="another key"):
        encrypted(inner, OTHER_KEY).get("u", "s")
    both.set("u", "s", RECORD)
    assert encrypted(inner, OTHER_KEY).get("u", "s") == RECORD


def test_a_record_that_was_moved_is_refused() -> None:
    inner = memory_adapter()
    adapter = encrypted(inner, KEY)
    adapter.set("u", "s", RECORD)
    inner.set("v", "s", inner.get("u", "s") or {})
    with pytest.raises(OAuthError, match="another user or server"):
        adapter.get("v", "s")


@pytest.mark.parametrize("value", [{}, {"user_id": "u", "server_id": "s"}, {"user_id": ["u"]}])
def test_what_was_encrypted_by_somebody_else_is_refused(value: Any) -> None:
    inner = memory_adapter()
    inner.set("u", "s", {"encrypted": Fernet(KEY).encrypt(json.dumps(value).encode()).decode()})
    with pytest.raises(OAuthError, match="tokens"):
        encrypted(inner, KEY).get("u", "s")


@pytest.mark.parametrize("key", ["", "short", b"x" * 44, []])
def test_keys_are_checked(key: Any) -> None:
    with pytest.raises(ConfigError, match="key"):
        encrypted(memory_adapter(), key)


# ---- stores that are not there ------------------------------------------------------------------------


def test_a_store_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    away = [
        (redis_adapter("redis://:hush@127.0.0.1:1/0"), "refused"),
        (sql_adapter("postgresql://u:hush@127.0.0.1:1/x"), "refused"),
        (sql_adapter(f"sqlite:///{tmp_path}/no/such/folder.db"), "unable to open database file"),
    ]
    for adapter, why in away:
        with pytest.raises(OAuthError, match=why) as caught:
            adapter.get("u", "s")
        assert "hush" not in str(caught.value)
        adapter.close()  # pyright: ignore[reportAttributeAccessIssue]


def test_a_redis_is_not_asked_what_older_ones_repeat_in_errors(tmp_path: Path) -> None:
    """One that does not know HELLO, with which it would be told the password."""
    server = RedisServer(tmp_path, more=("--rename-command", "HELLO", ""))
    server.start()
    try:
        adapter = redis_adapter(server.url)
        adapter.set("u", "s", RECORD)
        assert adapter.get("u", "s") == RECORD
        adapter.close()  # pyright: ignore[reportAttributeAccessIssue]
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("make", "url"),
    [
        (sql_adapter, "postgresql://u:pa@hush@127.0.0.1:1/x"),
        (redis_adapter, "redis://:hush/pa@127.0.0.1:1"),
        (redis_adapter, "http://:hush@127.0.0.1:1"),
    ],
)
def test_a_password_that_is_written_wrongly_shows_nowhere(make: Any, url: str) -> None:
    with pytest.raises(ConfigError, match="%40") as caught:
        make(url)
    error: BaseException | None = caught.value
    while error is not None:
        assert "hush" not in str(error)
        error = error.__cause__ or error.__context__


def test_what_is_no_text_in_sqlite_is_reported_without_it(tmp_path: Path) -> None:
    adapter = sql_adapter(f"sqlite:///{tmp_path}/tokens.db")
    adapter.set("u", "s", {"tokens": {"access_token": "hush"}})
    with sqlite3.connect(tmp_path / "tokens.db") as connection:
        connection.execute("UPDATE routermcp_oauth SET record = CAST(record || x'ff' AS TEXT)")
    connection.close()
    with pytest.raises(OAuthError, match="no tokens that can be read") as caught:
        adapter.get("u", "s")
    assert "hush" not in str(caught.value)
    adapter.close()  # pyright: ignore[reportAttributeAccessIssue]


def test_a_lease_of_a_clock_that_was_ahead_keeps_no_process_out(tmp_path: Path) -> None:
    """Its holder may have died before the clock was set right."""
    adapter = sql_adapter(f"sqlite:///{tmp_path / 'tokens.db'}")
    adapter.lock("u", "s").acquire()
    following = adapter.lock("u", "s")
    assert not following.acquire()
    with closing(sqlite3.connect(tmp_path / "tokens.db")) as connection:
        connection.execute("UPDATE routermcp_oauth SET held_until = held_until + 3600")
        connection.commit()
    assert following.acquire()
    adapter.close()  # pyright: ignore[reportAttributeAccessIssue]


def test_a_database_that_says_nothing_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://u:hush@127.0.0.1:{silent.getsockname()[1]}/x"
        adapter = _SQLAdapter(url, "", "silent", SQLTimes(connect=2))
        began = time.monotonic()
        with pytest.raises(OAuthError) as caught:
            adapter.get("u", "s")
    assert time.monotonic() - began < 20
    assert "hush" not in str(caught.value)


@pytest.fixture
def locked_table(postgres_url: str) -> Iterator[Any]:
    """A connection that keeps everybody else from a table until it is closed."""
    opened = sql_adapter(postgres_url, table="locked")
    opened.set("u", "s", RECORD)
    opened.close()  # pyright: ignore[reportAttributeAccessIssue]
    with psycopg.connect(postgres_url) as connection:
        connection.execute("LOCK TABLE locked")
        yield connection


def test_a_statement_has_its_time(postgres_url: str, locked_table: Any) -> None:
    # What else the URL says of a connection counts too.
    url = f"{postgres_url}?options=-csearch_path%3Dpublic"
    adapter = _SQLAdapter(url, "", "locked", SQLTimes(statement=0.2))
    with pytest.raises(OAuthError):
        adapter.get("u", "s")
    locked_table.rollback()
    assert adapter.get("u", "s") == RECORD
    adapter.close()  # pyright: ignore[reportAttributeAccessIssue]


def test_a_pooler_may_stand_between(postgres_url: str) -> None:
    """PgBouncer, which hands its few connections on after each transaction."""
    with pooler(postgres_url) as url:
        adapter = sql_adapter(url, table="pooled")

        def use(number: int) -> list[str]:
            user = f"user{number}"
            for _ in range(10):
                lock = adapter.lock(user, "s")
                assert lock.acquire()
                adapter.set(user, "s", RECORD, lock=lock)
                lock.release()
                assert adapter.get(user, "s") == RECORD
            return adapter.list(user)

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(use, range(8))) == [["s"]] * 8
        impatient = _SQLAdapter(url, "", "pooled", SQLTimes(statement=0.2))
        with psycopg.connect(postgres_url) as connection:
            connection.execute("LOCK TABLE pooled")
            with pytest.raises(OAuthError):
                impatient.get("user1", "s")
        impatient.close()
        # No limit of ours stays with a connection that somebody else is given next.
        with psycopg.connect(url) as connection:
            assert connection.execute("SHOW statement_timeout").fetchone() == ("0",)
        adapter.close()  # pyright: ignore[reportAttributeAccessIssue]


def test_a_connection_is_waited_for_some_time(postgres_url: str, locked_table: Any) -> None:
    adapter = _SQLAdapter(postgres_url, "", "locked", SQLTimes(pool=0.5))
    with ThreadPoolExecutor(20) as pool:
        reading = [pool.submit(adapter.get, "u", "s") for _ in range(20)]
        refused = next(as_completed(reading, timeout=60))
        with pytest.raises(OAuthError, match=r"TimeoutError|another thread waits"):
            refused.result()
        locked_table.rollback()
        assert RECORD in [each.result() for each in reading if each.exception() is None]
    adapter.close()  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("url", ["nonsense", "mysql+nothing://x/y"])
def test_urls_of_databases_are_checked(url: str) -> None:
    with pytest.raises(ConfigError, match="sql_adapter"):
        sql_adapter(url)


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true", "sqlite:///file::memory:"],
)
def test_a_database_in_memory_is_refused(url: str) -> None:
    # Each connection would have one of its own.
    with pytest.raises(ConfigError, match=r"memory_adapter\(\)"):
        sql_adapter(url)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("redis", "sqlalchemy", "cryptography.fernet"):
        monkeypatch.setitem(sys.modules, name, None)
    makers = [
        lambda: redis_adapter("redis://127.0.0.1"),
        lambda: sql_adapter("sqlite://"),
        lambda: encrypted(memory_adapter(), KEY),
    ]
    for make in makers:
        with pytest.raises(ConfigError, match=r"routermcp\[oauth\]"):
            make()


def test_threads_make_the_table_once(tmp_path: Path) -> None:
    adapter = sql_adapter(f"sqlite:///{tmp_path}/tokens.db")
    gate = threading.Barrier(8)

    def write(number: int) -> None:
        gate.wait(10)
        adapter.set("u", str(number), {})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert len(adapter.list("u")) == 8
    adapter.close()  # pyright: ignore[reportAttributeAccessIssue]


# ---- the API of tokens ---------------------------------------------------------------------------------


def test_only_who_acts_for_users_has_their_tokens(cloud_url: str) -> None:
    for key in ("rmc_plain", "rmc_other"):
        adapter = cloud_adapter(key, base_url=cloud_url)
        with pytest.raises(OAuthError, match="check the api_key") as caught:
            adapter.get("u", "s")
        assert key not in str(caught.value) + repr(adapter)
        adapter.close()  # pyright: ignore[reportAttributeAccessIssue]


def test_a_gateway_without_a_store_serves_none() -> None:
    with LocalGateway({"mcpServers": {}}) as gateway:
        adapter = cloud_adapter("any", base_url=gateway.url.removesuffix("/mcp"))
        assert adapter.get("u", "s") is None
        with pytest.raises(OAuthError, match=r"404|405"):
            adapter.set("u", "s", {})
        adapter.close()  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "~u", "", 404),
        ("GET", "u/servers", "", 404),
        ("POST", "~u/servers", "", 405),
        ("PATCH", "~u/servers/~s", "{}", 405),
        ("PUT", "~u/servers/~s", "[]", 400),
        ("PUT", "~u/servers/~s", "{", 400),
        ("POST", "~u/servers/~s/lock", "{}", 400),
        ("PATCH", "~u/servers/~s/lock", '{"token": "t"}', 405),
        ("GET", "~%ff/servers", "", 400),
        ("PUT", "~u/servers/~s", '{"x": "' + "x" * token_api.MAX_RECORD_BODY + '"}', 413),
    ],
)
def test_requests_that_are_none_of_the_api(
    cloud_url: str, method: str, path: str, body: str, status: int
) -> None:
    with loopback.Client(headers={"Authorization": "Bearer rmc_acts"}) as client:
        answer = client.request(method, f"{cloud_url}/v1/oauth/users/{path}", content=body)
    assert answer.status_code == status


class _Page(BaseHTTPRequestHandler):
    """Answers all requests alike."""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.page)))
        self.end_headers()
        self.wfile.write(self.server.page)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *_: object) -> None: ...


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"<html>hush</html>",
        b"\xff",
        b"[]",
        b'{"servers": {}, "fence": "hush", "seconds": 1}',
        b'{"servers": [1], "fence": 1, "seconds": null}',
        b'{"servers": "hush", "fence": true, "seconds": 1}',
        b'{"fence": 1, "seconds": 0}',
        b'{"fence": 1, "seconds": NaN}',
    ],
)
def test_answers_that_are_none_of_the_api_are_said_to_be_so(page: bytes) -> None:
    with HTTPServer(("127.0.0.1", 0), _Page) as server, ThreadPoolExecutor(1) as pool:
        server.page = page  # pyright: ignore[reportAttributeAccessIssue]
        pool.submit(server.serve_forever, 0.01)
        adapter = cloud_adapter("k", base_url=f"http://127.0.0.1:{server.server_port}")
        acts = [lambda: adapter.list("u"), adapter.lock("u", "s").acquire]
        if not page.startswith(b"{"):
            acts.append(lambda: adapter.get("u", "s"))
        try:
            for act in acts:
                with pytest.raises(OAuthError, match=r"127\.0\.0\.1.*none of the API") as caught:
                    act()
                assert "hush" not in repr(caught.value)
        finally:
            adapter.close()  # pyright: ignore[reportAttributeAccessIssue]
            server.shutdown()


@pytest.mark.parametrize("base_url", ["http://tokens.example", "nonsense"])
def test_keys_go_over_https(base_url: str) -> None:
    with pytest.raises(ConfigError, match="base_url"):
        cloud_adapter("k", base_url=base_url)
    with pytest.raises(ConfigError, match="api_key"):
        cloud_adapter("")
    with pytest.raises(ConfigError, match="api_key"):
        cloud_adapter("key ")


def test_an_api_that_is_not_there_is_said_to_be_so() -> None:
    adapter = cloud_adapter("hush", base_url="http://127.0.0.1:1")
    with pytest.raises(OAuthError, match="ConnectError") as caught:
        adapter.get("u", "s")
    assert "hush" not in str(caught.value)
    adapter.close()  # pyright: ignore[reportAttributeAccessIssue]

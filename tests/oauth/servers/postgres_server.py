"""A PostgreSQL of a test's own, on a port of its own, that forgets all when the test ends; a pooler, too."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.programs import PATIENCE, free_port, program, wait_for

USER = PASSWORD = "keeper"


def _programs() -> Path:
    """Return the folder of the programs, which Debian keeps off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return (found[-1] if found else program("postgres", "postgresql")).resolve().parent


@contextmanager
def _folder() -> Generator[tuple[Path, dict[str, str | int]]]:
    """Make a folder, and say how to run as somebody who may use it, as PostgreSQL refuses to be root.

    It is none of pytest's: those are root's alone, again and again.
    """
    with tempfile.TemporaryDirectory(prefix="routermcp-") as name:
        folder = Path(name)
        identity: dict[str, str | int] = {}
        if os.geteuid() == 0:
            known = {entry.pw_name for entry in pwd.getpwall()}
            entry = pwd.getpwnam("postgres" if "postgres" in known else "nobody")
            identity = {"user": entry.pw_uid, "group": entry.pw_gid}
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        yield folder, identity


def _wait_until_started(url: str) -> None:
    """It listens before it lets anybody in."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            assert time.monotonic() < until
        else:
            return


@contextmanager
def postgres_server() -> Generator[str]:
    """Run PostgreSQL while the block runs, and yield its URL."""
    programs, port = _programs(), free_port()
    with _folder() as (folder, identity):
        data, password = folder / "data", folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        command = [programs / "initdb", "-D", data, "-U", USER, "-A", "scram-sha-256", "--no-sync"]
        subprocess.run(
            [*command, f"--pwfile={password}"], check=True, capture_output=True, cwd=folder, **identity
        )
        options = ["-h", "127.0.0.1", "-k", "", "-c", "fsync=off", "-c", "max_connections=100"]
        with _running([programs / "postgres", "-D", data, "-p", str(port), *options], port, folder, identity):
            url = f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres"
            _wait_until_started(url)
            yield url


@contextmanager
def pooler(url: str) -> Generator[str]:
    """Run PgBouncer in front of a PostgreSQL, and yield its URL; each transaction is on any connection."""
    port, behind = free_port(), url.rpartition(":")[2].partition("/")[0]
    with _folder() as (folder, identity):
        users, settings = folder / "users", folder / "pgbouncer.ini"
        users.write_text(f'"{USER}" "{PASSWORD}"\n')
        settings.write_text(
            f"[databases]\npostgres = host=127.0.0.1 port={behind}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = plain\nauth_file = {users}\npool_mode = transaction\ndefault_pool_size = 2\n"
        )
        for path in (users, settings):
            path.chmod(0o644)
        with _running([program("pgbouncer", "pgbouncer"), "-q", settings], port, folder, identity):
            yield f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres"


@contextmanager
def _running(command: list[Path | str], port: int, folder: Path, identity: dict[str, Any]) -> Generator[None]:
    """Run a program that listens on a port; what it says goes to a file, which never is too full."""
    with (
        (folder / "log").open("wb") as said,
        subprocess.Popen(command, stdout=said, stderr=said, cwd=folder, **identity) as process,
    ):
        try:
            try:
                wait_for(port, process)
            except AssertionError as failed:
                raise AssertionError((folder / "log").read_text()) from failed
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE)

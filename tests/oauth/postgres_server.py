"""A PostgreSQL of a test's own, on a port of its own, that forgets all when the test ends; a pooler, too."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.programs import PATIENCE, free_port, program, wait_for

USER = PASSWORD = "keeper"


def _programs() -> Path:
    """Return the folder of the programs, which Debian keeps off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return (found[-1] if found else program("postgres", "postgresql")).resolve().parent


def _unprivileged(folder: Path) -> dict[str, str | int]:
    """Return how to run as somebody else, where we are root, as PostgreSQL refuses to be."""
    if os.geteuid() != 0:
        return {}
    name = "postgres" if any(entry.pw_name == "postgres" for entry in pwd.getpwall()) else "nobody"
    shutil.chown(folder, name)
    for parent in folder.parents:
        if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    entry = pwd.getpwnam(name)
    return {"user": entry.pw_uid, "group": entry.pw_gid}


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
def postgres_server(folder: Path) -> Generator[str]:
    """Run PostgreSQL while the block runs, and yield its URL."""
    programs, port = _programs(), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    identity = _unprivileged(folder)
    data = folder / "data"
    command = [programs / "initdb", "-D", data, "-U", USER, "-A", "scram-sha-256", "--no-sync"]
    subprocess.run(
        [*command, f"--pwfile={folder / 'password'}"], check=True, capture_output=True, cwd=folder, **identity
    )
    options = ["-p", str(port), "-h", "127.0.0.1", "-k", "", "-c", "fsync=off", "-c", "max_connections=100"]
    with subprocess.Popen(
        [programs / "postgres", "-D", data, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=folder,
        **identity,
    ) as process:
        try:
            wait_for(port, process)
            url = f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres"
            _wait_until_started(url)
            yield url
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=PATIENCE)


@contextmanager
def pooler(folder: Path, url: str) -> Generator[str]:
    """Run PgBouncer in front of a PostgreSQL, and yield its URL; each transaction is on any connection."""
    folder.mkdir(parents=True, exist_ok=True)
    port, behind = free_port(), url.rpartition(":")[2].partition("/")[0]
    users, settings = folder / "users", folder / "pgbouncer.ini"
    users.write_text(f'"{USER}" "{PASSWORD}"\n')
    settings.write_text(
        f"[databases]\npostgres = host=127.0.0.1 port={behind}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = plain\nauth_file = {users}\npool_mode = transaction\ndefault_pool_size = 2\n"
    )
    for path in (users, settings):
        path.chmod(0o644)
    bouncer, identity = program("pgbouncer", "pgbouncer"), _unprivileged(folder)
    with subprocess.Popen(
        [bouncer, "-q", settings], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=folder, **identity
    ) as process:
        try:
            wait_for(port, process)
            yield f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres"
        finally:
            process.kill()
            process.communicate(timeout=PATIENCE)

"""The daemon of a project: one gateway that all its ``routermcp connect`` share.

Its process id and its port stand in ``~/.routermcp/projects/{project}/daemon.{pid,port}``, what it says in
``daemon.log``. It ends by itself when no client has been there for a while.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from routermcp_proto.exceptions import ConfigError, TransportError
from routermcp_proto.http.numbers import whole_number

from .serving import fetch_health

if TYPE_CHECKING:
    from ..gateway.config.model import GatewayConfig

#: Below the home folder.
STATE_FOLDER = Path(".routermcp") / "projects"

#: Seconds without a request after which a daemon ends.
IDLE_SECONDS = 10.0

#: Seconds for a daemon to listen, on a machine that has other things to do. Its servers start later.
DAEMON_START_SECONDS = 30.0

#: Seconds between looks whether it does.
LOOK_SECONDS = 0.05

MAX_PORT = 65_535

#: Characters of the log that an error shows.
MAX_LOG = 500

_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")


class Daemon:
    """The daemon of one configuration, whether it runs or not.

    Args:
        path: The configuration.
        config: What is in it.
    """

    def __init__(self, path: Path, config: GatewayConfig) -> None:
        self._path = Path(os.path.realpath(path))
        self._config = config
        self._folder = state_folder(self._path)

    @classmethod
    def of_project(cls, project: Path | None) -> Self | None:
        """Return the daemon of a folder's configuration, None where no configuration is found.

        Raises:
            ConfigError: The folder has none, or it is wrong.
        """
        from ..gateway.config.file import find, load  # noqa: PLC0415 - needs the extra
        from ..gateway.serving.options import ServeOptions  # noqa: PLC0415

        path = project if project is not None and project.is_file() else find(project)
        if path is None:
            if project is not None:
                raise ConfigError(
                    f"there is no routermcp.jsonc in {project}: write one with 'routermcp config'"
                )
            return None
        options = ServeOptions.from_environment(os.environ)
        return cls(path, options.applied_to(load(path, tolerant=True)))

    @property
    def path(self) -> Path:
        """The file with its configuration."""
        return self._path

    @property
    def key(self) -> str | None:
        """A key that gives access to it, in plain text."""
        keys = self._config.auth.apiKeys if self._config.auth.mode == "api_key" else ()
        return keys[0].key.get_secret_value() if keys else None

    @property
    def served_url(self) -> str:
        """Where ``routermcp serve`` listens with this configuration."""
        listening = self._config.httpServer
        host = f"[{listening.host}]" if ":" in listening.host else listening.host
        return f"http://{host}:{listening.port}/mcp"

    def ensure(self) -> str:
        """Return the URL of a gateway of this configuration; start the daemon where none runs.

        Raises:
            ConfigError: It did not start.
        """
        return self.running() or self.start()

    def running(self) -> str | None:
        """Return the URL of a gateway of this configuration that takes its key, None where none runs."""
        return self._started_by_user() or self._running()

    def others_answer(self) -> bool:
        """Return whether a gateway with other servers is where ``routermcp serve`` listens with this one."""
        return self._served_servers() not in (None, self._shown_servers())

    def start(self) -> str:
        """Start the daemon unless it runs, and return its URL.

        Raises:
            ConfigError: It did not start.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(self._folder / "daemon.lock"):
            return self._running() or self._start()

    def _started_by_user(self) -> str | None:
        """Return the URL of ``routermcp serve`` at the port of the configuration, if it has these servers."""
        return self.served_url if self._served_servers() == self._shown_servers() else None

    def _served_servers(self) -> set[str] | None:
        servers = self._health(self.served_url, self._config.httpServer.port).get("upstreams")
        return None if servers is None else set(servers)

    def _shown_servers(self) -> set[str]:
        """Return the servers that a gateway of this configuration names to its first key."""
        servers, auth = set(self._config.enabled_servers), self._config.auth
        if auth.mode != "api_key" or not auth.apiKeys:
            return servers
        shown = auth.apiKeys[0].servers
        return servers if shown is None else servers & set(shown)

    def _running(self) -> str | None:
        port = self._port()
        if port is None:
            return None
        url = f"http://127.0.0.1:{port}/mcp"
        return url if self._health(url, port).get("status") == "ok" else None

    def _port(self) -> int | None:
        return whole_number(_read(self._folder / "daemon.port"), MAX_PORT)

    def _health(self, url: str, port: int) -> dict[str, Any]:
        from ..gateway.serving.port_owner import listens_for_another_user  # noqa: PLC0415 - needs the extra

        if listens_for_another_user(port):  # and would be sent the key
            return {}
        try:
            return fetch_health(url, self.key)
        except TransportError:
            return {}

    def _start(self) -> str:
        log = self._folder / "daemon.log"
        port = self._port() or 0  # where its clients look for it
        (self._folder / "daemon.port").unlink(missing_ok=True)
        options = ["--config", str(self._path), "--port", str(port), "--workers", "1", "--daemon-mode"]
        with log.open("wb") as sink:
            program = subprocess.Popen(  # noqa: S603 - this program
                [sys.executable, "-m", "routermcp", "serve", *options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=sink,
                start_new_session=True,  # what ends the client does not end the daemon
            )
        until = time.monotonic() + DAEMON_START_SECONDS
        while time.monotonic() < until:
            url = self._running()
            if url is not None:
                return url
            if program.poll() is not None:
                break
            time.sleep(LOOK_SECONDS)
        said = log.read_text(errors="replace").strip()[-MAX_LOG:]
        raise ConfigError(f"the gateway of {self._path} did not start: {said or 'it said nothing'}")


def state_folder(path: Path) -> Path:
    """Return the folder with the state of a configuration's daemon."""
    resolved = Path(os.path.realpath(path))
    name = _UNFIT.sub("-", resolved.parent.name)[:40]
    digest = hashlib.sha256(os.fsencode(resolved)).hexdigest()[:12]
    return Path.home() / STATE_FOLDER / f"{name}-{digest}"


@contextmanager
def announced(path: Path) -> Generator[Any]:
    """Give a function that writes where a daemon listens, for as long as the block runs."""
    folder = state_folder(path)
    files = (folder / "daemon.pid", folder / "daemon.port")

    def announce(url: str) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        port = url.rpartition(":")[2].partition("/")[0]
        for file, number in zip(files, (os.getpid(), port), strict=True):
            file.write_text(f"{number}\n")

    try:
        yield announce
    finally:
        # A daemon that began while this one ended has written its own.
        if _read(files[0]) == str(os.getpid()):
            for file in files:
                file.unlink(missing_ok=True)


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


@contextmanager
def _locked(path: Path) -> Generator[None]:
    """Let one process at a time start a daemon; the system frees the lock of a process that was killed."""
    from filelock import FileLock, Timeout  # noqa: PLC0415 - only starting a daemon needs it

    lock = FileLock(path, timeout=2 * DAEMON_START_SECONDS, mode=0o600, poll_interval=LOOK_SECONDS)
    try:
        lock.acquire()
    except Timeout:
        raise ConfigError(f"another process holds {path}: it starts the gateway, and does not end") from None
    try:
        yield
    finally:
        lock.release()

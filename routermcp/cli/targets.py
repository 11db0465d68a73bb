"""The server that a command is for: its target.

A target is a URL, ``NAME`` of a server in the configuration, ``FILE:NAME`` of one in another file, or
a program to start, which stands after ``--``. Where none is named it is the gateway of the configuration
in this folder or in ``~/.routermcp``, if that runs.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..transports import stdio
from ..types import ConfigError
from .daemon import Daemon
from .failures import UsageProblem
from .suggestions import did_you_mean

if TYPE_CHECKING:
    from ..gateway.config.model import GatewayConfig, HTTPServer, StdioServer

#: The ends of the names of files that hold servers.
FILE_ENDS = (".json", ".jsonc", ".json5")

_URL = re.compile(r"https?(\+unix)?://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ServerTarget:
    """A server, and what has to be known to reach it.

    Attributes:
        url: Its URL, None for a program.
        headers: Headers for every request.
        sse: Whether it speaks HTTP+SSE.
        command: The program and its arguments, empty for a URL.
        env: Variables for the program.
        cwd: The folder to start it in.
        timeout: Milliseconds for a call, None for the default.
        configured: Whether a configuration names it, which has its credentials too.
        api_key: The key in the configuration, empty for none; ``--api-key`` goes before it.
        word: The word that named it, None for a program.
    """

    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    sse: bool = False
    command: tuple[str, ...] = field(default=(), repr=False)
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    cwd: str | None = None
    timeout: int | None = None
    configured: bool = False
    api_key: str = field(default="", repr=False)
    word: str | None = None

    @property
    def place(self) -> str:
        """The name of the server in messages; the URL of one that has one."""
        return str(stdio(self.command)) if self.command else str(self.url)

    def words(self, *own: str) -> str:
        """Return words of a command line with this server named as it was, to be typed again."""
        before = [] if self.word is None else [self.word]
        after = ["--", *self.command] if self.word is None and self.command else []
        return shlex.join([*before, *own, *after])


def is_url(word: str) -> bool:
    """Return whether a word is the URL of a server."""
    return _URL.match(word) is not None


def is_target(word: str) -> bool:
    """Return whether a word can be nothing but a target."""
    return is_url(word) or _file_and_name(word) is not None


def named_target(word: str) -> ServerTarget:
    """Return the target that a word names.

    Raises:
        UsageProblem: It names none.
        ConfigError: The configuration cannot be read.
    """
    if is_url(word):
        return ServerTarget(url=word, word=word)
    named = _file_and_name(word)
    if named is not None:
        path, name = named
        return replace(_server_in(_loaded(path), path, name), word=word)
    path = _configuration()
    if path is None or _hint(word):
        nowhere = ", and there is no routermcp.jsonc here or in ~/.routermcp that could name it"
        raise UsageProblem(f"{word!r} is no URL{_hint(word) or nowhere}")
    return replace(_server_in(_loaded(path), path, word), word=word)


def default_target() -> ServerTarget | None:
    """Return the gateway for a command that names no server, None where the environment may name one.

    Raises:
        UsageProblem: It does not run.
        ConfigError: The configuration cannot be read.
    """
    if os.environ.get("ROUTERMCP_URL"):
        return None
    return gateway_here()


def gateway_here(*, must_run: bool = True) -> ServerTarget | None:
    """Return the gateway of the configuration here, None where there is no configuration.

    Args:
        must_run: Whether one that does not run is an error; otherwise its URL is where it would listen.

    Raises:
        UsageProblem: It does not run.
        ConfigError: The configuration cannot be read.
    """
    try:
        daemon = Daemon.of_project(None)
    except ModuleNotFoundError:  # the extra of the gateway is not installed, so that none is of this folder
        return None
    if daemon is None:
        return None
    running = daemon.running()
    if running is not None:
        return ServerTarget(url=running, configured=True, api_key=daemon.key or "")
    if must_run:
        raise UsageProblem(f"no server is named, and {_missing_gateway(daemon)}")
    return ServerTarget(url=daemon.served_url)  # another user's program there gets no key


def _missing_gateway(daemon: Daemon) -> str:
    """Return why there is no gateway of a configuration, and what to do."""
    if daemon.others_answer():
        return (
            f"the gateway at {daemon.served_url} has other servers than {daemon.path}: if it is the gateway "
            "of that file, a SIGHUP makes it read the file again, otherwise give a URL"
        )
    return (
        f"the gateway of {daemon.path} is not running at {daemon.served_url}: start it with "
        "'routermcp serve', or name a server, by its URL or its name in that file"
    )


def _hint(word: str) -> str:
    """Return what was meant by a word that cannot be the name of a server, nothing where it can."""
    if Path(word).is_file():
        return f": to start a program, end with -- {shlex.quote(word)}"
    if any(each in word for each in ".:/"):
        return f": did you mean https://{word} or http://{word}?"
    return ""


def names_of_servers() -> list[str]:
    """Return the names in the configuration, none where there is none that can be read."""
    try:
        path = _configuration()
        return sorted(_loaded(path).mcpServers) if path is not None else []
    except (ConfigError, UsageProblem):
        return []


def variables_of(given: Sequence[str]) -> dict[str, str]:
    """Read variables for a program, ``NAME=VALUE`` or the ``NAME`` of one of this process.

    Raises:
        ConfigError: This process has no such variable.
    """
    variables: dict[str, str] = {}
    for item in given:
        name, separator, value = item.partition("=")
        if not separator and name not in os.environ:
            raise ConfigError(f"--env {name}: there is no such variable; give NAME=VALUE")
        variables[name] = value if separator else os.environ[name]
    return variables


def headers_of(given: Sequence[str]) -> dict[str, str]:
    """Read headers, ``NAME: VALUE`` each.

    Raises:
        UsageProblem: One has no name or no colon; the text shows no value.
    """
    headers: dict[str, str] = {}
    for item in given:
        name, colon, value = item.partition(":")
        if not colon or not name.strip():
            raise UsageProblem("--header is 'NAME: VALUE', such as --header 'X-Team: blue'")
        headers[name.strip()] = value.strip()
    return headers


def _file_and_name(word: str) -> tuple[Path, str | None] | None:
    if word.lower().endswith(FILE_ENDS):
        return Path(word), None
    file, colon, name = word.rpartition(":")
    return (Path(file), name) if colon and file.lower().endswith(FILE_ENDS) else None


def _configuration() -> Path | None:
    try:
        from ..gateway.config.file import find  # noqa: PLC0415 - needs the extra
    except ModuleNotFoundError as error:
        raise _missing(error) from None
    return find()


def _loaded(path: Path) -> GatewayConfig:
    try:
        from ..gateway.config.file import load  # noqa: PLC0415 - needs the extra
    except ModuleNotFoundError as error:
        raise _missing(error) from None
    return load(path, tolerant=True)


def _missing(error: ModuleNotFoundError) -> UsageProblem:
    return UsageProblem(
        f"names of servers need {error.name}, which is not installed: pip install 'routermcp[gateway]'"
    )


def _server_in(config: GatewayConfig, path: Path, name: str | None) -> ServerTarget:
    servers = config.mcpServers
    if name is None and len(servers) == 1:
        (name,) = servers
    if name not in servers:
        known = f"it has {', '.join(servers)}" if servers else "it has none"
        if name is None:
            raise UsageProblem(f"{path} has several servers: write {path}:NAME; {known}")
        raise UsageProblem(f"{path} has no server {name!r}{did_you_mean(name, servers)}; {known}")
    return _target_of_server(servers[name], path)


def _target_of_server(server: StdioServer | HTTPServer, path: Path) -> ServerTarget:
    if server.transport == "stdio":
        folder = str(path.parent / server.cwd) if server.cwd is not None else None
        return ServerTarget(
            command=(server.command, *server.args),
            env=server.environment(),
            cwd=folder,
            timeout=server.timeout,
            configured=True,
        )
    return ServerTarget(
        url=server.url,
        headers=server.request_headers(),
        sse=server.transport == "sse",
        timeout=server.timeout,
        configured=True,
    )

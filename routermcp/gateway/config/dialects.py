"""Configurations as other programs write them, turned into the gateway's own.

VS Code writes ``servers`` (in its settings below ``mcp``), Windsurf ``serverUrl``, Gemini CLI
``httpUrl``; hosts take any text as the name of a server, and Cline's times are seconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from ..names import GATEWAY_ALIAS
from .errors import KeyPath, Problems
from .types import MAX_ALIAS

#: Times below are taken for seconds: no server answers within so few milliseconds.
LEAST_MILLISECONDS = 1_000

#: Bytes of the longest file of variables that is read.
MAX_ENV_FILE = 64 * 1024

#: Other names of keys of a server, those that are used first in front: of Gemini CLI's two
#: ``httpUrl`` is the newer transport.
_RENAMED = {
    "httpUrl": "url",
    "serverUrl": "url",
    "includeTools": "allowedTools",
    "excludeTools": "denyTools",
    "disabledTools": "denyTools",
}

#: Keys of a server that mean something to one program alone, and that need no warning.
_OF_HOSTS = frozenset(["autoApprove", "alwaysAllow", "trust", "description", "gallery", "version", "dev"])

_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")
_VARIABLE_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*")

_Members = dict[str, Any]


def own_form(raw: _Members, problems: Problems) -> _Members:
    """Return a configuration with its servers in ``mcpServers``, by aliases.

    Args:
        raw: The configuration of any program, without comments.
        problems: Takes what was changed, where users have to know it.
    """
    config = dict(raw)
    servers: _Members = {}
    inner = config.get("mcp")
    for holder, key in ((config, "mcpServers"), (config, "servers"), (inner, "servers")):
        if isinstance(holder, dict) and isinstance(cast("_Members", holder).get(key), dict):
            servers = {**cast("_Members", holder)[key], **servers}
    if not servers:
        return raw
    for key in ("mcp", "servers", "inputs"):
        config.pop(key, None)
    named: _Members = {}
    for name, server in servers.items():
        alias = _alias_of(name, named)
        if alias != name:
            problems.warn(("mcpServers", name), f"the server is called {alias} here")
        named[alias] = _own_server(server, ("mcpServers", alias), problems)
    return {**config, "mcpServers": named}


def _alias_of(name: str, taken: Mapping[str, Any]) -> str:
    """Return the name where it is an alias, else one that is like it: the end says more than the start."""
    fit = _UNFIT.sub("-", name).strip("-")[-MAX_ALIAS:].strip("-") or "server"
    if fit.lower() == GATEWAY_ALIAS:
        fit += "-server"
    if name == fit:
        return name
    alias, number = fit, 2
    while alias in taken:
        alias, number = f"{fit[: MAX_ALIAS - 4]}-{number}", number + 1
    return alias


def _own_server(server: Any, path: KeyPath, problems: Problems) -> Any:
    if not isinstance(server, dict):
        return server
    members = {key: value for key, value in cast("_Members", server).items() if key not in _OF_HOSTS}
    for key, own in _RENAMED.items():
        if key in members and (own not in members or key == "httpUrl"):
            members[own] = members.pop(key)
    for key in ("env", "headers"):
        given = members.get(key)
        if isinstance(given, dict):
            values = cast("_Members", given).items()
            members[key] = {name: _as_text(value) for name, value in values if value is not None}
    timeout = members.get("timeout")
    if isinstance(timeout, int) and not isinstance(timeout, bool) and 0 < timeout < LEAST_MILLISECONDS:
        members["timeout"] = timeout * 1000
        problems.warn((*path, "timeout"), f"{timeout} is taken for seconds; the unit is milliseconds")
    return members


def _as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def with_env_files(config: _Members, folder: Path, problems: Problems) -> _Members:
    """Return a configuration with the variables of each server's ``envFile`` in its ``env``.

    Args:
        config: The configuration, with variables put in.
        folder: What relative paths begin at.
        problems: Takes what is wrong.
    """
    servers = config.get("mcpServers")
    if not isinstance(servers, dict):
        return config
    read = {
        alias: _with_env_file(server, folder, ("mcpServers", alias), problems)
        for alias, server in cast("_Members", servers).items()
    }
    return {**config, "mcpServers": read}


def _with_env_file(server: Any, folder: Path, path: KeyPath, problems: Problems) -> Any:
    if not isinstance(server, dict) or not isinstance(cast("_Members", server).get("envFile"), str):
        return cast("Any", server)
    members: _Members = dict(cast("_Members", server))
    try:
        text = _text_of(folder / Path(members.pop("envFile")).expanduser())
    except (OSError, ValueError, RuntimeError):
        problems.add((*path, "envFile"), "the file cannot be read")
        return members
    if text is None:
        problems.add((*path, "envFile"), f"the file is longer than {MAX_ENV_FILE} bytes")
        return members
    given = members.get("env")
    own = cast("_Members", given) if isinstance(given, dict) else _Members()
    variables: _Members = {**_variables_in(text), **own}
    return {**members, "env": variables}


def _text_of(path: Path) -> str | None:
    """Return the text of a file, None for one that is too long.

    Raises:
        OSError: It cannot be read, or is no file: opening a pipe would wait for its other end, for ever.
        ValueError: It is no text.
    """
    if not path.is_file():
        raise FileNotFoundError(path)
    with path.open("rb") as file:
        content = file.read(MAX_ENV_FILE + 1)
    return content.decode("utf-8") if len(content) <= MAX_ENV_FILE else None


def _variables_in(text: str) -> dict[str, str]:
    """Read lines ``NAME=value``; a value may stand in quotes, and lines with ``#`` in front are comments."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _VARIABLE_LINE.fullmatch(line)
        if match is not None:
            name, value = match.groups()
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
            found[name] = value[1:-1] if quoted else value.partition(" #")[0].rstrip()
    return found

"""Servers of other programs' files, made into a configuration of the gateway.

Nothing of a server is shown but its name: arguments, variables, headers and URLs may be secret.
"""

from __future__ import annotations

import json
import ntpath
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from routermcp.types import ConfigError

from .dialects import own_form
from .errors import Finding, Problems
from .file import check_is_file, parse_into, read_json5, workspace_variables
from .hosts import HostFile
from .keys import without_comment_keys
from .listening import DEFAULT_GATEWAY_PORT
from .types import MAX_ALIAS

#: Bytes of the largest file of a host: Claude Code's holds its history too.
MAX_HOST_FILE = 64 * 1024 * 1024

_Members = dict[str, Any]

_BARE_VARIABLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_EDITOR_VARIABLE = re.compile(r"\$\{(workspaceFolder|workspaceFolderBasename)\}")

#: Servers that are read, far more than a configuration may hold in its bytes: each is compared with others.
MAX_SERVERS = 1_000


@dataclass(frozen=True, slots=True)
class ImportedServer:
    """A server that was found.

    Attributes:
        name: What the host calls it.
        source: The file.
        alias: What it is called here, None where it is left out.
        note: Why it is left out, or what was changed.
    """

    name: str
    source: HostFile
    alias: str | None
    note: str = ""


@dataclass(slots=True)
class Import:
    """What was read from the files of hosts.

    Attributes:
        servers: The members of ``mcpServers``, which may hold secrets.
        found: All servers, in the order of the files.
        unread: Why files could not be read.
        findings: What there is to say about the configuration.
    """

    servers: _Members = field(default_factory=_Members, repr=False)
    found: list[ImportedServer] = field(default_factory=list[ImportedServer])
    unread: list[str] = field(default_factory=list[str])
    findings: list[Finding] = field(default_factory=list[Finding])

    def text(self) -> str:
        """Return the text of the configuration, which may hold secrets."""
        sources = dict.fromkeys(str(each.source.path) for each in self.found if each.alias is not None)
        lines = [
            "// The configuration of the routermcp gateway, with the servers of",
            *(f"//   {json.dumps(source)}" for source in sources),
            "// routermcp config check says what is wrong in it; docs/gateway.md what else can be set.",
        ]
        document = {"names": "portable", "mcpServers": self.servers}
        return "\n".join([*lines, json.dumps(document, indent=2, ensure_ascii=False), ""])


def import_servers(
    files: Iterable[HostFile], environ: Mapping[str, str], *, workspace: Path, target: Path
) -> Import:
    """Read the servers of hosts.

    Args:
        files: The files; those that are not there are passed over.
        environ: The variables that the servers' values may name.
        workspace: The folder of which Claude Code keeps servers in its file of the user.
        target: Where the configuration will be, for the findings.
    """
    done = Import()
    seen: set[Path] = set()
    for file in files:
        path = Path(os.path.realpath(file.path))
        if path in seen:  # a workspace that is the user's folder
            continue
        seen.add(path)
        try:
            document = _read_document(file.path)
        except FileNotFoundError:
            continue
        except (OSError, ConfigError) as error:
            done.unread.append(str(error))
            continue
        for name, server in _servers_in(document, str(workspace)):
            if len(done.found) == MAX_SERVERS:
                done.unread.append(f"{file.path}: more than {MAX_SERVERS} servers, the others are left out")
                break
            _add(done, name, server, file)
    if done.servers:
        problems = Problems(str(target))
        folder = Path(os.path.realpath(target)).parent
        variables = {**workspace_variables(folder), **environ}
        parse_into(problems, done.text(), environ=variables, folder=folder)
        done.findings = problems.findings()
    return done


def _read_document(path: Path) -> _Members:
    check_is_file(path)
    with path.open("rb") as file:
        content = file.read(MAX_HOST_FILE + 1)
    if len(content) > MAX_HOST_FILE:
        raise ConfigError(f"{path}: longer than {MAX_HOST_FILE} bytes")
    try:
        text = content.decode("utf-8-sig")  # editors of Windows write a mark in front
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8, which these files are written in") from None
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError):
        document = read_json5(text, str(path))
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected an object, {{...}}, with servers")
    return cast("_Members", document)


def _servers_in(document: _Members, workspace: str) -> Iterator[tuple[str, Any]]:
    """Yield the servers of a file by the names that the host has for them."""
    # Claude Code keeps a user's servers of one folder beside those of all folders.
    of_folder = _members(_members(document.get("projects")).get(workspace))
    for holder, key in (
        (of_folder, "mcpServers"),
        (document, "mcpServers"),
        (document, "servers"),
        (_members(document.get("mcp")), "servers"),
    ):
        for name, server in _members(holder.get(key)).items():
            yield name, without_comment_keys(server, (), Problems(name))


def _members(value: Any) -> _Members:
    return cast("_Members", value) if isinstance(value, dict) else {}


def _add(done: Import, name: str, server: Any, file: HostFile) -> None:
    """Take a server over, unless it is there already or cannot be used."""
    if not isinstance(server, dict):
        done.found.append(ImportedServer(name, file, None, "it is no object"))
        return
    if _is_gateway(cast("_Members", server)):
        done.found.append(ImportedServer(name, file, None, "it is this gateway"))
        return
    problems = Problems(str(file.path))
    ((alias, own),) = own_form({"mcpServers": {name: server}}, problems)["mcpServers"].items()
    own = _in_its_workspace(own, file)
    for other in done.found:
        if other.name == name and other.alias is not None and _is_same(done.servers[other.alias], own):
            done.found.append(ImportedServer(name, file, other.alias, "the same as above"))
            return
    notes = [each.text for each in problems.noted if len(each.path) > 2]  # not that of the alias
    if alias in done.servers:
        suffix = f"-{file.host.name}" if file.host is not None else ""
        alias = _free(f"{alias[: MAX_ALIAS - len(suffix)]}{suffix}", done.servers)
        notes.append("another server has that name")
    done.servers[alias] = own
    done.found.append(ImportedServer(name, file, alias, "; ".join(notes)))


def _is_same(one: _Members, other: _Members) -> bool:
    """Tell whether two servers are the same, where only one may say in which folder it runs."""
    return all(one.get(key) == other.get(key) for key in {*one, *other} - {"cwd"}) and (
        one.get("cwd") == other.get("cwd") or not ("cwd" in one and "cwd" in other)
    )


def _free(alias: str, taken: Mapping[str, Any]) -> str:
    free, number = alias, 2
    while free in taken:
        free, number = f"{alias[: MAX_ALIAS - 4]}-{number}", number + 1
    return free


def _is_gateway(server: _Members) -> bool:
    """Tell whether a server is the gateway of this machine, which would be put behind itself."""
    url, command = (
        server.get("url") or server.get("serverUrl") or server.get("httpUrl"),
        server.get("command"),
    )
    if isinstance(url, str):
        try:
            parts = urlsplit(url)
            local = parts.hostname in ("127.0.0.1", "localhost", "::1")
            return local and parts.port == DEFAULT_GATEWAY_PORT
        except ValueError:
            return False
    args = server.get("args")
    words = [command, *cast("list[Any]", args)] if isinstance(args, list) else [command]
    names = [posixpath.basename(ntpath.basename(word)) for word in words if isinstance(word, str)]
    return "connect" in names and bool({"routermcp", "routermcp.exe"} & set(names))


def _in_its_workspace(server: _Members, file: HostFile) -> _Members:
    """Return a server with what depends on the place of its file written out."""
    own = _written_out(server, file)
    folder = file.workspace
    if folder is None or "command" not in own:
        return own
    for key in ("cwd", "envFile"):
        if isinstance(own.get(key), str) and not own[key].startswith(("$", "~")):
            own[key] = str(folder / own[key])
    return {"cwd": str(folder), **own}


def _written_out(value: Any, file: HostFile) -> Any:
    if isinstance(value, dict):
        return {key: _written_out(each, file) for key, each in cast("_Members", value).items()}
    if isinstance(value, list):
        return [_written_out(each, file) for each in cast("list[Any]", value)]
    if not isinstance(value, str):
        return value
    if file.host is not None and file.host.bare_variables:
        value = _BARE_VARIABLE.sub(r"${\1}", value)
    if file.workspace is None:
        return value
    known = workspace_variables(file.workspace)
    return _EDITOR_VARIABLE.sub(lambda found: known[found[1]].replace("${", "$${"), value)

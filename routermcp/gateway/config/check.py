"""Everything that is wrong with a configuration, before it is used."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from routermcp.types import ConfigError

from .errors import Finding, KeyPath, Level, Problems
from .file import parse_into, read_text, workspace_variables
from .model import GatewayConfig, HTTPServer, StdioServer


def check(path: Path, environ: Mapping[str, str]) -> tuple[GatewayConfig | None, list[Finding]]:
    """Read a file as ``serve`` does, and look for the programs and folders that it names.

    Args:
        path: Where the file is.
        environ: The variables for its values.

    Returns:
        The configuration, None where ``serve`` refuses it, and what there is to say about it.
    """
    folder = Path(os.path.realpath(path)).parent
    problems = Problems(str(path))
    try:
        variables = {**workspace_variables(folder), **environ}
        config = parse_into(problems, read_text(path), environ=variables, folder=folder)
    except ConfigError as error:
        text = str(error).removeprefix(f"{path}:").strip()
        return None, [Finding(Level.ERROR, str(path), (), text), *problems.findings()]
    findings = problems.findings()
    if config is not None:
        for place, text in _of_programs(config, folder, environ):
            findings.append(Finding(Level.ERROR, str(path), place, text))
        for place, text in _of_passed_tokens(config):
            findings.append(Finding(Level.WARNING, str(path), place, text))
        if not config.enabled_servers:
            findings.append(Finding(Level.WARNING, str(path), ("mcpServers",), "no server is enabled"))
    return config, findings


def _of_passed_tokens(config: GatewayConfig) -> Iterator[tuple[KeyPath, str]]:
    """Yield the servers that get the access tokens of users, which MCP forbids ("Token Passthrough")."""
    if config.auth.jwt is None or config.auth.mode == "none":
        return
    for alias, server in config.enabled_servers.items():
        passed = server.passthroughHeaders if isinstance(server, HTTPServer) else ()
        for index, name in enumerate(passed):
            if name.lower() == "authorization":
                place = ("mcpServers", alias, "passthroughHeaders", index)
                yield (
                    place,
                    "this server gets the access tokens that users have for the gateway: take it away",
                )


def _of_programs(
    config: GatewayConfig, folder: Path, environ: Mapping[str, str]
) -> Iterator[tuple[KeyPath, str]]:
    for alias, server in config.enabled_servers.items():
        if not isinstance(server, StdioServer):
            continue
        cwd = folder / server.cwd if server.cwd is not None else Path()
        if not cwd.is_dir():
            yield ("mcpServers", alias, "cwd"), "this is no folder: make it, or name another"
            continue
        search = server.environment().get("PATH", environ.get("PATH"))
        beside = os.sep in server.command or "/" in server.command
        if shutil.which(str(cwd / server.command) if beside else server.command, path=search) is None:
            yield (
                ("mcpServers", alias, "command"),
                "there is no such program: install it, or give its whole path",
            )

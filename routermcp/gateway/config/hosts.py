"""Where programs that use MCP servers keep the list of their servers.

Sources: the documentation of each program, and of Windows' packaged applications, whose
``%APPDATA%`` is a folder of the package.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_CLINE = "globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json"


@dataclass(frozen=True, slots=True)
class Host:
    """A program that uses MCP servers.

    Attributes:
        name: What the program is called on the command line.
        title: What it calls itself.
        files: Its files below the places that :func:`host_files` knows.
        workspace_files: Its files below the folder of a workspace.
        bare_variables: Whether ``$NAME`` is a variable in its files.
    """

    name: str
    title: str
    files: tuple[str, ...]
    workspace_files: tuple[str, ...] = ()
    bare_variables: bool = False


#: ``{home}`` is the user's folder; ``{data}`` the one in which programs of the system keep their data
#: (``~/.config``, ``~/Library/Application Support``, ``%APPDATA%``); ``{packages}`` that of the data of
#: packaged applications, on Windows alone.
HOSTS = (
    Host(
        "claude-desktop",
        "Claude Desktop",
        (
            "{data}/Claude/claude_desktop_config.json",
            "{packages}/Claude_*/LocalCache/Roaming/Claude/claude_desktop_config.json",
        ),
    ),
    Host("claude-code", "Claude Code", ("{home}/.claude.json",), (".mcp.json",)),
    Host("cursor", "Cursor", ("{home}/.cursor/mcp.json",), (".cursor/mcp.json",)),
    Host(
        "vscode",
        "VS Code",
        (
            "{data}/Code/User/mcp.json",
            "{data}/Code/User/settings.json",
            "{data}/Code - Insiders/User/mcp.json",
        ),
        (".vscode/mcp.json",),
    ),
    Host("windsurf", "Windsurf", ("{home}/.codeium/windsurf/mcp_config.json",)),
    Host(
        "gemini-cli",
        "Gemini CLI",
        ("{home}/.gemini/settings.json",),
        (".gemini/settings.json",),
        bare_variables=True,
    ),
    Host(
        "cline",
        "Cline",
        (
            f"{{data}}/Code/User/{_CLINE}",
            f"{{data}}/Cursor/User/{_CLINE}",
            "{home}/.cline/data/settings/cline_mcp_settings.json",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class HostFile:
    """A file of a host.

    Attributes:
        host: The program, None for a file of which that is not known.
        path: Where it is.
        workspace: The folder that paths in it begin at, None for one that belongs to the user.
    """

    host: Host | None
    path: Path
    workspace: Path | None


def host_files(
    host: Host, workspace: Path, home: Path, environ: Mapping[str, str], platform: str = sys.platform
) -> Iterator[HostFile]:
    """Yield the files of a host that may be there, those of the workspace first.

    Args:
        host: The program.
        workspace: The folder of the workspace.
        home: The user's folder.
        environ: The variables of the process.
        platform: The system, as ``sys.platform`` names it.
    """
    for name in host.workspace_files:
        yield HostFile(host, workspace / name, workspace)
    places = _places(home, environ, platform)
    for pattern in host.files:
        place, _, below = pattern.partition("/")
        folder = places.get(place.strip("{}"))
        if folder is not None:
            found = sorted(folder.glob(below)) if "*" in below else [folder / below]
            yield from (HostFile(host, path, None) for path in found)


def _places(home: Path, environ: Mapping[str, str], platform: str) -> dict[str, Path]:
    if platform == "win32":
        local = Path(environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
        roaming = Path(environ.get("APPDATA") or home / "AppData" / "Roaming")
        return {"home": home, "data": roaming, "packages": local / "Packages"}
    if platform == "darwin":
        return {"home": home, "data": home / "Library" / "Application Support"}
    return {"home": home, "data": Path(environ.get("XDG_CONFIG_HOME") or home / ".config")}


def host_file(path: Path) -> HostFile:
    """Return a file that the user names, as one of the host whose files are called so."""
    resolved = Path(os.path.realpath(path.expanduser()))
    for host in HOSTS:
        for name in host.workspace_files:
            if resolved.as_posix().endswith(f"/{name}") and resolved.parent != Path.home() / ".gemini":
                return HostFile(host, resolved, Path(resolved.as_posix().removesuffix(f"/{name}")))
    of_host = (host for host in HOSTS if resolved.name in {name.rpartition("/")[2] for name in host.files})
    return HostFile(next(of_host, None), resolved, None)

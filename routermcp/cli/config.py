"""The commands of the configuration: ``config init``, ``import``, ``check`` and ``schema``."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from routermcp_proto.exceptions import ConfigError, printable

from .failures import ExitCode, UsageProblem, gateway_installed, reported
from .options import JsonOption
from .output import write_json, write_table

if TYPE_CHECKING:
    from ..gateway.config.errors import Finding
    from ..gateway.config.hosts import HostFile
    from ..gateway.config.importing import Import

#: Access rights of a configuration, which may hold secrets: for its owner alone.
PRIVATE = 0o600

DEFAULT_FILE = Path("routermcp.jsonc")


class _WritesByDefault(TyperGroup):
    """``config`` and ``config FILE`` are ``config init``, so that the first command of all stays short."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Name the command where none is named."""
        if not args or (args[0] not in self.commands and args[0] not in self.get_help_option_names(ctx)):
            args = ["init", *args]
        return super().parse_args(ctx, args)


app = typer.Typer()
commands = typer.Typer(cls=_WritesByDefault, help="Write, import and check configurations of the gateway.")
app.add_typer(commands, name="config")

ForceOption = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]


@commands.command("init")
def write_config(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")] = DEFAULT_FILE,
    *,
    force: ForceOption = False,
) -> None:
    """Write a commented configuration to begin with. 'routermcp config' does the same."""
    with gateway_installed(), reported(debug=False):
        from ..gateway.config.starter import starter  # noqa: PLC0415 - needs the extra

        _write(path, starter(sys.executable), force=force)
    _tell_written(path)


@commands.command("import")
def import_config(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="[HOST|FILE]...", help="Default: all hosts, from their usual places."),
    ] = None,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")] = (
        DEFAULT_FILE
    ),
    force: ForceOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be imported.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a configuration of the servers that other programs have.

    Hosts: claude-desktop, claude-code, cursor, vscode, windsurf, gemini-cli, cline. The file may hold
    their secrets: it is for you alone, and they are not shown.
    """
    with gateway_installed(), reported(debug=False):
        from ..gateway.config.importing import import_servers  # noqa: PLC0415 - needs the extra

        files = list(_host_files(sources or []))
        imported = import_servers(files, os.environ, workspace=Path.cwd(), target=output)
        if not imported.found:
            looked = ", ".join(imported.unread or dict.fromkeys(str(file.path) for file in files))
            raise ConfigError(f"no MCP server was found; looked at: {looked}")
        if imported.servers and not dry_run:
            _write(output, imported.text(), force=force)
    _show_import(imported, output, as_json=as_json)
    if not as_json and imported.servers and not dry_run:
        _tell_written(output)


def _host_files(sources: list[str]) -> Iterator[HostFile]:
    from ..gateway.config.hosts import HOSTS, host_file, host_files  # noqa: PLC0415 - needs the extra

    by_name = {host.name: host for host in HOSTS}
    for source in sources or by_name:
        if source in by_name:
            yield from host_files(by_name[source], Path.cwd(), Path.home(), os.environ)
        elif Path(source).expanduser().is_file():
            yield host_file(Path(source))
        else:
            raise UsageProblem(f"{source} is no file, and no host: the hosts are {', '.join(by_name)}")


def _show_import(imported: Import, output: Path, *, as_json: bool) -> None:
    rows = [
        {
            "alias": each.alias,
            "name": each.name,
            "host": each.source.host.name if each.source.host is not None else None,
            "file": str(each.source.path),
            "note": each.note,
        }
        for each in imported.found
    ]
    if as_json:
        findings = [_finding_members(each) for each in imported.findings]
        write_json({"file": str(output), "servers": rows, "findings": findings, "unread": imported.unread})
        return
    shown = [
        (str(row["alias"] or "-"), str(row["name"]), str(row["host"] or row["file"]), str(row["note"]))
        for row in rows
    ]
    write_table(("server", "name there", "host", "note"), shown, none="")
    for problem in imported.unread:
        sys.stderr.write(f"routermcp: not read: {printable(problem)}\n")
    _show_findings(imported.findings)


@commands.command("check")
def check_config(
    path: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="Default ./routermcp.jsonc, then ~/.routermcp/routermcp.jsonc."),
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Say everything that is wrong with a configuration.

    The exit code is 2 where there is an error: 'serve' would refuse the file or leave a server out.
    """
    with gateway_installed(), reported(debug=False):
        from ..gateway.config.check import check  # noqa: PLC0415 - needs the extra
        from ..gateway.config.errors import Finding, Level  # noqa: PLC0415
        from ..gateway.config.file import find  # noqa: PLC0415
        from ..gateway.factory import aggregate_of, application_of  # noqa: PLC0415

        found = path or find()
        if found is None:
            raise ConfigError("there is no routermcp.jsonc here or in ~/.routermcp: name a file")
        config, findings = check(found, os.environ)
        if config is not None:
            try:
                application_of(config, aggregate_of(config, folder=found.parent), folder=found.parent)
            except ConfigError as error:
                findings.insert(0, Finding(Level.ERROR, str(found), (), str(error)))
        broken = any(each.level is Level.ERROR for each in findings)
    if as_json:
        members = [_finding_members(each) for each in findings]
        write_json({"file": str(found), "ok": not broken, "findings": members})
    else:
        _show_findings(findings)
        servers = len(config.enabled_servers) if config is not None else 0
        state = f"findings: {len(findings)}" if findings else "nothing is wrong"
        typer.echo(f"{found}: {state}; servers in use: {servers}")
    if broken:
        raise typer.Exit(ExitCode.USAGE)


@commands.command("schema")
def write_schema() -> None:
    """Write the JSON Schema of the configuration, for editors.

    Save it as routermcp.schema.json and begin the configuration with "$schema": "./routermcp.schema.json".
    """
    with gateway_installed(), reported(debug=False):
        from ..gateway.config.schema import config_schema  # noqa: PLC0415 - needs the extra

        write_json(config_schema())


def _finding_members(finding: Finding) -> dict[str, str]:
    from ..gateway.config.errors import written_key_path  # noqa: PLC0415 - needs the extra

    place = written_key_path(finding.path) if finding.path else ""
    return {"level": finding.level, "file": finding.source, "place": place, "message": finding.text}


def _show_findings(findings: list[Finding]) -> None:
    for each in findings:
        typer.echo(printable(f"{each.source}: {each.level}: {each}"))


def _write(path: Path, text: str, *, force: bool) -> None:
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL)
    try:
        with open(os.open(path, flags, PRIVATE), "w", encoding="utf-8") as file:
            path.chmod(PRIVATE)  # one that was there may be open to others
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{path} is there already; --force writes over it") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error


def _tell_written(path: Path) -> None:
    typer.echo(f"wrote {path}; start the gateway with: routermcp serve --config {shlex.quote(str(path))}")

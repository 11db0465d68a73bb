"""The commands of the gateway: ``serve`` and ``status``."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from routermcp_proto.exceptions import ConfigError

from .daemon import IDLE_SECONDS, Daemon, announced
from .failures import ExitCode, gateway_installed, reported
from .options import ApiKeyOption, DebugOption, GatewayArgument, JsonOption, UrlOption
from .output import write_json, write_line, write_table
from .serving import (
    LOCAL_URL,
    HostOption,
    fetch_health,
    listening_errors,
    serve_gateway,
    servers_in,
)

if TYPE_CHECKING:
    from ..gateway.aggregate import Aggregate
    from ..gateway.config.model import GatewayConfig
    from ..gateway.serving.options import ServeOptions
    from ..gateway.telemetry.audit import OnAudited

#: Seconds between looks at the configuration with ``serve --reload``: as long as a save takes.
WATCH_SECONDS = 1.0


class LogFormat(StrEnum):
    """How the line of each call is written."""

    TEXT = "text"
    JSON = "json"


app = typer.Typer()

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Default ./routermcp.jsonc, then ~/.routermcp/routermcp.jsonc."
    ),
]
PortOption = Annotated[
    int | None,
    typer.Option("--port", "--http", metavar="PORT", min=0, max=65535, help="Default 5151; 0 for any."),
]


@app.command()
def serve(
    *,
    config: ConfigOption = None,
    host: HostOption = None,
    port: PortOption = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers", metavar="N", min=1, max=256, help="Processes; more than one need session.store."
        ),
    ] = 1,
    portable_names: Annotated[
        bool,
        typer.Option(
            "--portable-names", help="Names of tools that every host takes: alias__tool, at most 64 letters."
        ),
    ] = False,
    log_format: Annotated[
        LogFormat | None,
        typer.Option("--log-format", help="How the line of each call is written. Default text."),
    ] = None,
    reload: Annotated[
        bool, typer.Option("--reload", help="Take changes of the configuration while it runs.")
    ] = False,
    daemon_mode: Annotated[
        bool,
        typer.Option("--daemon-mode", help="As 'connect' starts it: end 10 s after the last client."),
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Serve the servers of a configuration behind one endpoint.

    On SIGHUP the configuration is read again.
    """
    with gateway_installed(), reported(debug=debug):
        from ..gateway.config.file import find, load  # noqa: PLC0415
        from ..gateway.factory import aggregate_of  # noqa: PLC0415 - needs the extra

        path = config or find()
        if path is None:
            raise ConfigError(
                "there is no routermcp.jsonc here or in ~/.routermcp: "
                "write one with 'routermcp config', or name one with --config"
            )
        from ..gateway.serving.options import ServeOptions  # noqa: PLC0415
        from ..gateway.telemetry.process_log import log_to_stderr  # noqa: PLC0415

        log_to_stderr(debug=debug)
        form = log_format.value if log_format is not None else None
        options = ServeOptions(host, port, form, portable_names, debug)

        def read() -> GatewayConfig:
            return options.applied_to(load(path, tolerant=True))

        settings = read()
        if reload:
            _watch_config_file(path)
        if workers > 1:
            _serve_workers(settings, path, workers, read, options)
        else:
            backend = aggregate_of(settings, folder=path.parent)
            on_hangup = _config_reloader(settings, backend, path, read)
            if not daemon_mode:
                serve_gateway(settings, backend, str(path), on_hangup, folder=path.parent)
                return
            with announced(path) as announce:
                serve_gateway(
                    settings,
                    backend,
                    str(path),
                    on_hangup,
                    folder=path.parent,
                    on_start=announce,
                    idle_seconds=IDLE_SECONDS,
                )


@app.command()
def status(
    gateway: GatewayArgument = None,
    *,
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show the state of a gateway and of the servers behind it.

    Without a URL and ROUTERMCP_URL it is the gateway of the configuration that 'serve' would use here.
    The exit code is 4 where a server has failed.
    """
    with reported(debug=debug):
        target = gateway or url or os.environ.get("ROUTERMCP_URL")
        if target is None:
            target, api_key = _gateway_here(api_key)
        document = fetch_health(target, api_key)
    servers = servers_in(document)
    if as_json:
        write_json(document)
    else:
        write_line(f"gateway: {document.get('status')}, {document.get('sessions', 'unknown')} sessions")
        write_table(
            ("server", "state", "problem"),
            [(server.alias, server.state, server.problem) for server in servers],
            none="it tells nothing of servers; show a key with --api-key",
        )
    if any(server.state == "failed" for server in servers):
        raise typer.Exit(ExitCode.SERVER_ERROR)


def _gateway_here(api_key: str | None) -> tuple[str, str | None]:
    """Return the URL of the gateway of the configuration here, and the key to show."""
    with gateway_installed():
        daemon = Daemon.of_project(None)
    if daemon is None:
        return LOCAL_URL, api_key
    running = daemon.running()
    # Another user's program at that port gets no key of the configuration.
    return (daemon.served_url, api_key) if running is None else (running, api_key or daemon.key)


def _config_reloader(
    settings: GatewayConfig, backend: Aggregate, path: Path, read: Callable[[], GatewayConfig]
) -> Callable[[OnAudited], None]:
    """Return what reads the configuration again; a broken one leaves the old one as it is."""
    from ..gateway.reload import changes_between, reload_backend  # noqa: PLC0415 - needs the extra
    from ..gateway.telemetry.audit import AuditedEvent  # noqa: PLC0415

    before = settings

    def read_again(on_audited: OnAudited) -> None:
        nonlocal before
        try:
            after = read()
            reload_backend(backend, before, after, folder=path.parent)
        except ConfigError as error:
            sys.stderr.write(f"routermcp: the configuration stays as it was: {error}\n")
            on_audited(AuditedEvent.CONFIG_REFUSED, {"file": str(path), "reason": str(error)})
        else:
            changes, before = changes_between(before, after), after
            aliases = ", ".join(backend.upstreams) or "no servers"
            sys.stderr.write(f"routermcp: {path} is read again ({aliases})\n")
            on_audited(AuditedEvent.CONFIG_RELOADED, {"file": str(path), **changes.details()})

    return read_again


def _watch_config_file(path: Path) -> None:
    """Send SIGHUP to this process when a file has changed."""
    if not hasattr(signal, "SIGHUP"):
        raise ConfigError("--reload needs SIGHUP, which this system does not have")
    ended = threading.Event()  # never set: the thread ends with the program

    def changed_at() -> int | None:
        try:
            return path.stat().st_mtime_ns
        except OSError:
            return None  # an editor that is replacing it

    def watch(seen: int | None) -> None:
        while not ended.wait(WATCH_SECONDS):
            now = changed_at()
            if now not in (seen, None):
                seen = now
                os.kill(os.getpid(), signal.SIGHUP)

    threading.Thread(target=watch, args=(changed_at(),), name="routermcp-reload", daemon=True).start()


def _serve_workers(
    config: GatewayConfig, path: Path, workers: int, read: Callable[[], GatewayConfig], options: ServeOptions
) -> None:
    from ..gateway.application import (  # noqa: PLC0415 - needs the extra
        CONFIG_VARIABLE,
        OPTIONS_VARIABLE,
        write_to_stderr,
    )
    from ..gateway.factory import aggregate_of, application_of  # noqa: PLC0415
    from ..gateway.reload import changes_between  # noqa: PLC0415
    from ..gateway.serving.bounds import ConnectionBounds  # noqa: PLC0415
    from ..gateway.serving.uvicorn import serve_workers  # noqa: PLC0415
    from ..gateway.telemetry.audit import AuditedEvent, Details, event_line  # noqa: PLC0415

    if config.session.store is None:
        raise ConfigError("several workers share their sessions: set session.store to redis://...")

    def try_out(config: GatewayConfig) -> None:
        """See that workers can use a configuration: a wrong one is told once, not by each of them."""
        application_of(config, aggregate_of(config, folder=path.parent), folder=path.parent)

    def note(event: AuditedEvent, details: Details) -> None:
        if config.log.audit:
            as_json = config.log.format == "json"
            write_to_stderr(event_line(datetime.now(UTC), event, details, as_json=as_json))

    before = config

    def may_restart() -> bool:
        nonlocal before
        try:
            after = read()
            try_out(after)
        except ConfigError as error:
            sys.stderr.write(f"routermcp: the configuration stays as it was: {error}\n")
            note(AuditedEvent.CONFIG_REFUSED, {"file": str(path), "reason": str(error)})
            return False
        changes, before = changes_between(before, after), after
        sys.stderr.write(f"routermcp: {path} is read again\n")
        note(AuditedEvent.CONFIG_RELOADED, {"file": str(path), **changes.details()})
        return True

    try_out(config)
    os.environ[CONFIG_VARIABLE] = str(path.resolve())
    os.environ[OPTIONS_VARIABLE] = options.to_text()
    listening = config.httpServer

    def tell(url: str) -> None:
        sys.stderr.write(f"routermcp: {path} at {url}/mcp ({workers} workers)\n")

    with listening_errors(config):
        serve_workers(
            "routermcp.gateway.application:create",
            host=listening.host,
            port=listening.port,
            workers=workers,
            on_start=tell,
            bounds=ConnectionBounds(per_address=listening.maxConnectionsPerAddress),
            drain_seconds=listening.drainSeconds,
            may_restart=may_restart,
        )

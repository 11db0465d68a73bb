"""The command ``serve``."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from routermcp_proto.exceptions import ConfigError

from ..daemon import IDLE_SECONDS, announced
from ..failures import gateway_installed, reported
from ..serving import serve_gateway
from .options import (
    ConfigOption,
    ListeningHostOption,
    LogFormatOption,
    PortableNamesOption,
    PortOption,
    ReloadOption,
    ServeDebugOption,
    WorkersOption,
)
from .reloading import config_reloader, hold_hangups, watch_config_file
from .workers import serve_with_workers

if TYPE_CHECKING:
    from ...gateway.config.model import GatewayConfig

app = typer.Typer()


@app.command()
def serve(
    *,
    config: ConfigOption = None,
    host: ListeningHostOption = None,
    port: PortOption = None,
    workers: WorkersOption = 1,
    portable_names: PortableNamesOption = False,
    log_format: LogFormatOption = None,
    reload: ReloadOption = False,
    daemon_mode: Annotated[
        bool,
        typer.Option(
            "--daemon-mode",
            help="As 'connect' starts it: end 10 s after the last client.",
        ),
    ] = False,
    debug: ServeDebugOption = False,
) -> None:
    """Serve the servers of a configuration behind one endpoint.

    On SIGHUP the configuration is read again. An option goes before its variable, and that before
    the configuration.
    """
    with gateway_installed(), reported(debug=debug):
        from ...gateway.config.file import check_is_file, find, load  # noqa: PLC0415
        from ...gateway.factory import aggregate_of  # noqa: PLC0415 - needs the extra

        path = config or find()
        if path is None:
            raise ConfigError(
                "there is no routermcp.jsonc here or in ~/.routermcp: "
                "write one with 'routermcp config', or name one with --config"
            )
        from ...gateway.serving.options import ServeOptions  # noqa: PLC0415
        from ...gateway.telemetry.process_log import log_to_stderr  # noqa: PLC0415

        form = log_format.value if log_format is not None else None
        log_to_stderr(debug=debug, as_json=form == "json")
        options = ServeOptions(host, port, form, portable_names, debug)

        def read() -> GatewayConfig:
            return options.applied_to(load(path, tolerant=True))

        def read_again() -> GatewayConfig:
            check_is_file(path)
            return read()

        release_hangups = hold_hangups()
        settings = read()
        log_to_stderr(debug=debug, as_json=settings.log.format == "json")
        if reload:
            watch_config_file(path)
        if workers > 1:
            serve_with_workers(settings, path, workers, read_again, options, release_hangups)
        else:
            backend = aggregate_of(settings, folder=path.parent)
            on_hangup = config_reloader(settings, backend, path, read_again)
            with announced(path) if daemon_mode else nullcontext(_tell_nobody) as announce:

                def on_start(url: str) -> None:
                    announce(url)
                    release_hangups()

                serve_gateway(
                    settings,
                    backend,
                    str(path),
                    on_hangup,
                    folder=path.parent,
                    on_start=on_start,
                    idle_seconds=IDLE_SECONDS if daemon_mode else None,
                )


def _tell_nobody(url: str) -> None:
    """Announce no daemon."""
    del url

"""How ``serve`` runs several worker processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from routermcp_proto.exceptions import ConfigError

from ..serving import listening_errors

if TYPE_CHECKING:
    from ...gateway.config.model import GatewayConfig
    from ...gateway.serving.options import ServeOptions


def serve_with_workers(
    config: GatewayConfig,
    path: Path,
    workers: int,
    read: Callable[[], GatewayConfig],
    options: ServeOptions,
    on_start: Callable[[], None],
) -> None:
    """Serve a configuration from several processes until SIGINT or SIGTERM.

    Args:
        config: The configuration.
        path: Its file.
        workers: The number of processes.
        read: Reads the file again.
        options: What they do otherwise than the file says; they find it in their environment.
        on_start: Called when signals are handled, before the workers start.

    Raises:
        ConfigError: Workers could not share their sessions, or the address cannot be listened on.
    """
    from ...gateway.application import CONFIG_VARIABLE  # noqa: PLC0415 - needs the extra
    from ...gateway.factory import aggregate_of, application_of  # noqa: PLC0415
    from ...gateway.reload import changes_between  # noqa: PLC0415
    from ...gateway.serving.bounds import ConnectionBounds  # noqa: PLC0415
    from ...gateway.serving.uvicorn import serve_workers  # noqa: PLC0415
    from ...gateway.telemetry.audit import AuditedEvent, Details, event_line  # noqa: PLC0415
    from ...gateway.telemetry.process_log import log_to_stderr, tell, write_to_stderr  # noqa: PLC0415

    if config.session.store is None:
        raise ConfigError("several workers share their sessions: set session.store to redis://...")

    def try_out(config: GatewayConfig) -> None:
        """See that workers can use a configuration: a wrong one is told once, not by each of them."""
        application_of(config, aggregate_of(config, folder=path.parent), folder=path.parent)

    def note(event: AuditedEvent, details: Details) -> None:
        if before.log.audit:
            as_json = before.log.format == "json"
            write_to_stderr(event_line(datetime.now(UTC), event, details, as_json=as_json))

    before = config

    def may_restart() -> bool:
        nonlocal before
        try:
            after = read()
            try_out(after)
        except Exception as error:  # noqa: BLE001 - it would end this process, and leave the workers behind
            tell(f"the configuration stays as it was: {error}")
            note(AuditedEvent.CONFIG_REFUSED, {"file": str(path), "reason": str(error)})
            return False
        changes, before = changes_between(before, after), after
        log_to_stderr(debug=options.debug, as_json=after.log.format == "json")
        tell(f"{path} is read again")
        note(AuditedEvent.CONFIG_RELOADED, {"file": str(path), **changes.details()})
        return True

    try_out(config)
    os.environ[CONFIG_VARIABLE] = os.path.realpath(path)
    listening = config.httpServer

    def listens_at(url: str) -> None:
        # The pages of the workers are at the port that 0 became.
        os.environ.update(replace(options, port=urlsplit(url).port).variables())
        tell(f"{path} at {url}/mcp ({workers} workers)")
        on_start()

    with listening_errors(config):
        serve_workers(
            "routermcp.gateway.application:create_for_supervisor",
            host=listening.host,
            port=listening.port,
            workers=workers,
            on_start=listens_at,
            bounds=ConnectionBounds(per_address=listening.maxConnectionsPerAddress),
            drain_seconds=listening.drainSeconds,
            may_restart=may_restart,
        )

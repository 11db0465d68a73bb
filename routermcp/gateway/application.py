"""The gateway as an application for several worker processes.

``routermcp serve --workers 4`` starts them; so does any ASGI server that takes a factory::

    ROUTERMCP_CONFIG=routermcp.jsonc uvicorn --factory routermcp.gateway.application:create --workers 4

The variables of :class:`ServeOptions` are its options in both ways.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from pathlib import Path

from routermcp_proto.exceptions import ConfigError, MCPError

from .config.file import find, load
from .factory import aggregate_of, application_of
from .http.project_gateway import ProjectGateway
from .serving.options import ServeOptions
from .serving.uvicorn import spare_the_collector
from .telemetry.process_log import log_to_stderr, write_to_stderr

#: The variable with the path of the configuration.
CONFIG_VARIABLE = "ROUTERMCP_CONFIG"

_logger = logging.getLogger("routermcp.gateway")


def create(*, quiet: bool = False) -> ProjectGateway:
    """Return the application that the configuration describes, for a process that does nothing but serve.

    Args:
        quiet: Do not tell what has no effect in the configuration.

    Raises:
        ConfigError: The configuration is missing or wrong.
    """
    named = os.environ.get(CONFIG_VARIABLE)
    path = Path(named) if named else find()
    if path is None:
        raise ConfigError(f"set {CONFIG_VARIABLE} to the path of a routermcp.jsonc")
    options = ServeOptions.from_environment(os.environ)
    log_to_stderr(debug=options.debug, as_json=options.log_format == "json")
    end_with_supervisor()
    config = options.applied_to(load(path, tolerant=True, quiet=quiet))
    log_to_stderr(debug=options.debug, as_json=config.log.format == "json")
    # The objects of now stay: this is a worker, and loads nothing more.
    spare_the_collector()
    return application_of(
        config, aggregate_of(config, folder=path.parent), folder=path.parent, write_log=write_to_stderr
    )


def create_for_supervisor() -> ProjectGateway:
    """Return the application for a worker of ``routermcp serve``, which has told of the configuration itself.

    Raises:
        SystemExit: It cannot be made; the log says why.
    """
    from .serving.supervisor import leave_terminal_signals_to_supervisor  # noqa: PLC0415 - needs uvicorn

    leave_terminal_signals_to_supervisor()
    try:
        return create(quiet=True)
    except Exception as error:
        # Raised, it would be a traceback past the log.
        _logger.error("a worker does not start: %s", error, exc_info=not isinstance(error, MCPError))
        raise SystemExit(1) from error


def end_with_supervisor() -> None:
    """End this worker when the process that started it has: it would keep the port, out of reach."""
    supervisor = multiprocessing.parent_process()
    if supervisor is None:
        return

    def watch() -> None:
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="routermcp-supervisor", daemon=True).start()

"""The options of ``serve``, each of which a variable of the environment may give."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from routermcp_proto.http.numbers import whole_number

from ..._internal import is_service_link
from ..daemon import MAX_PORT


class LogFormat(StrEnum):
    """How the line of each call is written."""

    TEXT = "text"
    JSON = "json"


def _read_port(text: str) -> int | None:
    """Read a port; a link of Kubernetes says nothing.

    Raises:
        typer.BadParameter: It is something else.
    """
    if is_service_link(text):
        return None
    port = whole_number(text, MAX_PORT + 1)
    if port is None or port > MAX_PORT:
        raise typer.BadParameter(f"{text!r} is no port: give 0 to {MAX_PORT}")
    return port


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Default ./routermcp.jsonc, then ~/.routermcp/routermcp.jsonc.",
        envvar="ROUTERMCP_CONFIG",
    ),
]
ListeningHostOption = Annotated[
    str | None,
    typer.Option("--host", metavar="ADDRESS", help="Default 127.0.0.1.", envvar="ROUTERMCP_HOST"),
]
PortOption = Annotated[
    int | None,
    typer.Option(
        "--port",
        "--http",
        metavar="PORT",
        parser=_read_port,
        help="Default 5151; 0 for any.",
        envvar="ROUTERMCP_PORT",
    ),
]
WorkersOption = Annotated[
    int,
    typer.Option(
        "--workers",
        metavar="N",
        min=1,
        max=256,
        help="Processes; more than one need session.store.",
        envvar="ROUTERMCP_WORKERS",
    ),
]
PortableNamesOption = Annotated[
    bool,
    typer.Option(
        "--portable-names",
        help="Names of tools that every host takes: alias__tool, at most 64 letters.",
        envvar="ROUTERMCP_PORTABLE_NAMES",
    ),
]
LogFormatOption = Annotated[
    LogFormat | None,
    typer.Option(
        "--log-format",
        help="How the line of each call is written. Default text.",
        envvar="ROUTERMCP_LOG_FORMAT",
    ),
]
ReloadOption = Annotated[
    bool,
    typer.Option(
        "--reload", help="Take changes of the configuration while it runs.", envvar="ROUTERMCP_RELOAD"
    ),
]
ServeDebugOption = Annotated[
    bool,
    typer.Option(
        "--debug",
        help="Show the traffic, and where errors come from, on standard error.",
        envvar="ROUTERMCP_DEBUG",
    ),
]

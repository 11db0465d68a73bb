"""The command for a server as a whole: ``ping``."""

from __future__ import annotations

import time

import typer

from ..client_commands import client_command
from ..options import ClientOptions, JsonOption
from ..output import write_json, write_text

app = typer.Typer()


@client_command(app)
def ping(*, options: ClientOptions, as_json: JsonOption = False) -> None:
    """See that the server answers, and how long that takes."""
    with options.connected() as client:
        started = time.perf_counter()
        client.ping()
        milliseconds = round((time.perf_counter() - started) * 1000, 2)
        server = client.server
    assert server is not None  # noqa: S101 - it is connected
    info = server.serverInfo
    if as_json:
        write_json(
            {
                "milliseconds": milliseconds,
                "protocolVersion": server.protocolVersion,
                "serverInfo": info.to_wire(),
            }
        )
        return
    write_text(
        f"{info.name} {info.version} answered in {milliseconds} ms, speaking MCP {server.protocolVersion}"
    )

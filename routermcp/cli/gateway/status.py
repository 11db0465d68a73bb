"""The command ``status``."""

from __future__ import annotations

import os

import typer

from ..failures import ExitCode, reported
from ..options import ApiKeyOption, DebugOption, GatewayArgument, JsonOption, UrlOption
from ..output import write_json, write_line, write_table
from ..serving import LOCAL_URL, fetch_health, servers_in
from ..targets import ServerTarget, gateway_here

app = typer.Typer()


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
            here = gateway_here(must_run=False) or ServerTarget(url=LOCAL_URL)
            target, api_key = here.place, api_key or here.api_key or None
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

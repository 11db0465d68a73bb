"""The command ``status``."""

from __future__ import annotations

import os

import typer

from ..daemon import Daemon
from ..failures import ExitCode, gateway_installed, reported
from ..options import ApiKeyOption, DebugOption, GatewayArgument, JsonOption, UrlOption
from ..output import write_json, write_line, write_table
from ..serving import LOCAL_URL, fetch_health, servers_in

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

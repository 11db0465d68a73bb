"""The commands for signing in."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime
from typing import Annotated

import typer

from .. import SyncRouterMCPClient
from ..oauth._access import Connection, ConnectionState
from ..oauth.receiver import DEFAULT_PORT, LoopbackReceiver, on_standard_error, show_page
from ..types import AuthorizationRequiredError, ConfigError
from .options import (
    ApiKeyOption,
    ClientOptions,
    DebugOption,
    JsonOption,
    TimeoutOption,
    UrlOption,
    UserIdOption,
)
from .output import write_json, write_table

app = typer.Typer(
    name="auth",
    help="Sign in at servers. Tokens are kept in ~/.routermcp/mcp-oauth/, for all commands.",
    no_args_is_help=True,
)

#: Milliseconds for a user to come back, who may have to look for a password.
SIGN_IN_TIMEOUT = 600_000

ServerArgument = Annotated[
    str | None,
    typer.Argument(metavar="SERVER", help="Alias of a server behind the gateway; else the server itself."),
]


@app.command()
def login(
    server: ServerArgument = None,
    *,
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
    user_id: UserIdOption = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open a browser, or only show the page's URL.")
    ] = True,
    port: Annotated[
        int,
        typer.Option("--port", min=1, max=65535, help="Where the browser comes back to, on this machine."),
    ] = DEFAULT_PORT,
    debug: DebugOption = False,
) -> None:
    """Sign in, in a browser."""
    receiver = LoopbackReceiver(port, browser, elsewhere="--port")
    options = ClientOptions(url, api_key, user_id, SIGN_IN_TIMEOUT, debug)
    with options.connected(authorize=receiver, interaction_timeout=SIGN_IN_TIMEOUT) as client:
        if server is None:
            here = client.server_id
            if not any(each.server_id == here and _good(each) for each in client.connections()):
                request = client.authorize()
                request.complete(receiver(request.url))
            typer.echo(f"signed in at {here}")
            return
        if any(each.server_id == server and _good(each) for each in client.connections()):
            typer.echo(f"signed in at {server} already")
            return
        request = client.authorize(server)
        show_page(request.url, on_standard_error, open_browser=browser)
        request.wait(timeout=SIGN_IN_TIMEOUT)
        typer.echo(f"signed in at {server}")


@app.command()
def status(
    *,
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
    user_id: UserIdOption = None,
    timeout: TimeoutOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show where you are signed in."""
    options = ClientOptions(url, api_key, user_id, timeout, debug)
    with options.made() as client:
        _reach(client)
        found = client.connections()
        client.disconnect()
    if as_json:
        write_json(
            {
                "connections": [
                    {
                        "server": each.server_id,
                        "state": each.state.value,
                        "expiresAt": each.expires_at,
                        "scopes": list(each.scopes),
                    }
                    for each in found
                ]
            }
        )
        return
    rows = [
        (each.server_id, each.state.value.replace("_", " "), _until(each), " ".join(each.scopes))
        for each in found
    ]
    write_table(("server", "state", "token until", "scopes"), rows, none="you are signed in nowhere")


@app.command()
def revoke(
    server: ServerArgument = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="At all servers of auth status.")] = False,
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
    user_id: UserIdOption = None,
    timeout: TimeoutOption = None,
    debug: DebugOption = False,
) -> None:
    """Give tokens back, and forget them."""
    with ClientOptions(url, api_key, user_id, timeout, debug).made() as client:
        if everything and server is not None:
            raise ConfigError("give either a server or --all")
        _reach(client)
        place = server or client.server_id
        signed_in = {each.server_id for each in client.connections() if _has_tokens(each)}
        if everything:
            client.revoke_all()
        else:
            client.revoke(server)
        client.disconnect()
    if everything:
        typer.echo("signed out at all servers" if signed_in else "you are signed in nowhere")
    else:
        typer.echo(f"signed out at {place}" if place in signed_in else f"you are not signed in at {place}")


def _reach(client: SyncRouterMCPClient) -> None:
    """Connect, as a gateway knows more than the files of this machine."""
    with contextlib.suppress(AuthorizationRequiredError):
        client.connect()


def _good(connection: Connection) -> bool:
    return connection.state is ConnectionState.CONNECTED


def _has_tokens(connection: Connection) -> bool:
    return connection.state in (ConnectionState.CONNECTED, ConnectionState.EXPIRED)


def _until(connection: Connection) -> str:
    if connection.expires_at is None:
        return ""
    if connection.expires_at <= time.time():
        return "renewed when needed" if _good(connection) else "ended"
    return datetime.fromtimestamp(connection.expires_at, UTC).strftime("%Y-%m-%d %H:%M UTC")

"""The commands for signing in."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from .. import SyncRouterMCPClient
from ..oauth.browser import on_standard_error, show_page
from ..oauth.config import CALLBACK_PORT
from ..oauth.device import DeviceCode
from ..oauth.flows.connections import Connection, ConnectionState
from ..oauth.presets import PRESETS
from ..types import AuthorizationRequiredError, ConfigError, LocalProtocolError, MCPError, TransportError
from .client_commands import client_command, takes_client_options
from .failures import UsageProblem, as_options, complain, reported
from .options import (
    ApiKeyOption,
    ClientOptions,
    DebugOption,
    JsonOption,
    UrlOption,
    UserIdOption,
)
from .output import write_json, write_table
from .sign_in import SignInOptions

app = typer.Typer(
    name="auth",
    help="Sign in at servers. Tokens are kept in ~/.routermcp/mcp-oauth/, for all commands.",
    no_args_is_help=True,
)

#: Milliseconds for a user to come back, perhaps after looking for a password.
SIGN_IN_TIMEOUT = 600_000

ServerArgument = Annotated[
    str | None,
    typer.Argument(metavar="SERVER", help="Alias of a server behind the gateway; else the server itself."),
]


@app.command()
def login(  # noqa: PLR0913 - its options
    server: ServerArgument = None,
    *,
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
    user_id: UserIdOption = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open a browser, or only show the page's URL.")
    ] = True,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            min=1,
            max=65535,
            help=f"Where the browser comes back to, on this machine. Default {CALLBACK_PORT}.",
        ),
    ] = None,
    paste: Annotated[
        bool,
        typer.Option("--paste", help="Listen on no port: read the browser's last address, or a code, here."),
    ] = False,
    device: Annotated[
        bool, typer.Option("--device", help="Show a code to be entered on any device, such as a phone.")
    ] = False,
    redirect_uri: Annotated[
        str | None,
        typer.Option(
            "--redirect-uri", metavar="URL", help="Where your application lets its users come back to."
        ),
    ] = None,
    client_id: Annotated[
        str | None,
        typer.Option("--client-id", metavar="ID", help="Id of an application that you registered by hand."),
    ] = None,
    client_secret_file: Annotated[
        Path | None,
        typer.Option("--client-secret-file", metavar="FILE", help="The file that holds its secret."),
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="SCOPE", help="Ask for exactly these scopes. Repeatable."),
    ] = None,
    issuer: Annotated[
        str | None,
        typer.Option("--issuer", metavar="URL", help="The authorization server; no other is asked."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset", metavar="NAME[=VALUE]", help=f"Settings for a vendor: {', '.join(PRESETS)}."
        ),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param", metavar="KEY=VALUE", help="A further parameter of the sign-in page. Repeatable."
        ),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Sign in, in a browser.

    Over SSH, and with --no-browser, the address at which the browser ends may be pasted here.
    """
    sign_in = SignInOptions(
        browser,
        port,
        paste,
        device,
        redirect_uri,
        client_id,
        client_secret_file,
        scope or (),
        issuer,
        preset,
        param or (),
    )
    options = ClientOptions(url, api_key, user_id, SIGN_IN_TIMEOUT, debug)
    with reported(debug=debug):
        receiver = sign_in.receiver()
    with options.connected(partial(sign_in.settings, receiver), SIGN_IN_TIMEOUT) as client:
        if server is None:
            here = client.server_id
            if not any(each.server_id == here and _is_connected(each) for each in client.connections()):
                if isinstance(receiver, DeviceCode):
                    raise UsageProblem(f"{here} lets this program in as it is; --device is of no use there")
                request = client.authorize()
                request.complete(receiver(request.url))
            typer.echo(f"signed in at {here}")
            return
        if any(each.server_id == server and _is_connected(each) for each in client.connections()):
            typer.echo(f"signed in at {server} already")
            return
        request = client.authorize(server)
        show_page(request.url, on_standard_error, open_browser=browser)
        request.wait(timeout=SIGN_IN_TIMEOUT)
        typer.echo(f"signed in at {server}")


@client_command(app)
def status(*, options: ClientOptions, as_json: JsonOption = False) -> None:
    """Show where you are signed in."""
    with options.made() as client:
        failure = _connect_for_auth(client)
        if failure is not None:
            _go_on_without(failure)
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
        (each.server_id, each.state.value.replace("_", " "), _expiry_text(each), " ".join(each.scopes))
        for each in found
    ]
    write_table(("server", "state", "token until", "scopes"), rows, none="you are signed in nowhere")


@app.command()
@takes_client_options
def revoke(
    server: ServerArgument = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="At all servers of auth status.")] = False,
    forget_client: Annotated[
        bool,
        typer.Option(
            "--forget-client",
            help="Drop the registration of this program too: the next login makes a new one.",
        ),
    ] = False,
    options: ClientOptions,
) -> None:
    """Give tokens back, and forget them."""
    with options.made() as client:
        if everything and server is not None:
            raise ConfigError("give either a server or --all")
        if everything and forget_client:
            raise ConfigError("--forget-client is for one server: leave out --all")
        failure = _connect_for_auth(client)
        before = client.connections()
        if failure is not None:
            if server is not None and all(each.server_id != server for each in before):
                raise failure
            _go_on_without(failure)
        place = server or client.server_id
        try:
            if everything:
                client.revoke_all()
            else:
                client.revoke(server, forget_client=forget_client)
        except TransportError as error:
            if not _signed_in(client.connections(), None if everything else place):
                error.add_note("the tokens are forgotten on this machine all the same")
            raise
        client.disconnect()
    places = _signed_in(before, None if everything else place)
    if places:
        typer.echo(f"signed out at {', '.join(places)}")
    else:
        typer.echo("you are signed in nowhere" if everything else f"you are not signed in at {place}")


def _connect_for_auth(client: SyncRouterMCPClient) -> MCPError | None:
    """Connect, as a gateway knows more than the files of this machine; return why that cannot be."""
    try:
        client.connect()
    except (ConfigError, LocalProtocolError):
        raise
    except AuthorizationRequiredError:
        return None
    except MCPError as error:
        return error
    return None


def _go_on_without(failure: MCPError) -> None:
    complain(f"{as_options(str(failure))}; going on with the tokens of this machine")


def _is_connected(connection: Connection) -> bool:
    return connection.state is ConnectionState.CONNECTED


def _signed_in(connections: Sequence[Connection], place: str | None) -> list[str]:
    """Return the servers of which there are tokens; only the given one, where one is given."""
    held = (ConnectionState.CONNECTED, ConnectionState.EXPIRED)
    return [each.server_id for each in connections if each.state in held and place in (None, each.server_id)]


def _expiry_text(connection: Connection) -> str:
    if connection.expires_at is None:
        return ""
    if connection.expires_at <= time.time():
        return "renewed when needed" if _is_connected(connection) else "ended"
    return datetime.fromtimestamp(connection.expires_at, UTC).strftime("%Y-%m-%d %H:%M UTC")

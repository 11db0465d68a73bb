"""The commands for signing in."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import typer

from routermcp_proto.oauth.discovery import NoMetadataError

from .. import SyncRouterMCPClient
from ..oauth.browser import on_standard_error, show_page
from ..oauth.device import DeviceCode
from ..oauth.flows.connections import Connection, ConnectionState
from ..oauth.loopback import LoopbackReceiver
from ..types import (
    AuthorizationRequiredError,
    ConfigError,
    LocalProtocolError,
    MCPError,
    MethodNotFoundError,
    TransportError,
)
from .client_commands import client_command, takes_client_options
from .failures import UsageProblem, as_options, complain, reported
from .options import ClientOptions, JsonOption
from .output import write_json, write_line, write_table
from .sign_in import Receiver, SignInOptions
from .targets import default_target, is_target, named_target

app = typer.Typer(
    name="auth",
    help="Sign in at servers. Tokens are kept in ~/.routermcp/mcp-oauth/, for all commands.",
    no_args_is_help=True,
)

#: Milliseconds for a user to come back, perhaps after looking for a password.
SIGN_IN_TIMEOUT = 600_000

ServerArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="SERVER", help="URL of a server, FILE:NAME of one, or its alias behind the gateway at --url."
    ),
]


@app.command()
@takes_client_options
def login(server: ServerArgument = None, *, options: ClientOptions, sign_in: SignInOptions) -> None:
    """Sign in, in a browser.

    Over SSH, and with --no-browser, the address at which the browser ends may be pasted here.
    """
    with reported(debug=options.debug):
        receiver = sign_in.receiver()
        server, options = _at_server(server, options)
    if options.timeout is None:
        options = replace(options, timeout=SIGN_IN_TIMEOUT)
    with options.made(partial(sign_in.settings, receiver), SIGN_IN_TIMEOUT) as client, client:
        if server is None:
            _sign_in_here(client, receiver, sign_in.redirect_uri)
        else:
            _sign_in_behind_gateway(client, server, open_browser=sign_in.browser)


def _sign_in_here(client: SyncRouterMCPClient, receiver: Receiver, redirect_uri: str | None) -> None:
    """Sign in at the server itself, unless connecting to it has done that already."""
    here = client.server_id
    if not any(each.server_id == here and _is_connected(each) for each in client.connections()):
        if isinstance(receiver, DeviceCode):
            raise UsageProblem(f"{here} lets this program in as it is; --device is of no use there")
        if isinstance(receiver, LoopbackReceiver):
            receiver.check_redirect_uri(redirect_uri)
        try:
            request = client.authorize()
        except NoMetadataError:
            with suppress(MethodNotFoundError):
                client.list_tools()  # some servers refuse only what comes after the handshake
            write_line(f"{here} asks for no sign-in: it lets this program in as it is")
            return
        request.complete(receiver(request.url))
    write_line(f"signed in at {here}")


def _sign_in_behind_gateway(client: SyncRouterMCPClient, server: str, *, open_browser: bool) -> None:
    """Sign in at a server that the gateway keeps the tokens of."""
    if any(each.server_id == server and _is_connected(each) for each in client.connections()):
        write_line(f"signed in at {server} already")
        return
    try:
        request = client.authorize(server)
    except MethodNotFoundError:
        raise UsageProblem(
            f"users sign in at no server behind {client.server_id}, and so not at {server!r}: "
            'at a gateway they do where a server has "authType": "oauth"'
        ) from None
    show_page(request.url, on_standard_error, open_browser=open_browser)
    request.wait(timeout=SIGN_IN_TIMEOUT)
    write_line(f"signed in at {server}")


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
    with reported(debug=options.debug):
        server, options = _at_server(server, options)
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
        write_line(f"signed out at {', '.join(places)}")
    else:
        write_line("you are signed in nowhere" if everything else f"you are not signed in at {place}")


def _at_server(server: str | None, options: ClientOptions) -> tuple[str | None, ClientOptions]:
    """Return the alias behind a gateway, if one is meant, and the options with the server or the gateway.

    Raises:
        UsageProblem: The server is named twice, or does not exist, or the gateway is not running.
    """
    if server is None or not is_target(server):
        return server, options if options.url is not None else replace(options, target=default_target())
    if options.url is not None:
        raise UsageProblem(f"the server is named twice: by {server!r} and by --url")
    return None, replace(options, target=named_target(server))


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
    try:
        return datetime.fromtimestamp(connection.expires_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError):  # a server said so
        return "never ends"

"""The settings with which the gateway reaches a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from routermcp_adapters.streams.base import Transport
from routermcp_adapters.streams.stdio import stdio

from ... import __version__
from ..._internal import ClientSettings, Options, resolve
from ...oauth.config import OAuthConfig
from ...oauth.flows.users import OAuthUsers


def over_http(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    bearer: str | None = None,
    protocol: str = "auto",
    sse: bool = False,
    oauth: OAuthConfig | None = None,
    tag: Callable[[str], str] | None = None,
) -> ClientSettings:
    """Return the settings for a server over HTTP.

    Args:
        url: The server's URL.
        headers: More headers for every request.
        bearer: The token of ``Authorization``.
        protocol: ``"auto"``, or a revision to insist on.
        sse: It speaks HTTP+SSE, the transport before Streamable HTTP.
        oauth: How users sign in there.
        tag: Returns the end of the ``state`` of a user's sign-ins.

    Raises:
        ConfigError: One of them is wrong.
    """
    settings = settings_for(url, None, headers=headers, bearer=bearer, protocol=protocol, sse=sse)
    if oauth is None or settings.endpoint is None:
        return settings
    users = OAuthUsers(settings.endpoint, oauth, tag) if tag else OAuthUsers(settings.endpoint, oauth)
    return replace(settings, oauth=users)


def over_stdio(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    protocol: str = "auto",
) -> ClientSettings:
    """Return the settings for a server that is started as a child process.

    Args:
        command: Program and arguments.
        env: Variables for it, beside the few that every program needs.
        cwd: The folder to start it in.
        protocol: ``"auto"``, or a revision to insist on.

    Raises:
        ConfigError: One of them is wrong.
    """
    return settings_for(None, stdio(command, env=env, cwd=cwd), protocol=protocol)


def settings_for(
    url: str | None,
    transport: Transport | None,
    *,
    headers: Mapping[str, str] | None = None,
    bearer: str | None = None,
    protocol: str,
    sse: bool = False,
) -> ClientSettings:
    """Return settings with the values that all servers behind the gateway share."""
    options = Options(
        url=url,
        api_key=bearer,
        headers=headers,
        protocol=protocol,
        sse=sse,
        client_info={"name": "routermcp-gateway", "version": __version__},
        transport=transport,
    )
    # The variables are for clients of a gateway; no server shall get the gateway's key.
    return resolve(options, environment={})

"""The commands between transports: ``proxy``, stdio over HTTP, and ``connect``, a gateway over stdio."""

from __future__ import annotations

import asyncio
import os
import shlex
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from routermcp_proto.exceptions import ConfigError

from .daemon import Daemon
from .failures import gateway_installed, reported
from .options import ApiKeyOption, GatewayArgument, UrlOption, UserIdOption, signed_in
from .serving import LOCAL_URL, HostOption, serve_application
from .targets import variables_of

if TYPE_CHECKING:
    from ..gateway.upstreams.upstream import Upstream

#: The port of ``proxy``, that of the product.
PROXY_PORT = 8000

#: Milliseconds for the server of ``proxy`` to start: ``npx`` and ``docker run`` load a program first.
START_MS = 180_000

#: Seconds between looks whether the daemon is still there.
DAEMON_SECONDS = 1.0

#: Seconds between two attempts to start one that does not start, at most.
LONGEST_RESTART_SECONDS = 60.0


class OutputTransport(StrEnum):
    """The transport that ``proxy`` serves."""

    SSE = "sse"
    STREAMABLE_HTTP = "streamableHttp"


app = typer.Typer()

BridgeDebugOption = Annotated[
    bool,
    typer.Option(
        "--debug", "-v", "--verbose", help="Show the traffic, and where errors come from, on standard error."
    ),
]


@app.command()
def proxy(
    *,
    stdio: Annotated[
        str, typer.Option("--stdio", metavar="COMMAND", help="The server to start, as typed into a shell.")
    ],
    env: Annotated[
        list[str] | None,
        typer.Option(
            "--env",
            metavar="NAME[=VALUE]",
            help="A variable for the server; without value, yours. Repeatable.",
        ),
    ] = None,
    host: HostOption = None,
    port: Annotated[
        int, typer.Option("--port", "-p", metavar="PORT", min=0, max=65535, help="0 for any.")
    ] = PROXY_PORT,
    output_transport: Annotated[
        OutputTransport | None,
        typer.Option("--output-transport", "--outputTransport", help="Serve only this one. Default both."),
    ] = None,
    stateful: Annotated[
        bool,
        typer.Option("--stateful", help="A process for the session of each client. Default one for all."),
    ] = False,
    base_path: Annotated[
        str, typer.Option("--base-path", "--basePath", metavar="PATH", help="Stands in front of all paths.")
    ] = "",
    sse_path: Annotated[str, typer.Option("--sse-path", "--ssePath", metavar="PATH")] = "/sse",
    message_path: Annotated[
        str, typer.Option("--message-path", "--messagePath", metavar="PATH")
    ] = "/message",
    http_path: Annotated[
        str, typer.Option("--streamable-http-path", "--streamableHttpPath", metavar="PATH")
    ] = "/mcp",
    debug: BridgeDebugOption = False,
) -> None:
    """Serve one stdio server over HTTP, names untouched: Streamable HTTP and HTTP+SSE."""
    with gateway_installed(), reported(debug=debug):
        from ..gateway.catalog.server_names import ServerNaming  # noqa: PLC0415 - needs the extra
        from ..gateway.config.model import GatewayConfig  # noqa: PLC0415
        from ..gateway.factory import application_of, hosts_of  # noqa: PLC0415
        from ..gateway.serving.legacy_sse import LegacySSEApp  # noqa: PLC0415
        from ..gateway.serving.options import ServeOptions  # noqa: PLC0415
        from ..gateway.serving.proxy_app import ProxyApp  # noqa: PLC0415
        from ..gateway.single import SingleServer  # noqa: PLC0415
        from ..gateway.upstreams.targets import over_stdio  # noqa: PLC0415
        from ..gateway.upstreams.times import DEFAULT_TIMES  # noqa: PLC0415
        from ..gateway.upstreams.upstream import Upstream  # noqa: PLC0415

        command = shlex.split(stdio)
        if not command:
            raise ConfigError("--stdio names no command")
        from ..gateway.telemetry.process_log import log_to_stderr, tell, write_to_stderr  # noqa: PLC0415

        log_to_stderr(debug=debug)
        upstream = Upstream(
            "server",
            over_stdio(command, env=variables_of(env or [])),
            names=ServerNaming("server"),
            one_session=not stateful,
            tells_reason=True,
            times=replace(DEFAULT_TIMES, connect_ms=START_MS),
        )
        config = ServeOptions(host, port).applied_to(GatewayConfig())
        backend = SingleServer(upstream)
        base = base_path.rstrip("/")
        sse, message, http = (_checked_path(base + path) for path in (sse_path, message_path, http_path))
        legacy = None
        if output_transport is not OutputTransport.STREAMABLE_HTTP:
            legacy = LegacySSEApp(
                backend, path=sse, message_path=message, allowed_hosts=hosts_of(config.httpServer.host)
            )
        gateway = application_of(config, backend, write_log=write_to_stderr, path=http)
        app = ProxyApp(backend, gateway, legacy, streamable=output_transport is not OutputTransport.SSE)

        def listens_at(url: str) -> None:
            also = f", {sse}" if legacy is not None and app.path != sse else ""
            tell(f"{command[0]} at {url}{also}")

        serve_application(app, config, listens_at)


def _checked_path(path: str) -> str:
    if not path.startswith("/") or not path.isascii() or any(each in path for each in "?# \r\n"):
        raise ConfigError(f"{path!r} is no path: begin it with /")
    return path.rstrip("/") or "/"


@app.command()
def connect(
    gateway: GatewayArgument = None,
    *,
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
    user_id: UserIdOption = None,
    project: Annotated[
        Path | None,
        typer.Option("--project", metavar="PATH", help="The folder of a configuration. Default this one."),
    ] = None,
    dotted_names: Annotated[
        bool, typer.Option("--dotted-names", help="Names of tools as the gateway has them.")
    ] = False,
    debug: BridgeDebugOption = False,
) -> None:
    """Speak stdio here and HTTP to a gateway, for hosts that only start programs.

    Without a URL and ROUTERMCP_URL it is the gateway of the configuration that 'serve' would use here.
    Where none runs, one is started, which all clients share and which ends 10 seconds after the last.
    """
    with reported(debug=debug):
        from ..gateway.catalog.server_names import ServerNaming  # noqa: PLC0415
        from ..gateway.names import DOTTED, PORTABLE  # noqa: PLC0415 - for this command only
        from ..gateway.serving.stdio import serve_stdio  # noqa: PLC0415
        from ..gateway.single import SingleServer  # noqa: PLC0415
        from ..gateway.telemetry.process_log import log_to_stderr  # noqa: PLC0415
        from ..gateway.upstreams.targets import over_http  # noqa: PLC0415
        from ..gateway.upstreams.upstream import Upstream  # noqa: PLC0415

        log_to_stderr(debug=debug)
        target = gateway or url or os.environ.get("ROUTERMCP_URL")
        key = api_key or os.environ.get("ROUTERMCP_API_KEY")
        user = user_id or os.environ.get("ROUTERMCP_USER_ID")
        daemon = None
        if target is None:
            with gateway_installed():
                daemon = Daemon.of_project(project)
        if daemon is not None:
            key = key or daemon.key
            target = daemon.ensure()
        settings = over_http(
            target or LOCAL_URL,
            bearer=key,
            headers={"X-RouterMCP-User-Id": user} if user else None,
            oauth=signed_in(),
        )
        if user:
            settings = settings.for_user(user)
        names = ServerNaming("gateway", DOTTED if dotted_names else PORTABLE)

        async def run() -> None:
            upstream = Upstream("gateway", settings, names=names, tells_reason=True)
            backend = SingleServer(upstream)
            watching = asyncio.create_task(_keep_running(daemon, upstream)) if daemon is not None else None
            try:
                await backend.begin()
                await serve_stdio(backend)
            finally:
                if watching is not None:
                    watching.cancel()
                await backend.close()

        asyncio.run(run())


async def _keep_running(daemon: Daemon, upstream: Upstream) -> None:
    """Start the daemon again when it was ended, at the port where this client looks for it."""
    from ..gateway.telemetry.process_log import tell  # noqa: PLC0415 - for this command only
    from ..gateway.upstreams.availability import UpstreamState  # noqa: PLC0415

    pause = DAEMON_SECONDS
    while True:
        await asyncio.sleep(pause)
        if upstream.state is not UpstreamState.FAILED:
            pause = DAEMON_SECONDS
            continue
        try:
            await asyncio.to_thread(daemon.start)
        except ConfigError as error:
            tell(str(error))
            pause = min(2 * pause, LONGEST_RESTART_SECONDS)

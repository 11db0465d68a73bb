"""The commands of the gateway: ``serve``, ``status``, ``proxy``, ``connect``."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from routermcp_proto.exceptions import ConfigError, TransportError
from routermcp_proto.http.binding import user_headers
from routermcp_proto.http.url import EndpointURL

from .failures import ExitCode, gateway_installed, reported
from .options import ApiKeyOption, DebugOption, JsonOption, UrlOption, UserIdOption, signed_in
from .output import write_json, write_table
from .targets import variables_of

if TYPE_CHECKING:
    from ..gateway.aggregate import Aggregate
    from ..gateway.config.model import GatewayConfig

#: The URL of the gateway of this machine, unless another is configured.
LOCAL_URL = "http://127.0.0.1:5151/mcp"

#: Seconds for a gateway to report its health.
HEALTH_SECONDS = 5.0

#: Seconds between looks at the configuration with ``serve --reload``: as long as a save takes.
WATCH_SECONDS = 1.0


class LogFormat(StrEnum):
    """How the line of each call is written."""

    TEXT = "text"
    JSON = "json"


app = typer.Typer()

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Default ./routermcp.jsonc, then ~/.routermcp/routermcp.jsonc."
    ),
]
HostOption = Annotated[str | None, typer.Option("--host", metavar="ADDRESS", help="Default 127.0.0.1.")]
PortOption = Annotated[
    int | None, typer.Option("--port", metavar="PORT", min=0, max=65535, help="Default 5151; 0 for any.")
]


@app.command()
def serve(
    *,
    config: ConfigOption = None,
    host: HostOption = None,
    port: PortOption = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers", metavar="N", min=1, max=256, help="Processes; more than one need session.store."
        ),
    ] = 1,
    portable_names: Annotated[
        bool,
        typer.Option(
            "--portable-names", help="Names of tools that every host takes: alias__tool, at most 64 letters."
        ),
    ] = False,
    log_format: Annotated[
        LogFormat | None,
        typer.Option("--log-format", help="How the line of each call is written. Default text."),
    ] = None,
    reload: Annotated[
        bool, typer.Option("--reload", help="Take changes of the configuration while it runs.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Serve the servers of a configuration behind one endpoint.

    On SIGHUP the configuration is read again.
    """
    with gateway_installed(), reported(debug=debug):
        from ..gateway.config.file import find, load  # noqa: PLC0415
        from ..gateway.config.model import Names  # noqa: PLC0415
        from ..gateway.factory import aggregate_of  # noqa: PLC0415 - needs the extra

        path = config or find()
        if path is None:
            raise ConfigError(
                "there is no routermcp.jsonc here or in ~/.routermcp: "
                "write one with 'routermcp config', or name one with --config"
            )
        _log_to_stderr(debug=debug)
        if workers > 1 and host is not None:
            raise ConfigError("workers read the configuration: write httpServer.host there, not --host")
        if workers > 1 and portable_names:
            raise ConfigError('workers read the configuration: write "names": "portable" there')
        if workers > 1 and log_format is not None:
            raise ConfigError("workers read the configuration: write log.format there")

        def read() -> GatewayConfig:
            settings = _listening_on(load(path, tolerant=True), host, port)
            named = {"names": Names(portable=True)} if portable_names else {}
            form = {"format": log_format.value} if log_format is not None else {}
            return settings.model_copy(update={**named, "log": settings.log.model_copy(update=form)})

        settings = read()
        if reload:
            _watch_config_file(path)
        if workers > 1:
            _serve_workers(settings, path, workers)
        else:
            backend = aggregate_of(settings, folder=path.parent)
            _serve_gateway(settings, backend, str(path), _config_reloader(settings, backend, path, read))


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
    port: PortOption = None,
    debug: DebugOption = False,
) -> None:
    """Serve one stdio server over HTTP, names untouched."""
    with gateway_installed(), reported(debug=debug):
        from ..gateway.aggregate import SingleServer  # noqa: PLC0415
        from ..gateway.config.model import GatewayConfig  # noqa: PLC0415 - needs the extra
        from ..gateway.upstreams.targets import over_stdio  # noqa: PLC0415
        from ..gateway.upstreams.upstream import Upstream  # noqa: PLC0415

        command = shlex.split(stdio)
        if not command:
            raise ConfigError("--stdio names no command")
        _log_to_stderr(debug=debug)
        upstream = Upstream("server", over_stdio(command, env=variables_of(env or [])), prefix=False)
        _serve_gateway(_listening_on(GatewayConfig(), host, port), SingleServer(upstream), command[0])


@app.command()
def connect(
    *,
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
    user_id: UserIdOption = None,
    dotted_names: Annotated[
        bool, typer.Option("--dotted-names", help="Names of tools as the gateway has them.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Speak stdio here and HTTP to a gateway, for hosts that only start programs.

    Without --url and ROUTERMCP_URL it is the gateway of this machine.
    """
    with reported(debug=debug):
        from ..gateway.aggregate import SingleServer  # noqa: PLC0415 - for this command only
        from ..gateway.names import DOTTED, PORTABLE  # noqa: PLC0415
        from ..gateway.serving.stdio import serve_stdio  # noqa: PLC0415
        from ..gateway.upstreams.targets import over_http  # noqa: PLC0415
        from ..gateway.upstreams.upstream import Upstream  # noqa: PLC0415

        _log_to_stderr(debug=debug)
        target = url or os.environ.get("ROUTERMCP_URL") or LOCAL_URL
        user = user_id or os.environ.get("ROUTERMCP_USER_ID")
        settings = over_http(
            target,
            bearer=api_key or os.environ.get("ROUTERMCP_API_KEY"),
            headers={"X-RouterMCP-User-Id": user} if user else None,
            oauth=signed_in(),
        )
        if user:
            settings = settings.for_user(user)

        naming = DOTTED if dotted_names else PORTABLE

        async def run() -> None:
            backend = SingleServer(Upstream("gateway", settings, prefix=False, naming=naming))
            try:
                await backend.begin()
                await serve_stdio(backend)
            finally:
                await backend.close()

        asyncio.run(run())


@app.command()
def status(
    *,
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show the state of a gateway and of the servers behind it.

    The exit code is 4 where a server has failed.
    """
    with reported(debug=debug):
        document = _fetch_health(url or os.environ.get("ROUTERMCP_URL") or LOCAL_URL, api_key)
    upstreams = document.get("upstreams")
    states = cast("dict[str, Any]", upstreams) if isinstance(upstreams, dict) else {}
    if as_json:
        write_json(document)
    else:
        _write_states(document, states)
    if any(about.get("state") == "failed" for about in states.values()):
        raise typer.Exit(ExitCode.SERVER_ERROR)


def _write_states(document: dict[str, Any], states: dict[str, Any]) -> None:
    rows = [
        (alias, str(about.get("state")), str(about.get("problem", ""))) for alias, about in states.items()
    ]
    typer.echo(f"gateway: {document.get('status')}, {document.get('sessions', 'unknown')} sessions")
    write_table(
        ("server", "state", "problem"), rows, none="it tells nothing of servers; show a key with --api-key"
    )


def _fetch_health(url: str, api_key: str | None) -> dict[str, Any]:
    import httpx  # noqa: PLC0415 - for this command only

    key, shown = api_key or os.environ.get("ROUTERMCP_API_KEY"), EndpointURL.parse(url)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    user_headers(headers)  # an error of httpx would show the key
    try:
        place = httpx.URL(url).copy_with(raw_path=b"/health", fragment=None)
        # The gateway of this machine is not behind a proxy.
        with httpx.Client(timeout=HEALTH_SECONDS, trust_env=False) as client:
            answer = client.get(place, headers=headers)
            document: Any = answer.json() if answer.status_code == 200 else None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise TransportError(f"no gateway answers at {shown}: {error}", code="connect") from error
    if not isinstance(document, dict):
        raise TransportError(
            f"{shown} is no gateway: its /health answers {answer.status_code}", code="protocol"
        )
    return cast("dict[str, Any]", document)


def _listening_on(config: GatewayConfig, host: str | None, port: int | None) -> GatewayConfig:
    said = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    if not said:
        return config
    # Checked as the file is.
    checked = type(config.httpServer).model_validate({**config.httpServer.model_dump(), **said})
    return config.model_copy(update={"httpServer": checked})


def _config_reloader(
    settings: GatewayConfig, backend: Aggregate, path: Path, read: Callable[[], GatewayConfig]
) -> Callable[[], None]:
    """Return what reads the configuration again; a broken one leaves the old one as it is."""
    from ..gateway.factory import reload_backend  # noqa: PLC0415 - needs the extra

    before = settings

    def read_again() -> None:
        nonlocal before
        try:
            after = read()
            reload_backend(backend, before, after, folder=path.parent)
        except ConfigError as error:
            sys.stderr.write(f"routermcp: the configuration stays as it was: {error}\n")
        else:
            before = after
            aliases = ", ".join(backend.upstreams) or "no servers"
            sys.stderr.write(f"routermcp: {path} is read again ({aliases})\n")

    return read_again


def _watch_config_file(path: Path) -> None:
    """Send SIGHUP to this process when a file has changed."""
    if not hasattr(signal, "SIGHUP"):
        raise ConfigError("--reload needs SIGHUP, which this system does not have")
    ended = threading.Event()  # never set: the thread ends with the program

    def changed_at() -> int | None:
        try:
            return path.stat().st_mtime_ns
        except OSError:
            return None  # an editor that is replacing it

    def watch(seen: int | None) -> None:
        while not ended.wait(WATCH_SECONDS):
            now = changed_at()
            if now not in (seen, None):
                seen = now
                os.kill(os.getpid(), signal.SIGHUP)

    threading.Thread(target=watch, args=(changed_at(),), name="routermcp-reload", daemon=True).start()


def _serve_gateway(
    config: GatewayConfig, backend: Aggregate, what: str, on_hangup: Callable[[], None] | None = None
) -> None:
    from ..gateway.application import write_to_stderr  # noqa: PLC0415 - needs the extra
    from ..gateway.factory import application_of  # noqa: PLC0415
    from ..gateway.serving.bounds import ConnectionBounds  # noqa: PLC0415
    from ..gateway.serving.uvicorn import serve_here  # noqa: PLC0415

    app, listening = application_of(config, backend, write_log=write_to_stderr), config.httpServer

    def tell(url: str) -> None:
        aliases = ", ".join(backend.upstreams) or "no servers"
        sys.stderr.write(f"routermcp: {what} at {url} ({aliases})\n")

    with _listening_errors(config):
        serve_here(
            app,
            host=listening.host,
            port=listening.port,
            on_start=tell,
            bounds=ConnectionBounds(per_address=listening.maxConnectionsPerAddress),
            drain_seconds=listening.drainSeconds,
            on_hangup=on_hangup,
        )


def _serve_workers(config: GatewayConfig, path: Path, workers: int) -> None:
    from ..gateway.application import CONFIG_VARIABLE  # noqa: PLC0415 - needs the extra
    from ..gateway.factory import aggregate_of, application_of  # noqa: PLC0415
    from ..gateway.serving.bounds import ConnectionBounds  # noqa: PLC0415
    from ..gateway.serving.uvicorn import serve_workers  # noqa: PLC0415

    if config.session.store is None:
        raise ConfigError("several workers share their sessions: set session.store to redis://...")
    # An invalid configuration is reported once, not by each worker.
    application_of(config, aggregate_of(config, folder=path.parent))
    os.environ[CONFIG_VARIABLE] = str(path.resolve())
    listening = config.httpServer

    def tell(url: str) -> None:
        sys.stderr.write(f"routermcp: {path} at {url}/mcp ({workers} workers)\n")

    with _listening_errors(config):
        serve_workers(
            "routermcp.gateway.application:create",
            host=listening.host,
            port=listening.port,
            workers=workers,
            on_start=tell,
            bounds=ConnectionBounds(per_address=listening.maxConnectionsPerAddress),
            drain_seconds=listening.drainSeconds,
        )


@contextmanager
def _listening_errors(config: GatewayConfig) -> Generator[None]:
    try:
        yield
    except OSError as error:
        from ..gateway.serving.uvicorn import authority  # noqa: PLC0415 - needs the extra

        where = authority(config.httpServer.host, config.httpServer.port)
        raise ConfigError(f"cannot listen on {where}: {error.strerror}; try another --port") from error


def _log_to_stderr(*, debug: bool) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if debug else logging.WARNING,
        format="%(asctime)s %(name)s %(levelname)s %(message)s",
    )

"""What the commands share that serve, or look for a gateway that does."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from routermcp_proto.exceptions import ConfigError, TransportError
from routermcp_proto.http.binding import user_headers
from routermcp_proto.http.url import EndpointURL

if TYPE_CHECKING:
    import httpx

    from ..gateway.aggregate import Aggregate
    from ..gateway.config.model import GatewayConfig
    from ..gateway.http.project_gateway import ProjectGateway
    from ..gateway.serving.proxy_app import ProxyApp
    from ..gateway.telemetry.audit import OnAudited

#: The URL of the gateway of this machine, unless another is configured.
LOCAL_URL = "http://127.0.0.1:5151/mcp"

#: Seconds for the head of what a gateway says of its health, and for the body: it has them ready.
HEALTH_SECONDS = 5.0

#: Bytes of that: a thousand servers have a tenth. Any program may answer there.
MAX_HEALTH_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServerHealth:
    """The state of a server behind a gateway, in the gateway's words."""

    alias: str
    state: str
    problem: str


HostOption = Annotated[str | None, typer.Option("--host", metavar="ADDRESS", help="Default 127.0.0.1.")]


def serve_gateway(
    config: GatewayConfig,
    backend: Aggregate,
    what: str,
    on_hangup: Callable[[OnAudited], None] | None = None,
    *,
    folder: Path | None = None,
    on_start: Callable[[str], None] = lambda _url: None,
    idle_seconds: float | None = None,
) -> None:
    """Serve a backend until SIGINT or SIGTERM, and tell where.

    Args:
        config: What to serve it with.
        backend: The backend.
        what: Its name for the user.
        on_hangup: Called on SIGHUP, with the audit.
        folder: What paths in the configuration begin at.
        on_start: Called with the URL when the server listens.
        idle_seconds: Seconds without a request after which it ends, None for never.

    Raises:
        ConfigError: The address cannot be listened on.
    """
    from ..gateway.factory import application_of  # noqa: PLC0415 - needs the extra
    from ..gateway.http.validation import LOOPBACK_HOSTS  # noqa: PLC0415
    from ..gateway.telemetry.process_log import tell, write_to_stderr  # noqa: PLC0415

    def listens_at(url: str) -> None:
        if config.httpServer.host in LOOPBACK_HOSTS:
            backend.listens_at(url.removesuffix(app.path))  # at the port that 0 became
        aliases = ", ".join(backend.upstreams) or "no servers"
        tell(f"{what} at {url} ({aliases})")
        on_start(url)

    app = application_of(config, backend, folder=folder, write_log=write_to_stderr)
    hangup = partial(on_hangup, app.on_audited) if on_hangup is not None else None
    serve_application(app, config, listens_at, on_hangup=hangup, idle_seconds=idle_seconds)


def serve_application(
    app: ProjectGateway | ProxyApp,
    config: GatewayConfig,
    on_start: Callable[[str], None],
    *,
    on_hangup: Callable[[], None] | None = None,
    idle_seconds: float | None = None,
) -> None:
    """Serve an application where its configuration says, until SIGINT or SIGTERM.

    Args:
        app: The application.
        config: Where to listen, and within what bounds.
        on_start: Called with the URL when the server listens.
        on_hangup: Called on SIGHUP.
        idle_seconds: Seconds without a request after which it ends, None for never.

    Raises:
        ConfigError: The address cannot be listened on.
    """
    from ..gateway.serving.bounds import ConnectionBounds  # noqa: PLC0415 - needs the extra
    from ..gateway.serving.uvicorn import serve_here  # noqa: PLC0415

    listening = config.httpServer
    with listening_errors(config):
        serve_here(
            app,
            host=listening.host,
            port=listening.port,
            on_start=on_start,
            bounds=ConnectionBounds(per_address=listening.maxConnectionsPerAddress),
            drain_seconds=listening.drainSeconds,
            on_hangup=on_hangup,
            idle_seconds=idle_seconds,
        )


@contextmanager
def listening_errors(config: GatewayConfig) -> Generator[None]:
    """Turn an address that cannot be listened on into a sentence.

    Raises:
        ConfigError: It cannot.
    """
    try:
        yield
    except OSError as error:
        from ..gateway.serving.uvicorn import authority  # noqa: PLC0415 - needs the extra

        where = authority(config.httpServer.host, config.httpServer.port)
        raise ConfigError(f"cannot listen on {where}: {error.strerror}; try another --port") from error


def fetch_health(url: str, api_key: str | None, seconds: float = HEALTH_SECONDS) -> dict[str, Any]:
    """Ask a gateway how it is.

    Args:
        url: Any URL of the gateway.
        api_key: The key to show; None for that of the environment.
        seconds: How long the body may take.

    Raises:
        TransportError: It does not answer, or is no gateway.
    """
    import httpx  # noqa: PLC0415 - for this command only

    key, shown = api_key or os.environ.get("ROUTERMCP_API_KEY"), EndpointURL.parse(url)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    user_headers(headers)  # an error of httpx would show the key
    headers["Accept-Encoding"] = "identity"
    try:
        place = httpx.URL(url).copy_with(raw_path=b"/health", fragment=None)
        # The gateway of this machine is not behind a proxy.
        with (
            httpx.Client(timeout=HEALTH_SECONDS, trust_env=False) as client,
            client.stream("GET", place, headers=headers) as answer,
        ):
            document: Any = json.loads(_body_of(answer, seconds)) if answer.status_code == 200 else None
    except httpx.ConnectError as error:
        advice = f"start it with 'routermcp serve', or give another URL ({error})"
        raise TransportError(f"no gateway answers at {shown}: {advice}", code="connect") from error
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError) as error:
        raise TransportError(f"no gateway answers at {shown}: {error}", code="connect") from error
    if not isinstance(document, dict):
        raise TransportError(
            f"{shown} is no gateway: its /health answers {answer.status_code}", code="protocol"
        )
    return cast("dict[str, Any]", document)


def _body_of(answer: httpx.Response, seconds: float) -> bytes:
    body, until = bytearray(), time.monotonic() + seconds
    for piece in answer.iter_raw():
        body += piece
        if len(body) > MAX_HEALTH_BYTES or time.monotonic() > until:
            raise ValueError(f"/health takes more than {seconds} s or {MAX_HEALTH_BYTES} bytes")
    return bytes(body)


def servers_in(document: Mapping[str, Any]) -> list[ServerHealth]:
    """Return the servers that a gateway tells of; what is of another shape is passed over."""
    found = document.get("upstreams")
    servers = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    told = (
        (alias, cast("dict[str, Any]", about)) for alias, about in servers.items() if isinstance(about, dict)
    )
    return [
        ServerHealth(alias, str(about.get("state")), str(about.get("problem", ""))) for alias, about in told
    ]

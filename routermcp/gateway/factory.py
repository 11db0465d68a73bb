"""Makes a gateway from its configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from routermcp_proto.exceptions import ConfigError
from routermcp_proto.oauth.urls import host_of

from .._internal import ClientSettings
from ..oauth.config import DEFAULT_REDIRECT_URI, OAuthConfig
from ..oauth.stores.base import TokenAdapter
from ..oauth.stores.by_url import token_store_by_url
from ..oauth.stores.encrypted import encrypted
from .access import api_keys_of, bearer_tokens_of, rules_of, view_of
from .aggregate import LIST_WAIT_SECONDS, Aggregate
from .backend import Listing
from .catalog.server_names import ServerNaming
from .config.model import GatewayConfig, HTTPServer, ServerNames, StdioServer
from .config.oauth import OAuthSettings
from .http.authentication import check_binding
from .http.project_gateway import ProjectGateway
from .http.rate_limit import RateCounter, RateLimit
from .http.routes.token_api import TokenAPI
from .http.validation import LOOPBACK_HOSTS
from .names import DOTTED, Naming
from .observers import call_log_of, endpoint_of, metrics_of
from .sessions.base import SessionStore
from .telemetry.audit import unheard
from .upstreams.targets import over_http, over_stdio
from .upstreams.times import DEFAULT_TIMES, UpstreamTimes
from .upstreams.upstream import Upstream
from .users.oauth_state import StateEncryptor
from .users.registry import PerUserServer


def upstream_of(
    alias: str,
    server: StdioServer | HTTPServer,
    *,
    folder: Path | None = None,
    naming: Naming = DOTTED,
    times: UpstreamTimes = DEFAULT_TIMES,
) -> Upstream:
    """Return a server as the gateway sees it; it is connected with its first use.

    A relative ``cwd`` begins at ``folder``, where the configuration is.

    Raises:
        ConfigError: The configuration is wrong.
    """
    if isinstance(server, HTTPServer):
        settings = over_http(server.url, headers=server.request_headers(), sse=server.transport == "sse")
    else:
        cwd = str((folder or Path()) / server.cwd) if server.cwd is not None else None
        settings = over_stdio([server.command, *server.args], env=server.environment(), cwd=cwd)
    return Upstream(
        alias,
        settings,
        allows=_filter_of_server(server),
        names=_names_of(alias, server, naming),
        timeout_ms=server.timeout,
        one_session=server.shared,
        passed_headers=server.passthroughHeaders if isinstance(server, HTTPServer) else (),
        times=replace(times, connect_ms=server.start_ms(times.connect_ms)),
    )


def _names_of(alias: str, settings: ServerNames, naming: Naming) -> ServerNaming:
    prefix = alias if settings.prefix is None else settings.prefix
    return ServerNaming(alias, naming, prefix, settings.rename, settings.describe)


def _filter_of_server(server: StdioServer | HTTPServer) -> Callable[[Listing, str], bool]:
    rules = rules_of(server)
    return lambda listing, name: rules[listing].allows(name)


def per_user_server_of(
    alias: str,
    server: HTTPServer,
    settings: OAuthSettings,
    tokens: TokenAdapter,
    states: StateEncryptor,
    naming: Naming = DOTTED,
    times: UpstreamTimes = DEFAULT_TIMES,
) -> PerUserServer:
    """Return a server that users sign in at.

    Raises:
        ConfigError: Its configuration is invalid.
    """
    own = server.oauth.settings()

    def reached(redirect_uri: str) -> ClientSettings:
        oauth = OAuthConfig(
            tokens,
            redirect_uri=redirect_uri,
            client_name=settings.clientName,
            server_id=alias,
            **own,
        )
        headers = server.request_headers()
        return over_http(
            server.url,
            headers=headers,
            sse=server.transport == "sse",
            oauth=oauth,
            tag=lambda user: states.encrypt(user, alias),
        )

    reached(settings.redirectUri or DEFAULT_REDIRECT_URI)  # an invalid setting raises now
    return PerUserServer(
        alias,
        reached,
        redirect_uri=settings.redirectUri,
        allows=_filter_of_server(server),
        names=_names_of(alias, server, naming),
        timeout_ms=server.timeout,
        passed_headers=server.passthroughHeaders,
        times=replace(times, connect_ms=server.start_ms(times.connect_ms)),
    )


def times_of(config: GatewayConfig, times: UpstreamTimes) -> UpstreamTimes:
    """Let what a client's session has at a server live as long as that session itself."""
    return replace(times, session_idle_seconds=config.session.timeout)


def aggregate_of(
    config: GatewayConfig,
    *,
    folder: Path | None = None,
    patience: float = LIST_WAIT_SECONDS,
    tokens: TokenAdapter | None = None,
    times: UpstreamTimes = DEFAULT_TIMES,
) -> Aggregate:
    """Return the backend that a configuration describes.

    Args:
        config: The configuration.
        folder: What a relative ``cwd`` begins at: where the configuration is.
        patience: Seconds that lists wait for servers which are being started.
        tokens: Where the tokens of users are kept, None for where the configuration says.
        times: How long to wait for each server.

    Raises:
        ConfigError: The configuration is wrong.
    """
    times = times_of(config, times)
    upstreams: list[Upstream] = []
    signed_in_at: dict[str, HTTPServer] = {}
    for alias, server in config.enabled_servers.items():
        if isinstance(server, HTTPServer) and server.authType == "oauth":
            signed_in_at[alias] = server
        else:
            upstreams.append(
                upstream_of(alias, server, folder=folder, naming=config.names.naming, times=times)
            )
    if not signed_in_at:
        return Aggregate(upstreams, search=config.toolSearch, naming=config.names.naming, patience=patience)
    kept = tokens if tokens is not None else _configured_token_store(config.oauth)
    store = config.session.store
    # Processes that share sessions also complete each other's sign-ins.
    states = StateEncryptor(_secret_of(store.get_secret_value()) if store is not None else None)
    personal = [
        per_user_server_of(alias, server, config.oauth, kept, states, config.names.naming, times)
        for alias, server in signed_in_at.items()
    ]
    return Aggregate(
        upstreams,
        personal,
        seal=states,
        tokens=kept,
        search=config.toolSearch,
        naming=config.names.naming,
        patience=patience,
    )


def application_of(
    config: GatewayConfig,
    backend: Aggregate,
    tokens: TokenAdapter | None = None,
    *,
    folder: Path | None = None,
    write_log: Callable[[str], object] | None = None,
    path: str = "/mcp",
) -> ProjectGateway:
    """Return the application that serves a backend as configured.

    Args:
        config: The configuration.
        backend: The backend to serve.
        tokens: A token store to serve to applications that act for users, None for the
            configured one.
        folder: What the path of a key set begins at: where the configuration is.
        write_log: Takes lines about the calls, None to write none.
        path: Path of the endpoint.

    Raises:
        ConfigError: The application would serve every client that reaches this machine, or a library
            is missing.
    """
    host = config.httpServer.host
    names = hosts_of(host) | {name.lower() for name in config.httpServer.allowedHosts}
    public_url = config.httpServer.publicUrl
    if public_url is not None:
        names |= {host_of(public_url)}
    keys, bearers = api_keys_of(config), bearer_tokens_of(config, folder=folder, path=path)
    check_binding(host, [*(keys or ()), *((bearers.credential,) if bearers is not None else ())])
    asked = config.rateLimit
    limit = RateLimit(asked.requests, asked.seconds) if asked is not None else None
    rates = _shared_rates(config, limit) if limit is not None else None
    endpoint, served = endpoint_of(backend)
    app = endpoint(
        served,
        path=path,
        allowed_hosts=names,
        max_sessions=config.session.max_sessions,
        session_idle=config.session.timeout,
        sessions=_session_store(config),
    )
    backend.on_changed = app.announce
    store = config.session.store
    if tokens is None and config.oauth.tokenApi:
        tokens = backend.tokens or _configured_token_store(config.oauth)
    api = TokenAPI(tokens) if tokens is not None else None
    _set_redirect_uri(config, backend)
    logged = config.log.calls or config.log.audit
    metrics = metrics_of(backend, app) if config.metrics else None
    log = call_log_of(config.log, backend, write_log) if write_log is not None and logged else None
    on_audited = log.add_event if log is not None and config.log.audit else unheard
    for part in (app, api, backend.accounts, *backend.personal.values()):
        if part is not None:
            part.on_audited = on_audited

    async def end() -> None:
        app.end_streams()
        await app.close()
        if rates is not None:
            await rates.close()
        if api is not None:
            await api.close()
        await backend.close()
        if log is not None:
            log.flush()

    return ProjectGateway(
        app,
        projects=[*config.served_projects],
        views={slug: view for slug, each in config.served_projects.items() if (view := view_of(each))},
        keys=keys,
        bearers=bearers,
        limit=limit,
        rates=rates,
        max_owner_requests=config.httpServer.maxRequestsPerOwner,
        allowed_hosts=names,
        drain_seconds=config.httpServer.drainSeconds,
        session_secret=_secret_of(store.get_secret_value()) if store is not None else None,
        upstreams=backend.states,
        problems=backend.problems,
        metrics=metrics.page if metrics is not None else None,
        tokens=api,
        accounts=backend.accounts,
        on_audited=on_audited,
        on_startup=backend.begin,
        on_shutdown=end,
    )


def _set_redirect_uri(config: GatewayConfig, backend: Aggregate) -> None:
    """Set the redirect URI of sign-ins where the gateway's own page is reached from browsers.

    Raises:
        ConfigError: No redirect URI is known.
    """
    host, port = config.httpServer.host, config.httpServer.port
    if host in LOOPBACK_HOSTS:
        backend.listens_at(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    elif backend.personal and config.oauth.redirectUri is None:
        aliases = ", ".join(backend.personal)
        raise ConfigError(
            f"users who sign in at {aliases} have to find back from there: set oauth.redirectUri to a page "
            "of your application, or to the gateway's own, https://.../v1/oauth/callback"
        )


def hosts_of(host: str) -> frozenset[str]:
    """Return the names by which clients may call a gateway that listens on an address."""
    return LOOPBACK_HOSTS if host in LOOPBACK_HOSTS else LOOPBACK_HOSTS | {host.strip("[]").lower()}


def _session_store(config: GatewayConfig) -> SessionStore | None:
    session = config.session
    if session.store is None:
        return None
    from .sessions.redis import redis_store  # noqa: PLC0415 - redis is for those who have one

    return redis_store(
        session.store.get_secret_value(), max_sessions=session.max_sessions, session_idle=session.timeout
    )


def _shared_rates(config: GatewayConfig, limit: RateLimit) -> RateCounter | None:
    """Return the counter of the processes that share their sessions, None for one process."""
    if config.session.store is None:
        return None
    from .http.redis_rates import RedisRates  # noqa: PLC0415 - redis is for those who have one
    from .sessions.redis import redis_at  # noqa: PLC0415

    return RedisRates(redis_at(config.session.store.get_secret_value()), limit)


def _secret_of(store: str) -> bytes:
    """Return the secret of processes that share a session store; its readers know the sessions too."""
    return hashlib.sha256(b"routermcp sessions of " + store.encode()).digest()


def _configured_token_store(settings: OAuthSettings) -> TokenAdapter:
    """Return the store of users' tokens that a configuration describes.

    Raises:
        ConfigError: The store cannot be used, or a library is missing.
    """
    api_key = settings.apiKey.get_secret_value() if settings.apiKey else ""
    adapter = token_store_by_url(settings.store.get_secret_value(), api_key=api_key)
    keys = [key.get_secret_value() for key in settings.encryptionKeys]
    return encrypted(adapter, keys) if keys else adapter

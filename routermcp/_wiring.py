"""The parts of a client put together: transport, driver and callbacks by its settings."""

from __future__ import annotations

from functools import lru_cache, partial

from routermcp_adapters.call.driver import Driver, DriverSettings
from routermcp_adapters.call.transport import SessionTransport
from routermcp_adapters.http.base import HTTPTransport, SharedTransport
from routermcp_adapters.http.fallback import FallbackSession
from routermcp_adapters.http.legacy_sse import LegacySSESession, LegacySSETransport
from routermcp_adapters.http.pooled import PooledTransport
from routermcp_adapters.http.session import HTTPSession
from routermcp_adapters.limits import PoolLimits
from routermcp_adapters.streams.session import StreamSession
from routermcp_proto.client_session import ClientSession
from routermcp_proto.http.binding import HTTPBinding
from routermcp_proto.types.reading import ListLimits

from ._callbacks import Callbacks
from ._proxies import proxy_for
from ._settings import ClientSettings


def transport_of(settings: ClientSettings) -> SharedTransport | None:
    """Return the transport that a client shares with its sessions, None where each has its own."""
    endpoint, http = settings.endpoint, settings.http
    if endpoint is None:
        return None
    proxy = proxy_for(endpoint, http.proxy) if http.http_client is None else None
    if http.http_client is None and proxy is None:
        return PooledTransport(endpoint, settings.tls, http.limits)
    # httpx is imported only where it is needed.
    from routermcp_adapters.http.httpx import HttpxTransport, client_maker  # noqa: PLC0415

    if proxy is not None:
        return HttpxTransport(endpoint, make=client_maker(proxy, settings.tls, http.limits or PoolLimits()))
    return HttpxTransport(endpoint, http.http_client)


def driver_of(settings: ClientSettings, callbacks: Callbacks, transport: SharedTransport | None) -> Driver:
    """Return the driver of a new session."""
    recording = settings.options.recording
    make_machine = ClientSession if recording is None else recording.session
    machine = make_machine(
        client_info=settings.client_info,
        capabilities=callbacks.capabilities(),
        protocol=settings.options.protocol,
        hears_lists=callbacks.hears_lists,
        max_message_size=getattr(settings.stream, "max_message_size", settings.http.max_message_size),
        strict_json=settings.options.strict_json,
        list_limits=_list_limits(settings.options.max_list_entries, settings.options.max_list_size),
        in_slices=True,
    )
    return Driver(
        session_transport_of(settings, machine, callbacks, transport),
        callbacks,
        DriverSettings(
            retry=settings.retry,
            interaction_timeout=settings.options.interaction_timeout,
            gateway=settings.gateway,
            user_id=settings.user_id,
        ),
    )


@lru_cache(maxsize=16)
def _list_limits(entries: int, size: int) -> ListLimits:
    """Return the limits: one object for all sessions of a client."""
    return ListLimits(entries, size)


def session_transport_of(
    settings: ClientSettings, machine: ClientSession, callbacks: Callbacks, transport: SharedTransport | None
) -> SessionTransport:
    """Return the transport of one session."""
    stream = settings.stream
    if stream is not None:
        # The gateway in the same process is another one for each user.
        for_user = getattr(stream, "for_user", None)
        transport_of_user = for_user(settings.user_id) if for_user else stream
        return StreamSession(transport_of_user, machine, callbacks, attends=callbacks.attends)
    if settings.endpoint is None or transport is None:
        raise AssertionError("settings have a URL or a transport")
    sender: HTTPTransport | None = None
    if settings.oauth is not None:
        from routermcp_adapters.http.auth import AuthTransport  # noqa: PLC0415 - few need it

        sender = AuthTransport(transport, settings.oauth.of(settings.user_id))
    http = HTTPSession(
        transport,
        binding_of(settings, machine, callbacks),
        callbacks,
        settings.retry,
        settings.credentials(),
        gateway=settings.gateway,
        sender=sender,
        attends=callbacks.attends,
    )
    if settings.gateway or not settings.may_be_legacy:
        return http
    make_legacy = partial(legacy_session_of, settings, callbacks, transport, sender or transport)
    return FallbackSession(http, make_legacy, transport.memory, legacy=settings.http.sse)


def binding_of(settings: ClientSettings, machine: ClientSession, callbacks: Callbacks) -> HTTPBinding:
    """Return what writes the requests of one session."""
    if settings.endpoint is None:
        raise AssertionError("a server over HTTP has a URL")
    recording = settings.options.recording
    make_binding = HTTPBinding if recording is None else recording.binding_class
    return make_binding(
        machine, settings.endpoint, settings.fixed_headers(), hears_changes=callbacks.hears_changes
    )


def legacy_session_of(
    settings: ClientSettings,
    callbacks: Callbacks,
    transport: SharedTransport,
    sender: HTTPTransport,
    http: HTTPSession,
) -> LegacySSESession:
    """Return the transport of a session over HTTP+SSE, for a server that has no Streamable HTTP."""
    streams = LegacySSETransport(
        transport,
        partial(binding_of, settings, http.session, callbacks),
        sender,
        http.prepare,
        sure=settings.http.sse,
    )
    return LegacySSESession(
        transport,
        streams,
        http.session,
        http.prepare,
        callbacks,
        settings.retry,
        attends=callbacks.attends,
    )

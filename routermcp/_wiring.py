"""Which way the messages of a session take."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from routermcp_adapters.call.driver import Driver, DriverSettings
from routermcp_adapters.call.transport import SessionTransport
from routermcp_adapters.http.base import HTTPTransport, SharedTransport
from routermcp_adapters.http.pooled import PooledTransport
from routermcp_adapters.http.session import HTTPSession
from routermcp_adapters.limits import PoolLimits
from routermcp_adapters.streams.base import Transport
from routermcp_adapters.streams.session import StreamSession
from routermcp_proto.client_session import ClientSession
from routermcp_proto.http.binding import HTTPBinding

from ._callbacks import Callbacks
from ._proxies import proxy_for
from ._settings import ClientSettings


@runtime_checkable
class LeadsUsers(Protocol):
    """A transport to a server that knows users, as the gateway in the same process does."""

    def for_user(self, user_id: str | None) -> Transport:
        """Return the way there for a user, None where nobody says who it is."""
        ...


def connections_of(settings: ClientSettings, limits: PoolLimits | None) -> SharedTransport | None:
    """Return the connections that a client shares with its sessions, None where each has its own."""
    endpoint = settings.endpoint
    if endpoint is None:
        return None
    proxy = proxy_for(endpoint, settings.proxy) if settings.http_client is None else None
    if settings.http_client is None and proxy is None:
        return PooledTransport(endpoint, settings.tls, limits)
    # Only who needs httpx pays for its import.
    from routermcp_adapters.http.httpx import HttpxTransport, client_maker  # noqa: PLC0415

    if proxy is not None:
        return HttpxTransport(endpoint, make=client_maker(proxy, settings.tls, limits or PoolLimits()))
    return HttpxTransport(endpoint, settings.http_client)


def driver_of(settings: ClientSettings, callbacks: Callbacks, transport: SharedTransport | None) -> Driver:
    """Return what drives a new session."""
    machine = ClientSession(
        client_info=settings.client_info,
        capabilities=callbacks.capabilities(),
        protocol=settings.protocol,
    )
    return Driver(
        carrier_of(settings, machine, callbacks, transport),
        callbacks,
        DriverSettings(
            retry=settings.retry,
            interaction_timeout=settings.interaction_timeout,
            gateway=settings.gateway,
            trust_annotations=settings.trust_annotations,
            user_id=settings.user_id,
        ),
    )


def carrier_of(
    settings: ClientSettings, machine: ClientSession, callbacks: Callbacks, transport: SharedTransport | None
) -> SessionTransport:
    """Return what carries the messages of one session."""
    stream = settings.stream
    if stream is not None:
        own = stream.for_user(settings.user_id) if isinstance(stream, LeadsUsers) else stream
        return StreamSession(own, machine, callbacks)
    if settings.endpoint is None or transport is None:
        raise AssertionError("settings have a URL or a transport")
    exchanges: HTTPTransport = transport
    if settings.oauth is not None:
        from routermcp_adapters.http.auth import AuthTransport  # noqa: PLC0415 - few need it

        exchanges = AuthTransport(transport, settings.oauth.of(settings.user_id))
    return HTTPSession(
        exchanges,
        HTTPBinding(
            machine,
            settings.endpoint,
            settings.fixed_headers(),
            hears_changes=callbacks.hears_changes,
        ),
        callbacks,
        settings.retry,
        settings.credentials(),
        gateway=settings.gateway,
    )

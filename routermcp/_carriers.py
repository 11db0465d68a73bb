"""Which way the messages of a session take."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from routermcp_adapters._carrier import Carrier
from routermcp_adapters._driver import Driver, DriverSettings
from routermcp_adapters._exchanges import Exchanges, SharedExchanges
from routermcp_adapters._http_carrier import HTTPCarrier
from routermcp_adapters._limits import PoolLimits
from routermcp_adapters._stream_carrier import StreamCarrier
from routermcp_adapters._transport import HTTPTransport
from routermcp_adapters.message_streams import Transport
from routermcp_proto.client_session import ClientSession
from routermcp_proto.http.binding import HTTPBinding

from ._proxies import proxy_for
from ._responder import Callbacks
from ._settings import ClientSettings


@runtime_checkable
class LeadsUsers(Protocol):
    """A transport to a server that knows users, as the gateway in the same process does."""

    def for_user(self, user_id: str | None) -> Transport:
        """Return the way there for a user, None where nobody says who it is."""
        ...


def connections_of(settings: ClientSettings, limits: PoolLimits | None) -> SharedExchanges | None:
    """Return the connections that a client shares with its sessions, None where each has its own."""
    endpoint = settings.endpoint
    if endpoint is None:
        return None
    proxy = proxy_for(endpoint, settings.proxy) if settings.http_client is None else None
    if settings.http_client is None and proxy is None:
        return HTTPTransport(endpoint, settings.tls, limits)
    # Only who needs httpx pays for its import.
    from routermcp_adapters.httpx_exchanges import HttpxExchanges, client_maker  # noqa: PLC0415

    if proxy is not None:
        return HttpxExchanges(endpoint, make=client_maker(proxy, settings.tls, limits or PoolLimits()))
    return HttpxExchanges(endpoint, settings.http_client)


def driver_of(settings: ClientSettings, callbacks: Callbacks, transport: SharedExchanges | None) -> Driver:
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
    settings: ClientSettings, machine: ClientSession, callbacks: Callbacks, transport: SharedExchanges | None
) -> Carrier:
    """Return what carries the messages of one session."""
    stream = settings.stream
    if stream is not None:
        own = stream.for_user(settings.user_id) if isinstance(stream, LeadsUsers) else stream
        return StreamCarrier(own, machine, callbacks)
    if settings.endpoint is None or transport is None:
        raise AssertionError("settings have a URL or a transport")
    exchanges: Exchanges = transport
    if settings.oauth is not None:
        from routermcp_adapters._authorization import AuthorizedExchanges  # noqa: PLC0415 - few need it

        exchanges = AuthorizedExchanges(transport, settings.oauth.of(settings.user_id))
    return HTTPCarrier(
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

"""Opening a connection: names to addresses, addresses to streams, failures to words."""

from __future__ import annotations

import errno
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable

from routermcp_proto.exceptions import TransportError
from routermcp_proto.http.url import EndpointURL
from routermcp_proto.oauth.urls import Reach, reach_of

from ..logs import log
from ..runtime import Address, ByteStream, Runtime

#: Seconds for which looked-up addresses are used again: short enough to follow a failover,
#: long enough that a burst of new connections asks once.
RESOLUTION_SECONDS = 30.0

#: Names whose addresses are kept. A client has one endpoint and a few token servers.
MAX_RESOLUTIONS = 256

#: Scheme, host and port.
Origin = tuple[str, str, int]

_IP_FAMILIES = (socket.AF_INET, socket.AF_INET6)

#: Addresses that are tried for one connection, each family in turn.
MAX_ADDRESSES = 8


class Resolver:
    """Looks names up in a thread that can be left behind, and remembers them for a while."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], tuple[float, list[Address]]] = {}
        self._peers: dict[Origin, Reach] = {}
        self._lock = threading.Lock()

    async def addresses(self, runtime: Runtime, host: str, port: int) -> list[Address]:
        """Return the addresses of a host, the families in turn.

        Raises:
            TransportError: The name has none (``dns``).
        """
        literal = _literal_address(host, port)
        if literal is not None:
            return [literal]
        key, now = (host, port), runtime.now()
        with self._lock:
            kept = self._known.get(key)
        if kept is not None and kept[0] > now:
            return kept[1]
        try:
            found = await runtime.run_blocking(
                lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), lookup=True
            )
        except (OSError, UnicodeError) as error:
            if is_deadline(error):
                raise
            raise TransportError(
                f"the name {host!r} could not be looked up ({error}): check its spelling and the network",
                code="dns",
                not_run=True,
            ) from error
        addresses = _interleaved_families([(family, address) for family, _, _, _, address in found])
        with self._lock:
            if len(self._known) >= MAX_RESOLUTIONS:
                self._known.clear()
            self._known[key] = (now + RESOLUTION_SECONDS, addresses)
        return addresses

    def note_peer(self, endpoint: EndpointURL, addresses: list[Address]) -> None:
        """Note where a connection to an endpoint leads: to one of these addresses."""
        reach = widest(addresses)
        with self._lock:
            known = self._peers.get(endpoint.origin)
            if known is not None or len(self._peers) < MAX_RESOLUTIONS:
                self._peers[endpoint.origin] = reach if known is None else min(reach, known)

    def peer(self, endpoint: EndpointURL) -> Reach | None:
        """Return the widest reach of the connections to an endpoint, None where there was none.

        A server whose name was one of the open Internet once may have said everything that is said
        in its name: that its name leads into a private network now makes no difference.
        """
        return self._peers.get(endpoint.origin)


def widest(addresses: list[Address]) -> Reach:
    """Return the reach of the most public of some addresses; that of a Unix socket is this machine."""
    found = [reach_of(str(where[0])) for family, where in addresses if family in _IP_FAMILIES]
    return min(found, default=Reach.LOOPBACK)


def is_deadline(error: BaseException) -> bool:
    """Tell a limit of the caller, which passes as it is, from one of the kernel, which has a number."""
    return isinstance(error, TimeoutError) and error.errno is None


def _literal_address(host: str, port: int) -> Address | None:
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    return (socket.AF_INET, (host, port)) if version == 4 else (socket.AF_INET6, (host, port, 0, 0))


def _interleaved_families(addresses: list[Address]) -> list[Address]:
    """Order addresses so that families alternate (RFC 8305, section 4)."""
    first = [a for a in addresses if a[0] == addresses[0][0]]
    others = [a for a in addresses if a[0] != addresses[0][0]]
    ordered: list[Address] = []
    for index in range(max(len(first), len(others))):
        ordered += first[index : index + 1] + others[index : index + 1]
    return ordered[:MAX_ADDRESSES]


Admit = Callable[[str], bool]
"""Says whether an address, as text, may be connected to."""


async def dial(
    runtime: Runtime,
    resolver: Resolver,
    endpoint: EndpointURL,
    tls: ssl.SSLContext | None,
    admit: Admit | None = None,
) -> tuple[ByteStream, list[Address]]:
    """Open a connection to an endpoint, whichever of its addresses answers first.

    Args:
        runtime: Where.
        resolver: Looks the name up.
        endpoint: Where it has to lead.
        tls: The context, where the endpoint has TLS.
        admit: Asked for each address, None where all may be connected to.

    Returns:
        The stream, and the addresses of which it leads to one.

    Raises:
        TransportError: None of them took the connection (``connect``, ``tls`` or ``dns``).
    """
    try:
        addresses = admitted(endpoint, await _addresses_of(runtime, resolver, endpoint), admit)
        stream = await runtime.connect(addresses, tls if endpoint.tls else None, endpoint.host)
    except ssl.SSLError as error:
        raise _tls_failure(endpoint, error) from error
    except OSError as error:
        if is_deadline(error):
            raise
        raise _connect_failure(endpoint, error) from error
    resolver.note_peer(endpoint, addresses)
    return stream, addresses


def admitted(endpoint: EndpointURL, addresses: list[Address], admit: Admit | None) -> list[Address]:
    """Return the addresses that may be connected to.

    Raises:
        TransportError: There are none (``connect``).
    """
    if admit is None:
        return addresses
    good = [(family, where) for family, where in addresses if admit(str(where[0]))]
    if not good:
        raise TransportError(
            f"{endpoint} is in a private network, where nothing but the server itself may lead (where that "
            "is meant, OAuthConfig(issuer=AuthorizationServer(..., private_address=True)) allows it)",
            code="connect",
            not_run=True,
        )
    return good


def conceding(endpoint: EndpointURL, admit: Admit) -> Admit:
    """Return what admits all addresses of an endpoint, and tells of those that would not be."""

    def admit_all(address: str) -> bool:
        if not admit(address):
            log.warning("conceded by private_address: %s is in a private network", endpoint)
        return True

    return admit_all


async def _addresses_of(runtime: Runtime, resolver: Resolver, endpoint: EndpointURL) -> list[Address]:
    if not endpoint.unix:
        return await resolver.addresses(runtime, endpoint.host, endpoint.port)
    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise OSError("this system has no Unix sockets")
    return [(family, endpoint.host)]


def _connect_failure(endpoint: EndpointURL, error: OSError) -> TransportError:
    if endpoint.unix and error.errno == errno.ENOENT:
        advice = "there is no such socket: is the server running, and is the path right?"
    elif error.errno == errno.ECONNREFUSED or isinstance(error, ConnectionRefusedError):
        advice = "nothing listens there: is the server running, and is the port right?"
    elif endpoint.tls and isinstance(error, ConnectionError):
        advice = "the peer hung up during the TLS handshake: is it an http:// server?"
    else:
        advice = f"{error}"
    return TransportError(f"cannot connect to {endpoint}: {advice}", code="connect", not_run=True)


def _tls_failure(endpoint: EndpointURL, error: ssl.SSLError) -> TransportError:
    if isinstance(error, ssl.SSLCertVerificationError):
        advice = (
            f"the certificate is not trusted ({error.verify_message}); "
            "for a private CA give verify='/path/to/ca.pem' or an ssl.SSLContext"
        )
    elif error.reason in (
        "WRONG_VERSION_NUMBER",
        "RECORD_LAYER_FAILURE",
        "PACKET_LENGTH_TOO_LONG",
        "HTTP_REQUEST",
    ):
        advice = "the port does not speak TLS: is it an http:// server?"
    else:
        advice = f"the TLS handshake failed ({error.reason or error})"
    return TransportError(f"cannot connect to {endpoint}: {advice}", code="tls", not_run=True)

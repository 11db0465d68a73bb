"""The steps of a diagnosis below HTTP: name, connection and certificate."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import urlsplit

from routermcp_proto.http.url import EndpointURL

from .steps import DiagnosisStep, failed, passed, skipped

#: Seconds for a connection and for a TLS handshake: three times what a slow network takes.
STEP_SECONDS = 10.0

#: Addresses of a name that are shown and tried.
MAX_SHOWN_ADDRESSES = 8

#: Days before the end of a certificate from which on that is told.
EXPIRES_SOON_DAYS = 14

#: What to do about a certificate, by the number that OpenSSL gives the problem.
#: Source: https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/
_CERTIFICATE_ADVICE: Mapping[int, str] = {
    9: "look at the clock of this machine",
    10: "the server's certificate has to be renewed; look at the clock of this machine, too",
    18: "the server made its certificate itself: trust it with --cacert FILE",
    19: "trust its authority with --cacert FILE; in a company a proxy may have put its own certificate there",
    20: "trust its authority with --cacert FILE; the server may leave out a certificate in between",
    62: "use the name that the certificate is for",
}


def network_steps(
    endpoint: EndpointURL, proxy: str | None, tls: Callable[[], ssl.SSLContext]
) -> Iterator[DiagnosisStep]:
    """Yield the steps up to the connection, the last of which may have failed.

    Args:
        endpoint: The server.
        proxy: The proxy in front of it, None for none.
        tls: Makes the context of the TLS connection.
    """
    if endpoint.unix:
        there = os.path.exists(endpoint.host)
        advice = "start the server, or give the path of its socket"
        yield passed("socket", endpoint.host) if there else failed("socket", "no such file", advice)
        return
    host, port = endpoint.host, endpoint.port
    if proxy is None:
        yield passed("proxy", "none")
    else:
        parts = urlsplit(proxy)  # which may hold a password: only host and port are shown
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        yield passed("proxy", f"{host}:{port}", "--proxy '' goes without")
    try:
        addresses = _addresses(host, port)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no name of a host"
        yield failed(
            "dns", f"{host} has no address: {reason}", "look at its spelling, your network and your VPN"
        )
        return
    yield passed("dns", f"{host} is {', '.join(addresses)}")
    try:
        connection, milliseconds = _connected(addresses, port)
    except OSError as error:
        yield failed("tcp", f"port {port}: {error.strerror or 'no answer'}", _connection_advice(error, port))
        return
    with connection:
        yield passed("tcp", f"port {port} answers in {milliseconds:.0f} ms")
        if proxy is not None or not endpoint.tls:
            yield skipped(
                "tls", "through the proxy" if endpoint.tls else "the URL is http://: nothing is encrypted"
            )
        else:
            yield _tls_step(connection, host, tls)


def _addresses(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found][:MAX_SHOWN_ADDRESSES]


def _connected(addresses: list[str], port: int) -> tuple[socket.socket, float]:
    """Connect to the first address that answers."""
    problem: OSError = OSError("there is no address")
    for address in addresses:
        started = time.perf_counter()
        try:
            connection = socket.create_connection((address, port), timeout=STEP_SECONDS)
        except OSError as error:
            problem = error
        else:
            return connection, (time.perf_counter() - started) * 1000
    raise problem


def _connection_advice(error: OSError, port: int) -> str:
    if error.errno == errno.ECONNREFUSED:
        return f"nothing listens on port {port}: start the server, or look at the port"
    return "look at your network; a firewall may keep the connection out"


def _tls_step(connection: socket.socket, host: str, tls: Callable[[], ssl.SSLContext]) -> DiagnosisStep:
    try:
        with tls().wrap_socket(connection, server_hostname=host) as encrypted:
            certificate, version = encrypted.getpeercert(), encrypted.version()
    except ssl.SSLCertVerificationError as error:
        advice = _CERTIFICATE_ADVICE.get(error.verify_code, "--cacert FILE trusts other certificates")
        return failed("tls", f"the certificate is not trusted: {error.verify_message}", advice)
    except ssl.SSLError as error:
        if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
            return failed("tls", "the server does not speak TLS there", "try http://, or another port")
        return failed("tls", f"the handshake failed: {error.reason or error}", "it may want --cert FILE")
    except OSError as error:
        return failed("tls", f"the handshake failed: {error.strerror or 'no answer'}", "look at the port")
    if not certificate:
        return passed("tls", f"{version}; the certificate is not checked", "leave out --insecure")
    return _certificate_step(str(version), cast("Mapping[str, Any]", certificate))


def _certificate_step(version: str, certificate: Mapping[str, Any]) -> DiagnosisStep:
    expires = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    days = (expires - datetime.now(UTC)).days
    found = f"{version}; issued by {_issuer(certificate)}, until {expires:%Y-%m-%d}"
    return passed("tls", found, f"it expires in {days} days" if days < EXPIRES_SOON_DAYS else "")


def _issuer(certificate: Mapping[str, Any]) -> str:
    names = {key: value for part in certificate.get("issuer", ()) for key, value in part}
    return str(names.get("organizationName") or names.get("commonName") or "an authority without a name")

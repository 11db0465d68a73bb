"""TLS contexts: one for all clients that ask for nothing special."""

from __future__ import annotations

import os
import ssl
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import cast

from routermcp_proto.exceptions import ConfigError

Verify = bool | str | os.PathLike[str] | ssl.SSLContext


#: A client certificate: a PEM file that holds the key too, or its file and the key's, and
#: the key's password where it has one.
ClientCertificate = str | os.PathLike[str] | tuple[str | os.PathLike[str], ...]


@cache
def default_context() -> ssl.SSLContext:
    """Return the context for all clients that ask for nothing special.

    Loading a bundle takes some 20 ms and half a megabyte, so it is done once, at the first
    connection that needs it.
    """
    return _usual_context()


def _usual_context() -> ssl.SSLContext:
    """Trust the system's certificates, or certifi's where it has none."""
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and not _has_certificate_folder():
        import certifi  # noqa: PLC0415 - only on systems without certificates

        context.load_verify_locations(certifi.where())
    return _for_http(context)


def _has_certificate_folder() -> bool:
    folder = ssl.get_default_verify_paths().capath
    return bool(folder) and os.path.isdir(folder) and bool(os.listdir(folder))


def _for_http(context: ssl.SSLContext) -> ssl.SSLContext:
    context.set_alpn_protocols(["http/1.1"])
    return context


def context_source(verify: Verify, cert: ClientCertificate | None = None) -> Callable[[], ssl.SSLContext]:
    """Return the maker of the TLS context, which is called at the first connection.

    Args:
        verify: True for the usual trust, a path of a file or folder of certificates to
            trust instead, a context of your own, or False to trust every server.
        cert: The client's own certificate, for servers that ask for one.

    Raises:
        ConfigError: It is none of these, or a path leads nowhere.
    """
    if isinstance(verify, ssl.SSLContext):
        if cert is not None:
            raise ConfigError("verify is an ssl.SSLContext: give it the client's certificate, and no cert=")
        return lambda: verify
    if cert is None:
        return default_context if verify is True else cache(_context_maker(verify))
    trusted, files = _context_maker(verify), _CertificateFiles.checked(cert)
    return cache(lambda: files.load(trusted()))


def _context_maker(verify: bool | str | os.PathLike[str]) -> Callable[[], ssl.SSLContext]:
    if verify is True:
        return _usual_context
    if verify is False:
        warnings.warn("verify=False: the server's identity is not checked", stacklevel=5)
        return _trusting_context
    if not isinstance(verify, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(f"verify is True, False, a path or an ssl.SSLContext, not {type(verify).__name__}")
    path = os.fspath(verify)
    if not os.path.exists(path):
        raise ConfigError(f"verify={path!r}: there is no such file or folder")
    return lambda: _context_of(path)


@dataclass(frozen=True, slots=True)
class _CertificateFiles:
    """The files of a client certificate."""

    certificate: str
    key: str | None = None
    # Without a password OpenSSL would ask for one on the terminal.
    password: str = field(default="", repr=False)

    @classmethod
    def checked(cls, cert: object) -> _CertificateFiles:
        """Check that the files exist.

        Raises:
            ConfigError: They are not, or it is something else.
        """
        given: tuple[object, ...] = cast("tuple[object, ...]", cert) if isinstance(cert, tuple) else (cert,)
        paths = [
            os.fspath(cast("str | os.PathLike[str]", path))
            for path in given
            if isinstance(path, str | os.PathLike)
        ]
        if len(paths) != len(given) or not 1 <= len(paths) <= 3:
            raise ConfigError("cert is a path of a PEM file, or a tuple of certificate, key and password")
        for path in paths[:2]:
            if not os.path.isfile(path):
                raise ConfigError(f"cert={path!r}: there is no such file")
        return cls(*paths)

    def load(self, context: ssl.SSLContext) -> ssl.SSLContext:
        """Load the certificate into a context.

        Raises:
            ConfigError: It cannot be used.
        """
        try:
            context.load_cert_chain(self.certificate, self.key, self.password)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"cert={self.certificate!r} and its key cannot be used: {error}") from error
        return context


def _context_of(path: str) -> ssl.SSLContext:
    folder = os.path.isdir(path)
    try:
        context = ssl.create_default_context(cafile=None if folder else path, capath=path if folder else None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"verify={path!r} is not a file of PEM certificates: {error}") from error
    return _for_http(context)


def _trusting_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return _for_http(context)

"""TLS contexts: one for all clients that ask for nothing special."""

from __future__ import annotations

import os
import ssl
import warnings
from collections.abc import Callable
from functools import cache

from routermcp_proto.exceptions import ConfigError

Verify = bool | str | os.PathLike[str] | ssl.SSLContext


@cache
def default_context() -> ssl.SSLContext:
    """Return the context that trusts the system's certificates, or certifi's where it has none.

    Loading a bundle takes some 20 ms and half a megabyte, so it is done once, at the first
    connection that needs it.
    """
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


def context_source(verify: Verify) -> Callable[[], ssl.SSLContext]:
    """Return what makes the TLS context when the first connection needs one.

    Args:
        verify: True for the usual trust, a path of a file or folder of certificates to
            trust instead, a context of your own, or False to trust anybody.

    Raises:
        ConfigError: It is none of these, or the path leads nowhere.
    """
    if isinstance(verify, ssl.SSLContext):
        return lambda: verify
    if verify is True:
        return default_context
    if verify is False:
        warnings.warn("verify=False: the server's identity is not checked", stacklevel=4)
        return cache(_trusting_context)
    if not isinstance(verify, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(f"verify is True, False, a path or an ssl.SSLContext, not {type(verify).__name__}")
    path = os.fspath(verify)
    if not os.path.exists(path):
        raise ConfigError(f"verify={path!r}: there is no such file or folder")
    return cache(lambda: _context_of(path))


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

"""The internal API of the client: what the gateway and the command line may use of it.

They behave as neighbours of the client in the same package: beside its public modules they
import this one alone. To speak to a server, make :class:`Options`, :func:`resolve` them, make
the :func:`transport_of` the settings once, and the :func:`driver_of` each session over it.
"""

from __future__ import annotations

from ._callbacks import Callbacks
from ._environment import is_service_link
from ._options import DEFAULT_INTERACTION_TIMEOUT_MS, Options
from ._proxies import proxy_for
from ._settings import ClientSettings, resolve
from ._wiring import driver_of, transport_of

__all__ = [
    "DEFAULT_INTERACTION_TIMEOUT_MS",
    "Callbacks",
    "ClientSettings",
    "Options",
    "driver_of",
    "is_service_link",
    "proxy_for",
    "resolve",
    "transport_of",
]

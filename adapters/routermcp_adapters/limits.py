"""Limits of the connection pool and its statistics, and checks of sizes."""

from __future__ import annotations

from dataclasses import dataclass, fields

from routermcp_proto.exceptions import ConfigError


def check_size(size: object, name: str) -> None:
    """Check an option that is a number of bytes or of entries.

    Raises:
        ConfigError: It is not one.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ConfigError(f"{name}={size!r}: give a whole number of at least 1")


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Limits of the connections of a client, shared by all of its sessions.

    A call that finds no free place waits for one in the order of arrival, until its
    deadline. Answers to questions of the server, which end such waits, need no place.

    Raises:
        ConfigError: A number makes no sense.
    """

    max_connections: int = 100
    """Connections in all. Gateways commonly allow a client a hundred."""

    max_connections_per_origin: int = 100
    """Connections to one scheme, host and port."""

    max_idle: int = 100
    """Connections that rest: as many as there may be, so that the next burst opens none."""

    idle_expiry: int = 30_000
    """Milliseconds that one may rest: well under the 60 s after which load balancers drop it silently."""

    max_lifetime: int = 600_000
    """Milliseconds after which a connection is used no more, so that changes of DNS are followed."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 1 if field.name.startswith("max_connections") else 0
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(
                    f"PoolLimits({field.name}={value!r}): give a whole number of at least {least}"
                )


@dataclass(frozen=True, slots=True)
class PoolStats:
    """What the connections of a client are doing at this moment, and what they have done."""

    open: int
    """Connections that are open, or being opened."""

    idle: int
    """Open connections that are idle."""

    in_use: int
    """Open connections that carry a call, or are being opened for one."""

    waiting: int
    """Calls that wait for a connection."""

    reused: int
    """Requests sent over a connection that was open already."""

    opened: int
    """Connections that were opened since the client was made."""

    retries: int
    """Times that a request was sent again after a failure."""

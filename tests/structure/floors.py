"""The floors of the gateway's house: a room imports from lower floors only.

A room is a module or a folder of :mod:`routermcp.gateway`; a folder within a folder belongs to
the room around it.
"""

from __future__ import annotations

#: From the lowest floor to the highest.
GATEWAY_FLOORS: tuple[tuple[str, ...], ...] = (
    ("backend", "config", "errors"),
    ("catalog", "sessions"),
    ("dispatch", "upstreams"),
    ("users",),
    ("aggregate", "http"),
    ("factory", "serving"),
    ("application", "demo", "local"),
    ("__init__",),
)

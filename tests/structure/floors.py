"""The order of the rooms in each wing: a room imports from lower floors only.

A room is a module or a folder of the wing; a folder within a folder belongs to the room around
it. ``__init__`` is what the wing shows at its top. A new room gets its place here, on the lowest
floor that its imports allow.
"""

from __future__ import annotations

#: By wing, from the lowest floor to the highest.
FLOORS: dict[str, tuple[tuple[str, ...], ...]] = {
    "routermcp_proto": (
        ("display", "error_codes", "json_memory", "names", "value_class"),
        ("exceptions", "versions"),
        ("framing", "jsonrpc", "retry", "states", "types"),
        ("calls",),
        ("events", "gateway_calls"),
        ("redaction", "session"),
        ("client_session", "server_session"),
        ("http",),
        ("oauth",),
        ("__init__",),
    ),
    "routermcp_adapters": (
        ("limits", "logs", "runtime"),
        ("wire_log",),
        ("concurrency",),
        ("call", "runtimes"),
        ("streams",),
        ("http",),
        ("__init__",),
    ),
    "routermcp.oauth": (
        ("_optional", "_times", "_urls", "audit", "browser", "presets", "result_page", "signing"),
        ("device", "grants", "stores", "text_settings"),
        ("config",),
        ("flows", "paste"),
        ("callback_server",),
        ("loopback",),
        ("__init__",),
    ),
    "routermcp.gateway": (
        ("names", "shares", "telemetry", "wording"),
        ("backend", "config", "errors"),
        ("access_tokens", "catalog", "sessions"),
        ("dispatch", "upstreams"),
        ("users", "visible"),
        ("aggregate", "http"),
        ("access", "observers"),
        ("factory", "serving", "single"),
        ("application", "builtin", "local", "reload"),
        ("__init__",),
    ),
}

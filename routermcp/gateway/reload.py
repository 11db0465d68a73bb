"""A configuration that is read again while the gateway runs, and what changed in it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from routermcp_proto.exceptions import ConfigError

from .aggregate import Aggregate
from .config.model import GatewayConfig, HTTPServer
from .factory import times_of, upstream_of
from .upstreams.times import DEFAULT_TIMES
from .upstreams.upstream import Upstream


class ConfigChanges(NamedTuple):
    """What is other in a configuration than in the one before."""

    added: tuple[str, ...]
    """Servers, by alias."""
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    settings: tuple[str, ...]
    """Other members of the configuration."""

    def details(self) -> dict[str, str | None]:
        """Return the parts that are not empty, as text."""
        return {name: ",".join(part) or None for name, part in self._asdict().items()}


def changes_between(before: GatewayConfig, after: GatewayConfig) -> ConfigChanges:
    """Return what changed; servers that are not enabled count as absent."""
    known, wanted = before.enabled_servers, after.enabled_servers
    fields = [name for name in type(after).model_fields if name != "mcpServers"]
    return ConfigChanges(
        added=tuple(alias for alias in wanted if alias not in known),
        changed=tuple(alias for alias in wanted if alias in known and wanted[alias] != known[alias]),
        removed=tuple(alias for alias in known if alias not in wanted),
        settings=tuple(name for name in fields if getattr(before, name) != getattr(after, name)),
    )


def reload_backend(
    backend: Aggregate, before: GatewayConfig, after: GatewayConfig, *, folder: Path | None = None
) -> None:
    """Have a backend serve the servers of another configuration; those that are the same stay as they are.

    Runs in the event loop of the backend.

    Args:
        backend: The backend.
        before: The configuration that it was made of.
        after: The other configuration.
        folder: What a relative ``cwd`` begins at.

    Raises:
        ConfigError: Something in it is wrong, or needs a new start; nothing has changed then.
    """
    if after.model_copy(update={"mcpServers": before.mcpServers}) != before:
        raise ConfigError("only changes of mcpServers are taken while the gateway runs: start it again")
    known, wanted = before.enabled_servers, after.enabled_servers
    upstreams: list[Upstream] = []
    for alias, server in wanted.items():
        same = known.get(alias) == server
        if isinstance(server, HTTPServer) and server.authType == "oauth":
            if not same:
                raise ConfigError(f"{alias} is a server that users sign in at: start the gateway again")
        elif same and alias in backend.upstreams:
            upstreams.append(backend.upstreams[alias])
        else:
            times = times_of(after, DEFAULT_TIMES)
            upstreams.append(
                upstream_of(alias, server, folder=folder, naming=after.names.naming, times=times)
            )
    if not set(backend.personal) <= set(wanted):
        raise ConfigError("a server that users sign in at is gone: start the gateway again")
    backend.replace(upstreams)

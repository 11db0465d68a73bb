"""A network of two: 127.0.0.1 is taken for an address of the open Internet, 127.0.0.2 for what it is."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from routermcp_adapters.http import connect
from routermcp_proto.oauth import urls
from routermcp_proto.oauth.urls import Reach, reach_of
from tests.oauth.servers.protected_server import ProtectedServer


class InnerServer(ProtectedServer):
    """A server that only this machine can reach."""

    address = "127.0.0.2"
    name = "localhost"


def part_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take servers on 127.0.0.1 for public, and resolve ``localhost`` to 127.0.0.2."""
    resolve = socket.getaddrinfo

    def resolved(host: Any, *rest: Any, **options: Any) -> Any:
        return resolve(InnerServer.address if host == InnerServer.name else host, *rest, **options)

    def reach(address: str) -> Reach:
        return Reach.PUBLIC if address == ProtectedServer.address else reach_of(address)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    for module in (connect, urls):
        monkeypatch.setattr(module, "reach_of", reach)

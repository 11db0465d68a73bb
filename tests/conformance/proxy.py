"""Puts the gateway in front of one server as ``routermcp proxy`` does, until the standard input ends.

Usage::

    python -m tests.conformance.proxy URL | COMMAND ARGUMENT...

It prints its URL when it is ready.
"""

from __future__ import annotations

import os
import sys

from routermcp.gateway import serve_in_thread
from routermcp.gateway.catalog.server_names import ServerNaming
from routermcp.gateway.config.model import GatewayConfig
from routermcp.gateway.factory import application_of
from routermcp.gateway.single import SingleServer
from routermcp.gateway.upstreams.targets import over_http, over_stdio
from routermcp.gateway.upstreams.upstream import Upstream

#: Seconds for the first client to wait for a server that is being started.
PATIENCE = 20.0


def main() -> None:
    """Serve until the standard input ends."""
    target = sys.argv[1:]
    if target[0].startswith("http://"):
        settings = over_http(target[0])
    else:
        settings = over_stdio(target, env={"PYTHONPATH": os.environ.get("PYTHONPATH", "")})
    mirror = SingleServer(Upstream("server", settings, names=ServerNaming("it")), patience=PATIENCE)
    with serve_in_thread(application_of(GatewayConfig(), mirror)) as url:
        print(url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()

"""Serves what the suite's server scenarios expect to find, until it is ended.

Usage::

    python -m tests.conformance.server [--stdio]

Over HTTP it prints its URL when it is ready.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from routermcp.gateway import GatewayApp, serve_in_thread
from routermcp.gateway.serving.stdio import serve_stdio
from tests.conformance.fixture import Everything


def main() -> None:
    """Serve over HTTP or stdio until the standard input ends."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stdio", action="store_true", help="serve over standard input and output")
    backend = Everything()
    if parser.parse_args().stdio:
        asyncio.run(serve_stdio(backend))
        return
    app = GatewayApp(backend)
    backend.on_changed = app.announce
    with serve_in_thread(app) as url:
        print(url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()

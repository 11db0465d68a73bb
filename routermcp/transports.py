"""Ways to a server: what ``transport=`` of a client takes.

:func:`stdio` starts a server as a child process, and ``http(url, ...)`` reaches one over HTTP,
as the options of the client do that :class:`HTTPOptions` has. For anything else, give ``transport=`` an
object with ``open(runtime)`` that returns a :class:`MessageStream`, or a :class:`ByteStream`
in a :class:`LineStream`; ``docs/transports.md`` has worked examples, and
:mod:`routermcp.testing` the tests that a transport has to pass.
"""

from __future__ import annotations

from routermcp_adapters.runtime import ByteStream, Runtime, StreamClosedError
from routermcp_adapters.streams.base import LineStream, MessageStream, Transport
from routermcp_adapters.streams.stdio import StdioTransport, stdio

from ._options import HTTPOptions

#: ``transport=http("https://...", verify=...)``, beside ``transport=stdio([...])``.
http = HTTPOptions

__all__ = [
    "ByteStream",
    "HTTPOptions",
    "LineStream",
    "MessageStream",
    "Runtime",
    "StdioTransport",
    "StreamClosedError",
    "Transport",
    "http",
    "stdio",
]

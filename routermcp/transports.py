"""Ways to a server besides a URL.

:func:`stdio` starts a server as a child process. For anything else, give ``transport=`` an
object with ``open(runtime)`` that returns a :class:`MessageStream`, or a :class:`ByteStream`
in a :class:`LineStream`; ``docs/transports.md`` has worked examples, and
:mod:`routermcp.testing` the tests that a transport has to pass.
"""

from __future__ import annotations

from routermcp_adapters.runtime import ByteStream, Runtime, StreamClosedError
from routermcp_adapters.streams.base import LineStream, MessageStream, Transport
from routermcp_adapters.streams.stdio import StdioTransport, stdio

__all__ = [
    "ByteStream",
    "LineStream",
    "MessageStream",
    "Runtime",
    "StdioTransport",
    "StreamClosedError",
    "Transport",
    "stdio",
]

"""Streamable HTTP over sockets of our own, or over an httpx client.

Read :mod:`.context` and :mod:`.base` (what a transport of HTTP exchanges offers);
:mod:`.connect`, :mod:`.connection`, :mod:`.pool` and :mod:`.pooled` (the keep-alive pool and
the transport over it), :mod:`.httpx`, :mod:`.auth`; then one MCP session over any of them:
:mod:`.server_stream` and :mod:`.subscription`, :mod:`.handshake`, :mod:`.session`.
"""

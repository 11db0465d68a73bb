"""The gateway as an ASGI application.

Read :mod:`.asgi` and :mod:`.body` (requests and responses), :mod:`.validation`, :mod:`.post` and
:mod:`.endpoint` (one MCP endpoint), then :mod:`.authentication`, :mod:`.rate_limit` and
:mod:`.app`, which add projects, keys and limits.
"""

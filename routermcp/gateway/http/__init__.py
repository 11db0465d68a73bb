"""The gateway as an ASGI application.

Read :mod:`.asgi` and :mod:`.body` (requests and responses), :mod:`.validation`, :mod:`.post` and
:mod:`.gateway_app` (one MCP endpoint), then :mod:`.authentication`, :mod:`.rate_limit` and
:mod:`.project_gateway`, which add projects, keys and limits.
"""

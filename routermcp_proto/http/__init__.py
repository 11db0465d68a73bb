"""Streamable HTTP without I/O: reading answers, writing heads, and their meaning in MCP.

Two layers. :mod:`.reader` and :mod:`.headers` know HTTP/1.1 and nothing of MCP. Above them
:mod:`.exchange` and :mod:`.binding` interpret a status, a header or a body for an MCP
session, whether the reader, an HTTP library or a test feeds them.
"""

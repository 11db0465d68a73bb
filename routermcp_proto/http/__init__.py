"""Streamable HTTP without any I/O: reading answers, writing heads, and what both mean to MCP.

Two layers. :mod:`.reader` and :mod:`.headers` know HTTP/1.1 and nothing of MCP. Above them
:mod:`.exchange` and :mod:`.binding` know what a status, a header or a body means to an MCP
session, whoever fed it: the reader, an HTTP library, or a test.
"""

"""Tests for code that builds on routermcp.

:mod:`routermcp.testing.transport_contract` shows whether a transport of yours keeps the
promises of a client. It needs pytest, asyncio and trio.
"""

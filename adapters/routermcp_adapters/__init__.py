"""I/O for routermcp: one driver, written once, on three runtimes.

Nothing here is part of the public API of :mod:`routermcp`; authors of custom transports
read :mod:`routermcp_adapters.runtime` for the interfaces.
"""

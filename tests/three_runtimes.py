"""One test body for asyncio, for trio and for plain blocking code."""

from __future__ import annotations

from routermcp.testing.three_runtimes import RUNTIMES, abandon, gather, make_client, run

__all__ = ["RUNTIMES", "abandon", "gather", "make_client", "run"]

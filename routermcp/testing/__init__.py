"""Tests for code that builds on routermcp.

:mod:`routermcp.testing.transport_contract` shows whether a transport of yours keeps the
promises of a client. It needs pytest, asyncio and trio.
"""

import sys

if "pytest" in sys.modules:
    # So that a failure shows what was compared. The contract's server runs without pytest.
    sys.modules["pytest"].register_assert_rewrite(f"{__name__}.transport_contract")

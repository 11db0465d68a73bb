"""Tests for code that builds on routermcp.

:class:`FakeServer` stands in for a server in tests of code that uses a client, and a
:class:`Recording` plays what a real one has said; :func:`asgi_client` reaches a server that is an ASGI
application in the same process.
:mod:`routermcp.testing.transport_contract` shows whether a transport of yours keeps the
promises of a client. It needs pytest, asyncio and trio.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .._lazy import imported_on_use
from .fake_server import FakeCall, FakeServer
from .fake_tools import Ask, Delay, Report
from .recording import Recording
from .recording_file import RecordingError, ReplayMismatchError

if TYPE_CHECKING:
    from .asgi import asgi_client

__all__ = [
    "Ask",
    "Delay",
    "FakeCall",
    "FakeServer",
    "Recording",
    "RecordingError",
    "ReplayMismatchError",
    "Report",
    "asgi_client",
]

# It needs httpx, which takes longer to import than all the rest.
if not TYPE_CHECKING:  # with it, type checkers would take every name for one of these
    __getattr__ = imported_on_use(__name__, {"asgi_client": ".asgi"})

if "pytest" in sys.modules:
    # So that a failure shows what was compared. The contract's server runs without pytest.
    sys.modules["pytest"].register_assert_rewrite(f"{__name__}.transport_contract")

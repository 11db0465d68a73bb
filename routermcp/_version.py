"""The version of the distribution, and how its requests name it."""

from __future__ import annotations

__version__ = "0.1.0"

#: The ``User-Agent`` of all requests, unless the application gives another.
USER_AGENT = f"routermcp/{__version__}"

"""OAuth configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class OAuthConfig:
    """How a client keeps the tokens of its users.

    Args:
        adapter: Where tokens are stored.
    """

    adapter: Any

"""Audit events about tokens; they never hold a token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Action = Literal["obtain", "refresh", "use", "revoke"]


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Something was done with a user's token."""

    action: Action
    user_id: str
    server_id: str
    issuer: str | None
    """The authorization server, where known."""


OnAudit = Callable[[AuditEvent], object]
"""Told of each event, at once and in the thread or task where it happens."""

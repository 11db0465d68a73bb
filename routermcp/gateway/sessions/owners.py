"""What the audit tells of sessions and of their owners."""

from __future__ import annotations

from typing import cast

from ..telemetry.audit import FINGERPRINT_DIGITS, Details, fingerprint
from .base import KeptSession


def owner_details(owner: bytes) -> Details:
    """Return what the audit tells of an owner: its project, its API key and its user.

    Args:
        owner: These three with zero bytes between them, of which the key, a digest, may hold some too.
    """
    project, _, rest = owner.partition(b"\0")
    key, _, user = rest.rpartition(b"\0")
    return {
        "project": project.decode("ascii") or None,
        "key": key.hex()[:FINGERPRINT_DIGITS] or None,
        "user": user.decode("ascii") or None,
    }


def session_details(session: KeptSession, owner: bytes) -> Details:
    """Return what an audit tells of a session: its owner and the name that its client gives itself."""
    info = session.machine.client.get("clientInfo")
    name: object = cast("dict[str, object]", info).get("name") if isinstance(info, dict) else None
    told = name if isinstance(name, str) else None
    return {"session": fingerprint(session.id), **owner_details(owner), "client": told}

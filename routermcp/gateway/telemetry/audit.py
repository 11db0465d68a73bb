"""What the audit tells of beside calls: each event is one line of the log, without secrets."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum

from routermcp_proto.exceptions import printable

#: Characters of a detail in a line: tools have names of 128, URIs of resources more.
MAX_DETAIL = 200

#: Digits of a fingerprint: enough to tell keys and sessions apart, too few to guess either from.
FINGERPRINT_DIGITS = 8

_PLAIN = re.compile(r"[!#-<>-~]+")
"""Visible ASCII without quotes and equals signs."""


class AuditedEvent(StrEnum):
    """What happened."""

    REFUSED = "refused"
    SESSION_BEGUN = "session_begun"
    SESSION_ENDED = "session_ended"
    SIGN_IN_BEGUN = "sign_in_begun"
    SIGN_IN_DONE = "sign_in_done"
    SIGN_IN_FAILED = "sign_in_failed"
    SIGN_IN_REVOKED = "sign_in_revoked"
    TOKENS_READ = "tokens_read"
    TOKENS_STORED = "tokens_stored"
    TOKENS_DELETED = "tokens_deleted"
    LEASE_TAKEN = "lease_taken"
    LEASE_RELEASED = "lease_released"
    LEASE_EXPIRED = "lease_expired"
    CONFIG_RELOADED = "config_reloaded"
    CONFIG_REFUSED = "config_refused"


Details = Mapping[str, str | int | None]
"""What is known of an event; a line leaves out what is None."""

OnAudited = Callable[[AuditedEvent, Details], None]
"""Hears of each event."""


def unheard(event: AuditedEvent, details: Details) -> None:
    """Do nothing: without the audit, events are told to no one."""


def fingerprint(secret: str | bytes) -> str:
    """Return what names a secret in the log: the beginning of its SHA-256."""
    data = secret.encode() if isinstance(secret, str) else secret
    return hashlib.sha256(data).hexdigest()[:FINGERPRINT_DIGITS]


def event_line(now: datetime, event: AuditedEvent, details: Details, *, as_json: bool) -> str:
    """Return the line of an event."""
    members = {
        "time": now.isoformat(timespec="milliseconds"),
        "event": event.value,
        **{name: value[:MAX_DETAIL] if isinstance(value, str) else value for name, value in details.items()},
    }
    if as_json:
        return json.dumps(members) + "\n"
    told = (f"{name}={plain(str(value))}" for name, value in members.items() if value is not None)
    return " ".join(told) + "\n"


def plain(value: str) -> str:
    """Return a value as it stands in a line of text: in quotes where it could be taken for more than one."""
    return value if _PLAIN.fullmatch(value) else json.dumps(one_line(value), ensure_ascii=False)


def one_line(text: str) -> str:
    """Return a text without characters that control a terminal or begin a line."""
    return printable(text).replace("\n", " ").replace("\t", " ")

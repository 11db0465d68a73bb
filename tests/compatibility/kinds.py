"""All rows of the compatibility table, in the order of the page."""

from __future__ import annotations

from tests.compatibility import answers, sessions, usage
from tests.compatibility.rows import Kind

KINDS: tuple[Kind, ...] = (
    answers.PROBE,
    sessions.OLD_CHILDREN,
    sessions.BETWEEN_CALLS,
    answers.NOTIFICATIONS,
    answers.ENVELOPE,
    answers.LISTS,
    answers.SESSIONS,
    usage.HEADERS,
    usage.ARGUMENTS,
    answers.BYTES,
    usage.TIME_LIMITS,
    answers.COMPRESSION,
    answers.STATUSES,
    sessions.HTTP_SSE,
    usage.HTTP_CLIENTS,
    usage.INTERFACE,
    usage.DEBUGGING,
    usage.CORE,
)

"""The grammar of ``_meta``: its keys, and the trace context in it.

Sources: https://modelcontextprotocol.io/specification/2026-07-28/basic, section "_meta";
https://www.w3.org/TR/trace-context/, sections 3.2 and 3.3; https://www.w3.org/TR/baggage/, section 3.3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: Characters of a key: a DNS name and a name as long as one.
MAX_KEY = 512

#: Characters of a ``traceparent``: ten times what version 00 has, for later versions.
MAX_TRACEPARENT = 550

#: Members of a ``tracestate`` (W3C Trace Context, section 3.3.1.1).
MAX_TRACESTATE_MEMBERS = 32

#: Characters of a ``baggage``, and of a ``tracestate`` (W3C Baggage, section 3.3.2: 8,192 bytes).
MAX_BAGGAGE = 8192

_LABEL = re.compile(r"[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
_NAME = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)?")
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_TRACESTATE_KEY = re.compile(r"[a-z0-9][a-z0-9_*/-]{0,255}(?:@[a-z][a-z0-9_*/-]{0,13})?")
_TRACESTATE_VALUE = re.compile(r"[ !-+\--<>-~]{0,255}[!-+\--<>-~]")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BAGGAGE_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]*")


def is_key(key: str, *, prefixed: bool = False) -> bool:
    """Return whether a text is a valid key of ``_meta``.

    Args:
        key: The text.
        prefixed: Whether it has to have a prefix, as the identifier of an extension has.
    """
    if len(key) > MAX_KEY:
        return False
    prefix, slash, name = key.rpartition("/")
    if prefixed and not slash:
        return False
    if slash and not all(_LABEL.fullmatch(label) for label in prefix.split(".")):
        return False
    return _NAME.fullmatch(name) is not None


def problem_of(key: str, value: Any) -> str | None:
    """Return what is wrong with a member of ``_meta``, None where nothing is."""
    if not is_key(key):
        return "is no valid key: it is a name, perhaps after a prefix such as com.example/"
    valid = _TRACE_CONTEXT.get(key)
    if valid is not None and not (isinstance(value, str) and valid(value)):
        return "does not have the format of W3C " + ("Baggage" if key == "baggage" else "Trace Context")
    return None


def valid_members(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of a peer's ``_meta`` that may be forwarded: those that are valid."""
    return {key: value for key, value in meta.items() if problem_of(key, value) is None}


def _is_traceparent(value: str) -> bool:
    match = _TRACEPARENT.fullmatch(value) if len(value) <= MAX_TRACEPARENT else None
    if match is None:
        return False
    version, trace, parent, more = match.groups()
    zeros = not trace.strip("0") or not parent.strip("0")
    return not zeros and version != "ff" and (more is None or version != "00")


def _is_tracestate(value: str) -> bool:
    members = [each.strip(" \t") for each in value[: MAX_BAGGAGE + 1].split(",")]
    members = [each for each in members if each]
    return (
        len(value) <= MAX_BAGGAGE
        and len(members) <= MAX_TRACESTATE_MEMBERS
        and all(_is_pair(each, _TRACESTATE_KEY, _TRACESTATE_VALUE) for each in members)
    )


def _is_baggage(value: str) -> bool:
    if len(value) > MAX_BAGGAGE:
        return False
    for member in value.split(","):
        first, *properties = member.split(";")
        if not _is_pair(first.strip(" \t"), _TOKEN, _BAGGAGE_VALUE, blanks=True):
            return False
        for each in (text.strip(" \t") for text in properties):
            if not (_TOKEN.fullmatch(each) or _is_pair(each, _TOKEN, _BAGGAGE_VALUE, blanks=True)):
                return False
    return True


def _is_pair(text: str, key: re.Pattern[str], value: re.Pattern[str], *, blanks: bool = False) -> bool:
    """Return whether a text is ``key=value``, with blanks around ``=`` where they are allowed."""
    name, equals, rest = text.partition("=")
    if blanks:
        name, rest = name.rstrip(" \t"), rest.lstrip(" \t")
    return bool(equals and key.fullmatch(name) and value.fullmatch(rest))


_TRACE_CONTEXT = {"traceparent": _is_traceparent, "tracestate": _is_tracestate, "baggage": _is_baggage}

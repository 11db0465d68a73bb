"""What is known of one request after it was passed on: the same for the log and for the metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

#: The requests that go to a server behind the gateway, each with the parameter that says for what.
SUBJECTS: Mapping[str, str] = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


class CallOutcome(StrEnum):
    """How a request ended."""

    OK = "ok"
    TOOL_ERROR = "tool_error"
    INPUT_REQUIRED = "input_required"
    ERROR = "error"
    CANCELLED = "cancelled"


class CallRecord(NamedTuple):
    """One request for a tool, a prompt or a resource. It holds no arguments and no results."""

    method: str
    subject: str
    """The name of the tool or prompt, or the URI of the resource, as the client wrote it."""
    user_id: str | None
    seconds: float
    outcome: CallOutcome
    code: int | None
    """The code of the error, None where there was none."""


OnCall = Callable[[CallRecord, Any], None]
"""Hears of each request that has ended, and of its arguments, which are the user's own affair."""


def outcome_of(result: Mapping[str, Any] | None, code: int | None) -> CallOutcome:
    """Return how a request ended, by its result or the code of its error; it was cancelled without both."""
    if code is not None:
        return CallOutcome.ERROR
    if result is None:
        return CallOutcome.CANCELLED
    if result.get("isError"):
        return CallOutcome.TOOL_ERROR
    return CallOutcome.INPUT_REQUIRED if result.get("resultType") == "input_required" else CallOutcome.OK

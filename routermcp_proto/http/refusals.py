"""The refusal that an HTTP answer is: its status, and the reason by its error page and headers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_core import from_json

from .. import jsonrpc
from ..events import HTTPRefused
from ..exceptions import MAX_ERROR_BODY
from ..jsonrpc import ErrorObject, RequestId
from ..redaction import beginning_without, error_without
from .numbers import finite_number, whole_number
from .reader import ResponseHead

#: Bytes of an error page that are read in search of a JSON-RPC error.
MAX_REFUSAL_SIZE = 64 * 1024

#: Seconds of the longest ``Retry-After``: ten years, and a larger number is read as that.
MAX_RETRY_AFTER = 10 * 365 * 24 * 3600


def read_refusal(
    head: ResponseHead,
    body: bytes | bytearray,
    request_id: RequestId | None,
    dpop_nonce: str | None,
    secrets: Sequence[str],
) -> HTTPRefused:
    """Read a refusal.

    Args:
        head: The head of the answer.
        body: Its body, of :data:`MAX_REFUSAL_SIZE` at most.
        request_id: The request that was refused, None where it has no id.
        dpop_nonce: The nonce that the answer has for the next proofs.
        secrets: The secrets that were sent with the request, which the refusal must not repeat.
    """
    error, addressed = _find_error(body, request_id, secrets)
    challenges = tuple(value.decode("latin-1") for name, value in head.headers if name == b"www-authenticate")
    wait = retry_after(head)
    if wait is None:
        wait = _retry_after_in_body(body)
    excerpt = beginning_without(body, MAX_ERROR_BODY, secrets)
    return HTTPRefused(head.status, error, addressed, excerpt, wait, challenges, dpop_nonce)


def _find_error(
    body: bytes | bytearray, request_id: RequestId | None, secrets: Sequence[str]
) -> tuple[ErrorObject | None, bool]:
    """Return the JSON-RPC error in a body, and whether it names the request."""
    for message in jsonrpc.decode(body) if body.startswith(b"{") else ():
        if isinstance(message, jsonrpc.ErrorResponse):
            named = message.id is not None and message.id == request_id
            return error_without(message.error, secrets), named
    return None, False


def retry_after(head: ResponseHead) -> float | None:
    """Read ``Retry-After`` as seconds (RFC 9110, section 10.2.3).

    A date is compared with the answer's own ``Date``, so that no clock is needed; without a
    ``Date`` it is ignored.
    """
    text = head.header(b"retry-after").strip()
    seconds = whole_number(text, MAX_RETRY_AFTER)
    if seconds is not None:
        return seconds
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - takes long to import, and few need it

    try:
        until = parsedate_to_datetime(text)
        sent = parsedate_to_datetime(head.header(b"date"))
        return min(max(0.0, (until - sent).total_seconds()), MAX_RETRY_AFTER)
    except (ValueError, TypeError, OverflowError):
        return None


def _retry_after_in_body(body: bytes | bytearray) -> float | None:
    """Read the seconds that a RouterMCP gateway writes into the body of a 429."""
    try:
        value: Any = from_json(bytes(body))
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    number = finite_number(value.get("retryAfter"))  # pyright: ignore[reportUnknownMemberType]
    return min(max(0.0, number), MAX_RETRY_AFTER) if number is not None else None

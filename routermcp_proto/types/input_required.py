"""Results that ask for input before the request can be completed.

Source: https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/mrtr
"""

from __future__ import annotations

from typing import Annotated, Any, cast

from pydantic import BeforeValidator

from .base import Meta, WireModel


def _input_request_objects(value: object) -> object:
    """Fail at the first member that is not an object.

    Pydantic would report all of them, at many times the memory of the message.
    """
    if isinstance(value, dict):
        for key, request in cast("dict[str, Any]", value).items():
            if not isinstance(request, dict):
                raise ValueError(f"input request {key[:100]!r} is not an object")
    return cast("object", value)


class InputRequiredResult(WireModel):
    """A result of type ``input_required``: the client answers and sends the request again.

    Attributes:
        inputRequests: Requests such as ``elicitation/create``, each under a key; the answer
            is sent back under the same key.
        requestState: An opaque text to send back unchanged.
    """

    inputRequests: Annotated[dict[str, dict[str, Any]] | None, BeforeValidator(_input_request_objects)] = None
    requestState: str | None = None
    meta: Meta = None

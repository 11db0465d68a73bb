"""Elicitation: a server asks the user for input.

Source: https://modelcontextprotocol.io/specification/2026-07-28/client/elicitation
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from .base import Lenient, Meta, WireModel


class ElicitRequest(WireModel):
    """A server's request to the user: to fill in a form, or to open a page.

    Attributes:
        mode: ``form`` or ``url``.
        message: The question to the user, with its reason.
        requestedSchema: JSON Schema of the form: an object with flat properties.
        url: The page to open.
        elicitationId: Names the elicitation until the server says it is complete (2025-11-25).
    """

    mode: Annotated[str, Lenient(lambda: "form")] = "form"
    message: str
    requestedSchema: dict[str, Any] | None = None
    url: str | None = None
    elicitationId: str | None = None
    meta: Meta = None

    def defaults(self) -> dict[str, Any]:
        """Return the value of each property of the form that has a default."""
        properties = (self.requestedSchema or {}).get("properties")
        if not isinstance(properties, dict):
            return {}
        return {
            name: schema["default"]
            for name, schema in cast("dict[str, Any]", properties).items()
            if isinstance(schema, dict) and "default" in schema
        }


class ElicitResult(WireModel):
    """The user's answer.

    Attributes:
        action: The user submitted the form or agreed (``accept``), refused (``decline``), or
            dismissed the question (``cancel``).
        content: The form's values, only where the user accepted.
    """

    action: Literal["accept", "decline", "cancel"]
    content: dict[str, Any] | None = None
    meta: Meta = None

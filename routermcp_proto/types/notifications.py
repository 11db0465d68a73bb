"""What the sides tell each other without being asked.

Source: https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/progress,
https://modelcontextprotocol.io/specification/2026-07-28/server/utilities/logging and
https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/subscriptions
"""

from __future__ import annotations

from typing import Annotated, Any

from .base import Lenient, Meta, Strings, WireModel


class Progress(WireModel):
    """How far a request has come.

    Attributes:
        progress: Grows with every notification, in units of the server.
        total: What `progress` will reach at the end, where that is known.
        message: What is being done, for people.
    """

    progress: float
    total: Annotated[float | None, Lenient()] = None
    message: Annotated[str | None, Lenient()] = None
    progressToken: int | str | None = None
    meta: Meta = None


class LogMessage(WireModel):
    """A line of the server's log.

    Attributes:
        level: A severity of RFC 5424: ``debug``, ``info``, ``notice``, ``warning``, ``error``,
            ``critical``, ``alert`` or ``emergency``.
        logger: Which part of the server wrote it.
        data: What it wrote, any JSON value.
    """

    level: str
    logger: Annotated[str | None, Lenient()] = None
    data: Any = None
    meta: Meta = None


class ResourceUpdated(WireModel):
    """A resource that was subscribed to has changed.

    Attributes:
        uri: The resource; may be a part of the one that was subscribed to.
    """

    uri: str
    meta: Meta = None


class SubscriptionFilter(WireModel):
    """The changes that a client wants to hear of (2026-07-28 on).

    Attributes:
        resourceSubscriptions: URIs of single resources.
    """

    toolsListChanged: bool | None = None
    promptsListChanged: bool | None = None
    resourcesListChanged: bool | None = None
    resourceSubscriptions: Strings | None = None

"""Notifications: progress, log messages, changes.

Source: https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/progress,
https://modelcontextprotocol.io/specification/2026-07-28/server/utilities/logging and
https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/subscriptions
"""

from __future__ import annotations

from typing import Annotated, Any

from .base import Lenient, Meta, Strings, WireModel


class Progress(WireModel):
    """The progress of a request.

    Attributes:
        progress: Grows with every notification, in units of the server.
        total: The value of `progress` at the end, if known.
        message: The current step, for people.
    """

    progress: float
    total: Annotated[float | None, Lenient()] = None
    message: Annotated[str | None, Lenient()] = None
    progressToken: int | str | None = None
    meta: Meta = None


class LogMessage(WireModel):
    """An entry of the server's log.

    Attributes:
        level: A severity of RFC 5424: ``debug``, ``info``, ``notice``, ``warning``, ``error``,
            ``critical``, ``alert`` or ``emergency``.
        logger: The part of the server that wrote it.
        data: The content, any JSON value.
    """

    level: str
    logger: Annotated[str | None, Lenient()] = None
    data: Any = None
    meta: Meta = None


class ResourceUpdated(WireModel):
    """A change of a resource that the client subscribed to.

    Attributes:
        uri: The resource; may be a part of the subscribed one.
    """

    uri: str
    meta: Meta = None


class SubscriptionFilter(WireModel):
    """The changes that a client subscribes to (2026-07-28 on).

    Attributes:
        resourceSubscriptions: URIs of single resources.
    """

    toolsListChanged: bool | None = None
    promptsListChanged: bool | None = None
    resourcesListChanged: bool | None = None
    resourceSubscriptions: Strings | None = None

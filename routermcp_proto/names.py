"""Names of the wire that more than one layer uses."""

from __future__ import annotations

from collections.abc import Mapping

LOG_LEVEL_KEY = "io.modelcontextprotocol/logLevel"
"""The member of ``_meta`` by which a stateless request asks for log messages."""

LOG_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""Levels of log messages, the least important first."""

RESOURCE_UPDATED = "notifications/resources/updated"
"""The notification that a resource has changed."""

#: The member of ``_meta`` that tells by which request a notification was asked for.
SUBSCRIPTION_ID_KEY = "io.modelcontextprotocol/subscriptionId"

ACKNOWLEDGED = "notifications/subscriptions/acknowledged"

#: Members of the filter of ``subscriptions/listen``: the capability that has to say
#: ``listChanged``, and the notification.
LIST_FILTERS: Mapping[str, tuple[str, str]] = {
    "toolsListChanged": ("tools", "notifications/tools/list_changed"),
    "promptsListChanged": ("prompts", "notifications/prompts/list_changed"),
    "resourcesListChanged": ("resources", "notifications/resources/list_changed"),
}

"""What observes the calls of a gateway: the log, the figures for Prometheus, and OpenTelemetry."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from routermcp_proto.exceptions import ConfigError

from .aggregate import Aggregate
from .backend import Backend
from .config.model import LogSettings
from .http.gateway_app import GatewayApp
from .telemetry.call_log import CallLog
from .telemetry.records import CallRecord

if TYPE_CHECKING:
    from .telemetry.metrics import GatewayMetrics


def endpoint_of(backend: Aggregate) -> tuple[type[GatewayApp], Backend]:
    """Return the class of the endpoint and the backend that it serves: traced where the program traces."""
    try:
        from .dispatch.tracing import is_traced, traced  # noqa: PLC0415 - of the extra ``otel``
    except ModuleNotFoundError:
        return GatewayApp, backend
    if not is_traced():
        return GatewayApp, backend
    from .http.traced_app import TracedApp  # noqa: PLC0415

    return TracedApp, traced(backend)


def call_log_of(settings: LogSettings, backend: Aggregate, write: Callable[[str], object]) -> CallLog:
    """Return the log of the calls of a backend."""

    def server_of(record: CallRecord) -> str | None:
        entry = backend.entry_of(record)
        return entry[0] if entry is not None else None

    log = CallLog(write, server_of, as_json=settings.format == "json", arguments=settings.arguments)
    if settings.calls:
        backend.call_listeners.append(log.add)
    return log


def metrics_of(backend: Aggregate, app: GatewayApp) -> GatewayMetrics:
    """Return the figures of the calls of a backend.

    Raises:
        ConfigError: The library is missing.
    """
    try:
        from .telemetry.metrics import GatewayMetrics  # noqa: PLC0415 - of the extra
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"metrics need {error.name}, which is not installed: pip install 'routermcp[metrics]'"
        ) from error
    metrics = GatewayMetrics(backend.entry_of, backend.states, lambda: app.sessions)
    backend.call_listeners.append(metrics.add)
    return metrics

"""The page of metrics for Prometheus: calls, their times, and the state of the servers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from .records import CallRecord

#: The variable of prometheus-client with the folder that several workers write their figures to.
SHARED_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

#: Seconds that separate the classes of calls: from a lookup to the longest that hosts wait for.
BUCKETS = (0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class GatewayMetrics:
    """Counts calls, and writes the page.

    Args:
        entry_of: Returns the alias of the server of a request and the name of what was asked for,
            None where there is no such entry: what clients make up must not become a label.
        states: Returns the state of each server by its alias.
        sessions: Returns the number of kept sessions.
    """

    def __init__(
        self,
        entry_of: Callable[[CallRecord], tuple[str, str] | None],
        states: Callable[[], Mapping[str, str]],
        sessions: Callable[[], int],
    ) -> None:
        self._entry_of = entry_of
        self._registry = CollectorRegistry()
        self._state = _StateCollector(states, sessions)
        self._calls = Counter(
            "routermcp_calls",
            "Requests for tools, prompts and resources, by the way they ended.",
            ["method", "server", "name", "outcome"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "routermcp_call_seconds",
            "Seconds that these took.",
            ["method", "server"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._registry.register(self._state)

    def add(self, record: CallRecord, arguments: Any = None) -> None:
        """Count a request that has ended."""
        del arguments
        server, name = self._entry_of(record) or ("", "")
        self._calls.labels(record.method, server, name, record.outcome).inc()
        self._seconds.labels(record.method, server).observe(record.seconds)

    def page(self) -> bytes:
        """Return the page: of all workers, where they share a folder."""
        if SHARED_FOLDER_VARIABLE not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        registry.register(self._state)
        return generate_latest(registry)


class _StateCollector(Collector):
    """Reads what is known at the moment that the page is asked for."""

    def __init__(self, states: Callable[[], Mapping[str, str]], sessions: Callable[[], int]) -> None:
        self._states = states
        self._sessions = sessions

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give the gauges."""
        ready = GaugeMetricFamily(
            "routermcp_server_ready", "1 for a server that can be used.", labels=["server"]
        )
        for alias, state in self._states().items():
            ready.add_metric([alias], float(state == "ready"))
        yield ready
        yield GaugeMetricFamily("routermcp_sessions", "Sessions that are kept.", value=self._sessions())

"""Spans and durations of OpenTelemetry, and the trace that a call belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from routermcp.gateway import GatewayApp, serve_in_thread
from routermcp.gateway.config.model import GatewayConfig
from routermcp.gateway.dispatch.tracing import traced
from routermcp.gateway.factory import aggregate_of
from routermcp.gateway.observers import endpoint_of
from routermcp.types import RPCError
from tests import loopback
from tests.gateway.gateways import BOTH, PATIENCE, request
from tests.gateway.servers import ERAS, Closing, Shop, serving_config
from tests.three_runtimes import abandon_when, make_client, run

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
OURS = f"00-{TRACE}-{PARENT}-01"
ELSEWHERE = "00-11111111111111111111111111111111-2222222222222222-01"


class Spans:
    """The spans that have ended, and the figures."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meters = MeterProvider([self._reader])

    @property
    def ended(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def counted(self) -> list[tuple[dict[str, Any], int]]:
        """Return labels and number of each series of durations."""
        data: Any = self._reader.get_metrics_data()
        (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
        assert (metric.name, metric.unit) == ("mcp.server.operation.duration", "s")
        return [(dict(point.attributes), point.count) for point in metric.data.data_points]


@pytest.fixture
def spans() -> Iterator[Spans]:
    seen = Spans()
    yield seen
    seen.tracers.shutdown()
    seen.meters.shutdown()


class Noting:
    """Serves a shop, and notes the headers of requests."""

    path = "/mcp"

    def __init__(self, shop: Shop) -> None:
        self.headers: list[dict[bytes, bytes]] = []
        self._app = Closing(GatewayApp(shop), shop)  # type: ignore[arg-type]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.headers.append(dict(scope.get("headers", ())))
        await self._app(scope, receive, send)


@pytest.fixture(scope="module")
def traced_gateway() -> Iterator[tuple[str, Spans, Shop, Noting]]:
    """A gateway in front of a shop, in a program that traces."""
    spans, shop = Spans(), Shop()
    noting = Noting(shop)
    with ExitStack() as stack:
        upstream = stack.enter_context(serve_in_thread(noting))  # type: ignore[arg-type]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trace, "get_tracer_provider", lambda: spans.tracers)
            url = stack.enter_context(serving_config({"mcpServers": {"shop": {"url": upstream}}}))
        yield url, spans, shop, noting
    spans.tracers.shutdown()
    spans.meters.shutdown()


@pytest.mark.parametrize(
    ("meta", "header", "parent"),
    [
        (OURS, None, PARENT),
        (None, OURS, PARENT),
        (OURS, ELSEWHERE, PARENT),
        (None, None, None),
        (None, "no", None),
    ],
    ids=["meta", "header", "both", "none", "malformed"],
)
def test_a_call_belongs_to_the_trace_of_its_caller_and_so_does_the_server(
    traced_gateway: tuple[str, Spans, Shop, Noting], meta: str | None, header: str | None, parent: str | None
) -> None:
    url, spans, shop, noting = traced_gateway
    call = {"name": "shop.saw", "_meta": {"traceparent": meta, "kept": 1} if meta else {"kept": 1}}
    headers = {**BOTH, **({"traceparent": header} if header else {})}
    answer = loopback.post(url, json=request("tools/call", call), headers=headers, timeout=PATIENCE)
    assert "result" in answer.json()
    span = spans.ended[-1]
    own: Any = span.context
    assert (span.name, span.kind) == ("tools/call shop.saw", SpanKind.SERVER)
    assert (f"{span.parent.span_id:016x}" if span.parent else None) == parent
    assert f"{own.trace_id:032x}" == TRACE or parent is None
    assert [f"{link.context.trace_id:032x}" for link in span.links] == (["1" * 32] if meta and header else [])
    onward = f"00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}"
    said = shop.metas[-1]
    assert (said["traceparent"], said["kept"]) == (onward, 1)
    assert noting.headers[-1][b"traceparent"] == onward.encode()
    assert dict(span.attributes or {}) == {
        "mcp.method.name": "tools/call",
        "mcp.protocol.version": "2025-11-25",
        "gen_ai.tool.name": "shop.saw",
        "gen_ai.operation.name": "execute_tool",
    }


@pytest.mark.parametrize("era", ERAS)
def test_how_a_call_ended_is_told(spans: Spans, era: str) -> None:
    shop = Shop(["saw", "refuse", "wait"])
    app = GatewayApp(traced(shop, spans.tracers, spans.meters))

    async def body() -> None:
        async with make_client("asyncio", url=url, protocol=era) as client:
            assert (await client.call_tool("add", {"a": 1})).isError
            with pytest.raises(RPCError):
                await client.call_tool("refuse")
            await client.get_prompt("greet", {"name": "Ada"})
            await client.read_resource("demo://readme")
            assert await abandon_when(lambda: shop.ran["wait"], "asyncio", lambda: client.call_tool("wait"))
            while len(spans.ended) < 5:
                await client.ping()

    with serve_in_thread(app) as url:
        run("asyncio", body)
    told = [
        (span.name, (span.attributes or {}).get("error.type"), span.status.status_code)
        for span in spans.ended
    ]
    assert told == [
        ("tools/call add", "tool_error", StatusCode.ERROR),
        ("tools/call", "-32050", StatusCode.ERROR),
        ("prompts/get greet", None, StatusCode.UNSET),
        ("resources/read", None, StatusCode.UNSET),
        ("tools/call", "CancelledError", StatusCode.ERROR),
    ]
    assert spans.ended[1].status.description == "not today"
    assert all(("mcp.session.id" in (span.attributes or {})) == (era != ERAS[0]) for span in spans.ended)
    counted = spans.counted()
    assert len(counted) == 5
    labels = [each for each, _ in counted if each.get("error.type") == "-32050"]
    assert [sorted(each) for each in labels] == [
        ["error.type", "mcp.method.name", "mcp.protocol.version", "rpc.response.status_code"]
    ], "a name that is made up is no label"


def test_without_a_provider_nothing_lies_on_the_way_of_a_call() -> None:
    backend = aggregate_of(GatewayConfig())
    assert endpoint_of(backend) == (GatewayApp, backend)

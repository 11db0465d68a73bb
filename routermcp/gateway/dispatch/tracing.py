"""OpenTelemetry: a span and a duration for each request for a tool, a prompt or a resource.

It is chosen at the start, where a tracer provider is set by then; no other gateway has a part of it on the
way of a call. The parent of a span is the one that the request names in its ``_meta``, else the one in the
headers of its HTTP request. To the server behind the gateway the span is passed on in ``_meta``.

Source: https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/mcp.md
"""

from __future__ import annotations

import time
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from opentelemetry import metrics, propagate, trace
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Link, ProxyTracerProvider, SpanKind, Status, StatusCode, TracerProvider

from routermcp_proto.exceptions import RPCError

from ... import __version__
from ..backend import Backend, Caller, InputRequired, Result

#: The name of this instrumentation.
SCOPE = "routermcp.gateway"

#: Attributes of durations: each has few values. Names are among them where they are those of something.
_LABELS = ("mcp.method.name", "mcp.protocol.version", "error.type", "rpc.response.status_code")
_NAMES = ("gen_ai.tool.name", "gen_ai.prompt.name")


def is_traced() -> bool:
    """Return whether the program has set a tracer provider, before the gateway was made."""
    return not isinstance(trace.get_tracer_provider(), ProxyTracerProvider)


def traced(
    backend: Backend, tracers: TracerProvider | None = None, meters: MeterProvider | None = None
) -> Backend:
    """Return a backend whose requests are traced, with the providers of the program or those given."""
    return cast("Backend", _TracedBackend(backend, tracers, meters))


class _TracedBackend:
    """Runs requests of a backend in spans, and forwards everything else to it."""

    def __init__(
        self, backend: Backend, tracers: TracerProvider | None, meters: MeterProvider | None
    ) -> None:
        self._backend = backend
        self._tracer = trace.get_tracer(SCOPE, __version__, tracers)
        self._seconds = metrics.get_meter(SCOPE, __version__, meters).create_histogram(
            "mcp.server.operation.duration", "s", "Duration of a request as the gateway saw it."
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    async def call_tool(self, name: str, arguments: Mapping[str, Any], caller: Caller) -> Result:
        """Run a tool in a span."""
        about = {"gen_ai.tool.name": name, "gen_ai.operation.name": "execute_tool"}

        def run(within: Caller) -> Awaitable[Result]:
            return self._backend.call_tool(name, arguments, within)

        return await self._in_span("tools/call", name, about, caller, run)

    async def get_prompt(self, name: str, arguments: Mapping[str, Any], caller: Caller) -> Result:
        """Return a prompt, in a span."""

        def run(within: Caller) -> Awaitable[Result]:
            return self._backend.get_prompt(name, arguments, within)

        return await self._in_span("prompts/get", name, {"gen_ai.prompt.name": name}, caller, run)

    async def read_resource(self, uri: str, caller: Caller) -> Result:
        """Read a resource in a span, whose name does not have its URI."""

        def run(within: Caller) -> Awaitable[Result]:
            return self._backend.read_resource(uri, within)

        return await self._in_span("resources/read", "", {"mcp.resource.uri": uri}, caller, run)

    async def _in_span(
        self,
        method: str,
        target: str,
        about: dict[str, str],
        caller: Caller,
        run: Callable[[Caller], Awaitable[Result]],
    ) -> Result:
        about = {**about, "mcp.method.name": method, "mcp.protocol.version": caller.revision.name}
        if caller.session_id is not None:
            about["mcp.session.id"] = caller.session_id
        parent, links = _parent_of(caller)
        began = time.perf_counter()
        with self._tracer.start_as_current_span(
            method,
            parent,
            SpanKind.SERVER,
            about,
            links,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            carrier: dict[str, str] = {}
            propagate.inject(carrier)
            failure: dict[str, str] = {}
            labels, words = _LABELS, ""
            try:
                result = await run(caller.with_meta(carrier))
                if result.get("isError"):
                    failure = {"error.type": "tool_error"}
                labels = _LABELS + _NAMES
                if target:
                    span.update_name(f"{method} {target}")
            except InputRequired:
                raise
            except RPCError as error:
                words = error.message
                failure = {"error.type": str(error.code), "rpc.response.status_code": str(error.code)}
                raise
            except (Exception, CancelledError) as error:
                failure = {"error.type": type(error).__qualname__}
                raise
            finally:
                about.update(failure)
                if failure:
                    span.set_attributes(failure)
                    span.set_status(Status(StatusCode.ERROR, words or None))
                values = {name: about[name] for name in labels if name in about}
                self._seconds.record(time.perf_counter() - began, values)
        return result


def _parent_of(caller: Caller) -> tuple[Context | None, list[Link]]:
    """Return the context that a request names, and a link to that of its HTTP request beside it."""
    named = propagate.extract(caller.meta)
    around = trace.get_current_span().get_span_context()
    if not trace.get_current_span(named).get_span_context().is_valid:
        return None, []
    same = trace.get_current_span(named).get_span_context() == around
    return named, [Link(around)] if around.is_valid and not same else []

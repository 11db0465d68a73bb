"""Servers for gateways to stand in application of."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Generator, Iterable, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from routermcp.gateway import BuiltinTools, Caller, GatewayApp, Listing, serve_in_thread
from routermcp.gateway.aggregate import Aggregate
from routermcp.gateway.config.model import GatewayConfig
from routermcp.gateway.factory import aggregate_of, application_of
from routermcp.gateway.upstreams.targets import over_http
from routermcp.gateway.upstreams.times import DEFAULT_TIMES, UpstreamTimes
from routermcp.gateway.upstreams.upstream import Upstream
from routermcp.oauth import TokenAdapter
from routermcp.types import RPCError

STATELESS = "2026-07-28"
HANDSHAKE = "2025-11-25"
ERAS = (STATELESS, HANDSHAKE)


class Shop(BuiltinTools):
    """A server whose wares a test can change, and which counts what it does."""

    def __init__(self, wares: Iterable[str] = ("saw",)) -> None:
        self.wares = list(wares)
        self.ran: Counter[str] = Counter()
        self.metas: list[Mapping[str, Any]] = []
        self.capabilities_seen: list[Mapping[str, Any]] = []
        self.sessions_seen: list[str | None] = []
        self.begun = threading.Event()
        self.cancelled = threading.Event()
        self.listed = 0

    async def list_page(self, listing: Listing, cursor: str | None, caller: Caller) -> Mapping[str, Any]:
        if listing is Listing.TOOLS:
            self.listed += 1
            page = dict(await super().list_page(listing, cursor, caller))
            wares = [{"name": name, "inputSchema": {"type": "object"}} for name in self.wares]
            return {**page, "tools": [*page["tools"], *wares]}
        return await super().list_page(listing, cursor, caller)

    async def call_tool(self, name: str, arguments: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        self.metas.append(caller.meta)
        self.capabilities_seen.append(caller.capabilities)
        self.sessions_seen.append(caller.session_id)
        if name not in self.wares:
            return await super().call_tool(name, arguments, caller)
        self.ran[name] += 1
        return await getattr(self, name, self.saw)(arguments, caller)

    async def saw(self, arguments: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        return {"content": [{"type": "text", "text": "sawn"}], "unknown": {"kept": [1, None]}}

    async def refuse(self, arguments: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        raise RPCError("not today", code=-32050, data={"why": "closed"})

    async def wait(self, arguments: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        raise AssertionError

    async def chat(self, arguments: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        """Log, report, ask twice, and say what came back."""
        await caller.log("warning", "chatting", logger="chat")
        await caller.report_progress(1, total=2, message="half")
        form = {"type": "object", "properties": {"answer": {"type": "string"}}}
        texts: list[str] = []
        for key in ("one", "two"):
            params = {"message": key, "requestedSchema": form}
            answer = await caller.ask(key, "elicitation/create", params)
            texts.append(f"{key}={answer.get('content')}")
        return {"content": [{"type": "text", "text": " ".join(texts)}]}


@contextmanager
def serving(shop: BuiltinTools) -> Generator[str]:
    """Serve a shop and give its URL."""
    with serve_in_thread(GatewayApp(shop)) as url:
        yield url


@contextmanager
def gateway(
    shops: Mapping[str, BuiltinTools], *, speaks: str = "auto", patience: float = 3.0, **more: Any
) -> Generator[tuple[str, Aggregate]]:
    """Serve shops through one gateway, which speaks to them in one era, and give its URL."""
    with ExitStack() as stack:
        urls = {alias: stack.enter_context(serving(shop)) for alias, shop in shops.items()}
        upstreams = [Upstream(alias, over_http(url, protocol=speaks), **more) for alias, url in urls.items()]
        aggregate = Aggregate(upstreams, patience=patience)
        yield stack.enter_context(serving_aggregate(aggregate)), aggregate


@contextmanager
def serving_aggregate(aggregate: Aggregate) -> Generator[str]:
    """Serve an aggregate, close it at the end, and give its URL."""
    app = GatewayApp(aggregate)
    aggregate.on_changed = app.announce
    with serve_in_thread(Closing(app, aggregate)) as url:  # type: ignore[arg-type]
        yield url


@contextmanager
def serving_config(
    config: Any, tokens: TokenAdapter | None = None, times: UpstreamTimes = DEFAULT_TIMES
) -> Generator[str]:
    """Serve a gateway as :class:`LocalGateway` does, with times of its own; give its project's URL."""
    checked = GatewayConfig.model_validate(config)
    aggregate = aggregate_of(checked, tokens=tokens, times=times)
    application = application_of(checked, aggregate, tokens)
    with serve_in_thread(application) as url:
        origin = url.removesuffix(application.path)
        aggregate.listens_at(origin)
        yield f"{origin}/v1/mcp/default"


class Closing:
    """An application that closes something, such as its aggregate, when the server ends."""

    def __init__(self, app: GatewayApp, closes: Aggregate | GatewayApp) -> None:
        self.path = app.path
        self._app = app
        self._closes = closes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._closes.close()
        await send({"type": "lifespan.shutdown.complete"})

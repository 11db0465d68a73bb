"""The whole gateway in one object, beside the program that uses it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from routermcp_adapters.runtimes.auto import running
from routermcp_adapters.streams.base import Transport
from routermcp_proto.exceptions import ConfigError, LocalProtocolError

from ..oauth.stores.base import TokenAdapter
from .aggregate import LIST_WAIT_SECONDS, Aggregate
from .config.file import load, parse
from .config.model import GatewayConfig
from .factory import aggregate_of, application_of
from .serving.in_process import MemoryTransport
from .serving.uvicorn import serve_in_thread

Source = GatewayConfig | Mapping[str, Any] | str | Path


class LocalGateway:
    """A gateway that lives as long as a ``with`` block.

    Example::

        async with LocalGateway("routermcp.jsonc") as gateway, RouterMCPClient(gateway.url) as client:
            tools = await client.list_tools()

    In blocking code the same with plain ``with`` and :class:`~routermcp.SyncRouterMCPClient`.
    It runs in a thread of its own, on a free port of this machine; the port of the configuration
    does not count. With ``listen=False`` it runs in the asyncio loop of the block instead, and
    :attr:`transport` connects to it without a socket.

    Args:
        config: The configuration: a file, the content of one, or a :class:`GatewayConfig`.
        listen: Whether to serve HTTP.
        patience: Seconds that lists wait for servers which are being started.
        tokens: A store of users' tokens, for the servers that users sign in at, and served to
            ``cloud_adapter(..., base_url=...)`` of applications that may act for users.

    Raises:
        ConfigError: The configuration is wrong.
        ModuleNotFoundError: uvicorn is not installed; it comes with ``routermcp[gateway]``.
    """

    def __init__(
        self,
        config: Source,
        *,
        listen: bool = True,
        patience: float = LIST_WAIT_SECONDS,
        tokens: TokenAdapter | None = None,
    ) -> None:
        self._config = _config_of(config)
        self._folder = Path(config).parent if isinstance(config, str | Path) else None
        self._listen = listen
        self._patience = patience
        self._tokens = tokens
        self._url: str | None = None
        self._transport: MemoryTransport | None = None
        self._backend: Aggregate | None = None
        self._serving = ExitStack()
        self._living = AsyncExitStack()

    @property
    def url(self) -> str:
        """The URL for clients.

        Raises:
            LocalProtocolError: The gateway is not running, or does not listen.
        """
        if self._url is None:
            raise LocalProtocolError("the gateway has a URL inside its with block, unless listen is False")
        return self._url

    @property
    def transport(self) -> Transport:
        """The ``transport=`` of a client in the same loop, which uses no socket.

        Raises:
            LocalProtocolError: The gateway is not running, or listens instead.
        """
        if self._transport is None:
            raise LocalProtocolError("the gateway has a transport inside its with block, with listen=False")
        return self._transport

    def states(self) -> dict[str, str]:
        """Return the state of each server by alias: idle, connecting, ready or failed."""
        return self._backend.states() if self._backend is not None else {}

    def __enter__(self) -> Self:
        if not self._listen:
            raise ConfigError("with listen=False the gateway lives in an event loop: use async with")
        backend = self._new_backend()
        app = application_of(self._config, backend, self._tokens, folder=self._folder)
        self._url = self._serving.enter_context(serve_in_thread(app))
        backend.listens_at(self._url.removesuffix(app.path))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._url = self._backend = None
        self._serving.close()

    async def __aenter__(self) -> Self:
        if self._listen:
            return await running().run_blocking(self.__enter__)
        backend = self._new_backend()
        self._living.push_async_callback(backend.close)
        self._transport = MemoryTransport(backend, "the local gateway", asyncio.get_running_loop())
        await backend.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transport = None
        if self._listen:
            self.__exit__(kind, error, trace)
        await self._living.aclose()

    def _new_backend(self) -> Aggregate:
        if self._backend is not None:
            raise LocalProtocolError("the gateway is running already")
        self._backend = aggregate_of(
            self._config, folder=self._folder, patience=self._patience, tokens=self._tokens
        )
        return self._backend


def _config_of(config: Source) -> GatewayConfig:
    if isinstance(config, GatewayConfig):
        return config
    if isinstance(config, str | Path):
        return load(config)
    return parse(json.dumps(config), source="the configuration", environ=os.environ)

"""The methods of MCP, once: every client and session has these."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from routermcp_adapters.call.driver import CallOptions, Driver
from routermcp_adapters.runtimes.run_sync import native as run
from routermcp_proto import calls, types
from routermcp_proto.calls import Call, ResultT
from routermcp_proto.names import LOG_LEVEL_KEY

from .._callbacks import OnProgress
from .._callbacks import progress_sink as report_to
from .._settings import ClientSettings, checked_timeout
from .._structured import ModelT, check_tool, parse_result, parse_typed


class AsyncMethods:
    """The methods of MCP.

    All of them take ``timeout`` (milliseconds over everything the call does; 0 for no
    limit; default that of the client) and ``headers`` (for this call only). All raise
    :class:`~routermcp.types.TransportError` when HTTP or the network fails,
    :class:`~routermcp.types.RPCError` when the server answers with an error object, and
    :class:`~routermcp.types.ResponseValidationError` when the answer has the wrong shape.

    Source: https://modelcontextprotocol.io/specification/2026-07-28
    """

    _driver: Driver
    _settings: ClientSettings
    _timeout: int
    _log_level: str | None = None

    def _options(
        self,
        timeout: int | None,
        headers: Mapping[str, str] | None,
        *,
        meta: Mapping[str, Any] | None = None,
        on_progress: OnProgress | None = None,
        retry: bool = False,
        reset_on_progress: bool | None = None,
        max_timeout: int | None = None,
    ) -> CallOptions:
        limit, own = self._timeout if timeout is None else checked_timeout(timeout), self._settings.options
        if own.reset_on_progress if reset_on_progress is None else reset_on_progress:
            most = own.max_timeout if max_timeout is None else checked_timeout(max_timeout, "max_timeout")
        else:
            most = None
        if self._log_level is not None and self._driver.revision.stamps_requests:
            meta = {LOG_LEVEL_KEY: self._log_level, **(meta or {})}
        return CallOptions(limit, headers, meta, report_to(on_progress), retry, max_timeout=most)

    def _call(self, call: Call[ResultT], options: CallOptions) -> Awaitable[ResultT]:
        return run(self._driver.call(call, options))

    def _collect(self, call: Call[Any], options: CallOptions) -> Awaitable[list[Any]]:
        return run(self._driver.collect(call, options))

    # ---- tools ---------------------------------------------------------------------

    async def list_tools(
        self, *, timeout: int | None = None, headers: Mapping[str, str] | None = None
    ) -> list[types.Tool]:
        """List all tools, from all pages (``tools/list``)."""
        return types.ToolList(await self._collect(calls.list_tools(), self._options(timeout, headers)))

    async def list_tools_page(
        self,
        cursor: str | None = None,
        *,
        timeout: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> types.ListToolsResult:
        """List one page of tools (``tools/list``).

        Args:
            cursor: ``nextCursor`` of the page before, None for the first one.
            timeout: Milliseconds.
            headers: For this call only.
        """
        return await self._call(calls.list_tools(cursor), self._options(timeout, headers))

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: int | None = None,
        headers: Mapping[str, str] | None = None,
        meta: Mapping[str, Any] | None = None,
        on_progress: OnProgress | None = None,
        reset_on_progress: bool | None = None,
        max_timeout: int | None = None,
        retry: bool = False,
        raise_on_error: bool = False,
    ) -> types.ToolResult:
        """Run a tool (``tools/call``).

        A tool that fails in its own terms returns a result with ``isError``, or raises with
        ``raise_on_error``; the server's error object is raised. The call is not repeated once
        it may have run, unless you say that this does no harm.

        Args:
            name: Name of the tool.
            arguments: What JSON can hold; pydantic models too.
            timeout: Milliseconds.
            headers: For this call only.
            meta: More members for ``_meta``.
            on_progress: Called with each progress report, in order.
            reset_on_progress: Each progress report begins ``timeout`` anew; default that of the client.
            max_timeout: Milliseconds for the call then, 0 for no limit; default that of the client.
            retry: Running the tool twice does no harm: repeat the call if its answer is lost.
            raise_on_error: Raise an error where the tool reported one.

        Raises:
            ToolError: The tool reported ``isError``, with ``raise_on_error``.
            TransportError: With code ``interrupted`` when the answer was lost and the tool
                may have run.
            LocalProtocolError: JSON cannot hold the arguments.
        """
        options = self._options(
            timeout,
            headers,
            meta=meta,
            on_progress=on_progress,
            reset_on_progress=reset_on_progress,
            max_timeout=max_timeout,
            retry=retry,
        )
        result = await self._call(calls.call_tool(name, arguments), options)
        return check_tool(name, result) if raise_on_error else result

    async def call_tool_typed(
        self,
        name: str,
        arguments: Mapping[str, Any] | None,
        model: type[ModelT],
        *,
        timeout: int | None = None,
        headers: Mapping[str, str] | None = None,
        meta: Mapping[str, Any] | None = None,
        on_progress: OnProgress | None = None,
        reset_on_progress: bool | None = None,
        max_timeout: int | None = None,
        retry: bool = False,
    ) -> ModelT:
        """Run a tool and read its result as a model: structured content, else its one text item.

        A text is read as JSON, and as itself where it is no JSON of that type, for ``str`` and
        ``datetime`` for example. A result without content is None.

        Args:
            name: Name of the tool.
            arguments: What JSON can hold; pydantic models too.
            model: A pydantic model or any other type that pydantic knows.
            timeout: Milliseconds.
            headers: For this call only.
            meta: More members for ``_meta``.
            on_progress: Called with each progress report, in order.
            reset_on_progress: Each progress report begins ``timeout`` anew; default that of the client.
            max_timeout: Milliseconds for the call then, 0 for no limit; default that of the client.
            retry: Running the tool twice does no harm.

        Raises:
            ToolError: The tool reported ``isError``.
            ResponseValidationError: The result is not of that type.
        """
        options = self._options(
            timeout,
            headers,
            meta=meta,
            on_progress=on_progress,
            reset_on_progress=reset_on_progress,
            max_timeout=max_timeout,
            retry=retry,
        )
        result = await self._call(calls.call_tool(name, arguments), options)
        return parse_typed(name, result, model)

    # ---- resources -------------------------------------------------------------------

    async def list_resources(
        self, *, timeout: int | None = None, headers: Mapping[str, str] | None = None
    ) -> list[types.Resource]:
        """List all resources, from all pages (``resources/list``)."""
        return await self._collect(calls.list_resources(), self._options(timeout, headers))

    async def list_resources_page(
        self,
        cursor: str | None = None,
        *,
        timeout: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> types.ListResourcesResult:
        """List one page of resources (``resources/list``)."""
        return await self._call(calls.list_resources(cursor), self._options(timeout, headers))

    async def list_resource_templates(
        self, *, timeout: int | None = None, headers: Mapping[str, str] | None = None
    ) -> list[types.ResourceTemplate]:
        """List all resource templates, from all pages (``resources/templates/list``)."""
        return await self._collect(calls.list_resource_templates(), self._options(timeout, headers))

    async def list_resource_templates_page(
        self,
        cursor: str | None = None,
        *,
        timeout: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> types.ListResourceTemplatesResult:
        """List one page of resource templates (``resources/templates/list``)."""
        return await self._call(calls.list_resource_templates(cursor), self._options(timeout, headers))

    async def read_resource(
        self,
        uri: str,
        *,
        timeout: int | None = None,
        headers: Mapping[str, str] | None = None,
        meta: Mapping[str, Any] | None = None,
        on_progress: OnProgress | None = None,
        reset_on_progress: bool | None = None,
        max_timeout: int | None = None,
    ) -> types.ReadResourceResult:
        """Read a resource (``resources/read``).

        Raises:
            ResourceNotFoundError: The server has no resource of that URI.
        """
        options = self._options(
            timeout,
            headers,
            meta=meta,
            on_progress=on_progress,
            reset_on_progress=reset_on_progress,
            max_timeout=max_timeout,
        )
        return await self._call(calls.read_resource(uri), options)

    async def subscribe_resource(
        self, uri: str, *, timeout: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Subscribe to changes of a resource (``resources/subscribe``, up to 2025-11-25).

        ``on_notification`` is called with ``notifications/resources/updated``. Servers of
        2026-07-28 answer with :class:`~routermcp.types.MethodNotFoundError`: there a change is told
        while a :meth:`request` of ``subscriptions/listen`` runs.

        Args:
            uri: The resource.
            timeout: Milliseconds.
            headers: For this call only.
        """
        await self._call(calls.subscribe(uri), self._options(timeout, headers))

    async def unsubscribe_resource(
        self, uri: str, *, timeout: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """End the subscription to a resource (``resources/unsubscribe``, up to 2025-11-25).

        Args:
            uri: The resource.
            timeout: Milliseconds.
            headers: For this call only.
        """
        await self._call(calls.unsubscribe(uri), self._options(timeout, headers))

    # ---- prompts ---------------------------------------------------------------------

    async def list_prompts(
        self, *, timeout: int | None = None, headers: Mapping[str, str] | None = None
    ) -> list[types.Prompt]:
        """List all prompts, from all pages (``prompts/list``)."""
        return await self._collect(calls.list_prompts(), self._options(timeout, headers))

    async def list_prompts_page(
        self,
        cursor: str | None = None,
        *,
        timeout: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> types.ListPromptsResult:
        """List one page of prompts (``prompts/list``)."""
        return await self._call(calls.list_prompts(cursor), self._options(timeout, headers))

    async def get_prompt(
        self,
        name: str,
        arguments: Mapping[str, str] | None = None,
        *,
        timeout: int | None = None,
        headers: Mapping[str, str] | None = None,
        meta: Mapping[str, Any] | None = None,
        on_progress: OnProgress | None = None,
        reset_on_progress: bool | None = None,
        max_timeout: int | None = None,
    ) -> types.GetPromptResult:
        """Get a prompt with its arguments filled in (``prompts/get``)."""
        options = self._options(
            timeout,
            headers,
            meta=meta,
            on_progress=on_progress,
            reset_on_progress=reset_on_progress,
            max_timeout=max_timeout,
        )
        return await self._call(calls.get_prompt(name, arguments), options)

    # ---- the rest --------------------------------------------------------------------

    async def complete(
        self,
        ref: Mapping[str, Any],
        argument: Mapping[str, str],
        context_arguments: Mapping[str, str] | None = None,
        *,
        timeout: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> types.CompleteResult:
        """Ask for values of an argument (``completion/complete``).

        Args:
            ref: ``{"type": "ref/prompt", "name": ...}`` or ``{"type": "ref/resource", "uri": ...}``.
            argument: ``name`` of the argument and the ``value`` typed so far.
            context_arguments: Arguments that have a value already.
            timeout: Milliseconds.
            headers: For this call only.
        """
        call = calls.complete(ref, argument, context_arguments)
        return await self._call(call, self._options(timeout, headers))

    async def set_log_level(
        self, level: str, *, timeout: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Have the server log from a severity on (``logging/setLevel``); ``on_log`` is called.

        From 2026-07-28 on the level travels with each later request of this session instead.

        Args:
            level: ``debug``, ``info``, ``notice``, ``warning``, ``error``, ``critical``, ``alert``
                or ``emergency``.
            timeout: Milliseconds.
            headers: For this call only.
        """
        call, options = calls.set_log_level(level), self._options(timeout, headers)
        if self._driver.connected and self._driver.revision.stamps_requests:
            self._log_level = level
        else:
            await self._call(call, options)

    async def send_roots_list_changed(
        self, *, timeout: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Tell the server that ``on_roots`` has another answer (``notifications/roots/list_changed``).

        From 2026-07-28 on there is nothing to tell: each call asks for the roots that it needs.

        Args:
            timeout: Milliseconds.
            headers: For this notification only.
        """
        call = Call("notifications/roots/list_changed", {}, types.EmptyResult, safe=True)
        if not self._driver.connected or self._driver.revision.peer_requests:
            await run(self._driver.notify(call, self._options(timeout, headers)))

    async def request(
        self,
        method: str,
        params: Mapping[str, Any] | None,
        result_type: type[ModelT],
        *,
        timeout: int | None = None,
        headers: Mapping[str, str] | None = None,
        meta: Mapping[str, Any] | None = None,
        on_progress: OnProgress | None = None,
        reset_on_progress: bool | None = None,
        max_timeout: int | None = None,
        retry: bool = False,
    ) -> ModelT:
        """Send a request of any method, for example that of an extension, and read its result.

        Args:
            method: Name of the method.
            params: Its parameters, None for none.
            result_type: A pydantic model or any other type that pydantic knows, such as ``dict``.
            timeout: Milliseconds.
            headers: For this call only.
            meta: More members for ``_meta``.
            on_progress: Called with each progress report, in order.
            reset_on_progress: Each progress report begins ``timeout`` anew; default that of the client.
            max_timeout: Milliseconds for the call then, 0 for no limit; default that of the client.
            retry: Running the request twice does no harm: repeat it if its answer is lost.

        Raises:
            MethodNotFoundError: The server does not offer the method.
            ResponseValidationError: The result is not of that type.
        """
        options = self._options(
            timeout,
            headers,
            meta=meta,
            on_progress=on_progress,
            reset_on_progress=reset_on_progress,
            max_timeout=max_timeout,
            retry=retry,
        )
        result = await self._call(calls.request(method, params), options)
        return parse_result(method, result, result_type)

    async def ping(self, *, timeout: int | None = None, headers: Mapping[str, str] | None = None) -> None:
        """See that the server answers (``ping``, or ``server/discover`` where there is no ping)."""
        call = Call(self._driver.sign_of_life, {}, types.EmptyResult, safe=True)
        await self._call(call, self._options(timeout, headers))

"""Calls: the request for each MCP method, and the type of its result.

A :class:`Call` knows the method, the parameters and the type of the result; it knows
nothing of request ids, ``_meta`` or transports. There is one builder for each method
that a client sends, of all revisions. The session decides which of them a server accepts.

Source: https://modelcontextprotocol.io/specification/2026-07-28/schema
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any, Generic, TypeVar, cast

from pydantic import ValidationError

from . import types
from .exceptions import LocalProtocolError
from .names import LIST_FILTERS, NAMED_BY
from .types.reading import ListBudget, ListReader, Parsed, problem_lines, read_tolerantly
from .value_class import value_class

ResultT = TypeVar("ResultT", bound="types.WireModel")


@value_class
class Call(Generic[ResultT]):
    """A request that a client may send."""

    method: str

    params: Mapping[str, Any]
    """Everything but ``_meta``."""

    result_type: type[ResultT]

    safe: bool
    """Running it twice does no harm, so it may be repeated."""

    items: str | None = None
    """The member of the result that holds the list, if the result is a page of one."""

    named_by: str | None = None
    """The member of `params` that the header ``Mcp-Name`` mirrors."""

    may_ask_input: bool = False
    """The answer may be of type ``input_required``."""

    private: bool = False
    """Parameters and result must not be logged."""

    budget: ListBudget | None = field(default=None, repr=False, compare=False)
    """What is left for a list of which this is one page, None where the page is the whole."""

    def with_params(self, **changes: Any) -> Call[ResultT]:
        """Return the same call with other parameters; None removes a parameter."""
        params = {name: value for name, value in {**self.params, **changes}.items() if value is not None}
        return replace(self, params=params)

    def at_cursor(self, cursor: str) -> Call[ResultT]:
        """Return the call for the page that begins at a cursor."""
        return self.with_params(cursor=cursor)

    def within(self, budget: ListBudget) -> Call[ResultT]:
        """Return the call for a page of a list that is limited as a whole."""
        return replace(self, budget=budget)

    def parse(self, result: dict[str, Any]) -> Parsed[ResultT]:
        """Read the result of an answer.

        Args:
            result: The ``result`` member, decoded.

        Raises:
            ResponseValidationError: It does not have the shape of the method's result.
        """
        if self.items is not None:
            return ListReader(self.method, self.result_type, self.items, result).read_all()
        try:
            return Parsed(self.result_type.model_validate(result))
        except ValidationError as error:
            problems = problem_lines(error)
        return read_tolerantly(self.method, self.result_type, result, problems)


def _checked_text(method: str, what: str, value: object) -> str:
    """Check a name or a URI of the caller."""
    if not isinstance(value, str):
        raise LocalProtocolError(f"{method}: {what} must be a str, not {type(value).__name__}")
    if not value:
        raise LocalProtocolError(f"{method}: {what} must not be empty")
    return value


def _checked_object(method: str, what: str, value: object) -> dict[str, Any]:
    """Check an object of the caller, and copy it: a call sent again must be the same."""
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    if isinstance(value, types.WireModel):
        return value.to_wire()
    raise LocalProtocolError(f"{method}: {what} must be a mapping, not {type(value).__name__}")


def _page_params(method: str, cursor: object) -> dict[str, Any]:
    """Check a cursor, which is opaque: an empty one is a cursor too."""
    if cursor is None:
        return {}
    if not isinstance(cursor, str):
        raise LocalProtocolError(f"{method}: cursor must be a str, not {type(cursor).__name__}")
    return {"cursor": cursor}


def request(method: str, params: Mapping[str, Any] | None = None) -> Call[types.WireModel]:
    """Make a request of any method, for example that of an extension.

    Args:
        method: Name of the method.
        params: Its parameters, without ``_meta``.
    """
    _checked_text("request", "method", method)
    given = {} if params is None else _checked_object(method, "params", params)
    if "_meta" in given:
        raise LocalProtocolError(f"{method}: give the members of _meta as meta=, not in params")
    subject = NAMED_BY.get(method)
    named_by = subject if subject is not None and isinstance(given.get(subject), str) else None
    return Call(method, given, types.WireModel, safe=False, named_by=named_by, may_ask_input=True)


def discover() -> Call[types.DiscoverResult]:
    """Ask for versions and capabilities of the server (``server/discover``, 2026-07-28 on)."""
    return Call("server/discover", {}, types.DiscoverResult, safe=True)


def initialize(
    protocol_version: str,
    capabilities: types.ClientCapabilities | Mapping[str, Any],
    client_info: types.Implementation | Mapping[str, Any],
) -> Call[types.InitializeResult]:
    """Open a session (``initialize``, 2024-11-05 to 2025-11-25).

    Args:
        protocol_version: The newest revision that the client supports.
        capabilities: The client's capabilities.
        client_info: Name and version of the client.
    """
    method = "initialize"
    params = {
        "protocolVersion": _checked_text(method, "protocol_version", protocol_version),
        "capabilities": _checked_object(method, "capabilities", capabilities),
        "clientInfo": _checked_object(method, "client_info", client_info),
    }
    return Call(method, params, types.InitializeResult, safe=True)


def ping() -> Call[types.EmptyResult]:
    """Check that the server responds (``ping``, 2024-11-05 to 2025-11-25)."""
    return Call("ping", {}, types.EmptyResult, safe=True)


def list_tools(cursor: str | None = None) -> Call[types.ListToolsResult]:
    """Ask for a page of the server's tools (``tools/list``)."""
    method = "tools/list"
    return Call(method, _page_params(method, cursor), types.ListToolsResult, safe=True, items="tools")


def call_tool(name: str, arguments: Mapping[str, Any] | None = None) -> Call[types.ToolResult]:
    """Run a tool (``tools/call``).

    Args:
        name: Name of the tool.
        arguments: Its arguments. None is sent as ``{}``, because many servers validate the
            member against the tool's schema, where it must be an object.
    """
    method = "tools/call"
    params = {
        "name": _checked_text(method, "name", name),
        "arguments": {} if arguments is None else _checked_object(method, "arguments", arguments),
    }
    return Call(method, params, types.ToolResult, safe=False, named_by="name", may_ask_input=True)


def list_resources(cursor: str | None = None) -> Call[types.ListResourcesResult]:
    """Ask for a page of the server's resources (``resources/list``)."""
    method = "resources/list"
    return Call(method, _page_params(method, cursor), types.ListResourcesResult, safe=True, items="resources")


def list_resource_templates(cursor: str | None = None) -> Call[types.ListResourceTemplatesResult]:
    """Ask for a page of the server's resource templates (``resources/templates/list``)."""
    method = "resources/templates/list"
    params = _page_params(method, cursor)
    return Call(method, params, types.ListResourceTemplatesResult, safe=True, items="resourceTemplates")


def read_resource(uri: str) -> Call[types.ReadResourceResult]:
    """Read a resource (``resources/read``)."""
    method = "resources/read"
    params = {"uri": _checked_text(method, "uri", uri)}
    return Call(method, params, types.ReadResourceResult, safe=True, named_by="uri", may_ask_input=True)


def subscribe(uri: str) -> Call[types.EmptyResult]:
    """Subscribe to changes of a resource (``resources/subscribe``, 2024-11-05 to 2025-11-25)."""
    method = "resources/subscribe"
    return Call(method, {"uri": _checked_text(method, "uri", uri)}, types.EmptyResult, safe=True)


def unsubscribe(uri: str) -> Call[types.EmptyResult]:
    """End the subscription to a resource (``resources/unsubscribe``, 2024-11-05 to 2025-11-25)."""
    method = "resources/unsubscribe"
    return Call(method, {"uri": _checked_text(method, "uri", uri)}, types.EmptyResult, safe=True)


def list_prompts(cursor: str | None = None) -> Call[types.ListPromptsResult]:
    """Ask for a page of the server's prompts (``prompts/list``)."""
    method = "prompts/list"
    return Call(method, _page_params(method, cursor), types.ListPromptsResult, safe=True, items="prompts")


def get_prompt(name: str, arguments: Mapping[str, str] | None = None) -> Call[types.GetPromptResult]:
    """Ask for a prompt with its arguments filled in (``prompts/get``).

    Args:
        name: Name of the prompt.
        arguments: Its arguments. None is sent as ``{}``, as in :func:`call_tool`.
    """
    method = "prompts/get"
    params = {
        "name": _checked_text(method, "name", name),
        "arguments": {} if arguments is None else _checked_object(method, "arguments", arguments),
    }
    return Call(method, params, types.GetPromptResult, safe=True, named_by="name", may_ask_input=True)


def complete(
    ref: Mapping[str, Any],
    argument: Mapping[str, str],
    context_arguments: Mapping[str, str] | None = None,
) -> Call[types.CompleteResult]:
    """Ask for suggested values of an argument (``completion/complete``).

    Args:
        ref: ``{"type": "ref/prompt", "name": ...}`` or ``{"type": "ref/resource", "uri": ...}``.
        argument: ``name`` of the argument and the ``value`` typed so far.
        context_arguments: Arguments that already have a value (2025-06-18 on).
    """
    method = "completion/complete"
    params: dict[str, Any] = {
        "ref": _checked_object(method, "ref", ref),
        "argument": _checked_object(method, "argument", argument),
    }
    if context_arguments is not None:
        params["context"] = {"arguments": _checked_object(method, "context_arguments", context_arguments)}
    return Call(method, params, types.CompleteResult, safe=True)


def set_log_level(level: str) -> Call[types.EmptyResult]:
    """Ask for log messages from a severity on (``logging/setLevel``, 2024-11-05 to 2025-11-25)."""
    method = "logging/setLevel"
    return Call(method, {"level": _checked_text(method, "level", level)}, types.EmptyResult, safe=True)


def list_filter(capabilities: types.ServerCapabilities) -> dict[str, bool]:
    """Return the filter for :func:`listen` of all lists whose changes a server announces."""
    offered: dict[str, dict[str, Any]] = capabilities.to_wire()
    return {
        name: True
        for name, (capability, _) in LIST_FILTERS.items()
        if offered.get(capability, {}).get("listChanged")
    }


def listen(notifications: types.SubscriptionFilter | Mapping[str, Any]) -> Call[types.EmptyResult]:
    """Open a stream of change notifications (``subscriptions/listen``, 2026-07-28 on).

    Args:
        notifications: The changes to subscribe to.
    """
    method = "subscriptions/listen"
    params = {"notifications": _checked_object(method, "notifications", notifications)}
    return Call(method, params, types.EmptyResult, safe=True)

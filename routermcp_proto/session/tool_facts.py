"""The facts about listed tools that a session remembers for calls of them."""

from __future__ import annotations

from .. import types
from ..exceptions import RemoteProtocolError
from ..types.parameter_headers import ParameterHeader, declared_headers
from ..value_class import value_class

#: Tools whose declared headers and hints are remembered. Only tools that declare any are,
#: and a gateway of 100,000 tools is the largest that routermcp is built for.
MAX_TOOLS_REMEMBERED = 100_000


@value_class
class ToolFacts:
    """The part of a listed tool that a session remembers."""

    headers: tuple[ParameterHeader, ...]
    """Parameters that are sent as HTTP headers too."""

    repeatable: bool
    """The tool's hints say that calling it twice does no harm."""


# Most tools that are remembered declare no headers: these share one object.
_REPEATABLE = ToolFacts((), repeatable=True)


def remember_tools(page: types.ListToolsResult, known: dict[str, ToolFacts], *, headers: bool) -> list[str]:
    """Remember the tools of a page that declare headers or hints, and forget them of those that do not.

    Args:
        page: A page of the list; tools with an invalid declaration are taken out of it.
        known: The facts so far, by the tool's name; changed.
        headers: Whether the revision mirrors parameters into headers, and the message may have
            declarations; elsewhere they mean nothing.

    Returns:
        A warning for each tool that was taken out.
    """
    warnings: list[str] = []
    kept = page.tools[:0]
    for tool in page.tools:
        try:
            declared = _headers_of(tool) if headers else ()
        except RemoteProtocolError as error:
            warnings.append(f"tool {tool.name!r} is left out: {error}")
            known.pop(tool.name, None)
            continue
        hints = tool.annotations
        repeatable = hints is not None and bool(hints.readOnlyHint or hints.idempotentHint)
        if declared or repeatable:
            if len(known) < MAX_TOOLS_REMEMBERED or tool.name in known:
                known[tool.name] = ToolFacts(declared, repeatable) if declared else _REPEATABLE
        elif known:
            known.pop(tool.name, None)
        kept.append(tool)
    if warnings:
        page.tools = kept
    return warnings


def _headers_of(tool: types.Tool) -> tuple[ParameterHeader, ...]:
    schema = tool.inputSchema
    return declared_headers({**(schema.model_extra or {}), "properties": schema.properties})

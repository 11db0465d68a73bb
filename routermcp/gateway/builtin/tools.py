"""The demonstration server: a few tools, a resource, a prompt."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote

from routermcp_proto.error_codes import INVALID_PARAMS
from routermcp_proto.exceptions import InvalidParamsError, ResourceNotFoundError

from ... import __version__
from ..backend import Caller, Listing, Result

README_URI = "demo://readme"
GREETING_PREFIX = "demo://greetings/"

README = """\
This is the demonstration server of routermcp.

Its tools: add, echo, count (reports progress), ask_name (asks you something).
Its resources: demo://readme and demo://greetings/{name}. Its prompt: greet.
"""

#: The furthest that ``count`` counts, and the longest that it rests, in milliseconds:
#: together under two minutes.
MAX_COUNT = 100
MAX_DELAY = 1000

Arguments = Mapping[str, Any]

_JSON_TYPES: dict[str, tuple[type, ...]] = {"number": (int, float), "integer": (int,), "string": (str,)}


@dataclass(frozen=True, slots=True)
class BuiltinTool:
    """A tool: its entry in the list, and its function."""

    listed: Mapping[str, Any]
    run: Callable[[Arguments, Caller], Awaitable[Result]]


def _text_result(text: str, **more: Any) -> Result:
    return {"content": [{"type": "text", "text": text}], **more}


async def add(arguments: Arguments, caller: Caller) -> Result:
    """Add two numbers."""
    del caller
    total = arguments["a"] + arguments["b"]
    return _text_result(str(total), structuredContent={"sum": total})


async def echo(arguments: Arguments, caller: Caller) -> Result:
    """Give a text back."""
    del caller
    return _text_result(arguments["text"])


async def count(arguments: Arguments, caller: Caller) -> Result:
    """Count, with a rest before each number, and report each."""
    to, delay = arguments["to"], arguments.get("delay_ms", 50)
    await caller.log("debug", f"counting to {to}", logger="count")
    for number in range(1, to + 1):
        await asyncio.sleep(delay / 1000)
        await caller.report_progress(number, total=to, message=f"{number} of {to}")
    return _text_result(f"counted to {to}")


async def ask_name(arguments: Arguments, caller: Caller) -> Result:
    """Ask the user for a name and greet them."""
    del arguments
    form = {
        "type": "object",
        "properties": {"name": {"type": "string", "title": "Your name"}},
        "required": ["name"],
    }
    params = {"message": "What is your name?", "requestedSchema": form}
    answer = await caller.ask("name", "elicitation/create", params)
    content = answer.get("content")
    name = cast("dict[str, Any]", content).get("name") if isinstance(content, dict) else None
    if answer.get("action") != "accept" or not isinstance(name, str):
        return _text_result("you did not say", isError=True)
    return _text_result(f"Hello, {name}!")


def _builtin_tool(
    run: Callable[[Arguments, Caller], Awaitable[Result]],
    properties: Mapping[str, Any],
    required: list[str],
    **more: Any,
) -> BuiltinTool:
    schema = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    listed = {
        "name": run.__name__,
        "description": (run.__doc__ or "").strip(),
        "inputSchema": schema,
        "annotations": {"readOnlyHint": True, "openWorldHint": False},
        **more,
    }
    return BuiltinTool(listed, run)


_SUM = {"type": "object", "properties": {"sum": {"type": "number"}}, "required": ["sum"]}
_COUNT = {
    "to": {"type": "integer", "description": "the last number", "minimum": 1, "maximum": MAX_COUNT},
    "delay_ms": {
        "type": "integer",
        "description": "milliseconds before each number",
        "minimum": 0,
        "maximum": MAX_DELAY,
        "default": 50,
    },
}

TOOLS: Mapping[str, BuiltinTool] = {
    str(tool.listed["name"]): tool
    for tool in (
        _builtin_tool(add, {"a": {"type": "number"}, "b": {"type": "number"}}, ["a", "b"], outputSchema=_SUM),
        _builtin_tool(echo, {"text": {"type": "string"}}, ["text"]),
        _builtin_tool(count, _COUNT, ["to"]),
        _builtin_tool(ask_name, {}, []),
    )
}

_LISTS: Mapping[Listing, list[Mapping[str, Any]]] = {
    Listing.TOOLS: [tool.listed for tool in TOOLS.values()],
    Listing.RESOURCES: [
        {
            "uri": README_URI,
            "name": "readme",
            "description": "What this server offers.",
            "mimeType": "text/plain",
        }
    ],
    Listing.RESOURCE_TEMPLATES: [
        {
            "uriTemplate": GREETING_PREFIX + "{name}",
            "name": "greeting",
            "description": "A greeting.",
            "mimeType": "text/plain",
        }
    ],
    Listing.PROMPTS: [
        {
            "name": "greet",
            "description": "Greet a person.",
            "arguments": [{"name": "name", "description": "The name of the person.", "required": True}],
        }
    ],
}


def problem_with(schema: Mapping[str, Any], arguments: Arguments) -> str | None:
    """Return the problem with the arguments of a built-in tool, None for good ones."""
    properties = schema["properties"]
    for name in schema["required"]:
        if name not in arguments:
            return f"the argument {name} is missing"
    for name, value in arguments.items():
        if name not in properties:
            return f"there is no argument {name[:100]}"
        wanted = properties[name]
        if isinstance(value, bool) or not isinstance(value, _JSON_TYPES[wanted["type"]]):
            return f"{name} is not of type {wanted['type']}"
        low, high = wanted.get("minimum"), wanted.get("maximum")
        if low is not None and not low <= value <= high:
            return f"{name} is not between {low} and {high}"
    return None


class BuiltinTools:
    """The backend of the demonstration server."""

    server_info: Mapping[str, Any] = {"name": "routermcp-demo", "version": __version__}
    capabilities: Mapping[str, Any] = {"tools": {}, "resources": {}, "prompts": {}, "logging": {}}
    instructions: str | None = "Read demo://readme."

    def input_schema(self, tool: str) -> Mapping[str, Any] | None:
        """Return the input schema of a tool."""
        found = TOOLS.get(tool)
        return found.listed["inputSchema"] if found is not None else None

    async def list_page(self, listing: Listing, cursor: str | None, caller: Caller) -> Mapping[str, Any]:
        """Return a list; each has one page.

        Raises:
            InvalidParamsError: There was a cursor, which no page of ours has given out.
        """
        del caller
        if cursor is not None:
            raise InvalidParamsError("unknown cursor")
        return {listing.value: _LISTS[listing]}

    async def call_tool(self, name: str, arguments: Arguments, caller: Caller) -> Mapping[str, Any]:
        """Run a tool.

        Raises:
            InvalidParamsError: There is no such tool.
        """
        tool = TOOLS.get(name)
        if tool is None:
            raise InvalidParamsError(f"Unknown tool: {name[:100]}")
        problem = problem_with(tool.listed["inputSchema"], arguments)
        if problem is not None:
            return _text_result(problem, isError=True)
        return await tool.run(arguments, caller)

    async def read_resource(self, uri: str, caller: Caller) -> Mapping[str, Any]:
        """Return a resource.

        Raises:
            ResourceNotFoundError: There is no such resource.
        """
        del caller
        if uri == README_URI:
            text = README
        elif uri.startswith(GREETING_PREFIX) and len(uri) > len(GREETING_PREFIX):
            text = f"Hello, {unquote(uri.removeprefix(GREETING_PREFIX))}!"
        else:
            raise ResourceNotFoundError("Resource not found", code=INVALID_PARAMS, data={"uri": uri})
        return {"contents": [{"uri": uri, "mimeType": "text/plain", "text": text}]}

    async def get_prompt(self, name: str, arguments: Arguments, caller: Caller) -> Mapping[str, Any]:
        """Return a prompt.

        Raises:
            InvalidParamsError: There is no such prompt, or the name to greet is missing.
        """
        del caller
        if name != "greet":
            raise InvalidParamsError(f"Unknown prompt: {name[:100]}")
        who = arguments.get("name")
        if not isinstance(who, str):
            raise InvalidParamsError("the argument name is missing")
        text = f"Greet {who} in one friendly sentence."
        return {
            "description": "Greet a person.",
            "messages": [{"role": "user", "content": {"type": "text", "text": text}}],
        }

    async def complete(self, params: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        """Suggest nothing: the demonstration declares no completions, so that no client asks."""
        del params, caller
        return {"completion": {"values": []}}

    async def subscribe(self, uri: str, caller: Caller) -> None:
        """Do nothing: no resource changes, and none can be subscribed to."""

    async def unsubscribe(self, uri: str) -> None:
        """Do nothing."""

    async def end_session(self, session_id: str) -> None:
        """Forget nothing: nothing is kept."""

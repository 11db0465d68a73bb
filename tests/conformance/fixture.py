"""What the server scenarios of the official suite expect to find: names, texts and shapes are theirs."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from routermcp.gateway import Caller, InputRequired, Listing
from routermcp_proto.exceptions import InvalidParamsError, ResourceNotFoundError
from tests.conformance.fixture_rounds import ROUNDS, answer_text, elicitation
from tests.conformance.fixture_tools import IMAGE, TOOLS, JSONObject, text

TEMPLATE_BEGIN, TEMPLATE_END = "test://template/", "/data"

_RESOURCES: list[JSONObject] = [
    {
        "uri": "test://static-text",
        "name": "static-text",
        "description": "Text that stays the same.",
        "mimeType": "text/plain",
    },
    {
        "uri": "test://static-binary",
        "name": "static-binary",
        "description": "An image that stays the same.",
        "mimeType": "image/png",
    },
    {
        "uri": "test://watched-resource",
        "name": "watched-resource",
        "description": "Text that changes on request.",
        "mimeType": "text/plain",
    },
]

_CONTENTS: Mapping[str, JSONObject] = {
    "test://static-text": {
        "mimeType": "text/plain",
        "text": "This is the content of the static text resource.",
    },
    "test://static-binary": {"mimeType": "image/png", "blob": IMAGE},
    "test://watched-resource": {"mimeType": "text/plain", "text": "Watched resource content."},
}


def _argument(name: str, description: str) -> JSONObject:
    return {"name": name, "description": description, "required": True}


_PROMPTS: list[JSONObject] = [
    {"name": "test_simple_prompt", "description": "A prompt without arguments."},
    {
        "name": "test_prompt_with_arguments",
        "description": "A prompt with two arguments.",
        "arguments": [_argument("arg1", "The first."), _argument("arg2", "The second.")],
    },
    {
        "name": "test_prompt_with_embedded_resource",
        "description": "A prompt that holds a resource.",
        "arguments": [_argument("resourceUri", "The resource to hold.")],
    },
    {"name": "test_prompt_with_image", "description": "A prompt that holds an image."},
    {"name": "test_input_required_result_prompt", "description": "A prompt that asks for something first."},
]


def _messages(*contents: JSONObject) -> JSONObject:
    return {"messages": [{"role": "user", "content": content} for content in contents]}


class Everything:
    """The backend of the suite's server scenarios.

    Attributes:
        on_changed: Told of what clients are to be told: method and parameters.
    """

    server_info: Mapping[str, Any] = {"name": "routermcp-conformance", "version": "1.0.0"}
    capabilities: Mapping[str, Any] = {
        "tools": {"listChanged": True},
        "resources": {"subscribe": True, "listChanged": True},
        "prompts": {"listChanged": True},
        "logging": {},
        "completions": {},
    }
    instructions: str | None = None

    def __init__(self) -> None:
        self.on_changed: Callable[[str, Mapping[str, Any]], None] = lambda _method, _params: None
        self._watched: set[str] = set()
        self._more: dict[Listing, list[JSONObject]] = {Listing.TOOLS: [], Listing.PROMPTS: []}
        self._triggers: Mapping[str, Callable[[], None]] = {
            "test_trigger_tool_change": self._add_tool,
            "test_trigger_prompt_change": self._add_prompt,
            "test_trigger_resource_change": self._change_resource,
        }

    # ---- lists that change -----------------------------------------------------------------

    def _add_tool(self) -> None:
        tools = self._more[Listing.TOOLS]
        schema = {"type": "object"}
        tools.append(
            {"name": f"test_added_{len(tools)}", "description": "Came later.", "inputSchema": schema}
        )
        self.on_changed("notifications/tools/list_changed", {})

    def _add_prompt(self) -> None:
        prompts = self._more[Listing.PROMPTS]
        prompts.append({"name": f"test_added_{len(prompts)}", "description": "Came later."})
        self.on_changed("notifications/prompts/list_changed", {})

    def _change_resource(self) -> None:
        for uri in self._watched:
            self.on_changed("notifications/resources/updated", {"uri": uri})

    def input_schema(self, tool: str) -> Mapping[str, Any] | None:
        """Return the input schema of a tool, None where there is no such tool."""
        found = TOOLS.get(tool)
        return found.listed["inputSchema"] if found is not None else None

    async def list_page(self, listing: Listing, cursor: str | None, caller: Caller) -> JSONObject:
        """Return a list; each has one page.

        Raises:
            InvalidParamsError: There was a cursor.
        """
        del caller
        if cursor is not None:
            raise InvalidParamsError("unknown cursor", code=-32602)
        if listing is Listing.TOOLS:
            named = [
                {"name": name, "description": description, "inputSchema": {"type": "object"}}
                for name, description in [
                    *((name, f"Asks for input: {name}.") for name in ROUNDS),
                    *((name, "Changes something that is listed.") for name in self._triggers),
                ]
            ]
            listed = [*(tool.listed for tool in TOOLS.values()), *named, *self._more[listing]]
        elif listing is Listing.PROMPTS:
            listed = [*_PROMPTS, *self._more[listing]]
        elif listing is Listing.RESOURCES:
            listed = _RESOURCES
        else:
            listed = [
                {
                    "uriTemplate": f"{TEMPLATE_BEGIN}{{id}}{TEMPLATE_END}",
                    "name": "template",
                    "description": "JSON about whatever is named.",
                    "mimeType": "application/json",
                }
            ]
        return {listing.value: listed}

    # ---- requests --------------------------------------------------------------------------

    async def call_tool(self, name: str, arguments: Mapping[str, Any], caller: Caller) -> JSONObject:
        """Run a tool.

        Raises:
            InvalidParamsError: There is no such tool.
            InputRequired: The client has to be asked first.
        """
        if name in self._triggers:
            self._triggers[name]()
            return text("changed")
        run: Callable[[Mapping[str, Any], Caller], Awaitable[JSONObject]] | None = ROUNDS.get(name)
        if run is None and name in TOOLS:
            run = TOOLS[name].run
        if run is None:
            raise InvalidParamsError(f"there is no tool {name[:100]}", code=-32602)
        return await run(arguments, caller)

    async def read_resource(self, uri: str, caller: Caller) -> JSONObject:
        """Return a resource.

        Raises:
            ResourceNotFoundError: There is no such resource.
        """
        del caller
        content = _CONTENTS.get(uri)
        if content is None and uri.startswith(TEMPLATE_BEGIN) and uri.endswith(TEMPLATE_END):
            wanted = uri.removeprefix(TEMPLATE_BEGIN).removesuffix(TEMPLATE_END)
            document = {"id": wanted, "templateTest": True, "data": f"Data for ID: {wanted}"}
            content = {"mimeType": "application/json", "text": json.dumps(document)}
        if content is None:
            raise ResourceNotFoundError("there is no such resource", code=-32602, data={"uri": uri})
        return {"contents": [{"uri": uri, **content}]}

    async def get_prompt(self, name: str, arguments: Mapping[str, Any], caller: Caller) -> JSONObject:
        """Return a prompt.

        Raises:
            InvalidParamsError: There is no such prompt.
            InputRequired: The client has to be asked first.
        """
        if name == "test_simple_prompt":
            return _messages({"type": "text", "text": "This is a simple prompt for testing."})
        if name == "test_prompt_with_arguments":
            one, two = arguments.get("arg1"), arguments.get("arg2")
            return _messages({"type": "text", "text": f"Prompt with arguments: arg1='{one}', arg2='{two}'"})
        if name == "test_prompt_with_embedded_resource":
            resource = {
                "uri": arguments.get("resourceUri"),
                "mimeType": "text/plain",
                "text": "Embedded resource content for testing.",
            }
            return _messages(
                {"type": "resource", "resource": resource},
                {"type": "text", "text": "Please process the embedded resource above."},
            )
        if name == "test_prompt_with_image":
            return _messages(
                {"type": "image", "data": IMAGE, "mimeType": "image/png"},
                {"type": "text", "text": "Please analyze the image above."},
            )
        if name != "test_input_required_result_prompt":
            raise InvalidParamsError(f"there is no prompt {name[:100]}", code=-32602)
        context = answer_text(caller, "user_context", "context")
        if context is None:
            question = elicitation("What context should the prompt use?", context="string")
            raise InputRequired({"user_context": question})
        return _messages({"type": "text", "text": f"Prompt with context: {context}"})

    async def complete(self, params: Mapping[str, Any], caller: Caller) -> JSONObject:
        """Suggest what begins as the text typed so far."""
        del caller
        typed = str(params.get("argument", {}).get("value", ""))
        values = [value for value in ("paris", "park", "party") if value.startswith(typed)]
        return {"completion": {"values": values, "total": len(values), "hasMore": False}}

    async def subscribe(self, uri: str, caller: Caller) -> None:
        """Begin to tell of changes of a resource."""
        del caller
        self._watched.add(uri)

    async def unsubscribe(self, uri: str) -> None:
        """Tell of them no more."""
        self._watched.discard(uri)

    async def end_session(self, session_id: str) -> None:
        """Forget nothing: nothing is kept."""

"""The tools of the suite's server scenarios that answer at once, or ask in the middle of their work."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from routermcp.gateway import Caller
from routermcp.types import RPCError

JSONObject = Mapping[str, Any]
Run = Callable[[Mapping[str, Any], Caller], Awaitable[JSONObject]]

#: A PNG of one red pixel.
IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
#: A WAV file of one sample.
AUDIO = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="

#: Seconds between the steps of a tool that takes several.
STEP = 0.02

EMPTY: JSONObject = {"type": "object", "properties": {}}


@dataclass(frozen=True)
class Tool:
    """A tool: how it is listed, and what it does."""

    listed: JSONObject
    run: Run


def text(content: str, **more: Any) -> JSONObject:
    """Return the result that is a text."""
    return {"content": [{"type": "text", "text": content}], **more}


def content(*items: JSONObject) -> Run:
    """Return what always answers the same."""

    async def run(arguments: Mapping[str, Any], caller: Caller) -> JSONObject:
        del arguments, caller
        return {"content": list(items)}

    return run


async def _fail(arguments: Mapping[str, Any], caller: Caller) -> JSONObject:
    del arguments, caller
    return text("This tool intentionally returns an error for testing", isError=True)


async def _log(arguments: Mapping[str, Any], caller: Caller) -> JSONObject:
    del arguments
    for step in ("started", "goes on", "completed"):
        await caller.log("info", f"Tool execution {step}")
        await asyncio.sleep(STEP)
    return text("Tool with logging executed successfully")


async def _progress(arguments: Mapping[str, Any], caller: Caller) -> JSONObject:
    del arguments
    for done in (0, 50, 100):
        await caller.report_progress(done, total=100, message=f"Completed step {done} of 100")
        await asyncio.sleep(STEP)
    return text("done")


async def _sample(arguments: Mapping[str, Any], caller: Caller) -> JSONObject:
    message = {"role": "user", "content": {"type": "text", "text": str(arguments.get("prompt"))}}
    answer = await caller.ask("sample", "sampling/createMessage", {"messages": [message], "maxTokens": 100})
    reply = cast("dict[str, Any]", answer.get("content") or {})
    return text(f"LLM response: {reply.get('text')}")


def _asking(message: str | None, properties: JSONObject, required: list[str]) -> Run:
    async def run(arguments: Mapping[str, Any], caller: Caller) -> JSONObject:
        form = {"type": "object", "properties": properties, "required": required}
        question = message if message is not None else str(arguments.get("message"))
        params = {"message": question, "requestedSchema": form}
        answer = await caller.ask("form", "elicitation/create", params)
        given = json.dumps(answer.get("content") or {})
        return text(f"Elicitation completed: action={answer.get('action')}, content={given}")

    return run


async def _need_sampling(arguments: Mapping[str, Any], caller: Caller) -> JSONObject:
    del arguments
    if "sampling" not in caller.capabilities:
        data: JSONObject = {"requiredCapabilities": {"sampling": {}}}
        raise RPCError("this needs the capability sampling", code=-32021, data=data)
    return text("Success")


async def _stream(arguments: Mapping[str, Any], caller: Caller) -> JSONObject:
    """Report first, so that the answer is a stream, and then ask."""
    await caller.report_progress(50, total=100)
    return await _asking("Go on?", {"ok": {"type": "boolean"}}, ["ok"])(arguments, caller)


async def _echo(arguments: Mapping[str, Any], caller: Caller) -> JSONObject:
    del caller
    return text(json.dumps(arguments))


_DEFAULTS: JSONObject = {
    "name": {"type": "string", "description": "User name", "default": "John Doe"},
    "age": {"type": "integer", "description": "User age", "default": 30},
    "score": {"type": "number", "description": "User score", "default": 95.5},
    "status": {
        "type": "string",
        "description": "User status",
        "enum": ["active", "inactive", "pending"],
        "default": "active",
    },
    "verified": {"type": "boolean", "description": "Verification status", "default": True},
}

_OPTIONS = ["option1", "option2", "option3"]
_TITLED = [{"const": f"value{number}", "title": f"Choice {number}"} for number in (1, 2, 3)]
_ENUMS: JSONObject = {
    "untitledSingle": {"type": "string", "enum": _OPTIONS},
    "titledSingle": {"type": "string", "oneOf": _TITLED},
    "legacyEnum": {
        "type": "string",
        "enum": ["opt1", "opt2", "opt3"],
        "enumNames": ["Option One", "Option Two", "Option Three"],
    },
    "untitledMulti": {
        "type": "array",
        "minItems": 1,
        "maxItems": 3,
        "items": {"type": "string", "enum": _OPTIONS},
    },
    "titledMulti": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"anyOf": _TITLED}},
}

_SCHEMA_2020_12: JSONObject = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def _string(name: str, **more: Any) -> JSONObject:
    return {"type": "object", "properties": {name: {"type": "string", **more}}, "required": [name]}


def _resource(uri: str, mime_type: str, body: str) -> JSONObject:
    return {"type": "resource", "resource": {"uri": uri, "mimeType": mime_type, "text": body}}


_PIXEL: JSONObject = {"type": "image", "data": IMAGE, "mimeType": "image/png"}
_SOUND: JSONObject = {"type": "audio", "data": AUDIO, "mimeType": "audio/wav"}

_RUNS: Mapping[str, tuple[str, JSONObject, Run]] = {
    "test_simple_text": (
        "Answers with a text.",
        EMPTY,
        content({"type": "text", "text": "This is a simple text response for testing."}),
    ),
    "test_image_content": ("Answers with an image.", EMPTY, content(_PIXEL)),
    "test_audio_content": ("Answers with a sound.", EMPTY, content(_SOUND)),
    "test_embedded_resource": (
        "Answers with a resource.",
        EMPTY,
        content(_resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")),
    ),
    "test_multiple_content_types": (
        "Answers with content of several kinds.",
        EMPTY,
        content(
            {"type": "text", "text": "Multiple content types test:"},
            _PIXEL,
            _resource("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
        ),
    ),
    "test_tool_with_logging": ("Logs three messages.", EMPTY, _log),
    "test_logging_tool": ("Logs where that is wanted.", EMPTY, _log),
    "test_error_handling": ("Fails.", EMPTY, _fail),
    "test_tool_with_progress": ("Reports progress.", EMPTY, _progress),
    "test_sampling": ("Asks for a completion.", _string("prompt"), _sample),
    "test_elicitation": (
        "Asks for a name and an address.",
        _string("message"),
        _asking(None, {"username": {"type": "string"}, "email": {"type": "string"}}, ["username", "email"]),
    ),
    "test_elicitation_sep1034_defaults": (
        "Asks with defaults.",
        EMPTY,
        _asking("Please review the form", _DEFAULTS, []),
    ),
    "test_elicitation_sep1330_enums": (
        "Asks with enumerations.",
        EMPTY,
        _asking("Please select options", _ENUMS, []),
    ),
    "json_schema_2020_12_tool": ("Has a schema of the 2020-12 draft.", _SCHEMA_2020_12, _echo),
    "test_missing_capability": ("Needs sampling.", EMPTY, _need_sampling),
    "test_streaming_elicitation": ("Asks in a stream.", EMPTY, _stream),
    "test_custom_header": (
        "Has a parameter that a header repeats.",
        _string("region", **{"x-mcp-header": "Region"}),
        _echo,
    ),
}

TOOLS: Mapping[str, Tool] = {
    name: Tool({"name": name, "description": description, "inputSchema": schema}, run)
    for name, (description, schema, run) in _RUNS.items()
}

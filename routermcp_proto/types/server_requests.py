"""Requests of a server to its client: which capability each needs, and what may be wrong with one.

A request that cannot be answered is refused before a user is asked: with -32601 where the client
offers nothing of the kind, with -32602 where it did not declare that variant, or where the request
cannot be read.

Sources: https://modelcontextprotocol.io/specification/2025-11-25/client/elicitation and
https://modelcontextprotocol.io/specification/2025-11-25/client/sampling, sections "Capabilities" and
"Error Handling"; https://modelcontextprotocol.io/specification/2025-11-25/schema,
``CreateMessageRequestParams.tools``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from pydantic import ValidationError

from .. import types
from ..error_codes import INVALID_PARAMS, METHOD_NOT_FOUND

#: The capability that a client has to declare before a server may send a request.
CAPABILITY_OF: Mapping[str, str] = {
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
    "elicitation/create": "elicitation",
}

#: Problems of one request that an error lists: the first few show the mistake.
MAX_PROBLEMS = 5

#: Characters of a mode or a role of the server that an error repeats.
MAX_QUOTED_NAME = 40

#: The roles of messages of a conversation, and of a sampling answer.
ROLES = ("user", "assistant")


class Refusal(NamedTuple):
    """The error with which a request is answered."""

    code: int
    message: str


def missing_capabilities(
    method: str, params: Mapping[str, Any], declared: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """Return the capabilities that a request needs and the client lacks, None where it lacks none.

    Args:
        method: Method of the request.
        params: Its parameters, as they came.
        declared: The ``ClientCapabilities``, as they go on the wire.
    """
    capability = CAPABILITY_OF.get(method, method)
    known, variant = capability in declared, _variant(method, params)
    members: Any = declared[capability] if known else None
    offered: Mapping[str, Any] = cast("dict[str, Any]", members) if isinstance(members, dict) else {}
    # An empty object declares forms (MCP 2025-11-25, Elicitation, "Capabilities").
    if variant is None or variant in offered or (variant == "form" and not offered):
        return None if known else {capability: {}}
    return {capability: {variant: {}}}


def _variant(method: str, params: Mapping[str, Any]) -> str | None:
    """Return the member of a capability that declares the variant of a request, None where it has none."""
    if method == "elicitation/create":
        mode = params.get("mode")
        return mode[:MAX_QUOTED_NAME] if isinstance(mode, str) else "form"
    tools = params.get("tools") is not None or params.get("toolChoice") is not None
    return "tools" if method == "sampling/createMessage" and tools else None


def refusal_of(method: str, params: Mapping[str, Any], declared: Mapping[str, Any]) -> Refusal | None:
    """Return the error with which a client refuses a request, None where its user may be asked.

    Arguments as of :func:`missing_capabilities`.
    """
    if CAPABILITY_OF.get(method) not in declared:
        return Refusal(METHOD_NOT_FOUND, f"this client does not offer {method}")
    missing = missing_capabilities(method, params, declared)
    if missing is not None:
        names = ", ".join(f"{capability}.{name}" for capability, each in missing.items() for name in each)
        return Refusal(INVALID_PARAMS, f"this client does not declare {names}")
    problems = _problems(method, params)
    return Refusal(INVALID_PARAMS, f"{method} cannot be read: {'; '.join(problems)}") if problems else None


def _problems(method: str, params: Mapping[str, Any]) -> Sequence[str]:
    try:
        if method == "elicitation/create":
            asked = types.ElicitRequest.model_validate(params)
            return ["url is missing"] if asked.mode == "url" and not asked.url else []
        if method == "sampling/createMessage":
            return _problems_of_conversation(types.CreateMessageRequest.model_validate(params).messages)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        return [
            f"{'.'.join(str(step)[:MAX_QUOTED_NAME] for step in each['loc']) or 'params'}: {each['msg']}"
            for each in details[:MAX_PROBLEMS]
        ]
    return []


def _problems_of_conversation(messages: Sequence[types.SamplingMessage]) -> Sequence[str]:
    """Check the roles of messages, and that each use of a tool is followed by its result, and by no more."""
    awaited: set[Any] = set()
    for message in messages:
        if message.role not in ROLES:
            return [f"a role is user or assistant, not {message.role[:MAX_QUOTED_NAME]!r}"]
        content = message.content
        parts = content if isinstance(content, list) else [content]
        results = [part for part in parts if part.get("type") == "tool_result"]
        if results and len(results) != len(parts):
            return ["tool results are mixed with other content"]
        if awaited - {_text(part.get("toolUseId")) for part in results}:
            return ["a tool result is missing"]
        awaited = {_text(part.get("id")) for part in parts if part.get("type") == "tool_use"}
    return ["a tool result is missing"] if awaited else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""

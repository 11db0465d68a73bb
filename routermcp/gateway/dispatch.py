"""Which method of a backend answers which request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from routermcp_proto.events import RequestReceived
from routermcp_proto.exceptions import InvalidParamsError, MethodNotFoundError

from .accounts import AREA, HasAccounts
from .backend import Backend, Caller, Listing

_LISTINGS = {
    "tools/list": Listing.TOOLS,
    "resources/list": Listing.RESOURCES,
    "resources/templates/list": Listing.RESOURCE_TEMPLATES,
    "prompts/list": Listing.PROMPTS,
}

#: Areas of methods that the capabilities call by another name.
_CAPABILITIES = {"completion": "completions"}


async def dispatch(backend: Backend, asked: RequestReceived, caller: Caller) -> Mapping[str, Any]:
    """Let a backend answer a request.

    Raises:
        MethodNotFoundError: The backend does not offer the method.
        InvalidParamsError: A parameter is missing or has the wrong type.
        RPCError: What the backend itself raises.
    """
    method, params = asked.method, asked.params
    area = method.partition("/")[0]
    if area == AREA and isinstance(backend, HasAccounts) and backend.accounts is not None:
        return await backend.accounts.answer(method, params, caller)
    if _CAPABILITIES.get(area, area) not in backend.capabilities:
        raise MethodNotFoundError(f"unknown method {method[:100]}", code=-32601)
    if method in _LISTINGS:
        cursor = params.get("cursor")
        if cursor is not None and not isinstance(cursor, str):
            raise InvalidParamsError("cursor is not a string", code=-32602)
        return await backend.list_page(_LISTINGS[method], cursor, caller)
    if method == "tools/call":
        return await backend.call_tool(_text(params, "name"), _arguments(params), caller)
    if method == "resources/read":
        return await backend.read_resource(_text(params, "uri"), caller)
    if method == "prompts/get":
        return await backend.get_prompt(_text(params, "name"), _arguments(params), caller)
    if method == "completion/complete":
        return await backend.complete(params, caller)
    raise MethodNotFoundError(f"unknown method {method[:100]}", code=-32601)


def _text(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str):
        raise InvalidParamsError(f"{name} is missing or not a string", code=-32602)
    return value


def _arguments(params: Mapping[str, Any]) -> dict[str, Any]:
    value = params.get("arguments")
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidParamsError("arguments is not an object", code=-32602)
    return cast("dict[str, Any]", value)

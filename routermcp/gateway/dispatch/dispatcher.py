"""From a request to the bytes of its answer, whatever it travels over."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, cast

from routermcp_proto.error_codes import INTERNAL_ERROR, METHOD_NOT_FOUND, MISSING_CAPABILITY
from routermcp_proto.events import RequestReceived
from routermcp_proto.exceptions import InvalidParamsError, MethodNotFoundError, RPCError
from routermcp_proto.jsonrpc import ErrorObject
from routermcp_proto.names import LOG_LEVELS
from routermcp_proto.server_session import ServerSession

from ..backend import AREA, Backend, Caller, HasAccounts, InputNeeded, Listing
from ..sessions.base import KeptSession
from .context import RequestContext
from .subscriptions import Subscriptions

logger = logging.getLogger("routermcp.gateway")

#: How often a backend may need input for one request: as often as our own client gives it.
MAX_ROUNDS = 32

#: HTTP statuses that the stateless era gives to errors; all others travel with 200.
STATUSES = {METHOD_NOT_FOUND: 404, MISSING_CAPABILITY: 400}


async def answer(
    backend: Backend,
    announcements: Subscriptions,
    machine: ServerSession,
    session: KeptSession | None,
    asked: RequestReceived,
    caller: RequestContext,
) -> tuple[bytes, int]:
    """Let a backend work on a request; return its answer and the HTTP status that goes with it."""
    try:
        if asked.method == "logging/setLevel" and session is not None:
            result = await _set_level(session, asked.params.get("level"))
        elif asked.method == "subscriptions/listen":
            result = await announcements.listen(asked, caller, caller.send)
        elif asked.method == "resources/subscribe":
            result = await announcements.subscribe(session, asked.params.get("uri"), caller)
        elif asked.method == "resources/unsubscribe":
            result = await announcements.unsubscribe(session, asked.params.get("uri"))
        else:
            result = await _worked_on(backend, asked, caller)
        return machine.answer(asked.request_id, result), 200
    except InputNeeded as needed:
        wanted: dict[str, Any] = {"resultType": "input_required", "inputRequests": needed.requests}
        if needed.state is not None:
            wanted["requestState"] = needed.state
        return machine.answer(asked.request_id, wanted), 200
    except RPCError as error:
        status = STATUSES.get(error.code, 200) if asked.revision.stamps_requests else 200
        refusal = ErrorObject(error.code, error.message, error.data)
        return machine.refuse(asked.request_id, refusal), status
    except Exception:
        logger.exception("%s failed", asked.method)
        return machine.refuse(asked.request_id, ErrorObject(INTERNAL_ERROR, "internal error")), 200


async def _worked_on(backend: Backend, asked: RequestReceived, caller: RequestContext) -> Mapping[str, Any]:
    """Let a backend work on a request; what it needs from a client of the handshake era is asked here."""
    for _ in range(MAX_ROUNDS):
        try:
            return await dispatch(backend, asked, caller)
        except InputNeeded as needed:
            if not asked.revision.peer_requests:
                raise
            caller = await caller.answering(needed)
    raise RPCError(f"input was needed {MAX_ROUNDS} times, and still is", code=INTERNAL_ERROR)


async def _set_level(session: KeptSession, level: Any) -> Mapping[str, Any]:
    if level not in LOG_LEVELS:
        raise InvalidParamsError(f"level is not one of {', '.join(LOG_LEVELS)}")
    await session.set_log_level(level)
    return {}


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
        raise MethodNotFoundError(f"unknown method {method[:100]}")
    if method in _LISTINGS:
        cursor = params.get("cursor")
        if cursor is not None and not isinstance(cursor, str):
            raise InvalidParamsError("cursor is not a string")
        return await backend.list_page(_LISTINGS[method], cursor, caller)
    if method == "tools/call":
        return await backend.call_tool(_text(params, "name"), _arguments(params), caller)
    if method == "resources/read":
        return await backend.read_resource(_text(params, "uri"), caller)
    if method == "prompts/get":
        return await backend.get_prompt(_text(params, "name"), _arguments(params), caller)
    if method == "completion/complete":
        return await backend.complete(params, caller)
    raise MethodNotFoundError(f"unknown method {method[:100]}")


def _text(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str):
        raise InvalidParamsError(f"{name} is missing or not a string")
    return value


def _arguments(params: Mapping[str, Any]) -> dict[str, Any]:
    value = params.get("arguments")
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidParamsError("arguments is not an object")
    return cast("dict[str, Any]", value)

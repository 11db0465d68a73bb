"""From a request to the bytes of its answer, whatever it travels over."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from routermcp_proto.events import RequestReceived
from routermcp_proto.exceptions import InvalidParamsError, RPCError
from routermcp_proto.jsonrpc import ErrorObject
from routermcp_proto.server_session import ServerSession

from .announcements import Announcements
from .backend import LOG_LEVELS, Backend, InputNeeded
from .caller import INTERNAL_ERROR, MISSING_CAPABILITY, RequestCaller
from .dispatch import dispatch
from .sessions import KeptSession

logger = logging.getLogger("routermcp.gateway")

#: How often a backend may need input for one request: as often as our own client gives it.
MAX_ROUNDS = 32

#: HTTP statuses that the stateless era gives to errors; all others travel with 200.
STATUSES = {-32601: 404, MISSING_CAPABILITY: 400}


async def answer(
    backend: Backend,
    announcements: Announcements,
    machine: ServerSession,
    session: KeptSession | None,
    asked: RequestReceived,
    caller: RequestCaller,
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


async def _worked_on(backend: Backend, asked: RequestReceived, caller: RequestCaller) -> Mapping[str, Any]:
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
        raise InvalidParamsError(f"level is not one of {', '.join(LOG_LEVELS)}", code=-32602)
    await session.set_log_level(level)
    return {}

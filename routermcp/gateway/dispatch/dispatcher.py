"""Dispatches a request to the backend and encodes the answer, for every transport."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

from routermcp_proto.error_codes import INTERNAL_ERROR, METHOD_NOT_FOUND, MISSING_CAPABILITY
from routermcp_proto.events import RequestReceived
from routermcp_proto.exceptions import InternalError, InvalidParamsError, MethodNotFoundError, RPCError
from routermcp_proto.jsonrpc import ErrorObject
from routermcp_proto.names import LOG_LEVELS
from routermcp_proto.retry import POLL
from routermcp_proto.server_session import ServerSession

from ..backend import AccountMethods, Backend, Caller, InputRequired, Listing, Result
from ..sessions.base import KeptSession
from ..telemetry.records import SUBJECTS, CallRecord, OnCall, outcome_of
from .context import RequestContext
from .subscriptions import Subscriptions

log = logging.getLogger("routermcp.gateway")

#: Times that a backend may ask for input for one request: as often as our own client gives it.
MAX_BACKEND_ROUNDS = 32

#: HTTP statuses that the stateless era gives to errors; all others travel with 200.
STATUSES = {METHOD_NOT_FOUND: 404, MISSING_CAPABILITY: 400}

#: The prefix of the methods by which users manage their accounts.
ACCOUNTS_PREFIX = "routermcp/"

Params = Mapping[str, Any]


async def dispatch(
    backend: Backend,
    subscriptions: Subscriptions,
    machine: ServerSession,
    session: KeptSession | None,
    asked: RequestReceived,
    caller: RequestContext,
) -> tuple[bytes, int]:
    """Have a backend work on a request; return the encoded answer and its HTTP status."""
    began = time.perf_counter()
    result: Result | None = None
    code: int | None = None
    try:
        try:
            result = await _dispatch_once(backend, subscriptions, session, asked, caller)
        except InputRequired as required:
            again = partial(_dispatch_once, backend, subscriptions, session, asked)
            result = await _after_input(required, caller, again)
        return machine.answer(asked.request_id, result), 200
    except RPCError as error:
        code = error.code
        status = STATUSES.get(error.code, 200) if asked.revision.stamps_requests else 200
        refusal = ErrorObject(error.code, error.message, error.data)
        return machine.refuse(asked.request_id, refusal), status
    except Exception:
        code = INTERNAL_ERROR
        log.exception("%s failed", asked.method)
        return machine.refuse(asked.request_id, ErrorObject(INTERNAL_ERROR, "internal error")), 200
    finally:
        listeners: Sequence[OnCall] = getattr(backend, "call_listeners", ())
        parameter = SUBJECTS.get(asked.method)
        if listeners and parameter is not None:
            subject, seconds = str(asked.params.get(parameter)), time.perf_counter() - began
            outcome = outcome_of(result, code)
            record = CallRecord(asked.method, subject, caller.user_id, seconds, outcome, code)
            for listener in listeners:
                listener(record, asked.params.get("arguments"))


def _dispatch_once(
    backend: Backend,
    subscriptions: Subscriptions,
    session: KeptSession | None,
    asked: RequestReceived,
    caller: RequestContext,
) -> Awaitable[Result]:
    """Begin to work on a request.

    Raises:
        MethodNotFoundError: The backend does not offer the method.
        InvalidParamsError: A parameter is missing or has the wrong type.
    """
    method, params = asked.method, asked.params
    offered = _BACKEND_METHODS.get(method)
    if offered is not None:
        capability, work = offered
        if capability in backend.capabilities:
            return work(backend, params, caller)
    elif method == "logging/setLevel" and session is not None:
        return _set_level(session, params.get("level"))
    elif method == "subscriptions/listen":
        return subscriptions.listen(asked, caller, caller.send)
    elif method == "resources/subscribe":
        return subscriptions.subscribe(session, params.get("uri"), caller)
    elif method == "resources/unsubscribe":
        return subscriptions.unsubscribe(session, params.get("uri"))
    elif method.startswith(ACCOUNTS_PREFIX):
        accounts: AccountMethods | None = getattr(backend, "accounts", None)
        if accounts is not None:
            return accounts.answer(method, params, caller)
    raise MethodNotFoundError(f"unknown method {method[:100]}")


async def _after_input(
    required: InputRequired, caller: RequestContext, begin: Callable[[RequestContext], Awaitable[Result]]
) -> Result:
    """Return the result of a request whose backend has asked for input.

    A client of the stateless era gets the questions as the result. One of the handshake era is
    asked here, and the backend is given the request again, up to its result. Where it asks for
    nothing but the request again, that waits a little.

    Raises:
        RPCError: The client cannot be asked that, or the backend asks again and again.
    """
    if not caller.revision.peer_requests:
        state = {} if required.state is None else {"requestState": required.state}
        return {"resultType": "input_required", "inputRequests": required.requests, **state}
    for number in range(1, MAX_BACKEND_ROUNDS):
        if not required.requests:
            await asyncio.sleep(POLL.wait(number, retry_after=None, random=0.0))
        caller = await caller.with_answers(required)
        try:
            return await begin(caller)
        except InputRequired as again:
            required = again
    raise InternalError(f"input was needed {MAX_BACKEND_ROUNDS} times, and is needed again")


async def _set_level(session: KeptSession, level: Any) -> Result:
    if level not in LOG_LEVELS:
        raise InvalidParamsError(f"level is not one of {', '.join(LOG_LEVELS)}")
    await session.set_log_level(level)
    return {}


def _list_page(listing: Listing, backend: Backend, params: Params, caller: Caller) -> Awaitable[Result]:
    cursor = params.get("cursor")
    if cursor is not None and not isinstance(cursor, str):
        raise InvalidParamsError("cursor is not a string")
    return backend.list_page(listing, cursor, caller)


def _text_param(params: Params, name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str):
        raise InvalidParamsError(f"{name} is missing or not a string")
    return value


def _name_and_arguments(params: Params) -> tuple[str, dict[str, Any]]:
    """Return the name and the arguments of a tool or a prompt."""
    name, arguments = _text_param(params, "name"), params.get("arguments")
    if arguments is not None and not isinstance(arguments, dict):
        raise InvalidParamsError("arguments is not an object")
    return name, cast("dict[str, Any]", arguments or {})


#: The methods of backends, each with the capability that says that it is offered.
_BACKEND_METHODS: Mapping[str, tuple[str, Callable[[Backend, Params, Caller], Awaitable[Result]]]] = {
    "tools/list": ("tools", partial(_list_page, Listing.TOOLS)),
    "tools/call": ("tools", lambda to, params, caller: to.call_tool(*_name_and_arguments(params), caller)),
    "resources/list": ("resources", partial(_list_page, Listing.RESOURCES)),
    "resources/templates/list": ("resources", partial(_list_page, Listing.RESOURCE_TEMPLATES)),
    "resources/read": (
        "resources",
        lambda to, params, caller: to.read_resource(_text_param(params, "uri"), caller),
    ),
    "prompts/list": ("prompts", partial(_list_page, Listing.PROMPTS)),
    "prompts/get": (
        "prompts",
        lambda to, params, caller: to.get_prompt(*_name_and_arguments(params), caller),
    ),
    "completion/complete": ("completions", lambda to, params, caller: to.complete(params, caller)),
}

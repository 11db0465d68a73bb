"""The tools of the suite's server scenarios that ask for input in a result, in one round or several."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any, cast

from routermcp.gateway import Caller, InputRequired
from routermcp_proto.exceptions import InvalidParamsError
from tests.conformance.fixture_tools import JSONObject, Run, text

#: Signs states, so that one that was tampered with is found out.
_KEY = secrets.token_bytes(32)


def elicitation(message: str, **properties: str) -> JSONObject:
    """Return the question for a form with fields of those types."""
    form = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": list(properties),
    }
    return {"method": "elicitation/create", "params": {"message": message, "requestedSchema": form}}


def sampling(prompt: str) -> JSONObject:
    """Return the question for a completion."""
    message = {"role": "user", "content": {"type": "text", "text": prompt}}
    return {"method": "sampling/createMessage", "params": {"messages": [message], "maxTokens": 100}}


LIST_ROOTS: JSONObject = {"method": "roots/list", "params": {}}


def sign(state: JSONObject) -> str:
    """Write a state into a text that only this process can write."""
    body = json.dumps({**state, "nonce": secrets.token_hex(8)})
    return f"{hmac.new(_KEY, body.encode(), hashlib.sha256).hexdigest()}.{body}"


def verified(caller: Caller) -> dict[str, Any]:
    """Return the state that came back, empty where none did.

    Raises:
        InvalidParamsError: It is not one of ours.
    """
    if caller.request_state is None:
        return {}
    signature, _, body = caller.request_state.partition(".")
    expected = hmac.new(_KEY, body.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(signature.encode(), expected.encode()):
        raise InvalidParamsError("the requestState was tampered with", code=-32602)
    return json.loads(body)


def answer_of(caller: Caller, key: str) -> dict[str, Any] | None:
    """Return the answer to a question, None where there is none."""
    answer = (caller.input_responses or {}).get(key)
    return cast("dict[str, Any]", answer) if isinstance(answer, dict) else None


def answer_text(caller: Caller, key: str, field: str) -> str | None:
    """Return a field of an answered form, None where it has no text."""
    content: Any = (answer_of(caller, key) or {}).get("content")
    value = cast("dict[str, Any]", content).get(field) if isinstance(content, dict) else None
    return value if isinstance(value, str) else None


async def _elicit(arguments: Mapping[str, Any], caller: Caller) -> JSONObject:
    del arguments
    name = answer_text(caller, "user_name", "name")
    if name is None:
        raise InputRequired({"user_name": elicitation("What is your name?", name="string")})
    return text(f"Hello, {name}!")


async def _sample(arguments: Mapping[str, Any], caller: Caller) -> JSONObject:
    del arguments
    reply = answer_text(caller, "capital_question", "text")
    if reply is None:
        raise InputRequired({"capital_question": sampling("What is the capital of France?")})
    return text(f"Sampling result: {reply}")


async def _list_roots(arguments: Mapping[str, Any], caller: Caller) -> JSONObject:
    del arguments
    answer = answer_of(caller, "client_roots")
    if answer is None:
        raise InputRequired({"client_roots": LIST_ROOTS})
    return text(f"Found {len(answer.get('roots', []))} root(s)")


async def _confirm(arguments: Mapping[str, Any], caller: Caller) -> JSONObject:
    del arguments
    state = verified(caller)
    if not state or answer_of(caller, "confirm") is None:
        state = sign({"kind": "confirm"})
        raise InputRequired({"confirm": elicitation("Please confirm", ok="boolean")}, state)
    return text("state-ok: requestState validated")


async def _ask_three(arguments: Mapping[str, Any], caller: Caller) -> JSONObject:
    del arguments
    state = verified(caller)
    name = answer_text(caller, "user_name", "name")
    greeting = answer_text(caller, "greeting", "text")
    roots = answer_of(caller, "client_roots")
    if not state or name is None or greeting is None or roots is None:
        questions = {
            "user_name": elicitation("What is your name?", name="string"),
            "greeting": sampling("Generate a greeting"),
            "client_roots": LIST_ROOTS,
        }
        raise InputRequired(questions, sign({"kind": "three"}))
    return text(f"Name: {name}; Greeting: {greeting}; Roots: {len(roots.get('roots', []))}")


async def _ask_twice(arguments: Mapping[str, Any], caller: Caller) -> JSONObject:
    del arguments
    state = verified(caller)
    name = state.get("name") or answer_text(caller, "step1", "name")
    if not state or name is None:
        question = elicitation("Step 1: What is your name?", name="string")
        raise InputRequired({"step1": question}, sign({"round": 1}))
    color = answer_text(caller, "step2", "color")
    if color is None:
        question = elicitation("Step 2: What is your favorite color?", color="string")
        raise InputRequired({"step2": question}, sign({"round": 2, "name": name}))
    return text(f"Multi-round complete for {name} who likes {color}")


async def _ask_what_is_declared(arguments: Mapping[str, Any], caller: Caller) -> JSONObject:
    del arguments
    if caller.input_responses:
        return text(f"capabilities-ok: received {','.join(caller.input_responses)}")
    possible = {
        "elicitation": ("elicit_input", elicitation("Elicitation input", value="string")),
        "sampling": ("sample_input", sampling("Sample request")),
    }
    questions = dict(possible[each] for each in possible if each in caller.capabilities)
    if not questions:
        return text("No supported capabilities declared")
    raise InputRequired(questions, sign({"kind": "capabilities"}))


ROUNDS: Mapping[str, Run] = {
    "test_input_required_result_elicitation": _elicit,
    "test_input_required_result_sampling": _sample,
    "test_input_required_result_list_roots": _list_roots,
    "test_input_required_result_request_state": _confirm,
    "test_input_required_result_multiple_inputs": _ask_three,
    "test_input_required_result_multi_round": _ask_twice,
    "test_input_required_result_tampered_state": _confirm,
    "test_input_required_result_capabilities": _ask_what_is_declared,
}

"""What a user is asked during a call: the questions of an ``input_required``, and to sign in."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, cast

from routermcp_proto.events import InputRequired
from routermcp_proto.exceptions import AuthorizationRequiredError, ResponseValidationError
from routermcp_proto.types.server_requests import refusal_of

from .deadline import CallDeadline
from .incoming import Responder


class Question(NamedTuple):
    """One request for input."""

    method: str
    params: Mapping[str, Any]


def questions_in(wanted: InputRequired, declared: Mapping[str, Any]) -> dict[str, Question]:
    """Return the requests for input by key.

    Args:
        wanted: What the server wants.
        declared: The capabilities of the client.

    Raises:
        ResponseValidationError: One of them cannot be answered; then none is asked, as the call
            cannot be completed.
    """
    questions: dict[str, Question] = {}
    for key, request in wanted.requests.items():
        given = request.get("params")
        params = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
        question = questions[key] = Question(str(request.get("method")), params)
        refused = refusal_of(*question, declared)
        if refused is not None:
            problem = f"the server asks for {question.method}, which cannot be answered: {refused.message}"
            raise ResponseValidationError(problem, method=question.method, problems=(refused.message,))
    return questions


def urls_of(questions: Mapping[str, Question]) -> set[str]:
    """Return the URLs that questions have the user open."""
    urls = (question.params.get("url") for question in questions.values())
    return {url for url in urls if isinstance(url, str)}


async def ask_to_sign_in(
    responder: Responder,
    required: AuthorizationRequiredError,
    user_id: str | None,
    deadline: CallDeadline,
    opened: Collection[str] = (),
) -> None:
    """Ask the user to sign in.

    Args:
        responder: Asks.
        required: What the server wants.
        user_id: The user, where the error does not say it.
        deadline: The deadline of the call, which stands still meanwhile.
        opened: URLs that the user was asked to open already, for this call.

    Raises:
        AuthorizationRequiredError: The user cannot be asked, or has refused: it is ``required``.
    """
    required.user_id = required.user_id or user_id
    pages = [each["url"] for each in required.elicitations]
    if pages and all(page in opened for page in pages):
        raise required
    if not await deadline.interact(lambda: responder.authorize(required)):
        raise required

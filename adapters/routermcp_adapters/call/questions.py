"""The questions in a result of type ``input_required``, before a user is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from routermcp_proto.events import InputRequired
from routermcp_proto.exceptions import ResponseValidationError
from routermcp_proto.types.server_requests import refusal_of


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
